import numpy as np
import pytest

from rpojax.statistics.nan import (
    bridge_nan,
    last_ignoring_nan,
    mean_ignoring_nan,
    std_ignoring_nan,
    sum_ignoring_nan,
)
from rpojax.statistics.text import mean_and_std, plus_minus_sign

pytestmark = pytest.mark.filterwarnings("error")

NAN = np.nan


def test_means_ignore_nan():
    np.testing.assert_array_equal(mean_ignoring_nan([[1.0, NAN, 3.0], [NAN] * 3]), [2.0, NAN])
    np.testing.assert_array_equal(mean_ignoring_nan(np.zeros((2, 0))), [NAN, NAN])


def test_sums_ignore_nan():
    np.testing.assert_array_equal(sum_ignoring_nan([[1.0, NAN, 3.0], [NAN] * 3]), [4.0, NAN])


def test_means_are_weighted_and_values_without_weight_are_ignored():
    values = [[1.0, 0.0, NAN], [1.0, np.inf, 5.0], [2.0, 4.0, 6.0]]
    weights = [[1, 3, 0], [2, 0, NAN], [0, 0, 0]]
    np.testing.assert_array_equal(mean_ignoring_nan(values, weights), [0.25, 1.0, NAN])


def test_infinity_is_a_value():
    np.testing.assert_array_equal(
        mean_ignoring_nan([[1.0, np.inf], [np.inf, -np.inf]]), [np.inf, NAN]
    )


def test_means_of_float32_are_taken_in_float64():
    values = np.full(2**20, 0.1, np.float32)
    assert mean_ignoring_nan(values) == pytest.approx(float(np.float32(0.1)), rel=1e-12)


def test_standard_deviations_ignore_nan():
    values = [[1.0, NAN, 3.0], [5.0, NAN, NAN], [NAN] * 3]
    np.testing.assert_array_equal(std_ignoring_nan(values), [1.0, 0.0, NAN])


def test_last_values_are_those_that_are_not_nan():
    values = [[1.0, 2.0, NAN], [NAN, NAN, NAN], [3.0, NAN, 4.0]]
    np.testing.assert_array_equal(last_ignoring_nan(values), [2.0, NAN, 4.0])


def test_gaps_are_bridged_over_steps_row_by_row():
    steps = [0, 10, 40, 50]
    values = [[[NAN, 1.0, NAN, 5.0], [2.0, NAN, 6.0, NAN]], [[NAN] * 4, [1.0, 2.0, 3.0, 4.0]]]
    expected = [[[NAN, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, NAN]], values[1]]
    np.testing.assert_array_equal(bridge_nan(steps, values), expected)
    np.testing.assert_array_equal(bridge_nan(steps, values[0][0]), expected[0][0])


@pytest.mark.parametrize(
    ("values", "text"),
    [([1.0, NAN, 7.0], "4.0 ± 3.0"), ([NAN, -2.25], "-2.2"), ([NAN], "-"), ([], "-")],
)
def test_text_of_mean_and_standard_deviation(values, text):
    assert mean_and_std(values, ".1f") == text


@pytest.mark.parametrize(
    ("encoding", "sign"),
    [("utf-8", "±"), (None, "±"), ("latin-1", "±"), ("ascii", "+-"), ("no such", "+-")],
)
def test_sign_is_one_that_the_encoding_holds(encoding, sign):
    assert plus_minus_sign(encoding) == sign
    assert mean_and_std([1.0, 3.0], ".0f", sign) == f"2 {sign} 1"
