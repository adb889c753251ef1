"""The training of one agent, a pure function. The file to read first, from top to bottom.

One update is `iterate`: collect a rollout, scale its rewards, compute advantages, take gradient
steps, merge the statistics. (Where several devices share an agent, `device_axis.py` says which
computes what.) RPO's perturbation of the mean is in `perturbation.py`, whose docstring
says where it acts: in the rollout (`acting.py`) and in the loss (`update.py`). The random keys of
an update are in `keys.py`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from rpojax.core import normalize
from rpojax.core.batch import make_batch, merge_observations, scale_rewards
from rpojax.core.device_axis import device_axis
from rpojax.core.functions import check_functions
from rpojax.core.keys import UpdateKeys, initial_keys, update_keys
from rpojax.core.model import Model, params_used
from rpojax.core.optimizer import (
    Learner,
    Optimizer,
    make_optimizer,
    scheduled_learning_rate,
)
from rpojax.core.perturbation import with_scheduled_alpha
from rpojax.core.rollout import collect, no_totals, tally_episodes
from rpojax.core.symmetry import check_symmetry
from rpojax.core.update import Loss, rpo_loss, update
from rpojax.envs.base import Params
from rpojax.envs.spaces import warn_unreachable_actions
from rpojax.rounding import mapped_with
from rpojax.settings.config import Config
from rpojax.settings.hyperparams import HyperParams
from rpojax.trees import select
from rpojax.types import (
    Array,
    Batch,
    Key,
    Metrics,
    PyTree,
    RunningStats,
    TrainResult,
    TrainState,
    Transition,
)


class Parts(NamedTuple):
    """What is trained, and how gradients become steps."""

    model: Model
    optimizer: Optimizer
    policy_params: PyTree = None  # of bool, with `Config.critic_warmup`: what the policy depends on


def make_parts(model: Model) -> Parts:
    """The parts of a training; ValueError for a function of `cfg` that cannot be used."""
    check_functions(model.cfg)
    check_symmetry(model)
    warn_unreachable_actions(model.env, model.cfg.action_transform, model.distribution.bounded)
    policy_params = params_used(model, "policy") if model.cfg.critic_warmup else None
    return Parts(model, make_optimizer(model.cfg), policy_params)


def train_agent(
    parts: Parts, key: Key, hyperparams: HyperParams, env_params: Params
) -> TrainResult:
    """The whole training of one agent; metrics are [cfg.num_updates]."""
    state = init_agent(parts, key, hyperparams, env_params)
    num_updates = parts.model.cfg.num_updates
    state, metrics = run_updates(parts, state, hyperparams, env_params, num_updates)
    return TrainResult(state=state, metrics=metrics, finite=is_finite(state))


def is_finite(state: TrainState) -> Array:
    """Whether the parameters and statistics hold neither NaN nor infinity, bool[]."""
    learnt = (state.params, state.obs_stats, state.reward_stats, state.value_stats)
    return jnp.all(jnp.isfinite(ravel_pytree(learnt)[0]))


def init_agent(parts: Parts, key: Key, hyperparams: HyperParams, env_params: Params) -> TrainState:
    """The state before the first update: new parameters, environments at their first episodes."""
    cfg, env, network = parts.model
    keys = initial_keys(cfg, key)
    params = network.init(keys.params)
    env_state, obs = env.restart(device_axis(cfg).share(keys.environment), None, env_params)
    num_envs = cfg.envs_per_device
    scalar = normalize.init_stats(jax.ShapeDtypeStruct((), jnp.float32))
    state = TrainState(
        params=params,
        opt_state=parts.optimizer.init(params),
        learning_rate=hyperparams.learning_rate,
        obs_stats=normalize.init_stats(env.obs) if cfg.normalize_observations else None,
        reward_stats=scalar if cfg.normalize_rewards else None,
        value_stats=scalar if cfg.normalize_values else None,
        env_state=env_state,
        obs=obs,
        reset=jnp.ones(num_envs, bool),
        carry=network.initial_carry((num_envs,)),
        discounted_return=jnp.zeros(num_envs, jnp.float32),
        episode=no_totals(env, num_envs),
        key=keys.next,
        update_count=jnp.zeros((), jnp.int32),
    )
    return mapped_with(key, state)


def run_updates(
    parts: Parts,
    state: TrainState,
    hyperparams: HyperParams,
    env_params: Params,
    num_updates: int,
) -> tuple[TrainState, Metrics]:
    """Several updates in one scan; metrics are [num_updates]."""
    return jax.lax.scan(
        lambda state, _: iterate(parts, state, hyperparams, env_params),
        state,
        None,
        length=num_updates,
    )


def iterate(
    parts: Parts, state: TrainState, hyperparams: HyperParams, env_params: Params
) -> tuple[TrainState, Metrics]:
    """One update, on a rollout of its own; metrics are []."""
    cfg = parts.model.cfg
    keys = update_keys(cfg, state.key)
    hyperparams = with_scheduled_alpha(cfg, hyperparams, state.update_count)
    collected = collect_batch(parts.model, state, hyperparams, env_params, keys)
    return learn(parts, collected, hyperparams, keys)


def learn(
    parts: Parts,
    collected: "Collected",
    hyperparams: HyperParams,
    keys: UpdateKeys,
    loss: Loss = rpo_loss,
) -> tuple[TrainState, Metrics]:
    """The second half of an update: gradient steps on what was collected; metrics are []."""
    cfg, _, network = parts.model
    devices = device_axis(cfg)
    state, transitions = collected.state, collected.transitions
    episode, ended, episode_count = tally_episodes(state.episode, transitions)
    invalid_steps = jnp.sum(transitions.invalid.astype(jnp.float32))
    ended, episode_count, invalid_steps = devices.sum((ended, episode_count, invalid_steps))

    action_std = parts.model.distribution.std(transitions.mean, transitions.log_std)

    before = learner_of(cfg, state, hyperparams)
    frozen = None
    if parts.policy_params is not None:
        warming = state.update_count < cfg.critic_warmup // cfg.batch_size
        frozen = jax.tree.map(lambda used: warming & used, parts.policy_params)
        kept = select(warming, state.obs_stats, collected.obs_stats)  # the actor sees by them
        collected = collected._replace(obs_stats=kept)
    after, metrics = update(
        cfg, network, parts.optimizer, before, collected.batch, hyperparams, keys, loss, frozen
    )
    warm_up = max(cfg.random_timesteps, cfg.learning_starts) // cfg.batch_size
    if warm_up:
        learning = state.update_count >= warm_up
        after = jax.tree.map(lambda new, old: jnp.where(learning, new, old), after, before)

    next_state = state.replace(
        params=after.params,
        opt_state=after.opt_state,
        learning_rate=after.learning_rate,
        obs_stats=collected.obs_stats,
        episode=episode,
        key=keys.next,
        update_count=state.update_count + 1,
    )
    return next_state, Metrics(
        episode_return=_per_episode(ended.reward, episode_count),
        episode_length=_per_episode(ended.length, episode_count),
        episode_count=episode_count,
        invalid_steps=invalid_steps,
        explained_variance=collected.explained_variance,
        learning_rate=before.learning_rate,
        action_std=devices.mean(jnp.mean(action_std)),
        environment={
            name: _per_episode(total, episode_count) for name, total in ended.metrics.items()
        },
        **metrics._asdict(),
    )


class Collected(NamedTuple):
    """A rollout, and what the gradient steps learn from it."""

    state: TrainState  # with the environments moved on, and the statistics of this update
    transitions: Transition  # [T, B]
    reward: Array  # [T, B] scaled
    batch: Batch
    explained_variance: Array  # []
    obs_stats: RunningStats | None  # with this rollout merged, for the next one


def collect_batch(
    model: Model,
    state: TrainState,
    hyperparams: HyperParams,
    env_params: Params,
    keys: UpdateKeys,
) -> Collected:
    """The first half of an update: collect a rollout, scale rewards, compute advantages."""
    cfg, _, network = model
    state, transitions = collect(model, state, hyperparams, env_params, keys)
    done = transitions.terminated | transitions.truncated
    state, obs_stats = merge_observations(cfg, state, transitions.obs)
    state, reward = scale_rewards(cfg, state, transitions, done, hyperparams)
    state, batch, explained_variance = make_batch(
        cfg, network, state, transitions, reward, hyperparams
    )
    return Collected(state, transitions, reward, batch, explained_variance, obs_stats)


def learner_of(cfg: Config, state: TrainState, hyperparams: HyperParams) -> Learner:
    """What the second half of an update changes, with the learning rate of its start."""
    learning_rate = scheduled_learning_rate(
        cfg, hyperparams, state.learning_rate, state.update_count
    )
    return Learner(state.params, state.opt_state, learning_rate)


def _per_episode(total: Array, count: Array) -> Array:
    """Mean over the episodes that ended, f32[]; NaN if none did.

    `jax_debug_nans` raises for any NaN in the result of a compiled program. While it is set, the
    mean over no episodes is 0; `Metrics.episode_count` distinguishes it from a return of 0.
    """
    if jax.config.jax_debug_nans:  # type: ignore[attr-defined]
        count = jnp.maximum(count, 1.0)
    return total.astype(jnp.float32) / count
