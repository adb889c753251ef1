"""Running statistics against NumPy in float64, and what is scaled with them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rpojax.core.normalize import (
    EPSILON,
    discounted_returns,
    init_stats,
    normalize,
    scale_reward,
    standardize,
    unstandardize,
    update_stats,
)
from rpojax.types import RunningStats


def spec(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


def scalar_stats(mean, var, count=100.0):
    return stats_of(jnp.float32(mean), jnp.float32(var), count)


def stats_of(mean, var, count=10.0):
    rest = jax.tree.map(jnp.zeros_like, mean)
    return RunningStats(mean=mean, mean_rest=rest, var=var, count=jnp.float32(count))


@jax.jit
def merge_all(stats, batches):
    return jax.lax.scan(lambda s, batch: (update_stats(s, batch), None), stats, batches)[0]


def test_statistics_of_no_samples_are_mean_zero_and_variance_one():
    stats = init_stats({"a": spec(3), "b": spec()})
    np.testing.assert_array_equal(stats.mean["a"], np.zeros(3))
    np.testing.assert_array_equal(stats.var["a"], np.ones(3))
    assert stats.mean["b"].shape == stats.var["b"].shape == ()
    assert float(stats.count) == 0.0


def test_first_batch_replaces_the_initial_variance():
    batch = np.array([[100.0, 1.0], [102.0, 1.0], [104.0, 1.0]], np.float32)
    stats = update_stats(init_stats(spec(2)), jnp.asarray(batch))
    np.testing.assert_allclose(stats.mean, [102.0, 1.0], rtol=1e-6)
    np.testing.assert_allclose(stats.var, [8.0 / 3.0, 0.0], rtol=1e-6)
    assert float(stats.count) == 3.0


def test_merging_two_batches_equals_one_batch_of_both():
    """Population variance of 0, 2 | 10, 10, 10, 16: mean 8, squares 64+36+3*4+64 over 6."""
    stats = update_stats(init_stats(spec()), jnp.array([0.0, 2.0]))
    stats = update_stats(stats, jnp.array([[10.0, 10.0], [10.0, 16.0]]))  # two leading axes
    np.testing.assert_allclose(stats.mean, 8.0, rtol=1e-6)
    np.testing.assert_allclose(stats.var, 176.0 / 6.0, rtol=1e-6)
    assert float(stats.count) == 6.0


@pytest.mark.parametrize(
    ("mean", "std"),
    [(0.0, 1.0), (5.0, 0.01), (1000.0, 1.0), (-3e4, 20.0), (0.0, 1e-4)],
)
def test_millions_of_samples_match_numpy(mean, std):
    """3.1 million samples in batches whose own means drift, as those of a learning agent do."""
    rng = np.random.default_rng(0)
    drift = np.linspace(-2.0, 2.0, 384)[:, None, None]
    batches = (mean + std * (drift + rng.normal(size=(384, 64, 128)))).astype(np.float32)
    stats = merge_all(init_stats(spec()), jnp.asarray(batches))
    exact = batches.astype(np.float64)
    assert float(stats.count) == exact.size
    assert abs(float(stats.mean) - np.mean(exact)) < 1e-3 * np.std(exact)
    np.testing.assert_allclose(float(stats.var), np.var(exact), rtol=2e-3)


@pytest.mark.parametrize("start", [2.0**24, 2.0**24 + 2, 2.0**28])
def test_small_batches_still_move_the_statistics_past_two_to_the_24(start):
    """Batches of 64 after 2^24 samples of N(0, 1), of another mean and variance."""
    rng = np.random.default_rng(1)
    num_batches, size = 40_000, 64
    batch = (3.0 + 2.0 * rng.normal(size=size)).astype(np.float32)
    stats = scalar_stats(0.0, 1.0, start)
    repeat = jax.jit(
        lambda s: jax.lax.fori_loop(0, num_batches, lambda _, s: update_stats(s, batch), s)
    )
    stats = repeat(stats)

    added = num_batches * size
    total = start + added
    batch_mean, batch_var = np.mean(batch, dtype=np.float64), np.var(batch, dtype=np.float64)
    mean = added * batch_mean / total
    second_moment = (start * 1.0 + added * (batch_var + batch_mean**2)) / total
    np.testing.assert_allclose(float(stats.count), total, rtol=1e-2)
    np.testing.assert_allclose(float(stats.mean), mean, rtol=2e-2)
    np.testing.assert_allclose(float(stats.var), second_moment - mean**2, rtol=2e-2)


def test_mean_far_from_zero_still_moves_after_a_billion_samples():
    """2^30 samples about 100, then 1.6e8 about 100.5 with std 1: a shift of 0.066 in all."""
    rng = np.random.default_rng(2)
    num_batches, size, start = 20_000, 8192, 2.0**30
    batch = (100.5 + rng.normal(size=size)).astype(np.float32)
    repeat = jax.jit(
        lambda s: jax.lax.fori_loop(0, num_batches, lambda _, s: update_stats(s, batch), s)
    )
    stats = repeat(scalar_stats(100.0, 1.0, start))
    added = num_batches * size
    mean = (start * 100.0 + added * np.mean(batch, dtype=np.float64)) / (start + added)
    assert abs(float(stats.mean) - mean) < 0.1 * (mean - 100.0)


@pytest.mark.parametrize("outlier", [1e8, -1e15])
def test_an_outlier_among_many_samples_leaves_their_scale(outlier):
    rng = np.random.default_rng(0)
    batches = rng.normal(3.0, 10.0, (100, 2000)).astype(np.float32)
    batches[50, 7] = outlier
    stats = merge_all(init_stats(spec()), jnp.asarray(batches))
    assert abs(float(stats.mean) - 3.0) < 0.3
    assert 10.0 < float(jnp.sqrt(stats.var)) < 30.0


def test_the_first_batch_and_slow_growth_may_have_any_scale():
    """And a feature whose scale jumps is followed within some batches."""
    rng = np.random.default_rng(0)
    batches = rng.normal(0.0, 1.0, (40, 500)).astype(np.float32)
    batches[0] *= 1e9
    first = merge_all(init_stats(spec()), jnp.asarray(batches[:1]))
    np.testing.assert_allclose(first.var, np.var(batches[0], dtype=np.float64), rtol=1e-5)
    later = batches[1:].copy()
    later[5:] *= 1e6
    stats = merge_all(init_stats(spec()), jnp.asarray(later))
    np.testing.assert_allclose(stats.var, np.var(later, dtype=np.float64), rtol=0.1)


def test_statistics_of_a_pytree_are_those_of_its_leaves():
    rng = np.random.default_rng(2)
    sample = {"image": spec(2, 3, dtype=jnp.uint8), "speed": spec(4), "height": spec()}
    batches = [
        {
            "image": rng.integers(0, 256, (5, 6, 2, 3), dtype=np.uint8),
            "speed": rng.normal(3.0, 2.0, (5, 6, 4)).astype(np.float32),
            "height": rng.normal(-1.0, 0.5, (5, 6)).astype(np.float32),
        }
        for _ in range(4)
    ]
    stats = init_stats(sample)
    for batch in batches:
        stats = update_stats(stats, jax.tree.map(jnp.asarray, batch))
    assert float(stats.count) == 120.0
    for name in sample:
        exact = np.concatenate([batch[name] for batch in batches]).astype(np.float64)
        np.testing.assert_allclose(stats.mean[name], exact.mean((0, 1)), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(stats.var[name], exact.var((0, 1)), rtol=1e-4)
        assert stats.mean[name].dtype == jnp.float32


def test_constant_feature_gives_zeros_and_not_nan():
    batch = jnp.full((1000, 1), 0.1)
    stats = update_stats(init_stats(spec(1)), batch)
    np.testing.assert_allclose(normalize(stats, batch, 10.0), np.zeros((1000, 1)), atol=1e-3)


def test_normalize_standardises_and_clips():
    stats = stats_of(jnp.array([1.0, -2.0]), jnp.array([4.0, 0.25]))
    values = np.array([[3.0, -2.0], [100.0, -2.5], [-100.0, 100.0]], np.float32)
    expected = np.array([[1.0, 0.0], [3.0, -1.0], [-3.0, 3.0]])
    got = normalize(stats, jnp.asarray(values), 3.0)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_normalize_takes_any_number_of_leading_axes_and_integer_leaves():
    stats = stats_of(
        {"a": jnp.array([1.0, 2.0]), "b": jnp.float32(3.0)},
        {"a": jnp.array([1.0, 4.0]), "b": jnp.float32(9.0)},
    )
    one = normalize(stats, {"a": jnp.array([2, 6]), "b": jnp.uint8(9)}, 10.0)
    np.testing.assert_allclose(one["a"], [1.0, 2.0], rtol=1e-5)
    np.testing.assert_allclose(one["b"], 2.0, rtol=1e-5)
    many = normalize(
        stats,
        {"a": jnp.broadcast_to(jnp.array([2, 6]), (5, 4, 2)), "b": jnp.full((5, 4), 9, jnp.uint8)},
        10.0,
    )
    assert many["a"].shape == (5, 4, 2)
    assert many["a"].dtype == many["b"].dtype == jnp.float32
    np.testing.assert_allclose(many["b"], np.full((5, 4), 2.0), rtol=1e-5)


@pytest.mark.parametrize(("mean", "var"), [(0.0, 1.0), (50.0, 400.0), (-3.0, 1e-3)])
def test_standardize_and_unstandardize_are_inverse(mean, var):
    stats = scalar_stats(mean, var)
    scores = np.linspace(-3.0, 3.0, 24, dtype=np.float32).reshape(4, 6)
    returns = unstandardize(stats, jnp.asarray(scores))
    np.testing.assert_allclose(
        returns, mean + np.sqrt(var + EPSILON) * scores, rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(standardize(stats, returns), scores, rtol=1e-3, atol=1e-3)


def loop_returns(reward, done, gamma, initial):
    steps, envs = reward.shape
    returns, last = np.zeros((steps, envs)), np.zeros(envs)
    for b in range(envs):
        running = initial[b]
        for t in range(steps):
            running = reward[t, b] + gamma * running
            returns[t, b] = running
            if done[t, b]:
                running = 0.0
        last[b] = running
    return returns, last


def test_discounted_returns_match_a_loop_with_gamma_traced():
    rng = np.random.default_rng(3)
    reward, initial = rng.normal(size=(30, 5)), rng.normal(size=5)
    done = rng.random((30, 5)) < 0.2
    done[-1, 0], done[-1, 1] = True, False
    gammas = [0.0, 0.9, 1.0]
    arrays = (jnp.asarray(reward, jnp.float32), jnp.asarray(done))
    got_returns, got_last = jax.jit(jax.vmap(discounted_returns, (None, None, 0, None)))(
        *arrays, jnp.array(gammas), jnp.asarray(initial, jnp.float32)
    )
    for i, gamma in enumerate(gammas):
        returns, last = loop_returns(reward, done, gamma, initial)
        np.testing.assert_allclose(got_returns[i], returns, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(got_last[i], last, rtol=1e-4, atol=1e-4)


def test_discounted_returns_of_two_halves_continue_each_other():
    rng = np.random.default_rng(4)
    reward = jnp.asarray(rng.normal(size=(20, 3)), jnp.float32)
    done = jnp.asarray(rng.random((20, 3)) < 0.2)
    zero, gamma = jnp.zeros(3), jnp.float32(0.9)
    whole, last = discounted_returns(reward, done, gamma, zero)
    first, middle = discounted_returns(reward[:9], done[:9], gamma, zero)
    second, end = discounted_returns(reward[9:], done[9:], gamma, middle)
    np.testing.assert_allclose(jnp.concatenate([first, second]), whole, rtol=1e-5)
    np.testing.assert_allclose(end, last, rtol=1e-5)


def test_scaled_rewards_keep_their_mean_and_sign_and_are_clipped():
    """Rewards are divided by the std, not centred: a shift would change what is optimal."""
    got = scale_reward(scalar_stats(50.0, 4.0), jnp.array([[1.0, -4.0, 0.0, 1e3, -1e3]]), 10.0)
    np.testing.assert_allclose(got, [[0.5, -2.0, 0.0, 10.0, -10.0]], rtol=1e-5)
