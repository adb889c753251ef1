"""Curves with a band around each, such as a confidence interval."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rpojax.report.style import (
    add_legend,
    colors,
    explain,
    new_figure,
    save,
    set_titles,
    theme_of,
)
from rpojax.statistics.bootstrap import Estimate

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Band(NamedTuple):
    """A curve of n points and the band around it."""

    x: np.ndarray  # [n]
    value: np.ndarray  # f64[n] NaN where there is none
    low: np.ndarray  # f64[n] NaN where there is no band
    high: np.ndarray  # f64[n] likewise


def plot_sample_efficiency(
    curves: Mapping[str, tuple[ArrayLike, Estimate]],
    path: str | Path | None = None,
    *,
    ylabel: str,
    num_seeds: int | tuple[int, int],
    statistic: str = "interquartile mean",
    title: str = "",
    theme: str = "light",
) -> "Figure":
    """Draw learning curves as a statistic over seeds, each with its confidence interval.

    Args:
        curves: for each label, environment steps [T] and what
            `rpojax.statistics.sample_efficiency` gives for them, f64[T] each.
        path: where to save the picture as well; its suffix gives the format, PNG without one.
        ylabel: what the values are, with their unit.
        num_seeds: of each curve; (least, most) where they differ.
        statistic: what the curves show.
        title: above the picture.
        theme: "light" or "dark".

    Raises:
        ValueError: shapes that do not fit, no curve, or an unknown theme.
        OSError: the picture cannot be saved; the message names the file.
    """
    estimates = [estimate for _, estimate in curves.values()]
    return plot_bands(
        {label: _band(label, *curve) for label, curve in curves.items()},
        path,
        xlabel="environment steps",
        ylabel=ylabel,
        explanation=explain(statistic, estimates, num_seeds),
        title=title,
        theme=theme,
        of_steps=True,
    )


def plot_profiles(
    profiles: Mapping[str, tuple[ArrayLike, Estimate]],
    path: str | Path | None = None,
    *,
    xlabel: str,
    num_seeds: int | tuple[int, int],
    num_tasks: int = 1,
    title: str = "",
    theme: str = "light",
) -> "Figure":
    """Draw performance profiles: the share of runs above each score, higher is better.

    Args:
        profiles: for each label, thresholds [T] and what `rpojax.statistics.performance_profile`
            gives for them, f64[T] each.
        path: where to save the picture as well; its suffix gives the format, PNG without one.
        xlabel: what the scores are, with their unit.
        num_seeds: of each task; (least, most) where they differ.
        num_tasks: over which the shares are averaged.
        title: above the picture.
        theme: "light" or "dark".

    Raises:
        ValueError: shapes that do not fit, no profile, or an unknown theme.
        OSError: the picture cannot be saved; the message names the file.
    """
    estimates = [estimate for _, estimate in profiles.values()]
    tasks = f" on each of {num_tasks} tasks" if num_tasks > 1 else ""
    return plot_bands(
        {label: _band(label, *profile) for label, profile in profiles.items()},
        path,
        xlabel=xlabel,
        ylabel="share of runs with a higher score",
        explanation=explain("share", estimates, num_seeds) + tasks,
        title=title,
        theme=theme,
        ylim=(-0.02, 1.02),
    )


def plot_bands(
    bands: Mapping[str, Band],
    path: str | Path | None = None,
    *,
    xlabel: str,
    ylabel: str,
    explanation: str,
    title: str,
    theme: str,
    of_steps: bool = False,
    ylim: tuple[float, float] | None = None,
    members: tuple[np.ndarray, np.ndarray] | None = None,
) -> "Figure":
    """Draw curves with their bands; see the functions above.

    Args:
        bands: by label; the legend is left out where there is one.
        path: where to save the picture as well.
        xlabel: below the picture.
        ylabel: at its side.
        explanation: what curve and band are, and of how many seeds.
        title: above the picture.
        theme: "light" or "dark".
        of_steps: whether x counts environment steps, from 0.
        ylim: of the y axis.
        members: x [n] and values [n, N] of the runs behind a single curve, drawn as thin lines.
    """
    from matplotlib.ticker import EngFormatter

    if not bands:
        raise ValueError("there is no curve to draw; give at least one")
    look = theme_of(theme)
    figure = new_figure(look, (7.0, 4.0) if len(bands) == 1 else (8.0, 4.0))
    (axes,) = figure.axes
    lines = {
        label: _draw(axes, label, band, color)
        for (label, band), color in zip(bands.items(), colors(len(bands), look), strict=True)
    }
    if members is not None:
        axes.plot(*members, color=colors(1, look)[0], linewidth=0.6, alpha=0.5)
    set_titles(axes, look, title, explanation)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if of_steps:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlim(0, 1.02 * max(band.x[-1] for band in bands.values()))
    if ylim is not None:
        axes.set_ylim(ylim)
    if all(np.isnan(band.value).all() for band in bands.values()):
        axes.text(0.5, 0.5, "no values", transform=axes.transAxes, ha="center", color=look.muted)
    if len(bands) > 1:
        add_legend(figure, look, lines)
    save(figure, path)
    return figure


def _draw(axes: "Axes", label: str, band: Band, color: Any) -> Any:
    """Draw a curve with its band; returns its line."""
    known = ~np.isnan(band.value)
    alone = known & ~np.append(False, known[:-1]) & ~np.append(known[1:], False)
    (line,) = axes.plot(band.x, band.value, color=color, linewidth=1.8, zorder=3, label=label)
    if alone.any():  # single points, which a line does not show
        axes.plot(band.x[alone], band.value[alone], "o", color=color, markersize=4, zorder=3)
    if not np.isnan(band.low).all():
        axes.fill_between(band.x, band.low, band.high, color=color, alpha=0.2, linewidth=0)
    return line


def _band(label: str, x: ArrayLike, estimate: Estimate) -> Band:
    x = np.asarray(x)
    parts = [np.asarray(part, np.float64) for part in estimate[:3]]
    if x.ndim != 1 or not x.size or any(part.shape != x.shape for part in parts):
        raise ValueError(
            f"curve {label!r} has x of shape {x.shape} and values of {parts[0].shape}; give both "
            "the shape [n]"
        )
    return Band(x, *parts)
