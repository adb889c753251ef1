"""The update on made-up batches: perturbation, early stop, adaptive rate."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import rpojax
from rpojax import envs
from rpojax.core import distribution
from rpojax.core.keys import update_keys
from rpojax.core.optimizer import (
    MIN_LEARNING_RATE,
    Learner,
    adapt_learning_rate,
    clip_by_global_norm,
    make_optimizer,
)
from rpojax.core.perturbation import perturbation_noise
from rpojax.core.update import rpo_loss, update
from rpojax.networks import make_network
from rpojax.ops.shuffle import shuffled_minibatches
from rpojax.types import Batch

SIZE = 512


@functools.cache  # and with it what is compiled
def setup(num_minibatches=8, update_epochs=2, **changes):
    cfg = rpojax.Config(
        num_envs=SIZE // 8,
        num_steps=8,
        num_minibatches=num_minibatches,
        update_epochs=update_epochs,
        network=rpojax.NetworkConfig(hidden_sizes=(8,)),
        **changes,
    )
    network, optimizer = make_network(cfg.network, envs.make("Pendulum-v1")), make_optimizer(cfg)
    params = network.init(jax.random.key(0))
    learner = Learner(params, optimizer.init(params), jnp.float32(cfg.learning_rate))
    step = jax.jit(functools.partial(update, cfg, network, optimizer))
    return SimpleNamespace(
        cfg=cfg, network=network, optimizer=optimizer, learner=learner, step=step
    )


def made_up_batch(made, seed=1, same=False):
    keys = jax.random.split(jax.random.key(seed), 4)
    obs = jax.random.normal(keys[0], (SIZE, 3))
    noise = jax.random.normal(keys[1], (SIZE, 1))
    advantage = jax.random.normal(keys[2], (SIZE,))
    target = jax.random.normal(keys[3], (SIZE,))
    if same:  # one sample, many times over
        obs, noise, advantage, target = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape), (obs, noise, advantage, target)
        )
    mean, log_std, value = made.network.apply(made.learner.params, obs)[0]
    action = distribution.sample(mean, log_std, noise)
    log_prob = distribution.log_prob(action, mean, log_std)
    return Batch(obs, action, log_prob, mean, log_std, advantage, value, target)


def run(made, batch, key=0, **changes):
    hyperparams = made.cfg.hyperparams().replace(**changes)
    learner = made.learner._replace(learning_rate=hyperparams.learning_rate)
    return made.step(learner, batch, hyperparams, update_keys(made.cfg, jax.random.key(key)))


def test_perturbation_is_fresh_in_every_minibatch():
    """One sample in 512 minibatches of one, at rest: only the perturbation can vary.

    The mean of the KL estimator over minibatches must then be its expectation over U(-a, a). A
    perturbation frozen at trace time, or within an epoch, gives one draw of it instead.
    """
    alpha = 1.0
    made = setup(num_minibatches=SIZE, update_epochs=8, advantage_normalization="none")
    batch = made_up_batch(made, same=True)
    changes = {"alpha": alpha, "learning_rate": 1e-30}  # too small to move a parameter
    means = [float(run(made, batch, key, **changes)[1].kl_perturbed) for key in (1, 2)]
    shift = np.random.default_rng(0).uniform(-alpha, alpha, 1_000_000)
    standardized = float((batch.action - batch.mean)[0, 0] / np.exp(batch.log_std[0, 0]))
    log_ratio = 0.5 * standardized**2 - 0.5 * (standardized - shift) ** 2  # sigma is 1
    estimator = np.exp(log_ratio) - 1.0 - log_ratio
    error = estimator.std() / np.sqrt(8 * SIZE)
    assert means[0] != means[1]
    np.testing.assert_allclose(means, estimator.mean(), atol=5.0 * error)
    assert error < 0.05 * estimator.std()


def test_ratio_is_one_before_the_first_step_without_perturbation():
    made = setup()
    batch = made_up_batch(made)
    hyperparams = made.cfg.hyperparams().replace(alpha=0.0)
    noise = perturbation_noise(made.cfg, jax.random.key(3), batch.action.shape)
    _, metrics = rpo_loss(made.cfg, made.network, made.learner.params, batch, noise, hyperparams)
    assert float(metrics.kl_perturbed) == 0.0
    assert float(metrics.kl) == 0.0


def test_perturbation_inflates_only_the_perturbed_kl():
    """By about alpha^2 / 6 for each action dimension at sigma 1."""
    made = setup(num_minibatches=1, update_epochs=1)
    _, metrics = run(made, made_up_batch(made), alpha=0.5)
    assert float(metrics.kl) == 0.0
    assert 0.5 * 0.25 / 6 < float(metrics.kl_perturbed) < 3 * 0.25 / 6


def test_update_stops_when_and_only_when_the_kl_passes_the_threshold():
    made, changes = setup(), {"learning_rate": 1e-2}
    batch = made_up_batch(made)
    free, free_metrics = run(made, batch, **changes)
    assert int(free.opt_state.count) == 16
    largest = float(free_metrics.kl) * 16  # no minibatch can have more than the sum of all
    never, never_metrics = run(made, batch, kl_threshold=largest, **changes)
    np.testing.assert_array_equal(ravel_pytree(never.params)[0], ravel_pytree(free.params)[0])
    np.testing.assert_array_equal(never_metrics.kl, free_metrics.kl)

    stopped, stopped_metrics = run(made, batch, kl_threshold=1e-9, **changes)
    steps = int(stopped.opt_state.count)
    assert steps == 1  # the first minibatch has KL 0, the second passes any threshold
    assert 0.0 < float(stopped_metrics.kl) < float(free_metrics.kl)


def step_by_step(made, batch, key=0, **changes):
    """The same update as a plain loop without a threshold.

    Returns:
        The parameters before each gradient step and after the last, [steps + 1] of [P], and the
        unperturbed KL of each step's minibatch, [steps].
    """
    cfg, hyperparams = made.cfg, made.cfg.hyperparams().replace(**changes)
    params, unflatten = ravel_pytree(made.learner.params)
    opt_state = made.learner.opt_state
    keys = update_keys(cfg, jax.random.key(key))
    shape = (cfg.num_minibatches, cfg.minibatch_size, batch.action.shape[-1])

    @jax.jit
    def gradient_step(params, opt_state, minibatch, noise):
        def loss(flat):
            return rpo_loss(cfg, made.network, unflatten(flat), minibatch, noise, hyperparams)

        gradient, metrics = jax.grad(loss, has_aux=True)(params)
        gradient, _ = clip_by_global_norm(gradient, hyperparams.max_grad_norm)
        optimizer = made.optimizer.make(hyperparams.learning_rate, hyperparams.weight_decay)
        change, opt_state = optimizer.update(gradient, opt_state, params)
        return params + change, opt_state, metrics.kl

    path, kls = [params], []
    for shuffle_key, noise_key in zip(keys.shuffle, keys.perturbation, strict=True):
        minibatches = shuffled_minibatches(shuffle_key, batch, cfg.num_minibatches)
        noise = perturbation_noise(cfg, noise_key, shape)
        for index in range(cfg.num_minibatches):
            minibatch = jax.tree.map(lambda leaf, index=index: leaf[index], minibatches)
            params, opt_state, kl = gradient_step(params, opt_state, minibatch, noise[index])
            path.append(params)
            kls.append(float(kl))
    return path, kls


def test_update_takes_exactly_the_steps_before_the_kl_passes_the_threshold():
    """A threshold just below a step's KL stops before this step, one just above lets it be."""
    made, changes = setup(), {"learning_rate": 1e-2}
    batch = made_up_batch(made)
    path, kls = step_by_step(made, batch, **changes)
    highest = np.maximum.accumulate(kls)
    records = [step for step in range(1, len(kls)) if kls[step] > highest[step - 1]]
    assert len(records) >= 4
    stops = set()
    for step in (records[0], records[len(records) // 2], records[-1]):
        for threshold in (0.999 * kls[step], 1.001 * kls[step]):
            steps = next((i for i, kl in enumerate(kls) if kl > threshold), len(kls))
            assert (steps == step) == (threshold < kls[step])
            after, _ = run(made, batch, kl_threshold=threshold, **changes)
            assert int(after.opt_state.count) == steps
            np.testing.assert_allclose(ravel_pytree(after.params)[0], path[steps], atol=1e-5)
            stops.add(steps)
    assert len(stops) >= 4
    assert len(kls) in stops


def test_perturbation_alone_never_stops_the_update():
    made = setup()
    changes = {"learning_rate": 1e-6, "alpha": 2.0, "kl_threshold": 0.01}
    after, metrics = run(made, made_up_batch(made), **changes)
    assert float(metrics.kl_perturbed) > 0.1
    assert int(after.opt_state.count) == 16


@pytest.mark.parametrize(("kl_target", "direction"), [(1e3, 1), (1e-9, -1)])
def test_adaptive_rate_moves_once_an_epoch(kl_target, direction):
    made = setup(lr_schedule="kl_adaptive", update_epochs=3)
    after, _ = run(made, made_up_batch(made), learning_rate=1e-3, kl_target=kl_target)
    expected = 1e-3 * 1.5 ** (3 * direction)
    np.testing.assert_allclose(after.learning_rate, expected, rtol=1e-5)


@pytest.mark.slow
def test_adaptive_rate_lives_where_the_perturbed_kl_would_drive_it_to_its_floor():
    """alpha = 0.5 adds 0.04 to 0.08 to the KL seen through the ratio, and 0.016 lowers the rate."""
    cfg = rpojax.Config(
        env="Pendulum-v1",
        num_envs=8,
        num_steps=32,
        update_epochs=4,
        num_minibatches=4,
        total_timesteps=8 * 32 * 8,
        network=rpojax.NetworkConfig(hidden_sizes=(16,)),
        lr_schedule="kl_adaptive",
        learning_rate=1e-3,
        alpha=0.5,
    )
    train = jax.jit(jax.vmap(rpojax.make_train(cfg)))
    metrics = jax.device_get(train(jax.random.split(jax.random.key(0), 3)).metrics)
    assert metrics.learning_rate.min() > 2e-4

    would_be = jnp.full(3, cfg.learning_rate)
    for kl in np.repeat(metrics.kl_perturbed, cfg.update_epochs, axis=1).T:
        would_be = adapt_learning_rate(would_be, jnp.asarray(kl), jnp.float32(cfg.kl_target))
    np.testing.assert_allclose(would_be, MIN_LEARNING_RATE, rtol=1e-5)
    assert (metrics.kl_perturbed > 2.0 * cfg.kl_target).all()
