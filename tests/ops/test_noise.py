"""One draw for two distributions, against two draws by JAX and against scipy."""

import math

import jax
import numpy as np
import pytest
from scipy import stats

from rpojax.ops.noise import ABOVE_MINUS_ONE, normal_and_uniform, symmetric_uniform

SHAPE = (1000, 50, 2)


@pytest.mark.optimized
def test_each_is_bit_identical_to_jaxs_own_draw_of_twice_the_size():
    key = jax.random.key(4)
    normal, uniform = normal_and_uniform(key, SHAPE)
    twice = (2, *SHAPE)
    np.testing.assert_array_equal(normal, jax.random.normal(key, twice)[0])
    plain = jax.random.uniform(key, twice, minval=ABOVE_MINUS_ONE, maxval=1.0)
    np.testing.assert_array_equal(uniform, plain[1])


def test_they_are_normal_and_uniform_and_independent():
    drawn = normal_and_uniform(jax.random.key(5), SHAPE)
    normal, uniform = (np.asarray(noise, np.float64).ravel() for noise in drawn)
    assert stats.kstest(normal, "norm").pvalue > 1e-3
    assert stats.kstest(uniform, stats.uniform(-1, 2).cdf).pvalue > 1e-3
    for power in (1, 2):  # neither their values nor their sizes are correlated
        correlation = np.corrcoef(normal**power, uniform**power)[0, 1]
        assert abs(correlation) < 5 / math.sqrt(len(normal))


def test_the_smallest_uniform_number_becomes_a_finite_normal():
    assert np.isfinite(jax.lax.erf_inv(ABOVE_MINUS_ONE))
    assert not np.isfinite(jax.lax.erf_inv(np.float32(-1.0)))


@pytest.mark.optimized
def test_symmetric_numbers_have_the_same_bits_whether_the_bound_is_a_constant_or_not():
    keys = jax.random.split(jax.random.key(6), 50)

    def draw(key, most):
        return 1.25 + symmetric_uniform(key, (6,), most)

    constant = jax.jit(jax.vmap(lambda key: draw(key, 0.005)))(keys)
    argument = jax.jit(jax.vmap(draw, (0, None)))(keys, np.float32(0.005))
    one_by_one = jax.jit(lambda keys: jax.lax.map(lambda key: draw(key, 0.005), keys))(keys)
    random = np.float64(jax.vmap(lambda key: jax.random.uniform(key, (6,)))(keys))
    most = np.float64(np.float32(0.005))
    expected = np.float32(1.25) + np.float32(random * (2.0 * most) - most)  # each rounded once
    for found in (constant, argument, one_by_one):
        np.testing.assert_array_equal(found, expected)
