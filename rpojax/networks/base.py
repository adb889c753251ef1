"""What a network is: pure functions of parameters, observations and, if it remembers, a carry."""

from collections.abc import Callable
from typing import NamedTuple

from rpojax.trees import select
from rpojax.types import Array, Key, PyTree


class Outputs(NamedTuple):
    """What a network says of observations [..., *obs.shape]."""

    mean: Array  # [..., A] of the policy, unperturbed
    log_std: Array  # [..., A]
    value: Array  # [...]


def no_carry(batch_shape: tuple[int, ...]) -> PyTree:
    """The carry of a network that remembers nothing."""
    return ()


class ActorCritic(NamedTuple):
    """A network as pure functions. Outputs that are not used cost nothing: XLA drops them.

    `apply(params, obs, carry=(), reset=None) -> (Outputs, carry)` is one step in time, with any
    leading axes: obs [..., *obs.shape], carry [..., ...], reset bool[...], which says where an
    episode begins at this very observation, so that nothing of the carry is left there.

    `unroll(params, obs, carry, reset) -> Outputs` is L such steps in N sequences: obs [L, N, ...],
    carry [N, ...], reset bool[L, N]; None for a feed-forward network.
    """

    init: Callable[[Key], PyTree]
    apply: Callable[..., tuple[Outputs, PyTree]]
    unroll: Callable[[PyTree, PyTree, PyTree, Array], Outputs] | None = None
    initial_carry: Callable[[tuple[int, ...]], PyTree] = no_carry  # of a batch shape

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
