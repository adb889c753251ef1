"""The Gaussian policy against scipy, and the perturbation as the package draws it."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rpojax import Config, NetworkConfig, envs, make_trainer
from rpojax.core import distribution
from rpojax.core.rollout import collect
from rpojax.networks import make_network

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


def test_entropy_of_a_standard_normal_is_half_log_2_pi_e_for_each_dimension():
    np.testing.assert_allclose(
        distribution.entropy(jnp.zeros(3)), 3 * 1.4189385332046727, rtol=1e-6
    )


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


def test_kl_matches_monte_carlo():
    rng = np.random.default_rng(6)
    mean_p, log_std_p = np.array([0.5, -1.0]), np.array([-0.3, 0.2])
    mean_q, log_std_q = np.array([0.0, -0.4]), np.array([0.1, -0.1])
    samples = mean_p + np.exp(log_std_p) * rng.normal(size=(200_000, 2))
    log_p = stats.norm.logpdf(samples, mean_p, np.exp(log_std_p)).sum(-1)
    log_q = stats.norm.logpdf(samples, mean_q, np.exp(log_std_q)).sum(-1)
    standard_error = np.std(log_p - log_q) / math.sqrt(len(samples))
    got = distribution.kl_divergence(
        *(jnp.asarray(x, jnp.float32) for x in (mean_p, log_std_p, mean_q, log_std_q))
    )
    assert abs(float(got) - np.mean(log_p - log_q)) < 5 * standard_error
    assert standard_error < 0.01 * float(got)  # else the line above says nothing


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


def test_perturbation_with_alpha_zero_returns_the_mean_bit_for_bit():
    rng = np.random.default_rng(8)
    magnitudes = 10.0 ** rng.uniform(-37, 37, (4096, 2))
    mean = (magnitudes * rng.choice([-1, 1], magnitudes.shape)).astype(np.float32)
    noise = distribution.perturbation_noise(jax.random.key(0), mean.shape)
    perturb = jax.jit(jax.vmap(distribution.perturb, (None, 0, None)))  # alpha traced
    unchanged, changed = perturb(jnp.asarray(mean), jnp.array([0.0, 0.5]), noise)
    np.testing.assert_array_equal(np.asarray(unchanged).view(np.int32), mean.view(np.int32))
    assert (np.asarray(changed) != mean).any()


def test_action_and_perturbation_noise_are_normal_and_uniform_and_independent():
    drawn = distribution.action_and_perturbation_noise(jax.random.key(4), (100_000,))
    normal, uniform = (np.asarray(noise, np.float64) for noise in drawn)
    assert stats.kstest(normal, "norm").pvalue > 1e-3
    assert stats.kstest(uniform, stats.uniform(-1, 2).cdf).pvalue > 1e-3
    for power in (1, 2):  # neither their values nor their sizes know of each other
        correlation = np.corrcoef(normal**power, uniform**power)[0, 1]
        assert abs(correlation) < 5 / math.sqrt(len(normal))


def test_perturbation_noise_is_uniform_on_minus_one_to_one():
    noise = np.asarray(distribution.perturbation_noise(jax.random.key(1), (50_000, 2))).ravel()
    assert noise.min() >= -1.0
    assert noise.max() <= 1.0
    assert stats.kstest(noise, stats.uniform(-1.0, 2.0).cdf).pvalue > 1e-6


def test_perturbation_reaches_alpha_on_both_sides():
    noise = distribution.perturbation_noise(jax.random.key(2), (20_000, 1))
    shift = np.asarray(distribution.perturb(jnp.zeros((20_000, 1)), jnp.float32(0.3), noise))
    assert 0.299 < shift.max() <= 0.3
    assert -0.3 <= shift.min() < -0.299


@pytest.fixture(scope="module")
def rollouts():
    """(action - mean, log_prob of the action) [T, B] with sigma = 0.8, by alpha."""
    cfg = Config(
        num_envs=256,
        num_steps=128,
        total_timesteps=256 * 128,
        network=NetworkConfig(hidden_sizes=(4,), log_std_init=math.log(SIGMA)),
    )
    state = make_trainer(cfg).init(jax.random.key(0))
    env = envs.make(cfg.env)
    network = make_network(cfg.network, env)

    @jax.jit
    def run(alpha):
        hyperparams = cfg.hyperparams().replace(alpha=alpha)
        env_keys = jax.random.split(jax.random.key(1), (cfg.num_steps, cfg.num_envs))
        _, transitions = collect(cfg, env, network, state, hyperparams, env_keys, jax.random.key(2))
        offset = transitions.action - transitions.mean
        return offset[..., 0], transitions.log_prob

    return {alpha: tuple(np.asarray(x, np.float64) for x in run(alpha)) for alpha in (0.0, ALPHA)}


SIGMA, ALPHA = 0.8, 1.0


@pytest.mark.parametrize("alpha", [0.0, ALPHA])
def test_actions_vary_by_the_sum_of_both_variances(rollouts, alpha):
    """With one key for both, the covariance would add about 0.9 at these values."""
    offset = rollouts[alpha][0].ravel()
    expected = SIGMA**2 + alpha**2 / 3
    standard_error = np.std(offset**2) / math.sqrt(offset.size)
    assert abs(np.mean(offset**2) - expected) < 5 * standard_error
    assert abs(np.mean(offset)) < 5 * math.sqrt(expected / offset.size)


def test_perturbation_is_independent_of_the_noise(rollouts):
    """Both are recovered from the action and its log_prob, taken under the shifted mean."""
    offset, log_prob = (x.ravel() for x in rollouts[ALPHA])
    squared = -2.0 * (log_prob + math.log(SIGMA) + 0.5 * math.log(2.0 * math.pi))
    distance = SIGMA * np.sqrt(np.maximum(squared, 0.0))
    # Where the noise is larger than alpha, one of its two signs puts the shift out of bounds.
    clear = distance > ALPHA * 1.001
    offset, distance = offset[clear], distance[clear]
    noise = np.where(np.abs(offset - distance) <= ALPHA * 1.001, distance, -distance)
    shift = offset - noise
    n = len(shift)
    assert n > 5_000
    assert np.abs(shift).max() < ALPHA * 1.002
    assert abs(np.var(shift) - ALPHA**2 / 3) < 5 * np.std(shift**2) / math.sqrt(n)
    assert abs(np.corrcoef(shift, noise)[0, 1]) < 5 / math.sqrt(n)
    assert abs(np.corrcoef(np.abs(shift), np.abs(noise))[0, 1]) < 5 / math.sqrt(n)


def test_draws_differ_from_step_to_step_and_between_environments(rollouts):
    offset = rollouts[ALPHA][0]
    steps = np.corrcoef(offset[1:].ravel(), offset[:-1].ravel())[0, 1]
    environments = np.corrcoef(offset[:, 1:].ravel(), offset[:, :-1].ravel())[0, 1]
    bound = 5 / math.sqrt(offset.size)
    assert abs(steps) < bound
    assert abs(environments) < bound
