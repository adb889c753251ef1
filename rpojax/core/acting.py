"""From observations to actions: the one place where a policy acts.

    observation -> normalised -> network -> distribution (perturbed in training) -> action
        -> squash -> bounds

Rollouts, evaluation, `make_policy`, rendering and export all go through `act`.
"""

from typing import NamedTuple

import jax.numpy as jnp

from rpojax.core.model import Model
from rpojax.core.normalize import normalize
from rpojax.core.perturbation import perturb
from rpojax.envs.base import Env
from rpojax.networks import Outputs
from rpojax.settings.config import Config
from rpojax.settings.values import ActionTransform
from rpojax.trees import leading_axes
from rpojax.types import Array, Key, PyTree, TrainState


class Perturbation(NamedTuple):
    """The arguments of `perturb` besides the policy."""

    alpha: Array  # []
    noise: Array  # [..., A] from U(-1, 1)


class Acted(NamedTuple):
    """What a policy did at observations [..., *obs.shape]."""

    env_action: Array  # [..., A] what the environment receives, within its bounds
    action: Array  # [..., A] as sampled, before squash and bounds
    centre: Array  # [..., A] what the action was drawn from: `outputs.mean`, or perturbed
    outputs: Outputs
    carry: PyTree  # [..., ...] of the network, for the next observations


def act(
    model: Model,
    state: TrainState,
    obs: PyTree,
    carry: PyTree,
    reset: Array | None,
    noise: PyTree = None,
    perturbation: Perturbation | None = None,
) -> Acted:
    """Act on observations with any leading axes.

    Args:
        model, state: what acts.
        obs: pytree of [..., *obs.shape] as the environment gives it.
        carry: [..., ...] of the network; () without memory.
        reset: bool[...], True where an episode begins at this observation; None for nowhere.
        noise: [...] of the distribution, for a sample; None for its mode.
        perturbation: of the mean; None for none.
    """
    cfg, env, network = model
    outputs, carry = network.apply(state.params, policy_obs(cfg, state, obs), carry, reset)
    policy, (centre, log_std, _) = model.distribution, outputs
    if perturbation is not None:
        centre = perturb(policy, centre, log_std, *perturbation)
    if noise is None:
        action = policy.mode(centre, log_std)
    else:
        action = policy.sample(centre, log_std, noise)
    env_action = to_env_action(policy.squash(action), env, cfg.action_transform)
    return Acted(env_action, action, centre, outputs, carry)


def play(
    model: Model,
    state: TrainState,
    obs: PyTree,
    carry: PyTree,
    reset: Array | None,
    key: Key | None,
) -> tuple[Array, PyTree]:
    """Act as a trained agent does, unperturbed.

    Args:
        model, state, obs, carry, reset: as for `act`.
        key: for a sample of the policy; None for its mode.

    Returns:
        What the environment receives, [..., A], and the next carry.
    """
    noise = None
    if key is not None:
        shape = (*leading_axes(obs, model.env.obs), model.env.action_dim)
        noise = model.distribution.noise(key, shape)
    acted = act(model, state, obs, carry, reset, noise)
    return acted.env_action, acted.carry


def policy_obs(cfg: Config, state: TrainState, obs: PyTree) -> PyTree:
    """Observations as the network sees them: pytree of [..., *obs.shape], like `seen_obs`."""
    if state.obs_stats is None:
        return obs
    return normalize(state.obs_stats, obs, cfg.observation_clip)


def to_env_action(action: Array, env: Env, transform: ActionTransform) -> Array:
    """What the environment receives for a squashed action, [..., A], within its bounds."""
    bounds_shape = (1,) * (action.ndim - 1) + (env.action_dim,)
    low = jnp.asarray(env.action_low).reshape(bounds_shape)
    high = jnp.asarray(env.action_high).reshape(bounds_shape)
    if transform == "rescale":
        action = low + (high - low) * 0.5 * (action + 1.0)
    return jnp.clip(action, low, high)
