"""Pictures of training: a metric over environment steps, with its spread over seeds."""

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rpojax.config import Config
from rpojax.loggers import COLUMNS
from rpojax.types import Metrics
from rpojax.validation import check_known

if TYPE_CHECKING:  # matplotlib takes its time to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MANY_SEEDS = 10  # from here on the band leaves out a tenth of the seeds at either end


class Curve(NamedTuple):
    """A metric of S seeds."""

    steps: np.ndarray  # i64[n] environment steps of each seed
    values: np.ndarray  # f32[S, n] NaN where there is none


def plot_learning_curves(
    cfg: Config,
    metrics: Metrics | Mapping[str, Metrics],
    path: str | Path | None = None,
    metric: str = "episode_return",
    title: str | None = None,
) -> "Figure":
    """Draw a metric of training results over environment steps; `plot_curves` says how.

    Args:
        cfg: what was trained; gives the steps of an update and the environment's name.
        metrics: of one agent, [num_updates], or of S seeds, [S, num_updates]; or several such,
            under the labels of their curves.
        path: where to save the picture as well; its suffix gives the format.
        metric: a field of `Metrics`.
        title: None for the environment's name.

    Raises:
        ValueError: an unknown metric, or axes besides those of seeds and updates.
    """

    def curve(each: Metrics) -> Curve:
        values = metric_of(each, metric)
        return Curve(cfg.batch_size * np.arange(1, values.shape[1] + 1), values)

    return plot_curves(
        {label: curve(each) for label, each in metrics.items()}
        if isinstance(metrics, Mapping)
        else curve(metrics),
        path,
        ylabel=metric.replace("_", " "),
        title=title or str(getattr(cfg.env, "name", cfg.env)),
    )


def plot_curves(
    curves: Curve | Mapping[str, Curve],
    path: str | Path | None = None,
    *,
    ylabel: str,
    title: str = "",
) -> "Figure":
    """Draw one curve, or several under their labels: the mean over seeds and their spread.

    The spread is a band, from the lowest to the highest seed or, from ten seeds on, from the 10th
    to the 90th percentile; a curve that stands alone shows each seed besides. Updates without a
    value (in which no episode ended) are bridged by a straight line, seed by seed; before its
    first value and after its last, a seed does not count. Neither pyplot nor its backend is
    touched.

    Args:
        curves: with their own steps each.
        path: where to save the picture as well; its suffix gives the format.
        ylabel: what the values are.
        title: above the picture.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    axes = figure.add_subplot()
    if isinstance(curves, Curve):
        labelled: Mapping[str, Curve] = {"mean": curves}
        spreads = {_draw(axes, "mean", curves, "tab:blue")}
        _draw_seeds(axes, curves, "tab:blue")
    else:
        labelled = curves
        shades = colormaps["viridis"](np.linspace(0.0, 0.9, len(labelled)))
        spreads = {
            _draw(axes, label, curve, shade)
            for (label, curve), shade in zip(labelled.items(), shades, strict=True)
        }
        axes.legend(frameon=False, fontsize="small")
    axes.set_title(title, loc="left")
    spread = spreads.pop() if len(spreads) == 1 else "mean and spread over seeds"
    axes.set_title(spread, loc="right", fontsize="small", color="gray")
    axes.set_xlabel("environment steps")
    axes.set_ylabel(ylabel)
    axes.set_xlim(0, 1.02 * max(curve.steps[-1] for curve in labelled.values()))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    if not any(np.size(line.get_xdata()) for line in axes.lines):
        axes.text(0.5, 0.5, "no values", transform=axes.transAxes, ha="center", color="gray")
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def read_curve(path: str | Path, metric: str) -> Curve:
    """A metric from the file of a `CSVLogger`, also of a run that is on its way.

    Raises:
        ValueError: an unknown metric, or another kind of file, or one without rows.
        OSError: it cannot be read.
    """
    check_known(metric, COLUMNS[3:], "metric")  # behind seed, updates and steps
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            found = {
                (int(row["seed"]), int(row["steps"])): float(row[metric] or "nan")
                for row in csv.DictReader(file)
                if row[COLUMNS[-1]] is not None  # a kill has left this line torn
            }
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{path} is not a file of metrics by CSVLogger: {error!r}") from error
    if not found:
        raise ValueError(f"{path} holds no metrics yet; let the run log a first update")
    seeds, steps = (np.unique(part) for part in zip(*found, strict=True))
    values = np.full((len(seeds), len(steps)), np.nan, np.float32)
    for (seed, step), value in found.items():
        values[np.searchsorted(seeds, seed), np.searchsorted(steps, step)] = value
    return Curve(steps, values)


def metric_of(metrics: Metrics, metric: str) -> np.ndarray:
    """One metric by name as f32[S, num_updates]; ValueError if unknown, or with other axes."""
    check_known(metric, [field.name for field in dataclasses.fields(Metrics)], "metric")
    values = np.asarray(getattr(metrics, metric), np.float32)
    if values.ndim not in (1, 2):
        raise ValueError(
            f"metrics.{metric} has shape {values.shape}; give [num_updates] or [seeds, "
            "num_updates], and the curves of a sweep under a label each"
        )
    return np.atleast_2d(values)


def _draw(axes: "Axes", label: str, curve: Curve, color: Any) -> str:
    """Draw mean and band; returns in words what the band is, "" where there is none."""
    steps, values = _known(curve)
    axes.plot(steps, np.nanmean(values, axis=0), color=color, linewidth=1.8, zorder=3, label=label)
    num_seeds = len(values)
    if num_seeds == 1 or not steps.size:
        return ""
    many = num_seeds >= MANY_SEEDS
    low, high = np.nanpercentile(values, (10, 90) if many else (0, 100), axis=0)
    axes.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)
    band = "10th to 90th percentile" if many else "range"
    return f"mean and {band} of {num_seeds} seeds"


def _draw_seeds(axes: "Axes", curve: Curve, color: Any) -> None:
    """Draw each of several seeds."""
    steps, values = _known(curve)
    if len(values) > 1 and steps.size:
        axes.plot(steps, values.T, color=color, linewidth=0.6, alpha=0.5)


def _known(curve: Curve) -> Curve:
    """The curve with gaps bridged, at the steps where a seed has a value."""
    values = np.stack([_bridge(row) for row in curve.values])
    known = ~np.isnan(values).all(axis=0)
    return Curve(curve.steps[known], values[:, known])


def _bridge(row: np.ndarray) -> np.ndarray:
    """Interpolate linearly over NaN between the first and the last value of [n]."""
    known = np.flatnonzero(~np.isnan(row))
    if not known.size:
        return row
    return np.interp(np.arange(row.size), known, row[known], left=np.nan, right=np.nan)
