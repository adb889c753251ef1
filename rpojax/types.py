"""The pytrees that training takes, carries and returns.

Shapes: T = num_steps, B = num_envs, A = action dimensions. `Array` fields are float32 unless a
comment says otherwise, and gain leading axes under `vmap`.
"""

import dataclasses
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from flax import struct

from rpojax.validation import Interval, check_known, numbers_in

Array: TypeAlias = jax.Array
Key: TypeAlias = jax.Array  # a typed key, or the older uint32[2]
PyTree: TypeAlias = Any


HYPERPARAMETER_RANGES: dict[str, Interval] = {
    "learning_rate": Interval(0.0, low_allowed=False),
    "alpha": Interval(0.0),
    "gamma": Interval(0.0, 1.0),
    "gae_lambda": Interval(0.0, 1.0),
    "clip_eps": Interval(0.0, low_allowed=False),
    "value_clip": Interval(0.0, low_allowed=False),
    "vf_coef": Interval(0.0),
    "ent_coef": Interval(0.0),
    "max_grad_norm": Interval(0.0),
    "kl_threshold": Interval(0.0),
    "kl_target": Interval(0.0, low_allowed=False),
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class HyperParams:
    """The numbers of the algorithm that may change without a new compilation, each f32[].

    Make one with `Config.hyperparams()`, change it with `replace`. Any leaf can be an array with a
    leading axis that `jax.vmap` maps, with `in_axes` from `axes`.
    """

    learning_rate: Array  # Adam's step size, the start of the schedule
    alpha: Array  # half-width of the uniform perturbation of the mean; 0 is PPO
    gamma: Array  # discount per step
    gae_lambda: Array  # 0: one-step TD, 1: Monte Carlo
    clip_eps: Array  # the ratio is clipped to [1 - clip_eps, 1 + clip_eps]
    value_clip: Array  # largest move of a value prediction, with Config.clip_value_loss
    vf_coef: Array  # weight of the value loss
    ent_coef: Array  # weight of the entropy bonus
    max_grad_norm: Array  # global norm of the gradient at most this; 0 = off
    kl_threshold: Array  # stop an update's minibatches above this unperturbed KL; 0 = off
    kl_target: Array  # what lr_schedule="kl_adaptive" aims at

    def replace(self, **changes: Any) -> "HyperParams":
        """A copy with some leaves changed; numbers and lists become float32 arrays.

        Raises:
            ValueError: an unknown name (with the nearest one), or a value that is NaN or out of
                range, where it is known at the time (not while tracing).
        """
        for name in changes:
            check_known(name, HYPERPARAMETER_RANGES, "hyperparameter")
        dataclasses.replace(self, **changes).check()
        arrays = {name: jnp.asarray(value, jnp.float32) for name, value in changes.items()}
        return dataclasses.replace(self, **arrays)

    def check(self) -> None:
        """Raise ValueError for a leaf that is NaN or out of range; traced leaves are not seen."""
        for name, allowed in HYPERPARAMETER_RANGES.items():
            value = getattr(self, name)
            if not isinstance(value, jax.core.Tracer):
                numbers_in(name, value, allowed)

    @staticmethod
    def axes(**mapped: int | None) -> "HyperParams":
        """`in_axes` for `jax.vmap`: the named leaves along their axis, None elsewhere.

        Example: `jax.vmap(train, in_axes=(None, HyperParams.axes(alpha=0)))`.
        """
        for name in mapped:
            check_known(name, HYPERPARAMETER_RANGES, "hyperparameter")
        unmapped: dict[str, Any] = dict.fromkeys(HYPERPARAMETER_RANGES)
        return HyperParams(**(unmapped | mapped))


class RunningStats(struct.PyTreeNode):
    """Mean and population variance of all samples so far, leaf by leaf."""

    mean: PyTree  # the shape of one sample
    mean_rest: PyTree  # likewise, what the mean's last rounding left out (Kahan)
    var: PyTree  # likewise
    count: Array  # [] samples seen


class Transition(NamedTuple):
    """A rollout, time first."""

    obs: PyTree  # [T, B, ...] as the environment gave it, its own dtypes
    reset: Array  # bool[T, B] an episode begins at this obs
    carry: PyTree  # [T, B, ...] of the network as it came to this obs; () without memory
    final_obs: PyTree  # [T, B, ...] what the action led to, before any automatic reset
    action: Array  # [T, B, A] as sampled, before clipping to the bounds
    log_prob: Array  # [T, B] of the action, under the mean it was drawn from
    mean: Array  # [T, B, A] unperturbed
    log_std: Array  # [T, B, A]
    reward: Array  # [T, B] the environment's own
    terminated: Array  # bool[T, B] the episode ended, nothing follows
    truncated: Array  # bool[T, B] the episode was cut off, something would have followed


class Batch(NamedTuple):
    """What the update learns from: N = T * B samples, each a minibatch's part for itself.

    For a recurrent network N = T * B / L sequences of L steps, and every field but `carry` has an
    axis of steps behind the first, [N, L, ...].
    """

    obs: PyTree  # [N, ...] as the policy saw it
    action: Array  # [N, A]
    log_prob: Array  # [N]
    mean: Array  # [N, A] the policy's before the update, unperturbed
    log_std: Array  # [N, A]
    advantage: Array  # [N]
    value: Array  # [N] the critic's before the update, in its own scale
    target: Array  # [N] what the critic should say, in its own scale
    reset: Array | None = None  # bool[N] an episode begins here; None without memory
    carry: PyTree = ()  # [N, ...] before the first step of the sequence; () without memory


class EpisodeTotals(struct.PyTreeNode):
    """What the running episode of each environment has added up to."""

    reward: Array  # [B] sum of the environment's own rewards
    length: Array  # i32[B]


class TrainState(struct.PyTreeNode):
    """Everything a run needs to go on: nothing else is carried from one update to the next."""

    params: PyTree
    opt_state: optax.OptState  # of the parameters as one vector [P]
    learning_rate: Array  # []
    obs_stats: RunningStats | None  # None: observations are not normalised
    reward_stats: RunningStats | None  # of the discounted return; None: rewards are not scaled
    value_stats: RunningStats | None  # of the value targets; None: values are not normalised
    env_state: PyTree  # [B, ...] the environment's own
    obs: PyTree  # [B, ...] what the next action will answer
    reset: Array  # bool[B] an episode begins at obs
    carry: PyTree  # [B, ...] of the network as it comes to obs; () without memory
    discounted_return: Array  # [B] running, for the scale of the rewards
    episode: EpisodeTotals
    key: Key
    update_count: Array  # i32[] updates done; steps = updates * T * B


class Metrics(struct.PyTreeNode):
    """What one update tells, each f32[]; [num_updates] from a whole run."""

    episode_return: Array  # mean over the episodes that ended in this rollout; NaN if none did
    episode_length: Array  # likewise, in steps
    episode_count: Array  # episodes that ended
    policy_loss: Array  # clipped surrogate, mean over minibatches
    value_loss: Array
    entropy: Array  # of the policy, summed over action dimensions
    kl: Array  # from the policy before the update, both unperturbed: the real change
    kl_perturbed: Array  # estimated through the perturbed ratio, as others report it
    clip_fraction: Array  # share of samples whose ratio was clipped
    explained_variance: Array  # 1 - Var(target - value) / Var(target), before the update
    grad_norm: Array  # global, before clipping
    learning_rate: Array
    action_std: Array  # mean of the policy's standard deviations over the rollout


class TrainResult(struct.PyTreeNode):
    """What `train` returns; with leading axes if it was vmapped."""

    state: TrainState
    metrics: Metrics  # each field f32[num_updates]
    finite: Array  # bool[] False: NaN or infinity reached the parameters or the statistics

    def select(self, *index: int) -> "TrainResult":
        """One agent of a vmapped result: `results.select(3)`, `sweep.select(alpha, seed)`."""
        return jax.tree.map(lambda leaf: leaf[index], self)
