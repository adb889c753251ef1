import numpy as np
import pytest

from rpojax.statistics import (
    area_under_curve,
    bootstrap_interval,
    interquartile_mean,
    mean,
    sample_efficiency,
)

NAN = np.nan
STEPS = np.array([10, 20, 40, 50])


def test_statistic_at_each_number_of_steps():
    curves = np.random.default_rng(0).normal(size=(12, 3, 4)) + np.arange(4.0)
    estimate = sample_efficiency(STEPS, curves)
    assert estimate.value.shape == estimate.low.shape == estimate.high.shape == (4,)
    for step in range(4):
        expected = bootstrap_interval(curves[:, :, step], interquartile_mean)
        np.testing.assert_array_equal([each[step] for each in estimate[:3]], expected[:3])


def test_gaps_are_bridged_over_steps_and_ends_do_not_count():
    curves = [[NAN, 0.0, NAN, 3.0], [1.0, 4.0, 8.0, NAN]]
    estimate = sample_efficiency(STEPS, curves, mean)
    np.testing.assert_allclose(estimate.value, [1.0, 2.0, (2 + 8) / 2, 3.0])
    np.testing.assert_array_equal(np.isnan(estimate.low), [True, False, False, True])


def test_there_is_no_value_where_a_task_has_no_run():
    curves = [[[1.0, 2.0, 3.0, 4.0], [NAN, 4.0, 5.0, NAN]]]
    estimate = sample_efficiency(STEPS, curves, mean)
    np.testing.assert_array_equal(estimate.value, [NAN, 3.0, 4.0, NAN])


def test_a_diverged_run_counts_as_the_worst_after_its_last_value():
    curves = [[1.0, 2.0, NAN, NAN], [3.0, 4.0, 5.0, 6.0], [NAN] * 4]
    finite = [False, True, False]
    estimate = sample_efficiency(STEPS, curves, mean, finite=finite, worst=-2.0)
    np.testing.assert_allclose(estimate.value, [2 / 3, 4 / 3, 1 / 3, 2 / 3])
    area = area_under_curve(STEPS, curves, finite=finite, worst=-2.0)
    np.testing.assert_allclose(area, [(15 + 0 - 20) / 40, (35 + 90 + 55) / 40, -2.0])
    for worst in (None, 1.5, -np.inf, NAN):
        with pytest.raises(ValueError, match=r"as 2 of 3 runs diverged; give .* lowest value, 1"):
            sample_efficiency(STEPS, curves, mean, finite=finite, worst=worst)


def test_area_is_the_mean_height_between_the_first_and_the_last_value():
    curves = np.array(
        [[1.0, 1.0, 1.0, 1.0], [0.0, 10.0, 10.0, 0.0], [NAN, 1.0, NAN, 4.0], [NAN, 7.0, NAN, NAN]]
    )
    expected = [1.0, (50 + 200 + 50) / 40, 2.5, 7.0]
    np.testing.assert_allclose(area_under_curve(STEPS, curves), expected)
    tasks = area_under_curve(STEPS, curves.reshape(2, 2, 4))
    np.testing.assert_allclose(tasks, np.reshape(expected, (2, 2)))
    linear = area_under_curve(np.arange(101), np.arange(101.0)[np.newaxis])
    np.testing.assert_allclose(linear, [50.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (STEPS, np.zeros(4)),
            r"curves have shape \(4,\) and steps \(4,\); give curves \[runs, T\]",
        ),
        ((STEPS[:3], np.zeros((2, 4))), r"shape \(2, 4\) and steps \(3,\)"),
        ((STEPS[::-1], np.zeros((2, 4))), "steps do not increase; give them sorted"),
        ((STEPS, [[0.0, 1.0, np.inf, NAN]]), "infinite values; give NaN from there on"),
        ((STEPS, [[0.0] * 4, [NAN] * 4]), r"curve \(.*1.*,\) has no value; leave out the run"),
    ],
)
def test_curves_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        area_under_curve(*arguments)


def test_finite_is_of_each_run():
    with pytest.raises(ValueError, match=r"finite has shape \(3,\); give .* each run, \(2,\)"):
        sample_efficiency(STEPS, np.zeros((2, 4)), finite=[True] * 3)
    with pytest.raises(ValueError, match="num_resamples = 1 is not allowed"):
        sample_efficiency(STEPS, np.zeros((2, 4)), num_resamples=1)
