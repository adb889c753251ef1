import numpy as np
import pytest

from rpojax.statistics.text import mean_and_std, plus_minus_sign

NAN = np.nan


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
