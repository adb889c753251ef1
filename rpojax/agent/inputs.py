"""Checks of what a trained agent is given: state, observations, carry, flags, keys, limits."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.core.model import Model
from rpojax.envs import Env
from rpojax.settings.sizes import MOST
from rpojax.trees import leaves_by_path
from rpojax.types import Key, PyTree, TrainState
from rpojax.validation import show, whole_number

DEFAULT_EPISODE_LIMIT = 1000
"""Steps of an episode where neither the caller nor the environment sets a limit."""


def check_state(model: Model, state: Any) -> None:
    """Raise ValueError unless `state` is of one agent with the model's network.

    Shapes of parameters are compared by abstract evaluation, so that tracers will do. Parameters
    that the network does not know would be ignored otherwise, and another function would act.
    """
    check_train_state(state)
    if state.update_count.ndim:
        raise ValueError(
            f"state holds agents of shape {state.update_count.shape}; give one of them, such as "
            "results.select(0).state"
        )
    params = jax.eval_shape(lambda: model.network.init(jax.random.key(0)))
    given, wanted = _shapes(state.params), _shapes(params)
    for name in sorted(given | wanted):
        if given.get(name) != wanted.get(name):
            raise ValueError(
                f"network = {show(model.cfg.network)} is not the one that state was trained with: "
                f"{name} is {given.get(name, 'absent')} in state.params, and "
                f"{wanted.get(name, 'absent')} in the network; give the cfg of that training"
            )


def check_train_state(state: Any) -> None:
    """Raise ValueError unless `state` is a `TrainState`."""
    if not isinstance(state, TrainState):
        raise ValueError(
            f"state is a {type(state).__name__} in place of a TrainState; give the state of a "
            "result, result.state"
        )


def episode_limit(env: Env, max_steps: int | None) -> int:
    """After how many steps to stop an episode: the caller's limit, or the environment's.

    Raises:
        ValueError: `max_steps` is not a whole number of at least 1 that int32 holds.
    """
    if max_steps is not None:
        return whole_number("max_steps", max_steps, most=MOST)
    return min(env.max_episode_steps or DEFAULT_EPISODE_LIMIT, MOST)


def as_observations(obs: Any, spec: PyTree) -> tuple[PyTree, tuple[int, ...]]:
    """Observations as a pytree of arrays, and their leading axes.

    Nested lists of numbers become NumPy arrays. NumPy arrays get the environment's dtype where it
    is of floats: JAX would make int32 of int64 first, which wraps large numbers.

    Args:
        obs: pytree of [..., *obs.shape], given by a user.
        spec: of one observation, `Env.obs`.

    Raises:
        ValueError: another structure; a shape that does not end in that of one observation;
            different leading axes in different leaves; or no real numbers.
    """
    try:
        obs = jax.tree.map(lambda like, leaf: _as_array(leaf, like), spec, obs)
    except (ValueError, TypeError) as error:
        raise ValueError(f"obs = {obs!r} is not {_wanted(spec)} ({error})") from error
    leaves, specs = jax.tree.leaves(obs), jax.tree.leaves(spec)
    leading = [_leading(leaf, like) for leaf, like in zip(leaves, specs, strict=True)]
    if leading[0] is None or any(axes != leading[0] for axes in leading):
        shapes = jax.tree.map(np.shape, obs)
        raise ValueError(f"obs has the shape {shapes}; give {_wanted(spec)}")
    return obs, leading[0]


def check_carry(carry: PyTree, leading: tuple[int, ...], one: PyTree) -> None:
    """Raise ValueError unless a carry is one for observations with these leading axes.

    `one` is the shapes of a carry with one leading axis of length 1.
    """
    wanted = jax.tree.map(lambda leaf: (*leading, *leaf.shape[1:]), one)
    try:
        given = jax.tree.map(lambda _, leaf: np.shape(leaf), one, carry)
    except (ValueError, TypeError) as error:
        raise ValueError(f"carry = {carry!r} has another structure than {wanted}") from error
    if given != wanted:
        raise ValueError(
            f"carry has the shape {given}, and observations with leading axes {leading} need "
            f"{wanted}; give the carry that the policy returned for the observations before, or "
            "None where all episodes begin"
        )


def as_reset(reset: Any, leading: tuple[int, ...]) -> Any:
    """Reset flags as an array; ValueError unless there is one for each observation."""
    reset = reset if isinstance(reset, jax.Array) else np.asarray(reset)
    if reset.shape != leading:
        raise ValueError(
            f"reset has the shape {reset.shape}; give one flag for each observation, "
            f"bool{list(leading)}, or None for nowhere"
        )
    return reset


def key_used(deterministic: bool, key: Key | None) -> Key | None:
    """The key of a stochastic policy, ValueError if it is missing; None for a deterministic one."""
    if deterministic:
        return None
    if key is None:
        raise ValueError(
            "key = None, but the policy is stochastic; give a new PRNG key in each call, or make "
            "it with deterministic=True"
        )
    return key


def _shapes(params: PyTree) -> dict[str, str]:
    """Parameters by path, such as {"mean/bias": "of shape (1,)"}."""
    leaves = leaves_by_path(params, simple=True)
    return {name: f"of shape {np.shape(leaf)}" for name, leaf in leaves.items()}


def _as_array(leaf: Any, like: jax.ShapeDtypeStruct) -> Any:
    if isinstance(leaf, jax.Array):
        return leaf
    array = np.asarray(leaf)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"an array of dtype {array.dtype} holds no real numbers")
    if array.dtype != like.dtype and jnp.issubdtype(like.dtype, jnp.floating):
        return array.astype(like.dtype)
    return array


def _leading(leaf: Any, like: jax.ShapeDtypeStruct) -> tuple[int, ...] | None:
    """The axes before those of one observation; None if the shape does not end in its shape."""
    shape, ndim = np.shape(leaf), len(like.shape)
    if len(shape) < ndim or shape[len(shape) - ndim :] != like.shape:
        return None
    return shape[: len(shape) - ndim]


def _wanted(spec: PyTree) -> str:
    def shape(leaf: jax.ShapeDtypeStruct) -> str:
        return f"[{', '.join(['...', *map(str, leaf.shape)])}]"

    leaves = jax.tree.leaves(spec)
    if len(leaves) == 1 and leaves[0] is spec:
        return f"observations of shape {shape(spec)}"
    return f"observations of shape {jax.tree.map(shape, spec)} with the same leading axes"
