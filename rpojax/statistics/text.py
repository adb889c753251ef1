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
