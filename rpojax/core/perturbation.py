"""The perturbation of the policy's mean: the one step that RPO adds to PPO.

Rahman & Xue (2022), Robust Policy Optimization in Deep Reinforcement Learning, arXiv 2212.07536,
Algorithm 1. PPO's policy is N(mean, std^2). RPO draws z ~ U(-alpha, alpha) for each action
dimension and takes N(mean + z, std^2) in its place (other distributions: `Distribution.shifted`):

1. In the update, always. Each minibatch of each epoch draws a fresh z for every sample, and the
   probability ratio is that of the action under mean + z (`rpo_loss` in `update.py`). The policy
   cannot become arbitrarily sure of an action, since it must explain the action from anywhere
   within alpha of its mean.
2. In the rollout, where `Config.perturb_rollouts` is True, as in skrl: the action is drawn from
   N(mean + z, std^2), and its stored `log_prob` is taken under the same mean + z (`act` in
   `acting.py`). With False, as in the paper's Algorithm 1 and in CleanRL, the action is drawn from
   N(mean, std^2).

The trained agent is not perturbed, and neither is the KL that stops an update early or adapts the
learning rate. With alpha = 0 the algorithm is PPO, bit for bit. Alpha may change over a run
(`with_scheduled_alpha`). `Config.perturbation` replaces U(-1, 1), of which alpha is a multiple.
"""

import dataclasses
import math

import chex
import jax
import jax.numpy as jnp

from rpojax.core.distribution import Distribution
from rpojax.ops.noise import ABOVE_MINUS_ONE
from rpojax.settings.config import Config
from rpojax.settings.hyperparams import HyperParams
from rpojax.settings.values import PerturbationNoise
from rpojax.types import Array, Key


def with_scheduled_alpha(cfg: Config, hyperparams: HyperParams, update_count: Array) -> HyperParams:
    """The hyperparameters of an update: those of the run, with alpha by `cfg.alpha_schedule`."""
    if cfg.alpha_schedule == "constant":
        return hyperparams
    if cfg.alpha_schedule == "linear":
        done = update_count.astype(jnp.float32) / cfg.num_updates
        between = (1.0 - done) * hyperparams.alpha + done * hyperparams.alpha_end
        alpha = jnp.where(update_count < cfg.num_updates, between, hyperparams.alpha_end)
    else:
        alpha = hyperparams.alpha * jnp.asarray(cfg.alpha_schedule(update_count), jnp.float32)
    return dataclasses.replace(hyperparams, alpha=alpha)


def perturb(policy: Distribution, mean: Array, log_std: Array, alpha: Array, noise: Array) -> Array:
    """Shift a policy's mean by alpha * noise, [..., A]. With alpha = 0 it is returned bit for bit.

    Args:
        policy: what `mean` and `log_std`, [..., A], are parameters of.
        alpha: []; noise: [..., A] from U(-1, 1) or what `cfg.perturbation` says, independent of the
            action's.
    """
    chex.assert_equal_shape([mean, log_std, noise])
    return policy.shifted(mean, log_std, alpha * noise)


def gaussian(uniform: Array) -> Array:
    """N(0, 1/3) from U(-1, 1), f32[...]: noise of the same standard deviation, 1 / sqrt(3)."""
    return math.sqrt(2.0 / 3.0) * jax.lax.erf_inv(jnp.maximum(uniform, ABOVE_MINUS_ONE))


PERTURBATIONS: dict[str, PerturbationNoise] = {
    "uniform": lambda uniform: uniform,
    "gaussian": gaussian,
}


def perturbation_of(cfg: Config) -> PerturbationNoise:
    """What makes the noise of a config of U(-1, 1): one of `PERTURBATIONS`, or the user's."""
    return cfg.perturbation if callable(cfg.perturbation) else PERTURBATIONS[cfg.perturbation]


def perturbation_noise(cfg: Config, key: Key, shape: tuple[int, ...]) -> Array:
    """Noise for `perturb`, f32[shape], in the update.

    In a rollout it comes together with the action's noise, from `ops.noise.normal_and_uniform`.
    """
    return perturbation_of(cfg)(jax.random.uniform(key, shape, jnp.float32, -1.0, 1.0))
