"""The squashed Gaussian policy against numerical integration, and against Brax's own numbers."""

import functools
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import rpojax
from rpojax.core import distribution
from rpojax.core.acting import Perturbation, act
from rpojax.core.distribution import TANH_GAUSSIAN
from rpojax.core.keys import update_keys
from rpojax.core.model import DISTRIBUTIONS, make_model
from rpojax.core.train import collect_batch, init_agent, make_parts
from rpojax.core.update import rpo_loss
from rpojax.settings.network_config import PolicyDistribution

# Of brax 0.14.2, training/distribution.py, NormalTanhDistribution(3): the parameters are means and
# what softplus makes stds of. The entropy is the mean of 400 000 of its one-sample estimates, with
# its standard error.
BRAX_MEAN = np.array([[0.19, -0.2, 0.96], [1.96, 1.42, -1.06]], np.float32)
BRAX_RAW_STD = np.array([[0.16, -0.8, 0.54], [-1.9, -0.93, 0.06]], np.float32)
BRAX_STD = [[0.77734369, 0.37210062, 1.00016272], [0.14038676, 0.33357444, 0.72459716]]
BRAX_ACTION = np.array([[0.3, -1.2, 2.5], [-4.0, 0.01, 9.0]], np.float32)
BRAX_LOG_PROB = [-1.41992593, -982.632874]
BRAX_MODE = [[0.187746197, -0.197375283, 0.744276881], [0.96108979, 0.889598906, -0.785663843]]
BRAX_ENTROPY, BRAX_ENTROPY_ERROR = [1.0496190, -4.4807139], [0.0022622, 0.0018953]
BRAX_NETWORK = rpojax.NetworkConfig(
    hidden_sizes=(),
    distribution="tanh_gaussian",
    state_dependent_log_std=True,
    std_parameterization="softplus",
    log_std_min=float(np.log(0.001)),
)


def arrays(*values):
    return [jnp.asarray(value, jnp.float32) for value in values]


def entropy_by_integration(mean, std):
    """Of tanh(N(mean, std^2)), in float64: E[log of the slope of tanh - log density]."""
    action = mean + std * np.linspace(-12.0, 12.0, 200_001)
    log_slope = 2.0 * (np.log(2.0) - np.abs(action) - np.log1p(np.exp(-2.0 * np.abs(action))))
    gaussian = stats.norm(mean, std)
    return np.trapezoid(gaussian.pdf(action) * (log_slope - gaussian.logpdf(action)), action)


def test_each_named_distribution_is_there():
    assert set(DISTRIBUTIONS) == set(get_args(PolicyDistribution))
    assert DISTRIBUTIONS["gaussian"].log_prob is distribution.log_prob


def test_squashed_std_log_prob_mode_and_entropy_are_those_of_brax():
    env = rpojax.envs.make("Pendulum-v1")
    network = rpojax.networks.make_network(BRAX_NETWORK, env)
    raw, mean = BRAX_RAW_STD.ravel(), BRAX_MEAN.ravel()
    obs = np.stack([np.ones_like(raw), mean, raw], axis=-1)
    pick = {"bias": jnp.zeros(1), "kernel": jnp.zeros((3, 1))}
    params = {
        "mean": pick | {"kernel": jnp.array([[0.0], [1.0], [0.0]])},
        "log_std": pick | {"kernel": jnp.array([[0.0], [0.0], [1.0]])},
        "value": pick,
    }
    outputs = network.apply(params, jnp.asarray(obs))[0]
    mean, log_std = (leaf.reshape(2, 3) for leaf in (outputs.mean, outputs.log_std))
    np.testing.assert_allclose(np.exp(log_std), BRAX_STD, rtol=1e-5)
    log_prob = TANH_GAUSSIAN.log_prob(jnp.asarray(BRAX_ACTION), mean, log_std)
    np.testing.assert_allclose(log_prob, BRAX_LOG_PROB, rtol=1e-5)
    np.testing.assert_allclose(TANH_GAUSSIAN.squash(mean), BRAX_MODE, rtol=1e-5)
    difference = np.abs(TANH_GAUSSIAN.entropy(mean, log_std) - np.array(BRAX_ENTROPY))
    assert (difference < 4.0 * np.array(BRAX_ENTROPY_ERROR)).all()


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.5), (1.2, 0.3), (-0.8, 1.0)])
def test_squashed_log_prob_is_a_density_of_what_the_environment_gets(mean, std):
    action = np.linspace(mean - 8.0 * std, mean + 8.0 * std, 4001, dtype=np.float32)
    each = np.ones((4001, 1))
    log_prob = TANH_GAUSSIAN.log_prob(*arrays(action[:, None], mean * each, np.log(std) * each))
    point = np.tanh(action.astype(np.float64))
    np.testing.assert_allclose(np.trapezoid(np.exp(log_prob), point), 1.0, atol=1e-3)


def test_squashed_log_prob_stays_finite_where_tanh_is_1():
    action, mean, log_std = arrays([[40.0]], [[40.0]], [[0.0]])
    assert np.tanh(np.float32(40.0)) == 1.0
    value, gradient = jax.value_and_grad(lambda x: TANH_GAUSSIAN.log_prob(x, mean, log_std)[0])(
        action
    )
    # log(1 - tanh(x)^2) -> 2 log 2 - 2 x
    expected = stats.norm.logpdf(0.0) - (2.0 * np.log(2.0) - 80.0)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, 2.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("std", "tolerance"),
    [(0.05, 1e-5), (0.3, 1e-5), (1.0, 2e-4), (1.01, 2e-4), (2.0, 2e-4), (5.0, 2e-4), (7.4, 2e-4)],
)
def test_squashed_entropy_matches_the_integral(std, tolerance):
    means = np.array([-3.0, -1.0, 0.0, 0.4, 2.0])
    got = TANH_GAUSSIAN.entropy(*arrays(means[:, None], np.full((5, 1), np.log(std))))
    expected = [entropy_by_integration(mean, std) for mean in means]
    np.testing.assert_allclose(got, expected, atol=tolerance)
    by_std = jax.grad(lambda log_std: TANH_GAUSSIAN.entropy(jnp.zeros(1), log_std[None]))
    slope = [entropy_by_integration(0.0, std * np.exp(step)) for step in (1e-3, -1e-3)]
    gradient = by_std(jnp.float32(np.log(std)))
    np.testing.assert_allclose(gradient, (slope[0] - slope[1]) / 2e-3, rtol=5e-3, atol=1e-3)
    both = TANH_GAUSSIAN.entropy(*arrays(means[:2], np.full(2, np.log(std))))
    np.testing.assert_allclose(both, got[0] + got[1], rtol=1e-5)


def test_squashed_entropy_falls_towards_a_bound_and_so_says_its_gradient():
    mean, log_std, step = 0.7, -0.5, 1e-3
    gradient = jax.grad(
        lambda mean, log_std: TANH_GAUSSIAN.entropy(mean[None], log_std[None]), (0, 1)
    )(*arrays(mean, log_std))
    std = np.exp(log_std)
    by_mean = entropy_by_integration(mean + step, std) - entropy_by_integration(mean - step, std)
    by_log_std = entropy_by_integration(mean, std * np.exp(step)) - entropy_by_integration(
        mean, std * np.exp(-step)
    )
    np.testing.assert_allclose(
        gradient, [by_mean / (2.0 * step), by_log_std / (2.0 * step)], rtol=1e-3
    )
    assert gradient[0] < 0.0


def test_squash_leaves_the_kl_as_it_is():
    p, q = (0.5, 0.4), (0.1, 0.6)
    action = np.linspace(-5.0, 6.0, 100_001)
    point = np.tanh(action)
    density_p, density_q = (stats.norm.pdf(action, *each) / (1.0 - point**2) for each in (p, q))
    expected = np.trapezoid(density_p * np.log(density_p / density_q), point)
    got = TANH_GAUSSIAN.kl_divergence(*arrays([p[0]], [np.log(p[1])], [q[0]], [np.log(q[1])]))
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def small_config(**changes):
    return rpojax.Config(
        num_envs=4,
        num_steps=16,
        num_minibatches=2,
        action_transform="rescale",
        network=rpojax.NetworkConfig(hidden_sizes=(8,), **changes),
    )


@pytest.fixture(scope="module")
def squashed():
    model = make_model(small_config(distribution="tanh_gaussian"))
    init = functools.partial(init_agent, make_parts(model))
    return model, jax.jit(init)(jax.random.key(0), model.cfg.hyperparams(), {})


def test_perturbation_moves_the_mean_before_the_squash(squashed):
    model, state = squashed
    obs = jnp.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]])
    noise, shift = jnp.array([[0.3], [-4.0]]), jnp.array([[0.5], [-0.25]])
    plain = act(model, state, obs, (), None)
    acted = act(model, state, obs, (), None, noise, Perturbation(jnp.float32(0.4), shift))
    np.testing.assert_allclose(acted.centre, plain.outputs.mean + 0.4 * shift, rtol=1e-6)
    np.testing.assert_allclose(acted.action, acted.centre + noise, rtol=1e-6)  # std 1
    np.testing.assert_allclose(acted.env_action, 2.0 * np.tanh(acted.action), rtol=1e-5)
    np.testing.assert_allclose(plain.env_action, 2.0 * np.tanh(plain.outputs.mean), rtol=1e-5)


@pytest.mark.slow
def test_squashed_actions_are_stored_as_they_were_before_and_replayed_with_ratio_1(squashed):
    model, state = squashed
    hyperparams = model.cfg.hyperparams().replace(alpha=jnp.float32(0.0))
    state = state.replace(params=jax.tree.map(lambda leaf: leaf + 0.3, state.params))
    keys = update_keys(model.cfg, state.key)
    collect = jax.jit(functools.partial(collect_batch, model))
    collected = collect(state, hyperparams, {}, keys)
    batch = collected.batch
    assert float(jnp.abs(batch.action).max()) > 1.0
    expected = distribution.log_prob(batch.action, batch.mean, batch.log_std) - np.sum(
        np.log(1.0 - np.tanh(np.asarray(batch.action, np.float64)) ** 2), axis=-1
    )
    np.testing.assert_allclose(batch.log_prob, expected, atol=1e-3)
    state = state.replace(obs_stats=collected.state.obs_stats)
    replayed = collect(state, hyperparams, {}, keys).batch
    noise = jnp.zeros_like(batch.action)
    _, metrics = rpo_loss(model.cfg, model.network, state.params, replayed, noise, hyperparams)
    np.testing.assert_allclose(metrics.kl_perturbed, 0.0, atol=1e-6)
    assert metrics.clip_fraction == 0.0
    entropy = TANH_GAUSSIAN.entropy(replayed.mean, replayed.log_std)
    np.testing.assert_allclose(metrics.entropy, entropy.mean(), rtol=1e-4)
