"""Sums, means and curves where NaN stands for "no value"."""

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


def bridge_nan(steps: ArrayLike, values: ArrayLike) -> np.ndarray:
    """Curves with their gaps bridged: linear over steps, between a row's first and last value.

    Args:
        steps: [n], increasing.
        values: [..., n]; NaN where there is no value.

    Returns:
        f64[..., n]; NaN before the first and after the last value of a row.
    """
    steps, values = np.asarray(steps, np.float64), np.asarray(values, np.float64)
    bridged = values.reshape(-1, values.shape[-1]).copy()
    for row in bridged:
        known = np.flatnonzero(~np.isnan(row))
        if known.size:
            row[:] = np.interp(steps, steps[known], row[known], left=np.nan, right=np.nan)
    return bridged.reshape(values.shape)
