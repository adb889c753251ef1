"""A time limit, for families whose own limit is in a wrapper that is not used."""

from typing import NamedTuple

import jax.numpy as jnp

from rpojax.envs.base import Env, Params, TimeStep, with_outer_state
from rpojax.types import Array, Key, PyTree


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
