"""The diagonal Gaussian policy.

Means and log standard deviations are [..., A]; all results sum over the A action dimensions, as
independent coordinates do, and are [...].
"""

import math

import chex
import jax.numpy as jnp
from jax import Array

LOG_2PI = math.log(2.0 * math.pi)


def sample(mean: Array, log_std: Array, noise: Array) -> Array:
    """Action mean + std * noise, [..., A], with noise [..., A] from a standard normal."""
    chex.assert_equal_shape([mean, log_std, noise])
    return mean + jnp.exp(log_std) * noise


def log_prob(action: Array, mean: Array, log_std: Array) -> Array:
    """Log density log N(action; mean, std^2), [...]."""
    chex.assert_equal_shape([action, mean, log_std])
    standardized = (action - mean) * jnp.exp(-log_std)
    return jnp.sum(-0.5 * (jnp.square(standardized) + LOG_2PI) - log_std, axis=-1)


def entropy(log_std: Array) -> Array:
    """Differential entropy in nats, sum of log_std + log(2 pi e) / 2, [...]."""
    return jnp.sum(log_std + 0.5 * (1.0 + LOG_2PI), axis=-1)


def kl_divergence(mean_p: Array, log_std_p: Array, mean_q: Array, log_std_q: Array) -> Array:
    """KL(p || q) in nats of two diagonal Gaussians, in closed form, [...].

    sum of log(sigma_q / sigma_p) + (sigma_p^2 + (mu_p - mu_q)^2) / (2 sigma_q^2) - 1/2.
    """
    chex.assert_equal_shape([mean_p, log_std_p, mean_q, log_std_q])
    log_ratio = log_std_q - log_std_p
    shift = (mean_p - mean_q) * jnp.exp(-log_std_q)
    return jnp.sum(log_ratio + 0.5 * (jnp.exp(-2.0 * log_ratio) + jnp.square(shift) - 1.0), axis=-1)
