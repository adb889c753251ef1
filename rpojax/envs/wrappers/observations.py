"""What an agent sees: a function of the observation, noise, delay, history."""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from rpojax.envs.base import Env, Params, TimeStep, remakes
from rpojax.envs.wrappers.wrapped import (
    Wrapped,
    appended,
    chosen,
    delayed,
    entries_of,
    filled,
    finite,
    keys_of,
    of,
    replaced,
    steps_in,
    wrap,
)
from rpojax.trees import batched
from rpojax.types import Array, Key, PyTree
from rpojax.validation import check_choice, check_function, whole_number

NoiseDistribution = Literal["normal", "uniform"]


@remakes
def transform_observation(env: Env, function: Callable[[PyTree], PyTree]) -> Env:
    """`env`, whose observations are a function of its own.

    It leaves parts out: `lambda obs: obs[:2]`. It copies the clean state for the critic, before
    noise, delay and history change what the actor sees:
    `lambda obs: {"state": obs, "privileged_state": obs}`, then `keys=("state",)` for those
    wrappers, and `NetworkConfig(actor_keys=("state",), critic_keys=("privileged_state",))`.

    Args:
        env: any environment.
        function: pure, of one observation.
    """
    each = jax.vmap(check_function("function", function))

    def begin(_: Key, state: PyTree, obs: PyTree, params: Params) -> tuple[Wrapped, PyTree]:
        return Wrapped(state), each(obs)

    def step(keys: Key, outer: Wrapped, action: Array, params: Params) -> tuple[Wrapped, TimeStep]:
        state, timestep = env.step(keys, outer.state, action, params)
        return Wrapped(state), timestep._replace(obs=each(timestep.obs))

    return wrap(env, begin, step, obs=jax.eval_shape(function, env.obs))


@remakes
def sensor_noise(
    env: Env,
    scale: Any,
    *,
    keys: Any = None,
    distribution: NoiseDistribution = "normal",
    name: str = "sensor_noise",
) -> Env:
    """`env` with noise on its observations, fresh and independent in each step.

    Args:
        env: with observations of floats.
        scale: standard deviation of normal noise, half the width of uniform noise: one number, or
            an array with the shape of the observation. The parameter `name`.
        keys: entries of a Dict observation to change; None for all.
        distribution: "normal" or "uniform".
        name: of the parameter; one for each wrapper of this kind.

    Raises:
        ValueError: an unknown entry or distribution; observations of whole numbers; a scale that
            is negative or has another shape.
    """
    entries = entries_of(env, keys)
    check_choice("distribution", distribution, get_args(NoiseDistribution))
    own = {name: finite("scale", scale, 0.0)}
    for path, leaf in jax.tree_util.tree_leaves_with_path(chosen(env.obs, entries)):
        where = f"environment {env.name!r}: obs{jax.tree_util.keystr(path)}"
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise ValueError(f"{where} is {leaf.dtype}; give keys of entries that are floats")
        if own[name].shape not in ((), leaf.shape):
            raise ValueError(
                f"{where} has the shape {leaf.shape}, and scale {own[name].shape}; give one number "
                "or an array of the same shape, and other entries by another sensor_noise"
            )
    draw = jax.random.normal
    if distribution == "uniform":
        draw = functools.partial(jax.random.uniform, minval=-1.0, maxval=1.0)

    def noisy(all_keys: Key, obs: PyTree, params: Params) -> PyTree:
        scale = jnp.asarray(params.get(name, own[name]), jnp.float32)
        leaves, structure = jax.tree.flatten(chosen(obs, entries))

        def one(key: Key, leaves: list[Array]) -> list[Array]:
            each = jax.random.split(key, len(leaves))
            return [
                (leaf + scale * draw(key, leaf.shape)).astype(leaf.dtype)
                for key, leaf in zip(each, leaves, strict=True)
            ]

        changed = jax.vmap(one)(keys_of(name, all_keys), leaves)
        return replaced(obs, entries, jax.tree.unflatten(structure, changed))

    def begin(keys: Key, state: PyTree, obs: PyTree, params: Params) -> tuple[Wrapped, PyTree]:
        return Wrapped(state), noisy(keys, obs, params)

    def step(keys: Key, outer: Wrapped, action: Array, params: Params) -> tuple[Wrapped, TimeStep]:
        state, timestep = env.step(keys, outer.state, action, of(env, params))
        return Wrapped(state), timestep._replace(obs=noisy(keys, timestep.obs, params))

    return wrap(env, begin, step, own)


class Late(NamedTuple):
    """The state of B environments whose observations arrive late."""

    state: PyTree  # [B, ...] of the environment itself
    frames: PyTree  # [B, longest + 1, ...] the chosen entries, the newest last
    delay: Array  # i32[B] of the episode, in steps


@remakes
def sensor_delay(
    env: Env,
    steps: Any,
    *,
    longest: int | None = None,
    keys: Any = None,
    name: str = "sensor_delay",
) -> Env:
    """`env`, whose observations arrive some steps late, as many throughout an episode.

    Until the first one arrives, the agent sees the first observation of the episode.

    Args:
        env: any environment.
        steps: the delay, or the range (fewest, most) from which each episode draws its own,
            uniformly with both ends. The parameters name.fewest and name.most, which are rounded.
        longest: bound on the delay, also of changed parameters; None for the `most` given here.
        keys: entries of a Dict observation that are late; None for all.
        name: of the parameters; one for each wrapper of this kind.

    Raises:
        ValueError: an unknown entry; a range that is none.
    """
    entries = entries_of(env, keys)
    delays = steps_in(name, steps, 0, longest)

    def begin(keys: Key, state: PyTree, obs: PyTree, params: Params) -> tuple[Late, PyTree]:
        frames = filled(chosen(obs, entries), delays.longest + 1)
        return Late(state, frames, delays.draw(keys_of(name, keys), params)), obs

    def step(keys: Key, before: Late, action: Array, params: Params) -> tuple[Late, TimeStep]:
        state, timestep = env.step(keys, before.state, action, of(env, params))
        frames = appended(before.frames, chosen(timestep.obs, entries))
        obs = replaced(timestep.obs, entries, delayed(frames, before.delay))
        return Late(state, frames, before.delay), timestep._replace(obs=obs)

    return wrap(env, begin, step, delays.params)


class Remembered(NamedTuple):
    """The state of B environments with the latest of their observations."""

    state: PyTree  # [B, ...] of the environment itself
    frames: PyTree  # [B, n, ...] the chosen entries, the newest last


@remakes
def history(env: Env, length: int, *, keys: Any = None) -> Env:
    """`env`, whose observations are its latest ones, on a first axis [length], the newest last.

    At the start of an episode all of them are its first observation. A perceptron sees them as one
    vector. Rollouts take `length` times the memory.

    Args:
        env: any environment.
        length: number of observations, at least 1.
        keys: entries of a Dict observation to stack; None for all.

    Raises:
        ValueError: an unknown entry, or a length below 1.
    """
    length = whole_number("length", length)
    entries = entries_of(env, keys)

    def begin(_: Key, state: PyTree, obs: PyTree, params: Params) -> tuple[Remembered, PyTree]:
        frames = filled(chosen(obs, entries), length)
        return Remembered(state, frames), replaced(obs, entries, frames)

    def step(
        keys: Key, before: Remembered, action: Array, params: Params
    ) -> tuple[Remembered, TimeStep]:
        state, timestep = env.step(keys, before.state, action, params)
        frames = appended(before.frames, chosen(timestep.obs, entries))
        obs = replaced(timestep.obs, entries, frames)
        return Remembered(state, frames), timestep._replace(obs=obs)

    stacked = batched(chosen(env.obs, entries), length)
    return wrap(env, begin, step, obs=replaced(env.obs, entries, stacked))
