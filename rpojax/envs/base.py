"""What an environment is: a bundle of batched pure functions and a description.

An adapter for a family of environments settles every quirk of theirs (bounds, dtypes, shapes,
how episodes end) and returns an `Env`; nothing else in the package knows where one came from.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import numpy as np

from rpojax.trees import select
from rpojax.types import Array, Key, PyTree


class TimeStep(NamedTuple):
    """What one step in B environments gives."""

    obs: PyTree  # [B, ...] to act on next: of a new episode where one has just ended
    final_obs: PyTree  # [B, ...] what the action led to, before any automatic reset
    reward: Array  # f32[B]
    terminated: Array  # bool[B] the episode ended by itself, nothing follows
    truncated: Array  # bool[B] the episode was cut off, by a time limit say


Reset: TypeAlias = Callable[[Key], tuple[PyTree, PyTree]]
Step: TypeAlias = Callable[[Key, PyTree, Array], tuple[PyTree, TimeStep]]


@dataclasses.dataclass(frozen=True, eq=False)
class Env:
    """Batched pure functions; hashable, equal only to itself.

    `reset(keys [B]) -> (state, obs)` and `step(keys [B], state, action [B, A]) -> (state,
    TimeStep)`, where an episode that ends is followed by a new one at once (see `auto_reset`).
    """

    name: str
    reset: Reset
    step: Step
    obs: PyTree  # of jax.ShapeDtypeStruct, one observation
    action_low: np.ndarray  # f32[A], -inf where unbounded
    action_high: np.ndarray  # f32[A], inf where unbounded
    max_episode_steps: int | None = None  # None: no time limit known

    @property
    def action_dim(self) -> int:
        """A, the number of action dimensions."""
        return len(self.action_low)


def auto_reset(reset: Reset, step: Step) -> Step:
    """Let a new episode follow in the same step where one ends.

    Args:
        reset: as in `Env`.
        step: as in `Env`, but of one episode only: its `obs` is the observation that the action
            led to, also where the episode ended (its `final_obs` is not looked at).
    """

    def step_and_reset(keys: Key, state: PyTree, action: Array) -> tuple[PyTree, TimeStep]:
        step_keys, reset_keys = _split_each(keys)
        stepped_state, timestep = step(step_keys, state, action)
        fresh_state, fresh_obs = reset(reset_keys)
        done = timestep.terminated | timestep.truncated
        next_state, obs = select(done, (fresh_state, fresh_obs), (stepped_state, timestep.obs))
        return next_state, timestep._replace(obs=obs, final_obs=timestep.obs)

    return step_and_reset


def _split_each(keys: Key) -> tuple[Key, Key]:
    pairs = jax.vmap(jax.random.split)(keys)
    return pairs[:, 0], pairs[:, 1]
