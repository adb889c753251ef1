"""Axes for hyperparameters: linear, logarithmic, or categories."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes

MOST_TICKS = 12  # at the values themselves; more would overlap


def as_values(values: Sequence[Any] | np.ndarray) -> tuple[np.ndarray, list[str] | None]:
    """Numbers as f64[K] and None; anything else as indices of categories, and their names.

    Categories are in the order in which they come. Truth values and tuples are categories too.
    """
    items = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if all(isinstance(item, int | float | np.number) for item in items) and not any(
        isinstance(item, bool) for item in items
    ):
        return np.array(items, np.float64), None
    names = [str(item) for item in items]
    categories = list(dict.fromkeys(names))
    return np.array([categories.index(name) for name in names], np.float64), categories


def scale_of(values: ArrayLike) -> str:
    """The scale that fits values of a hyperparameter: "log", "symlog" or "linear".

    It is "log" where positive values span a decade, and half of them would crowd in the lowest
    fifth of a linear axis or their logarithms are more evenly spaced than they are; "symlog" where
    zeros come with them.
    """
    values = np.unique(np.asarray(values, np.float64))
    positive = values[values > 0.0]
    if values.size == 0 or values[0] < 0.0 or positive.size < 2 or positive[-1] < 10 * positive[0]:
        return "linear"
    crowded = np.median(positive) < positive[0] + 0.2 * (positive[-1] - positive[0])
    if not crowded and _unevenness(np.log(positive)) > _unevenness(positive):
        return "linear"
    return "log" if positive.size == values.size else "symlog"


def to_scale(values: ArrayLike, scale: str) -> np.ndarray:
    """Places of values on an axis; with "symlog", zero is a decade below the smallest."""
    values = np.asarray(values, np.float64)
    if scale == "linear":
        return values
    smallest = values[values > 0.0].min()
    return np.log10(np.maximum(values, 0.1 * smallest))


def set_scale(axes: "Axes", which: str, values: np.ndarray) -> None:
    """Give the axis "x" or "y" the scale of its values, with ticks at them if they are few."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    scale = scale_of(values)
    settings = {"linthresh": values[values > 0.0].min()} if scale == "symlog" else {}
    (axes.set_xscale if which == "x" else axes.set_yscale)(scale, **settings)
    distinct = np.unique(values)
    if scale != "linear" or distinct.size <= MOST_TICKS:
        if distinct.size <= MOST_TICKS:
            axis.set_major_locator(FixedLocator(distinct.tolist()))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        axis.set_minor_locator(NullLocator())


def _unevenness(ordered: np.ndarray) -> float:
    gaps = np.diff(ordered)
    return float(gaps.std() / gaps.mean())
