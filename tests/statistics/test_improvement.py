import numpy as np
import pytest
from scipy import stats

from rpojax.statistics import make_scores, probability_of_improvement


def test_share_of_pairs_with_ties_counted_half():
    # 3 > 1, 3 > 2, 2 > 1, 2 = 2: 3.5 of 4
    estimate = probability_of_improvement([3.0, 2.0], [1.0, 2.0])
    assert estimate.value == 3.5 / 4
    assert probability_of_improvement([1.0] * 3, [1.0] * 4).value == 0.5


def test_it_is_the_mann_whitney_statistic_of_scipy_averaged_over_tasks():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, (9, 3)) + 1, rng.integers(0, 6, (7, 3))
    expected = np.mean([stats.mannwhitneyu(x[:, m], y[:, m]).statistic / 63 for m in range(3)])
    assert probability_of_improvement(x, y).value == pytest.approx(expected)
    assert probability_of_improvement(y, x).value == pytest.approx(1 - expected)


def test_missing_runs_are_not_compared():
    nan = np.nan
    x = make_scores([[1.0, 5.0], [nan, 7.0]], missing=[[False, False], [True, False]])
    y = make_scores({"a": [0.0, 2.0, 3.0], "b": [6.0]})
    estimate = probability_of_improvement(x, y)
    assert estimate.value == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert np.isnan([estimate.low, estimate.high]).all()


def test_interval_is_the_normal_one_of_many_runs():
    """Of two equal normal distributions, the variance of U/(n n) is (2 n + 1)/(12 n^2)."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 300))
    estimate = probability_of_improvement(x, y, num_resamples=5000)
    width = 2 * 1.96 * np.sqrt(601 / 12) / 300
    assert estimate.high - estimate.low == pytest.approx(width, rel=0.05)
    assert estimate.low < estimate.value < estimate.high


def test_expanded_intervals_are_wider():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 5, 2))
    narrow, wide = (
        probability_of_improvement(x, y, method=method) for method in ("percentile", "expanded")
    )
    assert wide.low < narrow.low
    assert wide.high > narrow.high


def test_errors():
    with pytest.raises(ValueError, match="x has 2 tasks and y has 1; give scores of the same"):
        probability_of_improvement(np.ones((2, 2)), np.ones(2))
    with pytest.raises(ValueError, match="1 of 2 runs diverged"):
        probability_of_improvement([1.0, 2.0], [1.0, np.nan])
    with pytest.raises(ValueError, match="confidence = 0 is not allowed"):
        probability_of_improvement([1.0, 2.0], [1.0, 2.0], confidence=0)
