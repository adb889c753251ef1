"""The Beta distribution on [-1, 1], one for each action dimension, in formulas for float32.

Chou, Maturana and Scherer (2017), Improving Stochastic Policy Gradients in Continuous Control with
Deep Reinforcement Learning using the Beta Distribution, ICML. As there, both shape parameters are
above 1, so that the density has one mode and is finite everywhere. Here a network's two outputs are

    mode = sigmoid(mean)            of y ~ Beta(a, b); the action is 2 y - 1
    k    = exp(-2 log_std)
    a    = 1 + k mode
    b    = 1 + k (1 - mode)

which reaches all a, b > 1. In the middle of the range, actions have the standard deviation
s / sqrt(1 + 3 s^2) with s = exp(log_std): about s if it is small, and that of the uniform
distribution, 1 / sqrt(3), in the limit. `log_std` below -7 counts as -7.

Actions are stored as u = logit(y), so that `squash` is tanh(u / 2): none is rounded to a bound. In
terms of the mean p = a / (a + b) and n = a + b, the density of y is

    exp(-n KL(p || y)) / (y (1 - y)) * sqrt(a b / (2 pi n)) * exp(c(n) - c(a) - c(b))

where KL(p || y) is of Bernoulli distributions and c(z) is Stirling's correction of the logarithm of
Gamma(z). Nothing in it cancels. Differences of lgamma are off by 1 at a std of 0.001.
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln

from rpojax.core.distribution import Distribution
from rpojax.networks.bounds import bounded
from rpojax.trees import is_key
from rpojax.types import Array, Key

LOG_STD_MIN, LOG_STD_MAX = -7.0, 10.0
MOST_EXTREME_MODE = 0.999
"""Of perturbed policies, in [-1, 1]."""
_LARGE = 8.0  # from here on, three terms of the asymptotic series are exact in float32
_SMALL = 0.1


def noise(key: Key, shape: tuple[int, ...]) -> Key:
    """What `sample` takes for actions of this shape [..., A]: a key for each, [...]."""
    return jax.random.split(key if is_key(key) else jax.random.wrap_key_data(key), shape[:-1])


def sample(mean: Array, log_std: Array, noise: Key) -> Array:
    """An action before `squash`, [..., A]: the logarithm of a ratio of Gamma variables."""
    shapes = jnp.stack(_shape_parameters(mean, log_std), axis=-2)  # [..., 2, A]
    draw = jax.random.loggamma
    for _ in noise.shape:
        draw = jax.vmap(draw)
    log_gamma = draw(noise, shapes)
    return log_gamma[..., 0, :] - log_gamma[..., 1, :]


def log_prob(action: Array, mean: Array, log_std: Array) -> Array:
    """Log density of the squashed action in [-1, 1], [...]."""
    a, b = _shape_parameters(mean, log_std)
    p, q = a / (a + b), b / (a + b)
    log_y, log_rest = jax.nn.log_sigmoid(action), jax.nn.log_sigmoid(-action)
    # y - p, from whichever of y and 1 - y float32 has more exactly
    above = jnp.where(action > 0.0, q - jnp.exp(log_rest), jnp.exp(log_y) - p)
    distance = a * _log_excess(log_y - jnp.log(p), above / p)
    distance += b * _log_excess(log_rest - jnp.log(q), -above / q)
    return jnp.sum(distance - log_y - log_rest + _log_scale(a, b) - math.log(2.0), axis=-1)


def entropy(mean: Array, log_std: Array) -> Array:
    """Differential entropy in nats of the squashed action, [...]."""
    a, b = _shape_parameters(mean, log_std)
    n = a + b
    distance = a * _log_bias(a) + b * _log_bias(b) - n * _log_bias(n)  # E[n KL(p || y)]
    log_y = jnp.log(a / n) - _log_bias(a) + _log_bias(n)  # E[log y]
    log_rest = jnp.log(b / n) - _log_bias(b) + _log_bias(n)
    return jnp.sum(distance + log_y + log_rest - _log_scale(a, b) + math.log(2.0), axis=-1)


def kl_divergence(mean_p: Array, log_std_p: Array, mean_q: Array, log_std_q: Array) -> Array:
    """KL(p || q) in nats, in closed form, [...]."""
    (a, b), (c, d) = _shape_parameters(mean_p, log_std_p), _shape_parameters(mean_q, log_std_q)
    n, m = a + b, c + d
    shift = jnp.where(a < b, a / n - c / m, d / m - b / n)  # of the mean
    log_ratio = jnp.log(a / n) - jnp.log(c / m), jnp.log(b / n) - jnp.log(d / m)
    means = -c * _log_excess(log_ratio[0], shift * m / c)
    means -= d * _log_excess(log_ratio[1], -shift * m / d)
    spread = (c - a) * _log_bias(a) + (d - b) * _log_bias(b) - (m - n) * _log_bias(n)
    return jnp.sum(means + spread + _log_scale(a, b) - _log_scale(c, d), axis=-1)


def std(mean: Array, log_std: Array) -> Array:
    """Standard deviation of the squashed action, [..., A]."""
    a, b = _shape_parameters(mean, log_std)
    n = a + b
    return 2.0 * jnp.sqrt(a / n * (b / n) / (n + 1.0))


def squash(action: Array) -> Array:
    """From logit(y) to 2 y - 1."""
    return jnp.tanh(0.5 * action)


def shifted(mean: Array, log_std: Array, amount: Array) -> Array:
    """The output `mean` of the distribution whose mean in [-1, 1] lies further by `amount`.

    a + b stays as it is, and the mode is kept within `MOST_EXTREME_MODE` of 0, so that both a and b
    stay above 1: the mean ends up within MOST_EXTREME_MODE * k / (k + 2). Where that stops the
    shift, the gradient of `mean` only leads back (`bounded`). No shift returns `mean` bit for bit.
    """
    spread = jnp.exp(2.0 * bounded(log_std, LOG_STD_MIN, LOG_STD_MAX))
    mode = squash(mean) + amount * (1.0 + 2.0 * spread)  # the mean is mode * k / (k + 2)
    moved = 2.0 * jnp.arctanh(bounded(mode, -MOST_EXTREME_MODE, MOST_EXTREME_MODE))
    return jnp.where(amount == 0.0, mean, moved)


def _shape_parameters(mean: Array, log_std: Array) -> tuple[Array, Array]:
    """The parameters a and b, [..., A]."""
    k = jnp.exp(-2.0 * bounded(log_std, LOG_STD_MIN, LOG_STD_MAX))
    return 1.0 + k * jax.nn.sigmoid(mean), 1.0 + k * jax.nn.sigmoid(-mean)


def _log_scale(a: Array, b: Array) -> Array:
    """The logarithm of the part of the density that does not depend on y."""
    n = a + b
    scale = 0.5 * (jnp.log(a / n) + jnp.log(b) - math.log(2.0 * math.pi))
    return scale + _stirling(n) - _stirling(a) - _stirling(b)


def _log_excess(log_ratio: Array, excess: Array) -> Array:
    """log(1 + x) - x, given both log(1 + x) and x; a series where x is small."""
    x = jnp.clip(excess, -_SMALL, _SMALL)
    series = 1.0 / 8.0 - x / 9.0
    for order in range(7, 1, -1):
        series = 1.0 / order - x * series
    return jnp.where(jnp.abs(excess) < _SMALL, -x * x * series, log_ratio - excess)


def _stirling(z: Array) -> Array:
    """c(z) = log Gamma(z) - ((z - 1/2) log z - z + log(2 pi) / 2), for z >= 1."""
    low, high = jnp.minimum(z, _LARGE), jnp.maximum(z, _LARGE)
    direct = gammaln(low) - (low - 0.5) * jnp.log(low) + low - 0.5 * math.log(2.0 * math.pi)
    square = 1.0 / (high * high)
    series = (1.0 / 12.0 - square * (1.0 / 360.0 - square / 1260.0)) / high
    return jnp.where(z < _LARGE, direct, series)


def _log_bias(z: Array) -> Array:
    """How far log z lies above the mean of a log Gamma variable, digamma(z); for z >= 1."""
    low, high = jnp.minimum(z, _LARGE), jnp.maximum(z, _LARGE)
    square = 1.0 / (high * high)
    series = 0.5 / high + square * (1.0 / 12.0 - square * (1.0 / 120.0 - square / 252.0))
    return jnp.where(z < _LARGE, jnp.log(low) - digamma(low), series)


BETA = Distribution(
    noise=noise,
    sample=sample,
    mode=lambda mean, log_std: mean,  # `mean` is the logit of the mode
    std=std,
    shifted=shifted,
    log_prob=log_prob,
    entropy=entropy,
    kl_divergence=kl_divergence,
    squash=squash,
    bounded=True,
)
