"""From a rollout to the batch that the update learns from: scaled rewards, advantages, targets."""

import jax
import jax.numpy as jnp

from rpojax.core import losses, normalize
from rpojax.core.acting import policy_obs
from rpojax.core.advantage import generalized_advantage
from rpojax.core.device_axis import device_axis
from rpojax.core.symmetry import symmetry_of
from rpojax.networks import ActorCritic
from rpojax.settings.config import Config
from rpojax.settings.hyperparams import HyperParams
from rpojax.trees import merge_axes, select
from rpojax.types import Array, Batch, PyTree, RunningStats, TrainState, Transition


def merge_observations(
    cfg: Config, state: TrainState, obs: PyTree
) -> tuple[TrainState, RunningStats | None]:
    """Merge a rollout into the observation statistics, and choose those of its update.

    An update uses the statistics that its rollout was collected with, so that the policy of the
    first gradient step is the one that acted. The first rollout is the exception, since it is
    collected without statistics: its update uses the merged ones. Raw observations in the
    thousands would saturate the network and train it on inputs that it never sees again. In that
    update the ratio of the first gradient step is not exactly 1, which the stored `log_prob` of
    the policy that acted accounts for.

    Returns:
        The state with the statistics of this update, and the merged ones, which the next rollout
        is collected with; None where observations are not normalised.
    """
    if state.obs_stats is None:
        return state, None
    merged = normalize.update_stats(state.obs_stats, obs, device_axis(cfg))
    nothing_seen = state.obs_stats.count == 0.0
    learn_with = select(nothing_seen, merged, state.obs_stats)
    return state.replace(obs_stats=learn_with), merged


def scale_rewards(
    cfg: Config, state: TrainState, transitions: Transition, done: Array, hyperparams: HyperParams
) -> tuple[TrainState, Array]:
    """Rewards as the advantages count them, [T, B], with the statistics that scaled them.

    The whole rollout is scaled by the statistics at its end. Gymnasium's NormalizeReward, which
    CleanRL uses, scales each reward by the statistics up to that step.
    """
    devices, reward = device_axis(cfg), transitions.reward
    if cfg.reward_shaper is not None:
        timestep = state.update_count * cfg.num_steps + jnp.arange(cfg.num_steps, dtype=jnp.int32)
        timesteps = cfg.num_updates * cfg.num_steps
        shape_all = jax.vmap(cfg.reward_shaper, (0, 0, None))
        shaped = shape_all(devices.whole(reward, 1), timestep, timesteps)
        reward = devices.share(shaped.astype(reward.dtype), 1)
    if cfg.reward_scale != 1.0:
        reward = cfg.reward_scale * reward
    if state.reward_stats is None:
        return state, reward
    returns, running = normalize.discounted_returns(
        reward, done, hyperparams.gamma, state.discounted_return
    )
    reward_stats = normalize.update_stats(state.reward_stats, returns, devices)
    state = state.replace(reward_stats=reward_stats, discounted_return=running)
    return state, normalize.scale_reward(reward_stats, reward, cfg.reward_clip)


def make_batch(
    cfg: Config,
    network: ActorCritic,
    state: TrainState,
    transitions: Transition,
    reward: Array,
    hyperparams: HyperParams,
) -> tuple[TrainState, Batch, Array]:
    """Values, advantages and targets of a rollout, as N = T * B samples or as sequences.

    All values come from batched passes over the whole rollout: a value for each step, inside the
    loop over time, would cost more and change nothing. This holds for a recurrent critic too, since
    the carries of all steps are stored.
    """

    def critic(obs: PyTree, carry: PyTree, reset: Array | None = None) -> Array:
        value = network.apply(state.params, obs, carry, reset)[0].value
        return value if stats is None else normalize.unstandardize(stats, value)

    stats = state.value_stats
    obs = policy_obs(cfg, state, transitions.obs)
    last_obs = policy_obs(cfg, state, state.obs)
    value = critic(obs, transitions.carry, transitions.reset)
    last_value = critic(last_obs, state.carry, state.reset)
    next_value = jnp.concatenate([value[1:], last_value[None]])
    terminated = done = transitions.terminated | transitions.truncated
    if cfg.time_limit_bootstrap:
        terminated = transitions.terminated
        carry_after = jax.tree.map(
            lambda leaf, last: jnp.concatenate([leaf[1:], last[None]]),
            transitions.carry,
            state.carry,
        )
        final_value = critic(policy_obs(cfg, state, transitions.final_obs), carry_after)
        next_value = jnp.where(transitions.truncated, final_value, next_value)
    if cfg.advantage_horizon not in (None, cfg.num_steps):
        steps = jnp.arange(1, cfg.num_steps + 1)
        done = done | (steps % cfg.advantage_horizon == 0)[:, jnp.newaxis]
    advantage = generalized_advantage(
        reward, value, next_value, terminated, done, hyperparams.gamma, hyperparams.gae_lambda
    )
    length = cfg.steps_per_sequence
    batch = Batch(
        obs=obs,
        action=transitions.action,
        log_prob=transitions.log_prob,
        mean=transitions.mean,
        log_std=transitions.log_std,
        advantage=advantage,
        value=value,
        target=advantage + value,
        reset=transitions.reset if network.recurrent else None,
        carry=jax.tree.map(lambda leaf: leaf[::length], transitions.carry),
        mirrored_obs=_mirrored(cfg, state, transitions.obs),
    )
    batch = device_axis(cfg).whole(batch, axis=1)  # from here on each device has all samples
    explained_variance = losses.explained_variance(batch.value, batch.target)
    if stats is not None:  # the critic's old and new predictions in one and the same scale
        has_scale = stats.count > 0.0  # before the first update, the critic's outputs have none
        stats = normalize.update_stats(stats, batch.target)
        state = state.replace(value_stats=stats)
        batch = batch._replace(
            value=jnp.where(has_scale, normalize.standardize(stats, batch.value), batch.value),
            target=normalize.standardize(stats, batch.target),
        )
    if cfg.advantage_normalization == "batch":
        batch = batch._replace(advantage=losses.normalize_advantage(batch.advantage))
    samples: Batch = as_samples(cfg, network, batch._replace(carry=()))
    return state, samples._replace(carry=merge_axes(batch.carry)), explained_variance


def _mirrored(cfg: Config, state: TrainState, obs: PyTree) -> PyTree:
    """Mirror images of raw observations [T, B, ...], as the policy sees them; None for none."""
    symmetry = symmetry_of(cfg)
    if symmetry is None:
        return None
    return policy_obs(cfg, state, jax.vmap(jax.vmap(symmetry.mirror_obs))(obs))


def as_samples(cfg: Config, network: ActorCritic, steps: PyTree) -> PyTree:
    """A rollout [T, B, ...] as samples [N, ...] or as sequences of L steps, [T / L * B, L, ...]."""
    if not network.recurrent:
        return merge_axes(steps)

    def sequences(leaf: Array) -> Array:
        parts = leaf.reshape(-1, cfg.steps_per_sequence, *leaf.shape[1:])
        return merge_axes(jnp.swapaxes(parts, 1, 2))

    return jax.tree.map(sequences, steps)
