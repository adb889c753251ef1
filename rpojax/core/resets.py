"""A new episode in the same step in which one ends.

`Env.step` is a step of one episode; training alone adds resets to it. Evaluation and rendering
play one episode, and compile none.
"""

import jax

from rpojax.envs.base import Env, TimeStep
from rpojax.trees import select
from rpojax.types import Array, Key, PyTree


def step_and_reset(
    env: Env, keys: Key, state: PyTree, action: Array
) -> tuple[PyTree, PyTree, TimeStep]:
    """Advance B environments by one step, and start new episodes where theirs ended.

    Args:
        env: the environment.
        keys: [B] for the steps and the resets, which use independent halves.
        state: [B, ...].
        action: f32[B, A].

    Returns:
        The state [B, ...] and the observation [B, ...] to act on next, of a new episode where one
        has ended; and what the step gave, whose `obs` is the last one of an episode that has ended.
    """
    pairs = jax.vmap(jax.random.split)(keys)
    step_keys, reset_keys = pairs[:, 0], pairs[:, 1]
    stepped, timestep = env.step(step_keys, state, action)
    fresh = env.reset(reset_keys)
    done = timestep.terminated | timestep.truncated
    next_state, next_obs = select(done, fresh, (stepped, timestep.obs))
    return next_state, next_obs, timestep
