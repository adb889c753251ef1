"""The types of the values that fields of a `Config` take: named choices, and functions of users."""

from typing import Literal, Protocol, TypeAlias

from jax.typing import ArrayLike

from rpojax.types import Array

ActionTransform: TypeAlias = Literal["clip", "rescale"]
AdvantageNormalization: TypeAlias = Literal["minibatch", "batch", "none"]
ResetMode: TypeAlias = Literal["auto", "exact", "pool"]
NamedSchedule: TypeAlias = Literal["constant", "linear", "kl_adaptive"]
NamedAlphaSchedule: TypeAlias = Literal["constant", "linear"]
AgentsAtOnce: TypeAlias = Literal["auto", "all"]


class Schedule(Protocol):
    """A factor on the learning rate or on alpha."""

    def __call__(self, update_count: Array, /) -> ArrayLike:
        """Return the factor, [], after a number of updates, i32[]."""


class RewardShaper(Protocol):
    """A change of the rewards before they are scaled."""

    def __call__(self, reward: Array, timestep: Array, timesteps: int, /) -> Array:
        """Return the shaped rewards [B].

        Args:
            reward: [B] the environment's own.
            timestep: i32[] steps of all environments since the start of the run.
            timesteps: such steps in the whole run.
        """
