"""A trained agent as a function from observations to actions."""

from typing import Any, Protocol

import jax
import numpy as np

from rpojax.agent.inputs import as_observations, as_reset, check_carry, check_state, key_used
from rpojax.core.acting import play
from rpojax.core.model import Model, make_model
from rpojax.envs.base import Env
from rpojax.settings.config import Config
from rpojax.types import Array, Key, PyTree, TrainState


class Policy(Protocol):
    """From observations [..., *obs.shape] to actions [..., A] that the environment takes."""

    def __call__(self, obs: Any, *, key: Key | None = None) -> Any:
        """Act.

        Args:
            obs: [..., *obs.shape] as the environment returns them, any number of leading axes, in
                jax or numpy arrays or lists.
            key: for a stochastic policy only.

        Returns:
            f32[..., A] within the environment's bounds, in a jax array for jax observations and
            in a numpy array otherwise. Inside `jit` and `vmap` it is traced.
        """


class RecurrentPolicy(Protocol):
    """A policy that takes and returns a carry [..., ...]."""

    def __call__(
        self, obs: Any, carry: Any = None, reset: Any = None, key: Key | None = None
    ) -> tuple[Any, Any]:
        """Act, and return (actions, carry to pass with the next observations).

        Args:
            obs: [..., *obs.shape].
            carry: from the call before; None where all episodes begin.
            reset: bool[...], True where an episode begins at this observation; None for nowhere.
            key: for a stochastic policy only.
        """


def make_policy(cfg: Config, state: TrainState, deterministic: bool = True) -> Policy:
    """The policy of one trained agent, with its normalisation and action bounds built in.

    It is never perturbed: the perturbation belongs to training. It can be called inside `jit` and
    `vmap`.

    Args:
        cfg: what the agent was trained with.
        state: of one agent; take one of many with `TrainResult.select`.
        deterministic: True for the mean action (of a Beta policy, the mode), False for a sample,
            which needs a `key` in each call.

    Returns:
        A `Policy`, `act(obs, key=None) -> action`. For a recurrent network it is a
        `RecurrentPolicy`, as `make_recurrent_policy` returns it; use that function where types
        are checked.

    Raises:
        ValueError: `cfg` is not a `Config`; `state` is not a `TrainState`, holds several agents, or
            is of another network than `cfg.network`; or, when the policy is called: observations, a
            carry or reset flags of another shape, or a stochastic policy without a key.
    """
    return policy_for(make_model(cfg), state, deterministic)


def make_recurrent_policy(
    cfg: Config, state: TrainState, deterministic: bool = True
) -> RecurrentPolicy:
    """`make_policy` in the form that takes and returns a carry, for any network.

    The carry of a feed-forward network is ().

    Returns:
        A `RecurrentPolicy`, `act(obs, carry=None, reset=None, key=None) -> (action, carry)`.
    """
    return recurrent_policy_for(make_model(cfg), state, deterministic)


def policy_for(model: Model, state: TrainState, deterministic: bool = True) -> Policy:
    """`make_policy` with a model that has been built already."""
    act = recurrent_policy_for(model, state, deterministic)
    return act if model.network.recurrent else _WithoutCarry(act)


def recurrent_policy_for(
    model: Model, state: TrainState, deterministic: bool = True
) -> "TrainedPolicy":
    """`make_recurrent_policy` with a model that has been built already."""
    check_state(model, state)
    return TrainedPolicy(model, state, deterministic)


def trained_policy(policy: Any) -> "TrainedPolicy":
    """The `TrainedPolicy` behind what `make_policy` returned; ValueError for anything else."""
    if isinstance(policy, _WithoutCarry):
        return policy.trained
    if isinstance(policy, TrainedPolicy):
        return policy
    raise ValueError(
        f"policy = {policy!r} is not a policy of rpojax; give what make_policy or "
        "make_recurrent_policy returns, or the policy of a run, rpojax.load(run).policy(); "
        "rpojax.load_policy reads an exported file, for rpojax.play"
    )


class TrainedPolicy:
    """A `RecurrentPolicy`. It can be pickled where its config can."""

    def __init__(self, model: Model, state: TrainState, deterministic: bool) -> None:
        self.model, self.state, self.deterministic = model, state, deterministic
        self._one_carry = jax.eval_shape(lambda: model.network.initial_carry((1,)))
        self._step = jax.jit(self._play)

    @property
    def env(self) -> Env:
        """The environment that it was trained in."""
        return self.model.env

    def __call__(
        self, obs: Any, carry: Any = None, reset: Any = None, key: Key | None = None
    ) -> tuple[Any, Any]:
        """Act; see `RecurrentPolicy`."""
        key = key_used(self.deterministic, key)
        obs, leading = as_observations(obs, self.model.env.obs)
        if reset is not None:
            reset = as_reset(reset, leading)
        if carry is None:
            carry = self.model.network.initial_carry(leading)
        else:
            check_carry(carry, leading, self._one_carry)
        action, carry = self._step(obs, carry, reset, key)
        on_host = all(isinstance(leaf, np.ndarray | np.generic) for leaf in jax.tree.leaves(obs))
        if on_host and not isinstance(action, jax.core.Tracer):
            action = np.asarray(action)
        return action, carry

    def __reduce__(self) -> tuple[Any, ...]:
        return make_recurrent_policy, (self.model.cfg, self.state, self.deterministic)

    def _play(
        self, obs: PyTree, carry: PyTree, reset: Array | None, key: Key | None
    ) -> tuple[Array, PyTree]:
        return play(self.model, self.state, obs, carry, reset, key)


class _WithoutCarry:
    """A `Policy` made of a feed-forward network's `TrainedPolicy`."""

    def __init__(self, policy: TrainedPolicy) -> None:
        self.trained = policy

    def __call__(self, obs: Any, key: Key | None = None) -> Any:
        """Act; see `Policy`."""
        return self.trained(obs, key=key)[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return _WithoutCarry, (self.trained,)
