"""What actions are drawn from: a diagonal Gaussian, as it is or squashed by tanh, or a Beta.

A distribution is parametrised by the outputs `mean` and `log_std` of the network, [..., A]. For the
Gaussians these are what they are called, before any squash; `beta.py` says what they are there.
Actions are stored before the squash too: in float32 it rounds many actions to the same bound, and
there is no way back from it. Log-probabilities, entropies and KL divergences sum over the A action
dimensions, as independent coordinates do, and are [...].
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

LOG_2PI = math.log(2.0 * math.pi)
QUADRATURE_NODES = 12  # of `tanh_entropy`


class Distribution(NamedTuple):
    """The functions of one kind of policy, for arguments [..., A]: all that training asks of it."""

    noise: Callable[[Array, tuple[int, ...]], Any]  # (key, shape [..., A]) -> for `sample`, [...]
    sample: Callable[[Array, Array, Any], Array]  # (mean, log_std, noise) -> action [..., A]
    mode: Callable[[Array, Array], Array]  # (mean, log_std) -> action when acting without noise
    std: Callable[[Array, Array], Array]  # (mean, log_std) -> [..., A] for `Metrics.action_std`
    # (mean, log_std, amount) -> mean [..., A] of the perturbed policy; `mean` itself for amount 0
    shifted: Callable[[Array, Array, Array], Array]
    log_prob: Callable[[Array, Array, Array], Array]  # (action, mean, log_std) -> [...]
    entropy: Callable[[Array, Array], Array]  # (mean, log_std) -> [...]
    # (mean_p, log_std_p, mean_q, log_std_q) -> [...]
    kl_divergence: Callable[[Array, Array, Array, Array], Array]
    squash: Callable[[Array], Array]  # action -> squashed action [..., A]
    bounded: bool  # squashed actions lie in [-1, 1]


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


def tanh_log_prob(action: Array, mean: Array, log_std: Array) -> Array:
    """Log density of tanh(action), where action is from N(mean, std^2), [...].

    As Brax's `NormalTanhDistribution` has it.
    """
    return log_prob(action, mean, log_std) - jnp.sum(_tanh_log_slope(action), axis=-1)


def tanh_entropy(mean: Array, log_std: Array) -> Array:
    """Differential entropy in nats of tanh(N(mean, std^2)), [...], to 1e-4 nats a dimension.

    That of the Gaussian plus E[log tanh'], which has no closed form. Brax estimates it by one
    sample. Here it is a quadrature, since the coordinates are independent: no random numbers, no
    noise in the gradient, and a gradient that accounts for the squash. (The stored action would
    need no random numbers either, but its gradient for the mean is 0, although entropy falls where
    the mean goes to a bound.)

    Up to a std of 1 it is Gauss and Hermite's. Beyond, their nodes lie too far apart:
    log tanh'(x) = 2 (log 2 - |x| - log(1 + exp(-2 |x|))), where the mean of |x| has a closed form,
    and that of the last term is a quadrature of Gauss and Laguerre over both signs of x.
    """
    chex.assert_equal_shape([mean, log_std])
    column = (1,) * mean.ndim + (QUADRATURE_NODES,)
    nodes, weights = np.polynomial.hermite_e.hermegauss(QUADRATURE_NODES)
    noise = jnp.asarray(nodes.reshape(column), mean.dtype)
    weight = jnp.asarray((weights / weights.sum()).reshape(column), mean.dtype)
    actions = mean[..., None] + jnp.exp(log_std)[..., None] * noise
    narrow = jnp.sum(weight * _tanh_log_slope(actions), axis=-1)

    std = jnp.exp(jnp.maximum(log_std, 0.0))
    nodes, weights = np.polynomial.laguerre.laggauss(QUADRATURE_NODES)
    weights = 0.5 * weights * np.exp(nodes) * np.log1p(np.exp(-nodes))  # 0.5: nodes are 2 |x|
    point = jnp.asarray((0.5 * nodes).reshape(column), mean.dtype)
    weight = jnp.asarray(weights.reshape(column), mean.dtype)
    above, below = (
        jnp.exp(-0.5 * (jnp.square((point + sign * mean[..., None]) / std[..., None]) + LOG_2PI))
        for sign in (-1.0, 1.0)
    )
    rest = jnp.sum(weight * (above + below), axis=-1) / std
    ratio = mean / (math.sqrt(2.0) * std)
    absolute = std * math.sqrt(2.0 / math.pi) * jnp.exp(-jnp.square(ratio))
    absolute += mean * jax.lax.erf(ratio)
    wide = 2.0 * (math.log(2.0) - absolute - rest)
    return entropy(log_std) + jnp.sum(jnp.where(log_std <= 0.0, narrow, wide), axis=-1)


def _tanh_log_slope(action: Array) -> Array:
    """log(1 - tanh(x)^2) = 2 (log 2 - x - softplus(-2 x)), which is finite for any x, [..., A]."""
    return 2.0 * (math.log(2.0) - action - jax.nn.softplus(-2.0 * action))


def normal_noise(key: Array, shape: tuple[int, ...]) -> Array:
    """Standard normal noise, f32[shape]."""
    return jax.random.normal(key, shape, jnp.float32)


GAUSSIAN = Distribution(
    noise=normal_noise,
    sample=sample,
    mode=lambda mean, log_std: mean,
    std=lambda mean, log_std: jnp.exp(log_std),
    shifted=lambda mean, log_std, amount: mean + amount,
    log_prob=log_prob,
    entropy=lambda mean, log_std: entropy(log_std),
    kl_divergence=kl_divergence,
    squash=lambda action: action,
    bounded=False,
)

# An invertible map of two distributions leaves the KL divergence as it is.
TANH_GAUSSIAN = GAUSSIAN._replace(
    log_prob=tanh_log_prob, entropy=tanh_entropy, squash=jnp.tanh, bounded=True
)
