"""The global-norm clip, Adam, and the schedules of the learning rate."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rpojax import Config
from rpojax.core.optimizer import (
    adapt_learning_rate,
    clip_by_global_norm,
    make_optimizer,
    scheduled_learning_rate,
)

GRADIENT = {"a": jnp.array([[3.0, 0.0]]), "b": (jnp.array([0.0, -4.0]), jnp.array(12.0))}  # 13


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]).astype(np.float64)


def small_config(**changes):
    return Config(num_envs=2, num_steps=4, num_minibatches=2, total_timesteps=80).replace(**changes)


def test_clip_scales_the_whole_gradient_to_the_norm():
    """Clipping the elements would leave the 3 and the 4 and turn the gradient."""
    clipped, norm = clip_by_global_norm(GRADIENT, jnp.float32(6.5))
    np.testing.assert_allclose(norm, 13.0, rtol=1e-6)
    np.testing.assert_allclose(flat(clipped), flat(GRADIENT) / 2, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(flat(clipped)), 6.5, rtol=1e-6)


@pytest.mark.parametrize("max_norm", [13.5, 0.0], ids=["longer than the gradient", "off"])
def test_clip_leaves_the_gradient_bit_for_bit(max_norm):
    clipped, norm = clip_by_global_norm(GRADIENT, jnp.float32(max_norm))
    np.testing.assert_array_equal(flat(clipped), flat(GRADIENT))
    np.testing.assert_allclose(norm, 13.0, rtol=1e-6)


def test_clip_takes_a_traced_norm_under_vmap():
    max_norms = jnp.array([0.0, 1.0, 6.5, 100.0])
    clipped, _ = jax.jit(jax.vmap(clip_by_global_norm, (None, 0)))(GRADIENT, max_norms)
    lengths = [
        np.linalg.norm(flat(jax.tree.map(lambda leaf, i=i: leaf[i], clipped))) for i in range(4)
    ]
    np.testing.assert_allclose(lengths, [13.0, 1.0, 6.5, 13.0], rtol=1e-6)


@pytest.mark.parametrize("max_norm", [0.0, 0.5])
def test_clip_of_a_gradient_of_zero_is_zero(max_norm):
    zero = jax.tree.map(jnp.zeros_like, GRADIENT)
    clipped, norm = clip_by_global_norm(zero, jnp.float32(max_norm))
    np.testing.assert_array_equal(flat(clipped), 0.0)
    assert float(norm) == 0.0


@pytest.mark.parametrize("adam_eps", [1e-5, 1e-2])
def test_adam_matches_a_loop(adam_eps):
    """Gradients near epsilon, so that its size and its place (outside the root) are seen."""
    rng = np.random.default_rng(0)
    params = {"w": jnp.zeros((2, 3)), "b": jnp.zeros(4)}
    optimizer = make_optimizer(small_config(adam_eps=adam_eps)).make(jnp.float32(0.01), None)
    state = optimizer.init(params)
    first, second = np.zeros(10), np.zeros(10)
    for step in range(1, 8):
        gradient = jax.tree.map(
            lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) * 1e-5, jnp.float32), params
        )
        change, state = optimizer.update(gradient, state, params)
        g = flat(gradient)
        for i in range(10):
            first[i] = 0.9 * first[i] + 0.1 * g[i]
            second[i] = 0.999 * second[i] + 0.001 * g[i] ** 2
        corrected = first / (1 - 0.9**step)
        expected = corrected / (np.sqrt(second / (1 - 0.999**step)) + adam_eps)
        np.testing.assert_allclose(flat(change), -0.01 * expected, rtol=1e-3, atol=1e-9)


def rates(cfg, current=7e-4, counts=range(10)):
    hyperparams = cfg.hyperparams()
    rate = jax.jit(lambda n: scheduled_learning_rate(cfg, hyperparams, jnp.float32(current), n))
    return [float(rate(jnp.int32(n))) for n in counts]


COSINE = optax.cosine_decay_schedule(1.0, decay_steps=10)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [4e-3] * 13),
        ("linear", [4e-3 * (1 - n / 10) for n in range(10)] + [0.0] * 3),  # never below 0
        (COSINE, [4e-3 * 0.5 * (1 + math.cos(math.pi * min(n, 10) / 10)) for n in range(13)]),
        ("kl_adaptive", [7e-4] * 13),  # goes on from the current rate
    ],
    ids=["constant", "linear", "optax", "kl_adaptive"],
)
def test_schedule_gives_the_rate_of_each_update_and_of_those_after_the_run(schedule, expected):
    cfg = small_config(lr_schedule=schedule, learning_rate=4e-3)
    assert cfg.num_updates == 10
    np.testing.assert_allclose(rates(cfg, counts=range(13)), expected, rtol=1e-4, atol=1e-9)


def test_schedules_take_a_traced_learning_rate():
    cfg = small_config(lr_schedule="linear")

    def rate(learning_rate):
        hyperparams = cfg.hyperparams().replace(learning_rate=learning_rate)
        return scheduled_learning_rate(cfg, hyperparams, learning_rate, jnp.int32(5))

    got = jax.jit(jax.vmap(rate))(jnp.array([1e-3, 1e-2]))
    np.testing.assert_allclose(got, [5e-4, 5e-3], rtol=1e-5)


@pytest.mark.parametrize(
    ("kl", "factor"),
    [
        (0.0, 1.5),
        (0.0039, 1.5),
        (0.0041, 1.0),
        (0.008, 1.0),
        (0.0159, 1.0),
        (0.0161, 1 / 1.5),
        (3.0, 1 / 1.5),
    ],
)
def test_adaptive_rate_moves_by_one_and_a_half_outside_half_to_twice_the_target(kl, factor):
    got = adapt_learning_rate(jnp.float32(1e-3), jnp.float32(kl), jnp.float32(0.008))
    np.testing.assert_allclose(got, 1e-3 * factor, rtol=1e-6)


def test_adaptive_rate_stays_within_its_bounds():
    up = down = jnp.float32(1e-3)
    for _ in range(40):
        up = adapt_learning_rate(up, jnp.float32(0.0), jnp.float32(0.008))
        down = adapt_learning_rate(down, jnp.float32(1.0), jnp.float32(0.008))
    np.testing.assert_allclose([up, down], [1e-2, 1e-6], rtol=1e-6)


@pytest.mark.parametrize(
    ("rate", "kl", "expected"),
    [
        (0.05, 0.008, 0.05),  # no change asked for: it was set back to 0.01
        (0.05, 0.0, 0.05),  # cannot be raised
        (0.05, 1.0, 0.05 / 1.5),
        (0.012, 1.0, 0.008),
        (1e-7, 0.008, 1e-7),
        (1e-7, 1.0, 1e-7),
        (1e-7, 0.0, 1.5e-7),
    ],
)
def test_adaptive_rate_beyond_its_bounds_moves_only_towards_them(rate, kl, expected):
    got = adapt_learning_rate(jnp.float32(rate), jnp.float32(kl), jnp.float32(0.008))
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_adaptive_rate_takes_a_traced_target():
    adapt = jax.vmap(adapt_learning_rate, (None, None, 0))
    got = adapt(jnp.float32(1e-3), jnp.float32(0.01), jnp.array([0.001, 0.01, 0.1]))
    np.testing.assert_allclose(got, [1e-3 / 1.5, 1e-3, 1.5e-3], rtol=1e-6)
