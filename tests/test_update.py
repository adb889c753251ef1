"""The update on made-up batches: perturbation, early stop, adaptive rate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import rpojax
from rpojax import gaussian
from rpojax.networks import make_network
from rpojax.optimizer import make_optimizer
from rpojax.types import Batch
from rpojax.update import Learner, rpo_loss, update

SIZE = 512


def setup(**changes):
    cfg = rpojax.Config(
        num_envs=SIZE // 8,
        num_steps=8,
        num_minibatches=changes.pop("num_minibatches", 8),
        update_epochs=changes.pop("update_epochs", 2),
        network=rpojax.NetworkConfig(hidden_sizes=(8,)),
        **changes,
    )
    network = make_network(cfg.network, rpojax.envs.make("Pendulum-v1"))
    params = network.init(jax.random.key(0))
    optimizer = make_optimizer(cfg)
    learner = Learner(
        params, optimizer.init(ravel_pytree(params)[0]), jnp.float32(cfg.learning_rate)
    )
    return cfg, network, optimizer, learner


def made_up_batch(network, params, seed=1, same=False):
    keys = jax.random.split(jax.random.key(seed), 4)
    obs = jax.random.normal(keys[0], (SIZE, 3))
    noise = jax.random.normal(keys[1], (SIZE, 1))
    advantage = jax.random.normal(keys[2], (SIZE,))
    target = jax.random.normal(keys[3], (SIZE,))
    if same:  # one sample, many times over
        obs, noise, advantage, target = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape), (obs, noise, advantage, target)
        )
    mean, log_std, value = network.apply(params, obs)[0]
    action = gaussian.sample(mean, log_std, noise)
    log_prob = gaussian.log_prob(action, mean, log_std)
    return Batch(obs, action, log_prob, mean, log_std, advantage, value, target)


def run(cfg, network, optimizer, learner, batch, key=0, **changes):
    hyperparams = cfg.hyperparams().replace(**changes)
    step = jax.jit(
        lambda learner, batch, hyperparams, keys: update(
            cfg, network, optimizer, learner, batch, hyperparams, keys
        )
    )
    keys = jax.random.split(jax.random.key(key), (2, cfg.update_epochs))
    return step(learner, batch, hyperparams, keys)


def test_perturbation_is_fresh_in_every_minibatch():
    """One sample in 512 minibatches of one, at rest: only the perturbation can vary.

    The mean of the KL estimator over minibatches must then be its expectation over U(-a, a). A
    perturbation frozen at trace time, or within an epoch, gives one draw of it instead.
    """
    alpha = 1.0
    cfg, network, optimizer, learner = setup(
        num_minibatches=SIZE, update_epochs=8, advantage_normalization="none"
    )
    learner = learner._replace(learning_rate=jnp.float32(0.0))
    batch = made_up_batch(network, learner.params, same=True)
    means = [
        float(run(cfg, network, optimizer, learner, batch, key, alpha=alpha)[1].kl_perturbed)
        for key in (1, 2)
    ]
    shift = np.random.default_rng(0).uniform(-alpha, alpha, 1_000_000)
    standardized = float((batch.action - batch.mean)[0, 0] / np.exp(batch.log_std[0, 0]))
    log_ratio = 0.5 * standardized**2 - 0.5 * (standardized - shift) ** 2  # sigma is 1
    estimator = np.exp(log_ratio) - 1.0 - log_ratio
    error = estimator.std() / np.sqrt(8 * SIZE)
    assert means[0] != means[1]
    np.testing.assert_allclose(means, estimator.mean(), atol=5.0 * error)
    assert error < 0.05 * estimator.std()


def test_ratio_is_one_before_the_first_step_without_perturbation():
    cfg, network, _, learner = setup()
    batch = made_up_batch(network, learner.params)
    hyperparams = cfg.hyperparams().replace(alpha=0.0)
    noise = gaussian.perturbation_noise(jax.random.key(3), batch.action.shape)
    _, metrics = rpo_loss(cfg, network, learner.params, batch, noise, hyperparams)
    assert float(metrics.kl_perturbed) == 0.0
    assert float(metrics.kl) == 0.0


def test_perturbation_inflates_only_the_perturbed_kl():
    """By about alpha^2 / 6 for each action dimension at sigma 1."""
    cfg, network, optimizer, learner = setup(num_minibatches=1, update_epochs=1)
    batch = made_up_batch(network, learner.params)
    _, metrics = run(cfg, network, optimizer, learner, batch, alpha=0.5)
    assert float(metrics.kl) == 0.0
    assert 0.5 * 0.25 / 6 < float(metrics.kl_perturbed) < 3 * 0.25 / 6


def test_update_stops_when_and_only_when_the_kl_passes_the_threshold():
    cfg, network, optimizer, learner = setup(learning_rate=1e-2)
    batch = made_up_batch(network, learner.params)
    free, free_metrics = run(cfg, network, optimizer, learner, batch)
    assert int(free.opt_state.count) == 16
    largest = float(free_metrics.kl) * 16  # no minibatch can have more than the sum of all
    never, never_metrics = run(cfg, network, optimizer, learner, batch, kl_threshold=largest)
    np.testing.assert_array_equal(ravel_pytree(never.params)[0], ravel_pytree(free.params)[0])
    np.testing.assert_array_equal(never_metrics.kl, free_metrics.kl)

    stopped, stopped_metrics = run(cfg, network, optimizer, learner, batch, kl_threshold=1e-9)
    steps = int(stopped.opt_state.count)
    assert steps == 1  # the first minibatch has KL 0, the second passes any threshold
    assert 0.0 < float(stopped_metrics.kl) < float(free_metrics.kl)


def test_perturbation_alone_never_stops_the_update():
    cfg, network, optimizer, learner = setup(learning_rate=1e-6)
    batch = made_up_batch(network, learner.params)
    after, metrics = run(cfg, network, optimizer, learner, batch, alpha=2.0, kl_threshold=0.01)
    assert float(metrics.kl_perturbed) > 0.1
    assert int(after.opt_state.count) == 16


@pytest.mark.parametrize(("kl_target", "direction"), [(1e3, 1), (1e-9, -1)])
def test_adaptive_rate_moves_once_an_epoch(kl_target, direction):
    cfg, network, optimizer, learner = setup(
        lr_schedule="kl_adaptive", learning_rate=1e-3, update_epochs=3
    )
    batch = made_up_batch(network, learner.params)
    after, _ = run(cfg, network, optimizer, learner, batch, kl_target=kl_target)
    expected = 1e-3 * 1.5 ** (3 * direction)
    np.testing.assert_allclose(after.learning_rate, expected, rtol=1e-5)
