"""Training as one XLA program: `make_train`. The file to read first, from top to bottom.

One update is `_iterate`: collect a rollout, scale its rewards, compute advantages, take gradient
steps, merge the statistics. RPO's perturbation of the mean is in `perturbation.py`, whose docstring
says where it acts: in the rollout (`acting.py`) and in the loss (`update.py`). The random keys of
an update are in `keys.py`.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from rpojax.config import Config
from rpojax.core import normalize
from rpojax.core.batch import make_batch, merge_observations, scale_rewards
from rpojax.core.keys import UpdateKeys, initial_keys, update_keys
from rpojax.core.model import Model, make_model
from rpojax.core.optimizer import (
    Learner,
    init_opt_state,
    make_optimizer,
    scheduled_learning_rate,
)
from rpojax.core.protocols import Initialize, Iterate, RunUpdates, Train
from rpojax.core.rollout import collect, no_totals, tally_episodes
from rpojax.core.schedules import check_schedule
from rpojax.core.update import update
from rpojax.envs.bounds import warn_unreachable_actions
from rpojax.hyperparams import HyperParams
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


class Trainer(NamedTuple):
    """Training in steps, as pure functions. `hyperparams=None` takes the config's own."""

    init: Initialize  # (key, hyperparams=None) -> state
    iterate: Iterate  # (state, hyperparams=None) -> (state, metrics), one update
    run: RunUpdates  # (state, hyperparams=None, num_updates=None) -> (state, metrics)


class Parts(NamedTuple):
    """What the functions of a `Trainer` close over."""

    model: Model
    optimizer: optax.GradientTransformation


def make_train(cfg: Config) -> Train:
    """The whole training of one agent, a pure function to `jit` and `vmap`.

    Returns:
        `train(key, hyperparams=None) -> TrainResult`; `key` is a typed PRNG key or uint32[2],
        `hyperparams` a `HyperParams` of scalars. Metrics are [cfg.num_updates].

    Raises:
        ValueError: the environment is unknown or its actions are not continuous, or the network
            does not fit it; the message says what to change. `train` raises it for a
            hyperparameter that is not a scalar, where no `vmap` maps its axis.
    """
    trainer = make_trainer(cfg)

    def train(key: Key, hyperparams: HyperParams | None = None) -> TrainResult:
        state = trainer.init(key, hyperparams)
        state, metrics = trainer.run(state, hyperparams)
        return TrainResult(state=state, metrics=metrics, finite=is_finite(state))

    return train


def make_trainer(cfg: Config) -> Trainer:
    """Training in steps, for a loop of your own. See `make_train` for errors."""
    return trainer_for(make_model(cfg))


def trainer_for(model: Model) -> Trainer:
    """`make_trainer` with a model that has been built already."""
    check_schedule(model.cfg)
    warn_unreachable_actions(model.env, model.cfg.action_transform)
    parts = Parts(model, make_optimizer(model.cfg))
    return Trainer(
        init=functools.partial(_init, parts),
        iterate=functools.partial(_iterate, parts),
        run=functools.partial(_run, parts),
    )


def is_finite(state: TrainState) -> Array:
    """Whether the parameters and statistics hold neither NaN nor infinity, bool[]."""
    learnt = (state.params, state.obs_stats, state.reward_stats, state.value_stats)
    return jnp.all(jnp.isfinite(ravel_pytree(learnt)[0]))


def _init(parts: Parts, key: Key, hyperparams: HyperParams | None = None) -> TrainState:
    cfg, env, network = parts.model
    hyperparams = _resolve(cfg, hyperparams)
    keys = initial_keys(cfg, key)
    params = network.init(keys.params)
    env_state, obs = env.reset(keys.environment)
    scalar = normalize.init_stats(jax.ShapeDtypeStruct((), jnp.float32))
    state = TrainState(
        params=params,
        opt_state=init_opt_state(parts.optimizer, params),
        learning_rate=hyperparams.learning_rate,
        obs_stats=normalize.init_stats(env.obs) if cfg.normalize_observations else None,
        reward_stats=scalar if cfg.normalize_rewards else None,
        value_stats=scalar if cfg.normalize_values else None,
        env_state=env_state,
        obs=obs,
        reset=jnp.ones(cfg.num_envs, bool),
        carry=network.initial_carry((cfg.num_envs,)),
        discounted_return=jnp.zeros(cfg.num_envs, jnp.float32),
        episode=no_totals(env, cfg.num_envs),
        key=keys.next,
        update_count=jnp.zeros((), jnp.int32),
    )
    return _mapped_with(key, state)


def _mapped_with(key: Key, tree: PyTree) -> PyTree:
    """The tree as it is, with every leaf made to depend on the key.

    Under `vmap` over keys a leaf such as `update_count` would else have no mapped axis in
    `make_train`, where XLA sees its beginning, and have one in a program that takes the state as
    an argument, as in `fit`; XLA rounds the two programs differently. A choice between a leaf and
    itself goes away when it is compiled.
    """

    def same(leaf: Array) -> Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return leaf  # made of the key already; `jax_debug_key_reuse` lets it be used once
        return jnp.where(either, leaf, leaf)

    either = jnp.ravel(jax.random.key_data(key))[0] == 0
    return jax.tree.map(same, tree)


def _run(
    parts: Parts,
    state: TrainState,
    hyperparams: HyperParams | None = None,
    num_updates: int | None = None,
) -> tuple[TrainState, Metrics]:
    length = parts.model.cfg.num_updates if num_updates is None else num_updates
    hyperparams = _resolve(parts.model.cfg, hyperparams)
    return jax.lax.scan(
        lambda state, _: _iterate(parts, state, hyperparams), state, None, length=length
    )


def _iterate(
    parts: Parts, state: TrainState, hyperparams: HyperParams | None = None
) -> tuple[TrainState, Metrics]:
    cfg, _, network = parts.model
    hyperparams = _resolve(cfg, hyperparams)
    keys = update_keys(cfg, state.key)
    collected = collect_batch(parts.model, state, hyperparams, keys)
    state, transitions = collected.state, collected.transitions
    episode, ended, episode_count = tally_episodes(state.episode, transitions)

    before = learner_of(cfg, state, hyperparams)
    after, metrics = update(
        cfg, network, parts.optimizer, before, collected.batch, hyperparams, keys
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
        invalid_steps=jnp.sum(transitions.invalid.astype(jnp.float32)),
        explained_variance=collected.explained_variance,
        learning_rate=before.learning_rate,
        action_std=jnp.mean(jnp.exp(transitions.log_std)),
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
    model: Model, state: TrainState, hyperparams: HyperParams, keys: UpdateKeys
) -> Collected:
    """The first half of an update: collect a rollout, scale rewards, compute advantages."""
    cfg, _, network = model
    state, transitions = collect(model, state, hyperparams, keys)
    done = transitions.terminated | transitions.truncated
    state, obs_stats = merge_observations(state, transitions.obs)
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
    mean over no episodes is 0, and `Metrics.episode_count` tells it from an episode's.
    """
    if jax.config.jax_debug_nans:  # type: ignore[attr-defined]
        count = jnp.maximum(count, 1.0)
    return total.astype(jnp.float32) / count


def _resolve(cfg: Config, hyperparams: HyperParams | None) -> HyperParams:
    """The hyperparameters to train with, as float32, checked as far as they are known."""
    if hyperparams is None:
        return cfg.hyperparams()
    if not isinstance(hyperparams, HyperParams):
        raise ValueError(
            f"hyperparams = {hyperparams!r} is not a HyperParams; make one with cfg.hyperparams()"
        )
    for name, value in vars(hyperparams).items():
        if np.ndim(value):
            raise ValueError(
                f"hyperparams.{name} has shape {np.shape(value)}, and one agent takes one number; "
                f"map the axis with jax.vmap(..., in_axes=(None, HyperParams.axes({name}=0))), or "
                "pass hyperparams to rpojax.fit, which trains an agent for each value"
            )
    hyperparams.check()
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), hyperparams)
