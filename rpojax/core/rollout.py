"""Collect T steps in each of B environments."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rpojax.core.acting import Perturbation, act, to_env_action
from rpojax.core.device_axis import device_axis
from rpojax.core.distribution import normal_noise
from rpojax.core.keys import UpdateKeys
from rpojax.core.model import Model
from rpojax.core.perturbation import perturbation_noise, perturbation_of
from rpojax.core.resets import Starts, draw_starts, step_and_reset
from rpojax.envs.base import Env, Params
from rpojax.ops.noise import normal_and_uniform
from rpojax.settings.hyperparams import HyperParams
from rpojax.types import Array, EpisodeTotals, Key, PyTree, TrainState, Transition


class RolloutState(NamedTuple):
    """What one step passes to the next: the fields of `TrainState` with the same names."""

    env_state: PyTree  # [B, ...]
    obs: PyTree  # [B, ...]
    reset: Array  # bool[B]
    carry: PyTree  # [B, ...]


class RolloutNoise(NamedTuple):
    """The random numbers behind the actions of a rollout, independent of each other."""

    action: PyTree  # [T, B] of the distribution: f32[T, B, A] from N(0, 1) for a Gaussian
    perturbation: Array  # [T, B, A]
    # [T, B, A] from U(-1, 1) in place of the policy; None without warm-up
    uniform_action: Array | None = None


def collect(
    model: Model,
    state: TrainState,
    hyperparams: HyperParams,
    env_params: Params,
    keys: UpdateKeys,
) -> tuple[TrainState, Transition]:
    """One rollout with the policy of `state`, whose observation statistics stay as they are.

    Args:
        model, state, hyperparams: what acts, and in which environment.
        env_params: changed parameters of the environment.
        keys: of this update.

    Returns:
        The state with the environments moved on, and the transitions [T, B].
    """
    cfg, env, _ = model
    shape = (cfg.num_steps, cfg.num_envs, env.action_dim)
    noise = _action_noise(model, keys.noise, shape)
    if cfg.random_timesteps:
        uniform = jax.random.uniform(keys.warm_up, shape, jnp.float32, -1.0, 1.0)
        noise = noise._replace(uniform_action=uniform)
    starts = draw_starts(cfg, env, env_params, keys)
    given = keys.environment, noise, starts.picks
    at_random = state.update_count < cfg.random_timesteps // cfg.batch_size

    def step(
        rollout: RolloutState, inputs: tuple[Key, RolloutNoise, Array | None]
    ) -> tuple[RolloutState, Transition]:
        env_state, obs, reset, carry = rollout
        env_keys, noise, picks = inputs
        perturbation = None
        if cfg.perturb_rollouts:
            perturbation = Perturbation(hyperparams.alpha, noise.perturbation)
        acted = act(model, state, obs, carry, reset, noise.action, perturbation)
        env_action = acted.env_action
        if noise.uniform_action is not None:
            uniform = to_env_action(noise.uniform_action, env, "rescale")
            env_action = jnp.where(at_random, uniform, env_action)
        stepped = step_and_reset(
            env, env_params, Starts(starts.pool, picks), env_keys, env_state, obs, env_action
        )
        timestep = stepped.timestep
        done = timestep.terminated | timestep.truncated
        log_std = acted.outputs.log_std
        return RolloutState(stepped.state, stepped.obs, done, acted.carry), Transition(
            obs=obs,
            reset=reset,
            carry=carry,
            final_obs=timestep.obs,
            action=acted.action,
            log_prob=model.distribution.log_prob(acted.action, acted.centre, log_std),
            mean=acted.outputs.mean,
            log_std=log_std,
            reward=timestep.reward,
            terminated=timestep.terminated,
            truncated=timestep.truncated,
            invalid=stepped.invalid,
            metrics=timestep.metrics,
        )

    before = RolloutState(state.env_state, state.obs, state.reset, state.carry)
    after, transitions = jax.lax.scan(step, before, device_axis(cfg).share(given, axis=1))
    return state.replace(**after._asdict()), transitions


def _action_noise(model: Model, key: Key, shape: tuple[int, ...]) -> RolloutNoise:
    """The noise of the actions and the perturbation; if both are numbers, in one draw."""
    draw = model.distribution.noise
    if draw is normal_noise:
        noise, uniform = normal_and_uniform(key, shape)
        return RolloutNoise(noise, perturbation_of(model.cfg)(uniform))
    keys = jax.random.split(key)
    return RolloutNoise(draw(keys[0], shape), perturbation_noise(model.cfg, keys[1], shape))


def no_totals(env: Env, num_envs: int) -> EpisodeTotals:
    """Totals of B episodes before their first step."""
    zeros = jnp.zeros(num_envs, jnp.float32)
    return EpisodeTotals(
        reward=zeros,
        length=jnp.zeros(num_envs, jnp.int32),
        metrics=dict.fromkeys(env.metrics, zeros),
    )


def tally_episodes(
    episode: EpisodeTotals, transitions: Transition
) -> tuple[EpisodeTotals, EpisodeTotals, Array]:
    """Add a rollout to the running episodes.

    Returns:
        The totals of the running episodes, [B]; the sums over all episodes that ended, []; their
        number, f32[].
    """

    def step(
        carry: EpisodeTotals, inputs: tuple[Array, Mapping[str, Array], Array]
    ) -> tuple[EpisodeTotals, EpisodeTotals]:
        reward, metrics, done = inputs
        totals = EpisodeTotals(
            reward=carry.reward + reward,
            length=carry.length + 1,
            metrics={name: total + metrics[name] for name, total in carry.metrics.items()},
        )
        running = jax.tree.map(lambda total: jnp.where(done, 0, total), totals)
        return running, totals

    done = transitions.terminated | transitions.truncated
    inputs = transitions.reward, transitions.metrics, done
    running, totals = jax.lax.scan(step, episode, inputs)
    ended = jax.tree.map(lambda total: jnp.sum(jnp.where(done, total, 0)), totals)
    return running, ended, jnp.sum(done.astype(jnp.float32))
