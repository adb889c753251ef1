"""Numbers of rliable 1.2.0 (with arch 7.2.0), the library of Agarwal et al. 2021, for X and Y.

Percentile intervals of 95 % are from 50 000 resamples for the aggregates and 20 000 for the others.
"""

from functools import partial

import numpy as np
import pytest

from rpojax.statistics import (
    bootstrap_interval,
    interquartile_mean,
    mean,
    median,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
)

X = np.array(
    [
        [0.12, 0.80, 1.31],
        [0.45, 0.77, 0.95],
        [0.33, 1.02, 1.10],
        [0.51, 0.64, 1.27],
        [0.29, 0.91, 0.88],
        [0.40, 0.85, 1.45],
        [0.05, 0.70, 1.02],
    ]
)
Y = np.array(
    [
        [0.30, 0.80, 1.00],
        [0.22, 0.71, 0.90],
        [0.45, 0.66, 1.21],
        [0.10, 0.95, 0.79],
        [0.38, 0.58, 1.10],
    ]
)
AGGREGATES = {
    "mean": (mean, 0.7533333333333333, 0.6766666666666667, 0.685238, 0.821429),
    "median": (median, 0.8128571428571428, 0.74, 0.727143, 0.901429),
    "interquartile mean": (
        interquartile_mean, 0.770909090909091, 0.6911111111111112, 0.710909, 0.835455,
    ),
    "optimality gap": (
        partial(optimality_gap, target=1.0), 0.3023809523809524, 0.344, 0.254762, 0.351905,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", AGGREGATES)
def test_aggregates_and_their_intervals(name):
    statistic, of_x, of_y, low, high = AGGREGATES[name]
    estimate = bootstrap_interval(X, statistic, num_resamples=50_000)
    assert estimate.value == pytest.approx(of_x, rel=1e-12)
    assert statistic(Y) == pytest.approx(of_y, rel=1e-12)
    np.testing.assert_allclose(estimate[1:3], [low, high], atol=0.003)


def test_probability_of_improvement():
    estimate = probability_of_improvement(X, Y, num_resamples=20_000)
    assert estimate.value == pytest.approx(0.6333333333333334, rel=1e-12)
    np.testing.assert_allclose(estimate[1:3], [0.438095, 0.814286], atol=0.006)


def test_performance_profile():
    profile = performance_profile(X, [0.2, 0.5, 0.8, 1.0, 1.3], num_resamples=20_000)
    shares = [19 / 21, 15 / 21, 10 / 21, 6 / 21, 2 / 21]
    np.testing.assert_allclose(profile.value, shares, rtol=1e-12)
    np.testing.assert_allclose(profile.low, [17 / 21, 14 / 21, 8 / 21, 3 / 21, 0.0], atol=1e-12)
    np.testing.assert_allclose(profile.high, [1.0, 17 / 21, 13 / 21, 9 / 21, 4 / 21], atol=1e-12)
