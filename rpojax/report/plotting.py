"""Curves with a band around each: a metric over environment steps, and performance profiles."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from rpojax.report.curves import Curve, group_curves, learning_curve
from rpojax.report.style import MUTED, OTHERS, add_legend, colors, explain, finish, new_figure
from rpojax.settings.agent_table import AgentTable
from rpojax.settings.config import Config
from rpojax.statistics.bootstrap import Estimate
from rpojax.statistics.nan import bridge_nan, mean_ignoring_nan
from rpojax.types import Metrics

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MANY_AGENTS = 10  # from here on the band leaves out a tenth of the agents at either end

Labelled: TypeAlias = Mapping[str, Metrics | tuple[Config, Metrics]]


def plot_learning_curves(
    cfg: Config,
    metrics: Metrics | Labelled,
    path: str | Path | None = None,
    metric: str = "episode_return",
    title: str | None = None,
    *,
    agents: AgentTable | None = None,
) -> "Figure":
    """Draw a metric of training results over environment steps; `plot_curves` says how.

    Results of several Configs get the right steps each if each comes with its own Config::

        plot_learning_curves(few, {"8 envs": few_metrics, "64 envs": (many, many_metrics)})

    Args:
        cfg: what was trained; gives the steps of an update and the environment's name.
        metrics: of one agent, [num_updates], or of N agents, [N, num_updates]; or several such,
            under the labels of their curves. One that was trained with another Config than `cfg` is
            a pair of its Config and its metrics.
        path: where to save the picture as well; its suffix gives the format, PNG without one.
        metric: a field of `Metrics`.
        title: None for the environment's name.
        agents: of a run, to draw a curve for each set of hyperparameters that its N agents have.

    Raises:
        ValueError: an unknown metric, axes besides those of agents and updates, numbers of updates
            that do not fit the Config, or another number of agents.
        OSError: the picture cannot be saved.
    """
    curves: Curve | dict[str, Curve]
    if isinstance(metrics, Mapping):
        if agents is not None:
            raise ValueError("agents are of one run, and metrics has labels; give one or the other")
        curves = _labelled_curves(cfg, metrics, metric)
    else:
        curves = learning_curve(cfg, metrics, metric)
        groups = {} if agents is None else group_curves(curves, agents)
        curves = groups if len(groups) > 1 else curves
    return plot_curves(
        curves,
        path,
        ylabel=metric.replace("_", " "),
        title=str(getattr(cfg.env, "name", cfg.env)) if title is None else title,
    )


def plot_curves(
    curves: Curve | Mapping[str, Curve],
    path: str | Path | None = None,
    *,
    ylabel: str,
    title: str = "",
) -> "Figure":
    """Draw one curve, or several under their labels: the mean over agents and a band around it.

    The first six curves have colours; others are thin, grey and without a band. The band is the
    range of the agents or, from ten agents on, the 10th to the 90th percentile; a single curve also
    shows each agent as a thin line. Updates without a value (in which no episode ended) are bridged
    by a straight line, agent by agent; before its first value and after its last, an agent does not
    count.

    Args:
        curves: each with its own steps.
        path: where to save the picture as well; its suffix gives the format, PNG without one.
        ylabel: what the values are.
        title: above the picture.

    Raises:
        ValueError: no curve.
        OSError: the picture cannot be saved; the message names the file.
    """
    labelled = {"mean": curves} if isinstance(curves, Curve) else curves
    bridged = {
        label: Curve(curve.steps, bridge_nan(curve.steps, curve.values))
        for label, curve in labelled.items()
    }
    explained = {_in_words(len(curve.values)) for curve in bridged.values()}
    explanation = explained.pop() if len(explained) == 1 else "mean and band over seeds"
    bands = {label: _over_agents(curve) for label, curve in bridged.items()}
    figure = _draw_bands(bands, ylabel)
    if isinstance(curves, Curve) and len(curves.values) > 1:
        (color,) = colors(1)
        values = bridged["mean"].values.T
        figure.axes[0].plot(curves.steps, values, color=color, linewidth=0.6, alpha=0.5)
    return finish(figure, path, title, explanation)


def plot_sample_efficiency(
    curves: Mapping[str, tuple[ArrayLike, Estimate]],
    path: str | Path | None = None,
    *,
    ylabel: str,
    num_seeds: int | tuple[int, int],
    statistic: str = "interquartile mean",
    title: str = "",
) -> "Figure":
    """Draw learning curves as a statistic over seeds, each with its confidence interval.

    Args:
        curves: for each label, environment steps [T] and what
            `rpojax.statistics.sample_efficiency` gives for them, f64[T] each.
        path: as in `plot_curves`, and so are `title` and errors of saving.
        ylabel: what the values are, with their unit.
        num_seeds: of each curve; (least, most) where they differ.
        statistic: what the curves show.

    Raises:
        ValueError: shapes that do not fit, or no curve.
    """
    explanation = explain(statistic, [estimate for _, estimate in curves.values()], num_seeds)
    figure = _draw_bands(curves, ylabel)
    return finish(figure, path, title, explanation)


def plot_profiles(
    profiles: Mapping[str, tuple[ArrayLike, Estimate]],
    path: str | Path | None = None,
    *,
    xlabel: str,
    num_seeds: int | tuple[int, int],
    num_tasks: int = 1,
    title: str = "",
) -> "Figure":
    """Draw performance profiles: the share of runs above each score, higher is better.

    Args:
        profiles: for each label, thresholds [T] and what `rpojax.statistics.performance_profile`
            gives for them, f64[T] each.
        path: as in `plot_curves`, and so are `title` and errors of saving.
        xlabel: what the scores are, with their unit.
        num_seeds: of each task; (least, most) where they differ.
        num_tasks: over which the shares are averaged.

    Raises:
        ValueError: shapes that do not fit, or no profile.
    """
    explanation = explain("share", [estimate for _, estimate in profiles.values()], num_seeds)
    figure = _draw_bands(profiles, "share of runs with a higher score", xlabel)
    figure.axes[0].set_ylim(-0.02, 1.02)
    tasks = f" on each of {num_tasks} tasks" if num_tasks > 1 else ""
    return finish(figure, path, title, explanation + tasks)


def _draw_bands(
    curves: Mapping[str, tuple[ArrayLike, Estimate]], ylabel: str, xlabel: str | None = None
) -> "Figure":
    """Draw curves with their bands, over steps if there is no `xlabel`; a legend for several."""
    from matplotlib.ticker import EngFormatter

    if not curves:
        raise ValueError("there is no curve to draw; give at least one")
    figure = new_figure((7.0, 4.0) if len(curves) == 1 else (8.0, 4.0))
    (axes,) = figure.axes
    lines = {
        label: _draw(axes, label, np.asarray(x), estimate, color)
        for (label, (x, estimate)), color in zip(curves.items(), colors(len(curves)), strict=True)
    }
    axes.set(xlabel="environment steps" if xlabel is None else xlabel, ylabel=ylabel)
    if xlabel is None:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlim(0, 1.02 * max(np.asarray(x)[-1] for x, _ in curves.values()))
    if all(np.isnan(estimate.value).all() for _, estimate in curves.values()):
        axes.text(0.5, 0.5, "no values", transform=axes.transAxes, ha="center", color=MUTED)
    if len(curves) > 1:
        add_legend(figure, lines)
    return figure


def _draw(axes: "Axes", label: str, x: np.ndarray, estimate: Estimate, color: Any) -> Any:
    """Draw a curve with its band, where it has one; returns its line."""
    value, low, high = (np.asarray(part, np.float64) for part in estimate[:3])
    if x.ndim != 1 or not x.size or {value.shape, low.shape, high.shape} != {x.shape}:
        raise ValueError(
            f"curve {label!r} has x of shape {x.shape} and values of {value.shape}; give both the "
            "shape [n]"
        )
    grey = color == OTHERS
    known = ~np.isnan(value)
    alone = known & ~np.append(False, known[:-1]) & ~np.append(known[1:], False)
    width, order = (0.8, 2) if grey else (1.8, 3)
    (line,) = axes.plot(x, value, color=color, linewidth=width, zorder=order, label=label)
    if alone.any():  # single points, which a line does not show
        axes.plot(x[alone], value[alone], "o", color=color, markersize=4, zorder=3)
    if not np.isnan(low).all() and not grey:
        axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    return line


def _labelled_curves(cfg: Config, metrics: Labelled, metric: str) -> dict[str, Curve]:
    """Curves by label, each with the steps of its own Config; metrics alone are of `cfg`."""
    curves, of_cfg = {}, {}
    for label, given in metrics.items():
        pair = (cfg, given) if isinstance(given, Metrics) else given
        curves[label] = learning_curve(*pair, metric)
        if isinstance(given, Metrics):
            of_cfg[label] = curves[label].steps.size
    if len(set(of_cfg.values())) > 1:
        numbers = ", ".join(f"{label}: {updates}" for label, updates in of_cfg.items())
        raise ValueError(
            f"numbers of updates differ ({numbers}), so the metrics are not all of cfg; give those "
            "of another Config as a pair (its Config, its metrics)"
        )
    return curves


def _over_agents(curve: Curve) -> tuple[np.ndarray, Estimate]:
    """Steps, and mean and band over agents, [n] each; see `plot_curves`."""
    low, high = np.full((2, curve.steps.size), np.nan)
    known = ~np.isnan(curve.values).all(axis=0)
    if len(curve.values) > 1 and known.any():
        ends = (10, 90) if len(curve.values) >= MANY_AGENTS else (0, 100)
        low[known], high[known] = np.nanpercentile(curve.values[:, known], ends, axis=0)
    return curve.steps, Estimate(mean_ignoring_nan(curve.values.T), low, high, np.nan)


def _in_words(count: int) -> str:
    """What the curve and the band of `count` agents show; "" for one agent."""
    band = "10th to 90th percentile" if count >= MANY_AGENTS else "range"
    return f"mean and {band} of {count} seeds" if count > 1 else ""
