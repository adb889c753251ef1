"""Training as one XLA program: `make_train`. Read from top to bottom."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from rpojax import envs, losses, normalize
from rpojax.advantage import generalized_advantage
from rpojax.config import Config
from rpojax.envs import Env
from rpojax.networks import ActorCritic, make_network
from rpojax.optimizer import make_optimizer, scheduled_learning_rate
from rpojax.rollout import collect, policy_obs, tally_episodes
from rpojax.types import (
    Array,
    Batch,
    EpisodeTotals,
    HyperParams,
    Key,
    Metrics,
    PyTree,
    TrainResult,
    TrainState,
    Transition,
)
from rpojax.update import Learner, update


class Trainer(NamedTuple):
    """Training in steps, as pure functions. `hyperparams=None` takes the config's own."""

    init: Callable[..., TrainState]  # (key, hyperparams=None)
    iterate: Callable[..., tuple[TrainState, Metrics]]  # (state, hyperparams=None): one update
    run: Callable[..., tuple[TrainState, Metrics]]  # (state, hyperparams=None, num_updates=None)


class Parts(NamedTuple):
    """What a config stands for, made once and closed over."""

    cfg: Config
    env: Env
    network: ActorCritic
    optimizer: optax.GradientTransformation


def make_train(cfg: Config) -> Callable[..., TrainResult]:
    """The whole training of one agent, a pure function to `jit` and `vmap`.

    Returns:
        `train(key, hyperparams=None) -> TrainResult`; `key` is a typed PRNG key or uint32[2],
        `hyperparams` a `HyperParams`. Metrics are [cfg.num_updates].

    Raises:
        ValueError: the environment is unknown or its actions are not continuous, or the network
            does not fit it; the message says what to change.
    """
    trainer = make_trainer(cfg)

    def train(key: Key, hyperparams: HyperParams | None = None) -> TrainResult:
        state = trainer.init(key, hyperparams)
        state, metrics = trainer.run(state, hyperparams)
        return TrainResult(state=state, metrics=metrics, finite=is_finite(state))

    return train


def make_trainer(cfg: Config) -> Trainer:
    """Training in steps, for loops that stop, look and go on. See `make_train` for errors."""
    env = envs.make(cfg.env)
    parts = Parts(cfg, env, make_network(cfg.network, env), make_optimizer(cfg))
    _check_actions(parts)
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
    cfg, env, network, optimizer = parts
    hyperparams = _resolve(cfg, hyperparams)
    key, network_key, env_key = jax.random.split(key, 3)
    params = network.init(network_key)
    env_state, obs = env.reset(jax.random.split(env_key, cfg.num_envs))
    scalar = normalize.init_stats(jax.ShapeDtypeStruct((), jnp.float32))
    state = TrainState(
        params=params,
        opt_state=optimizer.init(ravel_pytree(params)[0]),
        learning_rate=hyperparams.learning_rate,
        obs_stats=normalize.init_stats(env.obs) if cfg.normalize_observations else None,
        reward_stats=scalar if cfg.normalize_rewards else None,
        value_stats=scalar if cfg.normalize_values else None,
        env_state=env_state,
        obs=obs,
        discounted_return=jnp.zeros(cfg.num_envs),
        episode=EpisodeTotals(
            reward=jnp.zeros(cfg.num_envs), length=jnp.zeros(cfg.num_envs, jnp.int32)
        ),
        key=key,
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
    either = jnp.ravel(jax.random.key_data(key))[0] == 0
    return jax.tree.map(lambda leaf: jnp.where(either, leaf, leaf), tree)


def _run(
    parts: Parts,
    state: TrainState,
    hyperparams: HyperParams | None = None,
    num_updates: int | None = None,
) -> tuple[TrainState, Metrics]:
    length = parts.cfg.num_updates if num_updates is None else num_updates
    hyperparams = _resolve(parts.cfg, hyperparams)
    return jax.lax.scan(
        lambda state, _: _iterate(parts, state, hyperparams), state, None, length=length
    )


def _iterate(
    parts: Parts, state: TrainState, hyperparams: HyperParams | None = None
) -> tuple[TrainState, Metrics]:
    cfg, env, network, optimizer = parts
    hyperparams = _resolve(cfg, hyperparams)
    # All of an update's keys in one split: each split is a loop of its own to compile.
    keys = jax.random.split(state.key, 4 + 2 * cfg.update_epochs)
    key, rollout_keys = keys[0], keys[1:4]
    update_keys = keys[4:].reshape(2, cfg.update_epochs, *keys.shape[1:])
    learning_rate = scheduled_learning_rate(
        cfg, hyperparams, state.learning_rate, state.update_count
    )

    state, transitions = collect(cfg, env, network, state, hyperparams, rollout_keys)
    done = transitions.terminated | transitions.truncated
    episode, ended, episode_count = tally_episodes(state.episode, transitions.reward, done)
    state, reward = _scale_rewards(cfg, state, transitions, done, hyperparams)
    state, batch, explained_variance = _make_batch(parts, state, transitions, reward, hyperparams)

    before = Learner(state.params, state.opt_state, learning_rate)
    after, metrics = update(cfg, network, optimizer, before, batch, hyperparams, update_keys)
    warm_up = max(cfg.random_timesteps, cfg.learning_starts) // cfg.batch_size
    if warm_up:
        learning = state.update_count >= warm_up
        after = jax.tree.map(lambda new, old: jnp.where(learning, new, old), after, before)

    obs_stats = state.obs_stats
    if obs_stats is not None:  # after the rollout, so that one policy acted in all of it
        obs_stats = normalize.update_stats(obs_stats, transitions.obs)
    next_state = state.replace(
        params=after.params,
        opt_state=after.opt_state,
        learning_rate=after.learning_rate,
        obs_stats=obs_stats,
        episode=episode,
        key=key,
        update_count=state.update_count + 1,
    )
    return next_state, Metrics(
        episode_return=ended.reward / episode_count,
        episode_length=ended.length / episode_count,
        episode_count=episode_count,
        explained_variance=explained_variance,
        learning_rate=learning_rate,
        action_std=jnp.mean(jnp.exp(transitions.log_std)),
        **metrics._asdict(),
    )


def _scale_rewards(
    cfg: Config, state: TrainState, transitions: Transition, done: Array, hyperparams: HyperParams
) -> tuple[TrainState, Array]:
    """Rewards as the advantages count them, [T, B], with the statistics that scaled them."""
    reward = transitions.reward
    if cfg.reward_shaper is not None:
        timestep = state.update_count * cfg.num_steps + jnp.arange(cfg.num_steps)
        timesteps = cfg.num_updates * cfg.num_steps
        reward = jax.vmap(cfg.reward_shaper, (0, 0, None))(reward, timestep, timesteps)
    if state.reward_stats is None:
        return state, reward
    returns, running = normalize.discounted_returns(
        reward, done, hyperparams.gamma, state.discounted_return
    )
    reward_stats = normalize.update_stats(state.reward_stats, returns)
    state = state.replace(reward_stats=reward_stats, discounted_return=running)
    return state, normalize.scale_reward(reward_stats, reward, cfg.reward_clip)


def _make_batch(
    parts: Parts,
    state: TrainState,
    transitions: Transition,
    reward: Array,
    hyperparams: HyperParams,
) -> tuple[TrainState, Batch, Array]:
    """Values, advantages and targets of a rollout, as N = T * B samples.

    All values come from batched passes over the whole rollout: a value for each step, inside the
    loop over time, would cost more and change nothing.
    """
    cfg, _, network, _ = parts

    def critic(obs: PyTree) -> Array:
        value = network.apply(state.params, obs).value
        return value if stats is None else normalize.unstandardize(stats, value)

    stats = state.value_stats
    obs = policy_obs(cfg, state, transitions.obs)
    last_obs = policy_obs(cfg, state, state.obs)
    value = critic(obs)
    next_value = jnp.concatenate([value[1:], critic(last_obs)[None]])
    terminated = done = transitions.terminated | transitions.truncated
    if cfg.time_limit_bootstrap:
        terminated = transitions.terminated
        final_value = critic(policy_obs(cfg, state, transitions.final_obs))
        next_value = jnp.where(transitions.truncated, final_value, next_value)
    advantage = generalized_advantage(
        reward, value, next_value, terminated, done, hyperparams.gamma, hyperparams.gae_lambda
    )
    target = advantage + value
    explained_variance = losses.explained_variance(value, target)

    if stats is not None:  # the critic's old and new predictions in one and the same scale
        stats = normalize.update_stats(stats, target)
        state = state.replace(value_stats=stats)
        value = normalize.standardize(stats, value)
        target = normalize.standardize(stats, target)
    if cfg.advantage_normalization == "batch":
        advantage = losses.normalize_advantage(advantage)
    batch = Batch(
        obs=obs,
        action=transitions.action,
        log_prob=transitions.log_prob,
        mean=transitions.mean,
        log_std=transitions.log_std,
        advantage=advantage,
        value=value,
        target=target,
    )
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), batch)
    return state, flat, explained_variance


def _resolve(cfg: Config, hyperparams: HyperParams | None) -> HyperParams:
    """The hyperparameters to train with, as float32, checked as far as they are known."""
    if hyperparams is None:
        return cfg.hyperparams()
    if not isinstance(hyperparams, HyperParams):
        raise ValueError(
            f"hyperparams = {hyperparams!r} is not a HyperParams; make one with cfg.hyperparams()"
        )
    hyperparams.check()
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), hyperparams)


def _check_actions(parts: Parts) -> None:
    """Raise ValueError where a setting needs bounds that the environment does not have."""
    cfg, env = parts.cfg, parts.env
    bounded = bool(np.isfinite([env.action_low, env.action_high]).all())
    needs_bounds = {
        f"action_transform = {cfg.action_transform!r}": cfg.action_transform == "rescale",
        f"random_timesteps = {cfg.random_timesteps}": cfg.random_timesteps > 0,
    }
    for setting, needed in needs_bounds.items():
        if needed and not bounded:
            raise ValueError(
                f"{setting} needs finite action bounds, and {env.name!r} has "
                f"[{env.action_low}, {env.action_high}]; use action_transform = 'clip' and "
                "random_timesteps = 0, or give the environment bounds"
            )
