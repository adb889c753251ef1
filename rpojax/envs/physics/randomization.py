"""Functions that draw parameters of a MuJoCo model in the form that MuJoCo Playground uses."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Env
from rpojax.envs.contexts import standard_numpy
from rpojax.envs.physics.engines import put_on_mjx
from rpojax.types import Array, Key


def as_draw(env: Env, draw: Callable[..., Any]) -> Callable[[Key], Any]:
    """`draw(key)` itself, or one made of Playground's `(model, keys) -> (model, in_axes)`.

    Args:
        env: whose model a function of Playground's form changes.
        draw: for one episode; or for a batch, with a `mujoco.mjx.Model`.
    """
    parameters = inspect.signature(draw).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters if p.kind in positional and p.default is p.empty]
    if len(required) != 2:
        return draw
    if env.model is None:
        raise ValueError(
            f"environment {env.name!r} simulates no MuJoCo model for draw(model, keys) to change; "
            "give draw(key) -> {name: value}"
        )
    constants = jax.tree.map(np.asarray, put_on_mjx(env.model)[0])

    @standard_numpy()
    def draw_one(key: Key) -> dict[str, Array]:
        changed, axes = draw(jax.tree.map(jnp.asarray, constants), key[None])
        drawn = {}
        for path, axis in jax.tree_util.tree_leaves_with_path(axes):
            value: Any = changed
            for part in path:
                value = getattr(value, part.name)
            drawn[path[-1].name] = jnp.take(value, 0, axis=axis)
        return drawn

    return draw_one
