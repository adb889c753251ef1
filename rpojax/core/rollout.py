"""Collect T steps in each of B environments."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rpojax.config import ActionTransform, Config
from rpojax.core import distribution
from rpojax.core.normalize import normalize
from rpojax.envs.base import Env
from rpojax.hyperparams import HyperParams
from rpojax.networks import ActorCritic
from rpojax.types import Array, EpisodeTotals, Key, PyTree, TrainState, Transition


class Acting(NamedTuple):
    """What goes from step to step; the fields of `TrainState` with the same names."""

    env_state: PyTree
    obs: PyTree
    reset: Array
    carry: PyTree


def collect(
    cfg: Config,
    env: Env,
    network: ActorCritic,
    state: TrainState,
    hyperparams: HyperParams,
    env_keys: Key,
    noise_key: Key,
) -> tuple[TrainState, Transition]:
    """One rollout with the policy of `state`, whose observation statistics stay as they are.

    Args:
        cfg: settings; env, network: what acts in what; state, hyperparams: with which to act.
        env_keys: [T, B] for the environments.
        noise_key: for the actions' noise and the perturbations.

    Returns:
        The state with the environments moved on, and the transitions [T, B].
    """
    shape = (cfg.num_steps, cfg.num_envs, env.action_dim)
    action_noise, mean_noise = distribution.action_and_perturbation_noise(noise_key, shape)
    at_random = state.update_count < cfg.random_timesteps // cfg.batch_size

    def step(acting: Acting, inputs: tuple[Key, Array, Array]) -> tuple[Acting, Transition]:
        env_state, obs, reset, carry = acting
        keys, noise, shift = inputs
        seen = policy_obs(cfg, state, obs)
        outputs, next_carry = network.apply(state.params, seen, carry, reset)
        mean = outputs.mean
        if cfg.perturb_rollouts:
            mean = distribution.perturb(mean, hyperparams.alpha, shift)
        action = distribution.sample(mean, outputs.log_std, noise)
        env_action = to_env_action(action, env, cfg.action_transform)
        if cfg.random_timesteps:
            low, high = env.action_low[None], env.action_high[None]
            uniform = low + (high - low) * 0.5 * (shift + 1.0)
            env_action = jnp.where(at_random, uniform, env_action)
        env_state, timestep = env.step(keys, env_state, env_action)
        done = timestep.terminated | timestep.truncated
        return Acting(env_state, timestep.obs, done, next_carry), Transition(
            obs=obs,
            reset=reset,
            carry=carry,
            final_obs=timestep.final_obs,
            action=action,
            log_prob=distribution.log_prob(action, mean, outputs.log_std),
            mean=outputs.mean,
            log_std=outputs.log_std,
            reward=timestep.reward,
            terminated=timestep.terminated,
            truncated=timestep.truncated,
        )

    before = Acting(state.env_state, state.obs, state.reset, state.carry)
    after, transitions = jax.lax.scan(step, before, (env_keys, action_noise, mean_noise))
    return state.replace(**after._asdict()), transitions


def policy_obs(cfg: Config, state: TrainState, obs: PyTree) -> PyTree:
    """Observations as the network sees them: pytree of [..., *obs.shape]."""
    if state.obs_stats is None:
        return obs
    return normalize(state.obs_stats, obs, cfg.observation_clip)


def to_env_action(action: Array, env: Env, transform: ActionTransform) -> Array:
    """What the environment receives for a sampled action, [..., A], within its bounds.

    Args:
        action: [..., A] as sampled.
        env: gives the bounds.
        transform: "clip" to the bounds, or "rescale" [-1, 1] onto them and clip.
    """
    bounds_shape = (1,) * (action.ndim - 1) + (env.action_dim,)
    low = jnp.asarray(env.action_low).reshape(bounds_shape)
    high = jnp.asarray(env.action_high).reshape(bounds_shape)
    if transform == "rescale":
        action = low + (high - low) * 0.5 * (action + 1.0)
    return jnp.clip(action, low, high)


def tally_episodes(
    episode: EpisodeTotals, reward: Array, done: Array
) -> tuple[EpisodeTotals, EpisodeTotals, Array]:
    """Add a rollout to the running episodes.

    Args:
        episode: totals of the episodes that were running before the rollout, [B].
        reward: [T, B]; done: bool[T, B].

    Returns:
        The totals to go on with, [B]; the sums over all episodes that ended, []; their number,
        f32[].
    """

    def step(
        carry: EpisodeTotals, inputs: tuple[Array, Array]
    ) -> tuple[EpisodeTotals, EpisodeTotals]:
        reward_t, done_t = inputs
        totals = EpisodeTotals(reward=carry.reward + reward_t, length=carry.length + 1)
        running = jax.tree.map(lambda total: jnp.where(done_t, 0, total), totals)
        return running, totals

    running, totals = jax.lax.scan(step, episode, (reward, done))
    ended = EpisodeTotals(
        reward=jnp.sum(jnp.where(done, totals.reward, 0.0)),
        length=jnp.sum(jnp.where(done, totals.length, 0)),
    )
    return running, ended, jnp.sum(done.astype(jnp.float32))
