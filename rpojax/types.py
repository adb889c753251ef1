"""The pytrees that training takes, carries and returns.

Two kinds of pytree are used. A `NamedTuple` is for what one function returns and the next one
unpacks, within one update or one call; so are the bundles of functions (`Trainer`, `ActorCritic`),
which are no pytrees of arrays. A `Struct` is for what outlives an update: what users hold, save,
select from and change with `replace` (`TrainState`, `Metrics`, `TrainResult`, `HyperParams`).

Shapes: T = num_steps, B = num_envs, A = action dimensions. `Array` fields are float32 unless a
comment says otherwise, and gain leading axes under `vmap`.
"""

import dataclasses
import reprlib
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self, TypeAlias, dataclass_transform

import jax
import numpy as np
import optax

Array: TypeAlias = jax.Array
Key: TypeAlias = jax.Array  # a typed key, or the older uint32[2]
PyTree: TypeAlias = Any


@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,)
)
class Struct:
    """Base of frozen dataclasses with keyword arguments only, registered as pytrees."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclasses.dataclass(frozen=True, kw_only=True, repr=False)(cls)
        jax.tree_util.register_dataclass(cls)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={_in_short(value)}" for name, value in vars(self).items())
        text = f"{type(self).__name__}({fields})"
        return textwrap.fill(text, 100, subsequent_indent="    ", break_long_words=False)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]


class RunningStats(Struct):
    """Mean and population variance of all samples so far, leaf by leaf."""

    mean: PyTree  # the shape of one sample
    mean_rest: PyTree  # likewise, the rounding error of the mean (Kahan summation)
    var: PyTree  # likewise
    count: Array  # [] samples seen


class Transition(NamedTuple):
    """A rollout, time first."""

    obs: PyTree  # [T, B, ...] as the environment gave it, its own dtypes
    reset: Array  # bool[T, B] an episode begins at this obs
    carry: PyTree  # [T, B, ...] of the network as it came to this obs; () without memory
    final_obs: PyTree  # [T, B, ...] what the action led to, before any reset
    action: Array  # [T, B, A] as sampled, before squash and bounds
    log_prob: Array  # [T, B] of the action, under the mean it was drawn from
    mean: Array  # [T, B, A] unperturbed
    log_std: Array  # [T, B, A]
    reward: Array  # [T, B] the environment's own
    terminated: Array  # bool[T, B] the episode ended in a terminal state
    truncated: Array  # bool[T, B] the episode was cut off; it could have continued
    invalid: Array  # bool[T, B] the step ended its episode; see core/invalid.py
    metrics: Mapping[str, Array]  # [T, B] the environment's own


class Batch(NamedTuple):
    """What the update learns from: N = T * B samples, each of which can be in any minibatch.

    For a recurrent network N = T * B / L sequences of L steps, and every field but `carry` has an
    axis of steps after the first, [N, L, ...].
    """

    obs: PyTree  # [N, ...] as the policy saw it
    action: Array  # [N, A]
    log_prob: Array  # [N]
    mean: Array  # [N, A] the policy's before the update, unperturbed
    log_std: Array  # [N, A]
    advantage: Array  # [N]
    value: Array  # [N] the critic's before the update, in its own scale
    target: Array  # [N] the critic's target, in its own scale
    reset: Array | None = None  # bool[N] an episode begins here; None without memory
    carry: PyTree = ()  # [N, ...] before the first step of the sequence; () without memory
    mirrored_obs: PyTree = None  # [N, ...] as the policy would see it; None without a symmetry


class EpisodeTotals(Struct):
    """Totals of the episode that is running in each environment."""

    reward: Array  # [B] sum of the environment's own rewards
    length: Array  # i32[B]
    metrics: Mapping[str, Array]  # [B] sums of the environment's own metrics


class TrainState(Struct):
    """The state of a training: everything that one update passes to the next."""

    params: PyTree
    opt_state: optax.OptState  # of the parameters; for Adam and AdamW, as one vector [P]
    learning_rate: Array  # []
    obs_stats: RunningStats | None  # None: observations are not normalised
    reward_stats: RunningStats | None  # of the discounted return; None: rewards are not scaled
    value_stats: RunningStats | None  # of the value targets; None: values are not normalised
    env_state: PyTree  # [B, ...] the environment's own
    obs: PyTree  # [B, ...] which the next action responds to
    reset: Array  # bool[B] an episode begins at obs
    carry: PyTree  # [B, ...] of the network as it comes to obs; () without memory
    discounted_return: Array  # [B] running, for the scale of the rewards
    episode: EpisodeTotals
    key: Key
    update_count: Array  # i32[] updates done; steps = updates * T * B


class Metrics(Struct):
    """Metrics of one update, each f32[]; of a run, [num_updates].

    Under `jax_debug_nans`, which raises for any NaN in a result, means over no episodes are 0 in
    place of NaN; `episode_count` is 0 there.
    """

    episode_return: Array  # mean over the episodes that ended in this rollout; NaN if none did
    episode_length: Array  # likewise, in steps
    episode_count: Array  # episodes that ended
    policy_loss: Array  # clipped surrogate; like all from the loss, a mean over minibatches
    value_loss: Array
    entropy: Array  # of the policy, summed over action dimensions
    kl: Array  # from the policy before the update, both unperturbed: the real change
    kl_perturbed: Array  # estimated through the perturbed ratio, as others report it
    clip_fraction: Array  # share of samples whose ratio was clipped
    explained_variance: Array  # 1 - Var(target - value) / Var(target), before the update
    grad_norm: Array  # global, before clipping
    learning_rate: Array
    # mean of the policy's standard deviations over the rollout; of a tanh Gaussian, unsquashed
    action_std: Array
    invalid_steps: Array  # steps that gave NaN, infinity or a number beyond 1e15
    # the environment's own, by name: sums over an episode; their mean as that of episode_return
    environment: Mapping[str, Array] = dataclasses.field(default_factory=dict)

    @classmethod
    def filled(cls, value: Any, environment: Iterable[str] = ()) -> Self:
        """Metrics that all have the same value, with these of the environment."""
        names = [name for name in cls.__dataclass_fields__ if name != "environment"]
        return cls(**dict.fromkeys(names, value), environment=dict.fromkeys(environment, value))


class Evolution(Struct):
    """The history of a population of N agents over G generations (`rpojax.PBT`).

    Agent i is the slot i of the population; it continues from what its parent has learnt.
    """

    hyperparams: PyTree  # `HyperParams` of f32[N, G], with which each generation was trained
    # [N, G] by which agents were compared; where no episode ended in a generation, those of the one
    # before, and NaN without any
    scores: Array
    parents: Array  # i32[N, G] the agent that each continues from after the generation


class TrainResult(Struct):
    """What `train` returns; with leading axes if it was vmapped."""

    state: TrainState
    metrics: Metrics  # each field f32[num_updates]
    finite: Array  # bool[] False: NaN or infinity reached the parameters or the statistics
    evolution: Evolution | None = None  # of a population that `fit` evolved

    def select(self, *index: int) -> Self:
        """One agent of a vmapped result: `results.select(3)`, `sweep.select(alpha, seed)`."""
        return jax.tree.map(lambda leaf: leaf[index], self)

    def __repr__(self) -> str:
        returns = _values(getattr(self.metrics, "episode_return", None))
        finite = _values(self.finite)
        if returns is None or finite is None or returns.shape[:-1] != finite.shape:
            return super().__repr__()
        rows = [row[~np.isnan(row)] for row in returns.reshape(finite.size, -1)]
        last = np.array([row[-1] for row in rows if row.size])
        lost = finite.size - np.count_nonzero(finite)
        text = (
            f"TrainResult: {finite.size} {'agent' if finite.size == 1 else 'agents'}, "
            f"{returns.shape[-1]} updates, {f'{lost} diverged' if lost else 'all finite'}"
        )
        if not last.size:
            return f"{text}; no episode has ended"
        spread = f" (mean; {last.min():.5g} to {last.max():.5g})" if last.size > 1 else ""
        return f"{text}\n  last episode_return {last.mean():.5g}{spread}"


def _values(leaf: Any) -> np.ndarray | None:
    """The values of an array; None for a tracer, for what was deleted, and for what is no array."""
    try:
        return np.asarray(leaf) if isinstance(leaf, np.ndarray | np.generic | jax.Array) else None
    except (RuntimeError, TypeError):  # TypeError: of tracers and PRNG keys
        return None


def _in_short(value: Any) -> str:
    """A field in a repr: a number, the shape of an array, or how large a pytree is."""
    if isinstance(value, str) or not jax.tree.leaves(value):
        return reprlib.repr(value)
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        known = _values(value) if value.ndim == 0 else None
        shape = ",".join(map(str, value.shape))
        return f"{value.dtype}[{shape}]" if known is None else f"{known.item():.6g}"
    leaves = jax.tree.leaves(value)
    if leaves[0] is value:
        return reprlib.repr(value)
    size = sum(getattr(leaf, "size", 1) for leaf in leaves)
    return f"{type(value).__name__} of {len(leaves)} arrays, {size:,} numbers"
