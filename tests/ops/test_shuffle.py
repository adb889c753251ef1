"""What a shuffled epoch must be, whatever draws it."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rpojax.ops.shuffle import MOST_SORTED, random_permutation, shuffled_minibatches

SIZE, MINIBATCHES, DRAWS = 132, 3, 6000  # SIZE above MOST_SORTED


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def split(seed, draws, size, num_minibatches):
    keys = jax.random.split(jax.random.key(seed), draws)
    return jax.vmap(lambda key: shuffled_minibatches(key, jnp.arange(size), num_minibatches))(keys)


def orders(seed=0, draws=DRAWS, size=SIZE, num_minibatches=MINIBATCHES):
    """Sample numbers in the order of an epoch, for each of many keys, [draws, size]."""
    minibatches = np.asarray(split(seed, draws, size, num_minibatches))
    assert minibatches.shape == (draws, num_minibatches, size // num_minibatches)
    return minibatches.reshape(draws, size)


@pytest.mark.parametrize(("size", "num_minibatches"), [(960, 8), (175, 5), (75, 5), (2, 1), (1, 1)])
def test_every_sample_appears_exactly_once(size, num_minibatches):
    drawn = orders(0, 200, size, num_minibatches)
    np.testing.assert_array_equal(np.sort(drawn, axis=1), np.tile(np.arange(size), (200, 1)))


def test_different_keys_give_different_orders():
    assert len({tuple(order) for order in orders(0, 200, 960, 8)}) == 200


def test_same_key_gives_the_same_order_alone_and_among_others():
    drawn = orders(0, 200, 960, 8)
    key = jax.random.split(jax.random.key(0), 200)[17]
    alone = jax.jit(lambda key: shuffled_minibatches(key, jnp.arange(960), 8))(key)
    np.testing.assert_array_equal(np.ravel(alone), drawn[17])


@pytest.mark.parametrize("size", [96, 960])
def test_a_share_is_a_part_of_each_minibatch(size):
    """Of few samples, which are sorted, and of many, whose places are computed one by one."""
    samples, key = jnp.arange(size), jax.random.key(3)
    whole = shuffled_minibatches(key, samples, 4)
    share = shuffled_minibatches(key, samples, 4, lambda places: places[:, 6:12])
    np.testing.assert_array_equal(share, whole[:, 6:12])


def test_each_place_is_equally_likely_for_each_sample():
    drawn = orders()
    places = np.argsort(drawn, axis=1)
    for sample in range(SIZE):
        counts = np.bincount(places[:, sample], minlength=SIZE)
        assert stats.chisquare(counts).pvalue > 1e-6


@functools.partial(jax.jit, static_argnums=(1, 2))
def permutations(seed, draws, size):
    """[draws, size], as `random_permutation` gives them."""
    keys = jax.random.split(jax.random.key(seed), draws)
    return jax.vmap(lambda key: random_permutation(key, size))(keys)


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3, 4, 5, 6])
def test_every_order_of_few_samples_is_equally_likely(size):
    """Over so many keys that a deviation of half a percent is seen."""
    counts = np.zeros(size**size, np.int64)
    for seed in range(6):
        drawn = permutations(seed, 500_000, size)
        counts += np.bincount(drawn @ (size ** jnp.arange(size)), minlength=size**size)
    possible = [
        sum(number * size**place for place, number in enumerate(order))
        for order in itertools.permutations(range(size))
    ]
    assert counts[possible].sum() == 3_000_000
    assert stats.chisquare(counts[possible]).pvalue > 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("size", [7, 8, 13, 32, 64, 100, MOST_SORTED, MOST_SORTED + 1, 200])
def test_every_pair_of_places_is_equally_likely_for_two_samples(size):
    places = np.argsort(np.asarray(permutations(3, 100_000, size)), axis=1)
    for first, second in [(0, 1), (0, size - 1), (size // 2, size // 3)]:
        pairs = np.bincount(places[:, first] * size + places[:, second], minlength=size**2)
        pairs = pairs.reshape(size, size)
        assert np.trace(pairs) == 0
        assert stats.chisquare(pairs[~np.eye(size, dtype=bool)]).pvalue > 1e-6


def test_pairs_of_samples_meet_as_often_as_chance_has_it():
    """A mere rotation or reflection of the batch would pass the test of single places."""
    minibatch = np.argsort(orders(), axis=1) // (SIZE // MINIBATCHES)
    expected = (SIZE // MINIBATCHES - 1) / (SIZE - 1)
    pairs = list(itertools.combinations(range(SIZE), 2))
    together = np.array([np.mean(minibatch[:, a] == minibatch[:, b]) for a, b in pairs])
    standard_error = math.sqrt(expected * (1 - expected) / DRAWS)
    assert np.abs(together - expected).max() < 5 * standard_error


@pytest.mark.parametrize("size", [1000, 1024])
def test_nothing_of_the_old_order_is_left_in_a_large_batch(size):
    """Steps from one sample to the next, and samples in their old place, are as rare as by chance.

    Under a uniform order each has expectation and variance near 1 in a batch of any size.
    """
    draws = 2000
    drawn = orders(2, draws, size, 4)
    bound = 5 / math.sqrt(draws) + 2 / size
    steps = np.diff(drawn, axis=1)
    for left in (
        steps == 1,
        steps == -1,
        drawn == np.arange(size),
        drawn[:, ::-1] == np.arange(size),
    ):
        assert abs(left.sum(1).mean() - 1.0) < bound
        assert abs(left.sum(1).var() - 1.0) < 8 / math.sqrt(draws)
    place = np.arange(size) - (size - 1) / 2
    correlation = (drawn - (size - 1) / 2) @ place / np.sum(place**2)
    assert abs(correlation.mean()) < 5 / math.sqrt(draws * size)
    # The correlation of a random order has variance 1 / (size - 1) and is nearly normal.
    assert abs(correlation.var() * (size - 1) - 1.0) < 5 * math.sqrt(2 / draws)


def test_leaves_of_a_pytree_stay_aligned():
    batch = {
        "scalar": jnp.arange(24, dtype=jnp.float32),
        "vector": (jnp.arange(24)[:, None] * jnp.array([[1, 10]]),),
        "image": jnp.broadcast_to(jnp.arange(24, dtype=jnp.uint8)[:, None, None], (24, 2, 3)),
    }
    got = jax.jit(lambda key: shuffled_minibatches(key, batch, 6))(jax.random.key(4))
    order = np.asarray(got["scalar"])
    assert got["image"].shape == (6, 4, 2, 3)
    assert got["image"].dtype == jnp.uint8
    np.testing.assert_array_equal(got["vector"][0], np.stack([order, 10 * order], axis=-1))
    np.testing.assert_array_equal(got["image"][..., 1, 2], order)
    assert not np.array_equal(order.ravel(), np.arange(24))
