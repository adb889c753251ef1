"""The Beta policy against scipy and integrals in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import rpojax
from rpojax.core import beta
from rpojax.core.beta import BETA
from rpojax.core.keys import update_keys
from rpojax.core.model import make_model
from rpojax.core.train import collect_batch, init_agent, make_parts
from rpojax.core.update import rpo_loss

LOG_STDS = [-7.0, -5.0, -3.0, -1.0, 0.0, 2.0]


def drawn(seed, log_std, count=500):
    """Outputs of a network, [count, 1], and a and b of the Beta distribution in float64."""
    mean = np.random.default_rng(seed).normal(0.0, 3.0, (count, 1)).astype(np.float32)
    k = np.exp(-2.0 * log_std)
    mode = special.expit(mean.astype(np.float64))
    log_std = np.full((count, 1), log_std, np.float32)
    return (jnp.asarray(mean), jnp.asarray(log_std)), (1.0 + k * mode, 1.0 + k * (1.0 - mode))


def points(log_prob_of, low=-60.0, high=60.0, count=200_001):
    """Logits over (0, 1), the density of the action in [-1, 1] there, and the action."""
    logit = np.linspace(low, high, count)
    return logit, np.exp(log_prob_of(logit)), np.tanh(0.5 * logit)


@pytest.mark.parametrize("log_std", LOG_STDS)
def test_log_prob_entropy_and_moments_are_those_of_scipy(log_std):
    outputs, (a, b) = drawn(0, log_std)
    action = BETA.sample(*outputs, BETA.noise(jax.random.key(0), a.shape))
    logit = np.asarray(action, np.float64)
    expected = (
        (a - 1.0) * special.log_expit(logit)
        + (b - 1.0) * special.log_expit(-logit)
        - special.betaln(a, b)
        - np.log(2.0)
    )
    tolerance = 1e-5 if log_std > -2.0 else 1e-3
    np.testing.assert_allclose(BETA.log_prob(action, *outputs), expected[:, 0], atol=tolerance)
    of_scipy = stats.beta(a, b, loc=-1.0, scale=2.0)
    np.testing.assert_allclose(BETA.entropy(*outputs), of_scipy.entropy()[:, 0], atol=2e-5)
    np.testing.assert_allclose(BETA.std(*outputs), of_scipy.std(), rtol=1e-4)
    mode = BETA.squash(BETA.mode(*outputs))
    np.testing.assert_allclose(mode, 2.0 * (a - 1.0) / (a + b - 2.0) - 1.0, atol=1e-6)


@pytest.mark.parametrize("log_std", LOG_STDS)
def test_kl_is_the_closed_form_in_float64(log_std):
    p, (a, b) = drawn(1, log_std)
    change = np.exp(log_std) * np.random.default_rng(2).normal(0.0, 0.5, a.shape)
    q = p[0] + change.astype(np.float32), p[1]
    mode, k = special.expit(np.asarray(q[0], np.float64)), a + b - 2.0
    c, d = 1.0 + k * mode, 1.0 + k * (1.0 - mode)
    psi = special.digamma
    expected = special.betaln(c, d) - special.betaln(a, b) + (a - c) * psi(a) + (b - d) * psi(b)
    np.testing.assert_allclose(BETA.kl_divergence(*p, *q), expected[:, 0], rtol=1e-2, atol=1e-5)
    np.testing.assert_array_equal(BETA.kl_divergence(*p, *p), 0.0)


def test_entropy_and_kl_are_integrals_of_the_density_and_sum_over_dimensions():
    p, q = (jnp.array([0.6, -1.5]), jnp.array([-0.4, 0.3])), (jnp.array([0.2, -1.0]), jnp.zeros(2))
    entropies, divergences = [], []
    for i in range(2):
        ours, theirs = (
            lambda logit, values=tuple(output[i] for output in outputs): BETA.log_prob(
                jnp.asarray(logit[:, None], jnp.float32),
                *(jnp.full((len(logit), 1), value) for value in values),
            )
            for outputs in (p, q)
        )
        logit, density, action = points(ours)
        np.testing.assert_allclose(np.trapezoid(density, action), 1.0, atol=1e-4)
        entropies.append(np.trapezoid(-density * ours(logit), action))
        divergences.append(np.trapezoid(density * (ours(logit) - theirs(logit)), action))
    np.testing.assert_allclose(BETA.entropy(*p), sum(entropies), atol=1e-4)
    np.testing.assert_allclose(BETA.kl_divergence(*p, *q), sum(divergences), atol=1e-4)


def test_samples_have_the_distribution_and_follow_their_keys():
    outputs = jnp.full((20_000, 2), 0.8), jnp.broadcast_to(jnp.array([-1.5, 0.5]), (20_000, 2))
    noise = BETA.noise(jax.random.key(3), (20_000, 2))
    assert noise.shape == (20_000,)
    action = BETA.sample(*outputs, noise)
    np.testing.assert_array_equal(action, BETA.sample(*outputs, noise))
    for i, log_std in enumerate((-1.5, 0.5)):
        k, mode = np.exp(-2.0 * log_std), special.expit(0.8)
        of_scipy = stats.beta(1.0 + k * mode, 1.0 + k * (1.0 - mode), loc=-1.0, scale=2.0)
        values = np.asarray(BETA.squash(action[:, i]))
        assert stats.kstest(values, of_scipy.cdf).pvalue > 1e-4
        np.testing.assert_allclose(values.std(), of_scipy.std(), rtol=0.02)
    assert abs(np.corrcoef(action.T)[0, 1]) < 0.03


def test_everything_is_finite_at_the_edges_and_so_are_gradients():
    mean, log_std, action = (
        leaf.reshape(-1, 1)
        for leaf in jnp.meshgrid(
            jnp.array([-90.0, -5.0, 0.0, 90.0]),
            jnp.array([-20.0, -7.0, 0.0, 20.0]),
            jnp.array([-90.0, -1.0, 0.0, 90.0]),
        )
    )

    def total(mean, log_std):
        moved = BETA.shifted(mean, log_std, 0.3 * jnp.ones_like(mean))
        return sum(
            jnp.sum(value)
            for value in (
                BETA.log_prob(action, moved, log_std),
                BETA.entropy(mean, log_std),
                BETA.kl_divergence(jnp.zeros_like(mean), log_std, mean, log_std),
                BETA.std(mean, log_std),
            )
        )

    value, gradients = jax.value_and_grad(total, (0, 1))(mean, log_std)
    assert np.isfinite(value)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("log_std", [-3.0, -1.0, 0.0])
def test_perturbation_moves_the_mean_and_is_clipped_inside_the_support(log_std):
    outputs, (a, b) = drawn(4, log_std)
    amount = jnp.asarray(np.random.default_rng(5).uniform(-0.5, 0.5, a.shape), jnp.float32)
    moved = BETA.shifted(*outputs, amount)
    mode, k = np.tanh(0.5 * np.asarray(moved, np.float64)), a + b - 2.0
    reach = beta.MOST_EXTREME_MODE * k / (k + 2.0)
    wanted = 2.0 * a / (a + b) - 1.0 + amount
    np.testing.assert_allclose(mode * k / (k + 2.0), np.clip(wanted, -reach, reach), atol=1e-4)
    clipped = np.abs(wanted) > reach
    assert clipped.any()
    assert not clipped.all()
    # Where it is clipped, only a gradient that leads back is left.
    gradient = jax.grad(lambda mean: jnp.sum(BETA.shifted(mean, outputs[1], amount)))(outputs[0])
    np.testing.assert_array_equal(gradient[np.asarray(wanted) < -reach], 0.0)
    assert (gradient[np.asarray(wanted) > reach] > 0.0).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{}, {"cell": "gru", "cell_sizes": (8,), "state_dependent_log_std": True}]
)
def test_a_replayed_batch_has_ratio_1_and_metrics_are_those_of_the_distribution(changes):
    network = rpojax.NetworkConfig(hidden_sizes=(8,), distribution="beta", **changes)
    cfg = rpojax.Config(num_envs=4, num_steps=8, num_minibatches=1, network=network, alpha=0.0)
    model = make_model(cfg.replace(action_transform="rescale", normalize_observations=False))
    parts, hyperparams = make_parts(model), cfg.hyperparams()

    @jax.jit
    def run(key):
        state = init_agent(parts, key, hyperparams, {})
        batch = collect_batch(model, state, hyperparams, {}, update_keys(cfg, key)).batch
        noise = jnp.ones_like(batch.action)
        return batch, rpo_loss(model.cfg, model.network, state.params, batch, noise, hyperparams)[1]

    batch, metrics = run(jax.random.key(0))
    np.testing.assert_allclose(metrics.kl_perturbed, 0.0, atol=1e-6)
    assert metrics.clip_fraction == 0.0
    entropy = BETA.entropy(batch.mean, batch.log_std)
    np.testing.assert_allclose(metrics.entropy, entropy.mean(), rtol=1e-4)
    log_prob = BETA.log_prob(batch.action, batch.mean, batch.log_std)
    np.testing.assert_allclose(batch.log_prob, log_prob, atol=1e-4)


@pytest.mark.slow
def test_training_reports_the_std_of_its_actions_and_learns_from_them():
    network = rpojax.NetworkConfig(hidden_sizes=(8,), distribution="beta")
    cfg = rpojax.Config(
        num_envs=4,
        num_steps=8,
        num_minibatches=2,
        total_timesteps=64,
        action_transform="rescale",
        network=network,
    )
    result = jax.jit(rpojax.make_train(cfg))(jax.random.key(0))
    # k = 1 at log_std = 0, so that a + b = 3
    np.testing.assert_allclose(result.metrics.action_std[0], 0.5, rtol=1e-2)
    assert result.finite
    assert result.metrics.grad_norm[1] > 0.0
