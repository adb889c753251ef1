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

NAN = np.nan


def test_scores_of_one_task_and_of_several():
    np.testing.assert_array_equal(make_scores([1, 2, 3]).values, [[1.0], [2.0], [3.0]])
    several = make_scores(np.arange(6).reshape(3, 2))
    np.testing.assert_array_equal(several.values, np.arange(6.0).reshape(3, 2))
    assert several.values.dtype == np.float64
    np.testing.assert_array_equal(several.run_counts, [3, 3])


def test_tasks_may_have_different_numbers_of_runs():
    scores = make_scores({"ant": [1.0, 2.0, 3.0], "humanoid": [4.0]})
    np.testing.assert_array_equal(scores.values, [[1.0, 4.0], [2.0, NAN], [3.0, NAN]])
    np.testing.assert_array_equal(scores.run_counts, [3, 1])


def test_a_run_that_never_was_is_marked():
    scores = make_scores([[1.0, 2.0], [3.0, NAN]], missing=[[False, False], [False, True]])
    np.testing.assert_array_equal(scores.values, [[1.0, 2.0], [3.0, NAN]])


@pytest.mark.parametrize("bad", [NAN, np.inf, -np.inf])
def test_a_diverged_run_counts_as_the_worst_or_is_an_error(bad):
    values = [[1.0, 2.0], [bad, 4.0]]
    for function in (make_scores, mean, interquartile_mean):
        with pytest.raises(ValueError, match=r"1 of 4 runs .* run 1 of task 0 .* use make_scores"):
            function(values)
    np.testing.assert_array_equal(make_scores(values, worst=-5).values, [[1.0, 2.0], [-5.0, 4.0]])


def test_the_last_finite_score_of_a_diverged_run_does_not_count():
    scores = make_scores([1.0, 2.0, 9.0], finite=[True, True, False], worst=0.0)
    np.testing.assert_array_equal(scores.values[:, 0], [1.0, 2.0, 0.0])
    scores = make_scores(
        {"a": [7.0, 3.0], "b": [4.0]}, finite={"a": [False, True], "b": [True]}, worst=1.0
    )
    np.testing.assert_array_equal(scores.values, [[1.0, 4.0], [3.0, NAN]])
    with pytest.raises(ValueError, match=r"1 of 3 runs .* run 2 of task 0 \(9\)"):
        make_scores([1.0, 2.0, 9.0], finite=[True, True, False])


def test_diverging_is_never_better_than_the_lowest_score():
    with pytest.raises(ValueError, match=r"worst = 0.0 .* at most -1200, the lowest of the other"):
        make_scores([-1200.0, -150.0, NAN], worst=0.0)
    assert make_scores([NAN, NAN], worst=3.0).values.tolist() == [[3.0], [3.0]]
    for worst in (NAN, -np.inf, [0.0]):
        with pytest.raises(ValueError, match="counts as a finite score"):
            make_scores([1.0, NAN], worst=worst)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scores": np.zeros((2, 2, 2))}, r"shape \(2, 2, 2\); give \[runs\] or \[runs, tasks\]"),
        ({"scores": [[1.0, 2.0], [3.0]]}, "lists of different lengths; give a mapping of tasks"),
        ({"scores": ["a"]}, r"scores = \['a'\] is not numbers; give an array of numbers"),
        ({"scores": {"a": [[1.0]]}}, r"scores of a task have shape \(1, 1\); give \[runs\]"),
        (
            {"scores": {"a": [1.0], "b": []}},
            "scores of task 'b' contain no runs; give at least",
        ),
        ({"scores": {}}, "scores contain no runs"),
        ({"scores": np.zeros((0, 2))}, "scores of task 0 contain no runs"),
        ({"scores": [1.0, 2.0], "missing": [True, True]}, "scores of task 0 contain no runs"),
        ({"scores": [1.0, 2.0], "finite": [True]}, r"finite has .* of scores, \(2,\)"),
        ({"scores": [1.0, 2.0], "missing": [0, 1]}, "missing has dtype int64 .* truth values"),
        ({"scores": {"a": [1.0]}, "finite": {"a": [True] * 2}}, r"finite .* which are {'a': 1}"),
        ({"scores": {"a": [1.0]}, "finite": [True]}, "give a mapping with the same"),
    ],
)
def test_scores_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_scores(**arguments)


def test_scores_are_taken_as_they_are():
    scores = Scores(np.array([[1.0, NAN], [3.0, 6.0]]))
    assert mean(scores) == 4.0


# Aggregates.

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
