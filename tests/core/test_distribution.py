"""The Gaussian policy against scipy."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rpojax.core import distribution

SHAPE = (7, 5, 3)  # [T, B, A]


def draw_gaussian(seed, shape=SHAPE):
    rng = np.random.default_rng(seed)
    mean = rng.normal(0.0, 2.0, shape).astype(np.float32)
    log_std = rng.uniform(-2.0, 1.0, shape).astype(np.float32)
    return mean, log_std


def test_log_prob_matches_scipy():
    mean, log_std = draw_gaussian(0)
    action = draw_gaussian(1)[0]
    expected = np.zeros(SHAPE[:-1])
    for index in np.ndindex(SHAPE):
        scale = math.exp(float(log_std[index]))
        expected[index[:-1]] += stats.norm.logpdf(float(action[index]), float(mean[index]), scale)
    got = distribution.log_prob(jnp.asarray(action), jnp.asarray(mean), jnp.asarray(log_std))
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)


def test_log_prob_of_a_vector_equals_the_multivariate_density():
    mean, log_std = draw_gaussian(2, (4,))
    action = np.array([0.3, -1.0, 2.0, 0.0], np.float32)
    covariance = np.diag(np.exp(2.0 * log_std.astype(np.float64)))
    expected = stats.multivariate_normal.logpdf(action, mean, covariance)
    got = distribution.log_prob(jnp.asarray(action), jnp.asarray(mean), jnp.asarray(log_std))
    assert got.shape == ()
    np.testing.assert_allclose(got, expected, rtol=2e-5)


def test_entropy_matches_scipy():
    log_std = draw_gaussian(3)[1]
    expected = np.zeros(SHAPE[:-1])
    for index in np.ndindex(SHAPE):
        expected[index[:-1]] += stats.norm.entropy(scale=math.exp(float(log_std[index])))
    np.testing.assert_allclose(distribution.entropy(jnp.asarray(log_std)), expected, rtol=1e-5)


def test_kl_matches_the_integral_for_each_dimension():
    mean_p, log_std_p = draw_gaussian(4, (6, 2))
    mean_q, log_std_q = draw_gaussian(5, (6, 2))
    expected = np.zeros(6)
    for n, a in np.ndindex(6, 2):
        p = stats.norm(float(mean_p[n, a]), math.exp(float(log_std_p[n, a])))
        q = stats.norm(float(mean_q[n, a]), math.exp(float(log_std_q[n, a])))
        grid = np.linspace(p.mean() - 12 * p.std(), p.mean() + 12 * p.std(), 20_001)
        integrand = p.pdf(grid) * (p.logpdf(grid) - q.logpdf(grid))
        expected[n] += np.trapezoid(integrand, grid)
    got = distribution.kl_divergence(
        *(jnp.asarray(x) for x in (mean_p, log_std_p, mean_q, log_std_q))
    )
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-5)


def test_kl_is_in_the_stated_direction():
    zero, one = jnp.zeros(1), jnp.ones(1)
    # log 2 + (1 + 0) / (2 * 4) - 1/2 for sigma_q = 2, sigma_p = 1
    forward = distribution.kl_divergence(zero, zero, zero, one * math.log(2.0))
    backward = distribution.kl_divergence(zero, one * math.log(2.0), zero, zero)
    np.testing.assert_allclose(forward, math.log(2.0) + 0.125 - 0.5, rtol=1e-6)
    np.testing.assert_allclose(backward, -math.log(2.0) + 2.0 - 0.5, rtol=1e-6)


def test_kl_of_equal_gaussians_is_exactly_zero():
    mean, log_std = (jnp.asarray(x) for x in draw_gaussian(7))
    np.testing.assert_array_equal(distribution.kl_divergence(mean, log_std, mean, log_std), 0.0)


def test_sample_is_mean_plus_std_times_noise():
    got = distribution.sample(
        jnp.array([1.0, 2.0]), jnp.log(jnp.array([0.5, 3.0])), jnp.array([2.0, -1.0])
    )
    np.testing.assert_allclose(got, [2.0, -1.0], rtol=1e-6)


@pytest.mark.parametrize("function", [distribution.log_prob, distribution.sample])
def test_shapes_that_would_broadcast_are_refused(function):
    with pytest.raises(AssertionError):
        function(jnp.zeros((4, 2)), jnp.zeros((1, 2)), jnp.zeros((4, 2)))
