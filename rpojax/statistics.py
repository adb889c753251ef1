"""Means and standard deviations where NaN stands for "no value"."""

import numpy as np
from numpy.typing import ArrayLike


def sum_ignoring_nan(values: ArrayLike) -> np.ndarray:
    """Sums f64[...] over the last axis of [..., n], ignoring NaN; NaN where there is no value."""
    values = np.asarray(values, np.float64)
    known = ~np.isnan(values)
    return np.where(known.any(axis=-1), np.where(known, values, 0.0).sum(axis=-1), np.nan)


def mean_ignoring_nan(values: ArrayLike, weights: ArrayLike = 1.0) -> np.ndarray:
    """Weighted means over the last axis, ignoring NaN.

    Args:
        values: [..., n].
        weights: at least 0, broadcast against `values`; a value whose weight is NaN is ignored too.

    Returns:
        f64[...]; NaN where there is no value of positive weight.
    """
    values, weights = np.broadcast_arrays(
        np.asarray(values, np.float64), np.asarray(weights, np.float64)
    )
    known = ~np.isnan(values) & (weights > 0)
    with np.errstate(invalid="ignore"):
        total = np.where(known, values * weights, 0.0).sum(axis=-1)
        return np.asarray(total / np.where(known, weights, 0.0).sum(axis=-1))


def std_ignoring_nan(values: ArrayLike) -> np.ndarray:
    """Population standard deviations f64[...] over the last axis of [..., n], ignoring NaN."""
    values = np.asarray(values, np.float64)
    with np.errstate(invalid="ignore"):
        deviations = values - mean_ignoring_nan(values)[..., np.newaxis]
        return np.sqrt(mean_ignoring_nan(deviations**2))


def last_ignoring_nan(values: ArrayLike) -> np.ndarray:
    """The last value of each row of [N, n] that is not NaN, f64[N]; NaN where there is none."""
    rows = [row[~np.isnan(row)] for row in np.asarray(values, np.float64)]
    return np.array([row[-1] if row.size else np.nan for row in rows])


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
