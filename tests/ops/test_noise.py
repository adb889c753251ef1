"""One draw for two distributions, against two draws by JAX and against scipy."""

import math

import jax
import numpy as np
import pytest
from scipy import stats

from rpojax.ops.noise import ABOVE_MINUS_ONE, normal_and_uniform

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
