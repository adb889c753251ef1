"""Pictures of training: a metric over environment steps, with its spread over seeds."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rpojax.config import Config
from rpojax.types import Metrics
from rpojax.validation import check_known

if TYPE_CHECKING:  # matplotlib takes its time to import
    from matplotlib.figure import Figure

MANY_SEEDS = 10  # from here on the band leaves out a tenth of the seeds at either end


def plot_learning_curves(
    cfg: Config,
    metrics: Metrics | Mapping[str, Metrics],
    path: str | Path | None = None,
    metric: str = "episode_return",
    title: str | None = None,
) -> "Figure":
    """Draw a metric over environment steps: the mean over seeds and their spread.

    The spread is a band, from the lowest to the highest seed or, from ten seeds on, from the 10th
    to the 90th percentile; a curve that stands alone shows each seed besides. Updates without a
    value (in which no episode ended) are bridged by a straight line, seed by seed; before its
    first value and after its last, a seed does not count. Neither pyplot nor its backend is
    touched.

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
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    alone = not isinstance(metrics, Mapping)
    labelled = metrics if isinstance(metrics, Mapping) else {"mean": metrics}
    shades = colormaps["viridis"](np.linspace(0.0, 0.9, len(labelled)))
    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    axes = figure.add_subplot()
    last_step, spread = 0, ""
    for (label, each), shade in zip(labelled.items(), shades, strict=True):
        color = "tab:blue" if alone else shade
        values = _by_seed(each, metric)
        num_seeds, num_updates = values.shape
        last_step = max(last_step, num_updates * cfg.batch_size)
        known = ~np.isnan(values).all(axis=0)
        steps = cfg.batch_size * (1 + np.flatnonzero(known))
        values = values[:, known]
        mean = np.nanmean(values, axis=0)
        axes.plot(steps, mean, color=color, linewidth=1.8, zorder=3, label=label)
        if num_seeds > 1 and known.any():
            many = num_seeds >= MANY_SEEDS
            low, high = np.nanpercentile(values, (10, 90) if many else (0, 100), axis=0)
            axes.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)
            band = "10th to 90th percentile" if many else "range"
            spread = f"mean and {band} of {num_seeds} seeds"
            if alone:
                axes.plot(steps, values.T, color=color, linewidth=0.6, alpha=0.5)

    axes.set_title(title or str(getattr(cfg.env, "name", cfg.env)), loc="left")
    axes.set_title(spread, loc="right", fontsize="small", color="gray")
    axes.set_xlabel("environment steps")
    axes.set_ylabel(metric.replace("_", " "))
    axes.set_xlim(0, 1.02 * last_step)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    if not any(np.size(line.get_xdata()) for line in axes.lines):
        axes.text(0.5, 0.5, "no values", transform=axes.transAxes, ha="center", color="gray")
    if not alone:
        axes.legend(frameon=False, fontsize="small")
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _by_seed(metrics: Metrics, metric: str) -> np.ndarray:
    """One metric as f32[S, num_updates], NaN between two values of a seed replaced."""
    check_known(metric, [field.name for field in dataclasses.fields(Metrics)], "metric")
    values = np.asarray(getattr(metrics, metric), np.float32)
    if values.ndim not in (1, 2):
        raise ValueError(
            f"metrics.{metric} has shape {values.shape}; give [num_updates] or [seeds, "
            "num_updates], and the curves of a sweep under a label each"
        )
    return np.stack([_bridge(row) for row in np.atleast_2d(values)])


def _bridge(row: np.ndarray) -> np.ndarray:
    """Interpolate linearly over NaN between the first and the last value of [num_updates]."""
    known = np.flatnonzero(~np.isnan(row))
    if not known.size:
        return row
    return np.interp(np.arange(row.size), known, row[known], left=np.nan, right=np.nan)
