"""Pictures of training: a metric over environment steps, with its range over agents."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from rpojax.report.bands import Band, plot_bands
from rpojax.report.curves import Curve, group_curves, learning_curve
from rpojax.settings.agent_table import AgentTable
from rpojax.settings.config import Config
from rpojax.statistics.nan import bridge_nan, mean_ignoring_nan
from rpojax.types import Metrics

if TYPE_CHECKING:  # matplotlib is slow to import
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
    theme: str = "light",
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
        theme: "light" or "dark".

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
        theme=theme,
    )


def plot_curves(
    curves: Curve | Mapping[str, Curve],
    path: str | Path | None = None,
    *,
    ylabel: str,
    title: str = "",
    theme: str = "light",
) -> "Figure":
    """Draw one curve, or several under their labels: the mean over agents and a band around it.

    The band is the range of the agents or, from ten agents on, the 10th to the 90th percentile; a
    curve that stands alone shows each agent besides. Updates without a value (in which no episode
    ended) are bridged by a straight line, agent by agent; before its first value and after its
    last, an agent does not count. Neither pyplot nor its backend is touched.

    Args:
        curves: each with its own steps.
        path: where to save the picture as well; its suffix gives the format, PNG without one.
        ylabel: what the values are.
        title: above the picture.
        theme: "light" or "dark".

    Raises:
        OSError: the picture cannot be saved; the message names the file.
    """
    labelled = {"mean": curves} if isinstance(curves, Curve) else curves
    bridged = {
        label: Curve(curve.steps, bridge_nan(curve.steps, curve.values))
        for label, curve in labelled.items()
    }
    explained = {_in_words(len(curve.values)) for curve in bridged.values()}
    members = None
    if isinstance(curves, Curve) and len(curves.values) > 1:
        members = curves.steps, bridged["mean"].values.T
    return plot_bands(
        {label: _band(curve) for label, curve in bridged.items()},
        path,
        xlabel="environment steps",
        ylabel=ylabel,
        explanation=explained.pop() if len(explained) == 1 else "mean and band over seeds",
        title=title,
        theme=theme,
        of_steps=True,
        members=members,
    )


def _labelled_curves(cfg: Config, metrics: Labelled, metric: str) -> dict[str, Curve]:
    """Curves by label, each with the steps of its own Config; metrics alone are of `cfg`."""
    pairs = {
        label: (cfg, given) if isinstance(given, Metrics) else given
        for label, given in metrics.items()
    }
    curves = {label: learning_curve(*pair, metric) for label, pair in pairs.items()}
    of_cfg = {
        label: curves[label].values.shape[1]
        for label, given in metrics.items()
        if isinstance(given, Metrics)
    }
    if len(set(of_cfg.values())) > 1:
        numbers = ", ".join(f"{label}: {updates}" for label, updates in of_cfg.items())
        raise ValueError(
            f"numbers of updates differ ({numbers}), so the metrics are not all of cfg; give those "
            "of another Config as a pair (its Config, its metrics)"
        )
    return curves


def _band(curve: Curve) -> Band:
    """Mean and band over agents, [n] each; see `plot_curves`."""
    low, high = np.full((2, curve.steps.size), np.nan)
    known = ~np.isnan(curve.values).all(axis=0)
    if len(curve.values) > 1 and known.any():
        ends = (10, 90) if len(curve.values) >= MANY_AGENTS else (0, 100)
        low[known], high[known] = np.nanpercentile(curve.values[:, known], ends, axis=0)
    return Band(curve.steps, mean_ignoring_nan(curve.values.T), low, high)


def _in_words(count: int) -> str:
    """What the curve and the band of `count` agents show; "" for one agent."""
    band = "10th to 90th percentile" if count >= MANY_AGENTS else "range"
    return f"mean and {band} of {count} seeds" if count > 1 else ""
