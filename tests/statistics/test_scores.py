import numpy as np
import pytest

from rpojax.statistics import Scores, interquartile_mean, make_scores, mean

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
