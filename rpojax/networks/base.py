"""What a network is: pure functions of parameters, observations and, if recurrent, a carry."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from rpojax.settings.network_config import PolicyDistribution
from rpojax.trees import select
from rpojax.types import Array, Key, PyTree


class Outputs(NamedTuple):
    """The outputs of a network for observations [..., *obs.shape]."""

    mean: Array  # [..., A] of a Gaussian policy, unperturbed; see core/distribution.py for others
    log_std: Array  # [..., A] likewise
    value: Array  # [...]


def no_carry(batch_shape: tuple[int, ...]) -> PyTree:
    """The carry of a feed-forward network."""
    return ()


class Apply(Protocol):
    """Runs a network for one step in time, with any leading axes."""

    def __call__(
        self, params: PyTree, obs: PyTree, carry: PyTree = (), reset: Array | None = None
    ) -> tuple[Outputs, PyTree]:
        """Return (Outputs, next carry).

        Args:
            params: of the network.
            obs: [..., *obs.shape].
            carry: [..., ...]; () for a feed-forward network.
            reset: bool[...], True where an episode begins at this observation: the carry is
                replaced by the initial one there. None for nowhere.
        """


class Unroll(Protocol):
    """Runs a recurrent network for L steps in N sequences."""

    def __call__(self, params: PyTree, obs: PyTree, carry: PyTree, reset: Array) -> Outputs:
        """Return the Outputs [L, N] for obs [L, N, ...], carry [N, ...] and reset bool[L, N]."""


class ActorCritic(NamedTuple):
    """A network as pure functions. Outputs that are not used cost nothing: XLA drops them."""

    init: Callable[[Key], PyTree]
    apply: Apply
    unroll: Unroll | None = None  # None for a feed-forward network
    initial_carry: Callable[[tuple[int, ...]], PyTree] = no_carry  # of a batch shape
    distribution: PolicyDistribution = "gaussian"  # of actions, which the outputs parametrise

    @property
    def recurrent(self) -> bool:
        """Whether it remembers anything between steps."""
        return self.unroll is not None


def reset_carry(carry: PyTree, initial: PyTree, reset: Array | None) -> PyTree:
    """The carry, with the initial one in its place where an episode begins.

    Args:
        carry, initial: pytrees of [..., *]; reset: bool[...], None for nowhere.
    """
    return carry if reset is None else select(reset, initial, carry)
