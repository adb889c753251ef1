import numpy as np
import pytest
from scipy import stats

from rpojax.statistics import (
    Scores,
    interquartile_mean,
    make_scores,
    mean,
    median,
    optimality_gap,
)

SCORES = np.array([[0.0, 10.0, 4.0], [2.0, 20.0, 6.0]])  # task means 1, 15, 5


def test_means_and_medians_are_over_the_means_of_tasks():
    assert mean(SCORES) == 7.0
    assert median(SCORES) == 5.0
    assert median([1.0, 2.0, 9.0]) == 4.0  # one task


def test_interquartile_mean_leaves_out_a_quarter_at_either_end():
    # 0 2 | 4 6 ... of eight scores, two at either end
    assert interquartile_mean([0.0, 100.0, 4.0, 6.0, 8.0, 10.0, -50.0, 11.0]) == 7.0
    assert interquartile_mean([1.0, 2.0, 6.0]) == 3.0  # a quarter of 3 is less than a score


@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (3, 7), (16, 4), (10, 26)])
def test_interquartile_mean_is_that_of_scipy(shape):
    scores = np.random.default_rng(0).normal(size=shape)
    expected = stats.trim_mean(scores, 0.25, axis=None)
    assert interquartile_mean(scores) == pytest.approx(expected, rel=1e-13)


def test_optimality_gap_does_not_reward_what_is_above_the_target():
    assert optimality_gap(SCORES, 5.0) == pytest.approx(5 - (1.0 + 5.0 + 4.5) / 3)
    assert optimality_gap(SCORES + 100.0, 5.0) == 0.0


def test_tasks_with_more_runs_do_not_count_more_but_in_the_interquartile_mean():
    scores = make_scores({"few": [0.0], "many": [1.0, 1.0, 1.0, 1.0, 4.0]})
    assert mean(scores) == pytest.approx((0.0 + 1.6) / 2)
    assert median(scores) == pytest.approx((0.0 + 1.6) / 2)
    assert optimality_gap(scores, 1.0) == pytest.approx(1 - (0.0 + 1.0) / 2)
    assert interquartile_mean(scores) == 1.0


@pytest.mark.parametrize(
    "statistic",
    [mean, median, interquartile_mean, lambda scores: optimality_gap(scores, 0.5)],
    ids=["mean", "median", "interquartile mean", "optimality gap"],
)
def test_leading_axes_are_kept(statistic):
    values = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
    values[:, :, 4, 2] = np.nan
    found = statistic(Scores(values))
    assert found.shape == (2, 3)
    assert found[1, 2] == pytest.approx(float(statistic(Scores(values[1, 2]))), rel=1e-13)
    values[0, 1, :, 2] = np.nan  # a task without runs
    assert np.isnan(statistic(Scores(values))).tolist() == [[False, True, False], [False] * 3]
