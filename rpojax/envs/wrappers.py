"""Environments made of others: with a time limit, with parameters drawn for each episode."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.at_once import mapped_over_envs
from rpojax.envs.base import Env, Params, Rekey, Render, Reset, Step, TimeStep, remade_by
from rpojax.envs.params import check_names, check_shape
from rpojax.types import Array, Key, PyTree


class _Outer(Protocol):
    """The state of a wrapper, a named tuple with the state that it wraps."""

    @property
    def state(self) -> PyTree: ...

    def _replace(self, *, state: PyTree) -> PyTree: ...


def with_outer_state(env: Env, reset: Reset, step: Step, **changes: Any) -> Env:
    """A copy of `env` with other functions, whose state is a named tuple with that of `env` inside.

    Its `rekey` and `render` go on working.

    Args:
        env: what is wrapped.
        reset: whose state has the one of `env` in the field `state`.
        step: of the same state.
        changes: of other fields of `Env`.
    """
    rekey = None if env.rekey is None else functools.partial(_rekey, env.rekey)
    render = None if env.render is None else functools.partial(_render, env.render)
    return dataclasses.replace(env, reset=reset, step=step, rekey=rekey, render=render, **changes)


def _rekey(rekey: Rekey, keys: Key, outer: _Outer) -> PyTree:
    return outer._replace(state=rekey(keys, outer.state))


def _render(render: Render, outer: _Outer) -> np.ndarray:
    return render(outer.state)


class Timed(NamedTuple):
    """The state of B environments with a time limit."""

    state: PyTree  # [B, ...] of the environment without it
    steps: Array  # i32[B] since the episode began


def with_time_limit(env: Env, max_episode_steps: int) -> Env:
    """`env`, its episodes cut off (truncated) after a number of steps.

    An episode that ends by itself on its last step is terminated, not truncated.

    Args:
        env: without a time limit.
        max_episode_steps: at least 1.
    """

    def reset(keys: Key, params: Params) -> tuple[Timed, PyTree]:
        state, obs = env.reset(keys, params)
        return Timed(state, jnp.zeros(keys.shape[0], jnp.int32)), obs

    def step(keys: Key, timed: Timed, action: Array, params: Params) -> tuple[Timed, TimeStep]:
        state, timestep = env.step(keys, timed.state, action, params)
        steps = timed.steps + 1
        truncated = timestep.truncated | (steps >= max_episode_steps)
        truncated &= ~timestep.terminated
        return Timed(state, steps), timestep._replace(truncated=truncated)

    return with_outer_state(env, reset, step, max_episode_steps=max_episode_steps)


PARAMS_STREAM = 1_349_677_901
"""Folded into the key of a reset: the parameters take nothing from the reset's own numbers."""


class DrawParams(Protocol):
    """Draws parameters for one episode of one environment."""

    def __call__(self, key: Key, /) -> Mapping[str, Array]:
        """Return some of `Env.params`, by name and in their shapes."""


class Randomized(NamedTuple):
    """The state of B environments, each with parameters of its own."""

    state: PyTree  # [B, ...] of the environment itself
    params: dict[str, Array]  # f32[B, ...] of the episode


def randomized(env: Env, draw: DrawParams) -> Env:
    """`env` with parameters that are drawn at every reset, independently for each episode.

    The state holds the parameters of its episode. Those of a pool of initial states
    (`Config.resets`) are drawn with the pool, and an episode that starts in one of its states has
    the parameters of that state. The same keys give the same starts as in `env`, unless these
    depend on the parameters.

    Training with a constant draw gives the agent of `train(key, env_params=...)` with its values,
    to the last bit with `agents_at_once=1`.

    Evaluation draws parameters too. To evaluate with fixed ones, give a config with `env` itself,
    and `evaluate(..., env_params=...)`.

    Args:
        env: with parameters, such as `make("Pendulum-v1")`; `env.params` names them.
        draw: a pure function of a key, such as
            `lambda key: {"l": jax.random.uniform(key, minval=0.5, maxval=1.5)}`.

    Returns:
        An environment whose own `params` are those that `draw` leaves.

    Raises:
        ValueError: `env` has no parameters; `draw` returns no dictionary, none of them, an unknown
            name, or an array of another shape.
    """
    specs = jax.eval_shape(draw, jax.eval_shape(lambda: jax.random.key(0)))
    names = check_names(env, "draw returns", specs)
    for name, spec in names.items():
        check_shape(env, f"draw(key)[{name!r}]", name, spec, "draw for one environment")
    if not names:
        raise ValueError(f"environment {env.name!r}: draw returns no parameters; draw at least one")

    def draw_one(key: Key) -> dict[str, Array]:
        drawn = draw(jax.random.fold_in(key, PARAMS_STREAM))
        return {name: jnp.asarray(value, jnp.float32) for name, value in drawn.items()}

    def reset_one(key: Key, params: Params) -> tuple[Randomized, PyTree]:
        drawn = draw_one(key)
        state, obs = _first(env.reset(key[None], {**params, **drawn}))
        return Randomized(state, drawn), obs

    def step_one(
        key: Key, before: Randomized, action: Array, params: Params
    ) -> tuple[Randomized, TimeStep]:
        keys, states, actions = jax.tree.map(lambda leaf: leaf[None], (key, before.state, action))
        led_to = env.step(keys, states, actions, {**params, **before.params})
        state, timestep = _first(led_to)
        return Randomized(state, before.params), timestep

    made = with_outer_state(
        env,
        *mapped_over_envs(reset_one, step_one, env.most_at_once),
        params={name: value for name, value in env.params.items() if name not in names},
    )
    return remade_by(functools.partial(randomized, env, draw), made)


def _first(batch: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[0], batch)
