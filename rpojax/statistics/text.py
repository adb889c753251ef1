"""Numbers as text, for tables and logs."""

import numpy as np
from numpy.typing import ArrayLike

from rpojax.statistics.nan import mean_ignoring_nan, std_ignoring_nan


def mean_and_std(values: ArrayLike, spec: str, plus_minus: str = "±") -> str:
    """The text "4.0 ± 3.0" for values [n], ignoring NaN.

    The standard deviation is left out where there is one value only; without any, the text is "-".

    Args:
        values: [n].
        spec: format of either number, such as ".1f".
        plus_minus: the sign between the two; see `plus_minus_sign`.
    """
    values = np.asarray(values, np.float64)
    count = np.count_nonzero(~np.isnan(values))
    if not count:
        return "-"
    mean = f"{mean_ignoring_nan(values):{spec}}"
    return mean if count == 1 else f"{mean} {plus_minus} {std_ignoring_nan(values):{spec}}"


def duration(seconds: float) -> str:
    """Such as "45 s", "3 min 20 s" or "2 h 5 min"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def decimals_of(values: ArrayLike, low: ArrayLike = np.nan, high: ArrayLike = np.nan) -> int:
    """Decimals for a column of scores: two digits of the half-width of a typical interval.

    Without intervals, as many as show the largest of the values with five digits.

    Args:
        values: [n].
        low, high: ends of their intervals, [n]; NaN where there is none.
    """
    half = (np.asarray(high, np.float64) - np.asarray(low, np.float64)).ravel() / 2
    half = half[np.isfinite(half) & (half > 0)]
    magnitudes = np.abs(np.asarray(values, np.float64)).ravel()
    largest = np.max(magnitudes[np.isfinite(magnitudes)], initial=0.0)
    size, digits = (np.median(half), 2) if half.size else (largest, 5)
    return int(np.clip(digits - 1 - np.floor(np.log10(size)), 0, 8)) if size > 0 else 0


def plus_minus_sign(encoding: str | None) -> str:
    """The sign "±", or "+-" where an encoding cannot hold it.

    Args:
        encoding: of a text stream; None if it has none.
    """
    try:
        "±".encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return "+-"
    return "±"
