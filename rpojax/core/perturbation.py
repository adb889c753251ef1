"""The perturbation of the policy's mean: the one step that RPO adds to PPO.

Rahman & Xue (2022), Robust Policy Optimization in Deep Reinforcement Learning, arXiv 2212.07536,
Algorithm 1. PPO's policy is N(mean, std^2). RPO draws z ~ U(-alpha, alpha) for each action
dimension and takes N(mean + z, std^2) in its place:

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
(`with_scheduled_alpha`).
"""

import dataclasses

import chex
import jax
import jax.numpy as jnp

from rpojax.settings.config import Config
from rpojax.settings.hyperparams import HyperParams
from rpojax.types import Array, Key


def with_scheduled_alpha(cfg: Config, hyperparams: HyperParams, update_count: Array) -> HyperParams:
    """The hyperparameters of an update: those of the run, with alpha by `cfg.alpha_schedule`.

    Args:
        cfg: gives the schedule.
        hyperparams: give the alphas that it starts from and, if "linear", leads to.
        update_count: i32[] updates done.
    """
    if cfg.alpha_schedule == "constant":
        return hyperparams
    if cfg.alpha_schedule == "linear":
        done = update_count.astype(jnp.float32) / cfg.num_updates
        between = (1.0 - done) * hyperparams.alpha + done * hyperparams.alpha_end
        alpha = jnp.where(update_count < cfg.num_updates, between, hyperparams.alpha_end)
    else:
        alpha = hyperparams.alpha * jnp.asarray(cfg.alpha_schedule(update_count), jnp.float32)
    return dataclasses.replace(hyperparams, alpha=alpha)


def perturb(mean: Array, alpha: Array, noise: Array) -> Array:
    """Shift a mean by U(-alpha, alpha), [..., A]. With alpha = 0 it is returned bit for bit.

    Args:
        mean: [..., A]; alpha: []; noise: [..., A] from U(-1, 1), independent of the action's.
    """
    chex.assert_equal_shape([mean, noise])
    return mean + alpha * noise


def perturbation_noise(key: Key, shape: tuple[int, ...]) -> Array:
    """U(-1, 1) for `perturb`, f32[shape], in the update.

    In a rollout it comes together with the action's noise, from `ops.noise.normal_and_uniform`.
    """
    return jax.random.uniform(key, shape, jnp.float32, -1.0, 1.0)
