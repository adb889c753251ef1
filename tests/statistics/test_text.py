"""Numbers as text."""

import numpy as np
import pytest

from rpojax.statistics.text import decimals_of


@pytest.mark.parametrize(
    ("values", "low", "high", "decimals"),
    [
        ([-1161.4, -84.562], [-1172.0, -88.1], [-1150.0, -81.0], 1),
        ([0.51, 0.4], [0.48, 0.36], [0.54, 0.44], 3),
        ([100.0], [96.6], [103.4], 1),
        ([1161.4, 84.562], np.nan, np.nan, 1),  # without intervals: five digits of the largest
        ([0.0, np.nan], np.nan, np.nan, 0),
        ([1.0, 1.0], [1.0, 1.0], [1.0, 1.0], 4),
    ],
)
def test_decimals_are_those_that_intervals_carry(values, low, high, decimals):
    assert decimals_of(values, low, high) == decimals
