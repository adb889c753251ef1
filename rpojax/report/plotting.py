"""Pictures of training: a metric over environment steps, with its range over agents."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from rpojax.agent_table import AgentTable
from rpojax.config import Config
from rpojax.report.curves import Curve, group_curves, learning_curve
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
        title=title or str(getattr(cfg.env, "name", cfg.env)),
    )


def plot_curves(
    curves: Curve | Mapping[str, Curve],
    path: str | Path | None = None,
    *,
    ylabel: str,
    title: str = "",
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

    Raises:
        OSError: the picture cannot be saved; the message names the file.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    axes = figure.add_subplot()
    if isinstance(curves, Curve):
        labelled: Mapping[str, Curve] = {"mean": curves}
        bands = {_draw(axes, "mean", curves, "tab:blue")}
        _draw_agents(axes, curves, "tab:blue")
    else:
        labelled = curves
        shades = colormaps["viridis"](np.linspace(0.0, 0.9, len(labelled)))
        bands = {
            _draw(axes, label, curve, shade)
            for (label, curve), shade in zip(labelled.items(), shades, strict=True)
        }
        axes.legend(frameon=False, fontsize="small")
    axes.set_title(title, loc="left")
    band = bands.pop() if len(bands) == 1 else "mean and band over seeds"
    axes.set_title(band, loc="right", fontsize="small", color="gray")
    axes.set_xlabel("environment steps")
    axes.set_ylabel(ylabel)
    axes.set_xlim(0, 1.02 * max(curve.steps[-1] for curve in labelled.values()))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    if not any(np.size(line.get_xdata()) for line in axes.lines):
        axes.text(0.5, 0.5, "no values", transform=axes.transAxes, ha="center", color="gray")
    if path is not None:
        _save(figure, Path(path))
    return figure


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


def _draw(axes: "Axes", label: str, curve: Curve, color: Any) -> str:
    """Draw mean and band; returns a description of the band, "" where there is none."""
    steps, values = _known(curve)
    mean = mean_ignoring_nan(values.T)
    axes.plot(steps, mean, color=color, linewidth=1.8, zorder=3, label=label)
    count = len(values)
    if count == 1 or not steps.size:
        return ""
    many = count >= MANY_AGENTS
    low, high = np.nanpercentile(values, (10, 90) if many else (0, 100), axis=0)
    axes.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)
    band = "10th to 90th percentile" if many else "range"
    return f"mean and {band} of {count} seeds"


def _draw_agents(axes: "Axes", curve: Curve, color: Any) -> None:
    """Draw each of several agents."""
    steps, values = _known(curve)
    if len(values) > 1 and steps.size:
        axes.plot(steps, values.T, color=color, linewidth=0.6, alpha=0.5)


def _known(curve: Curve) -> Curve:
    """The curve with gaps bridged, at the steps where an agent has a value."""
    values = bridge_nan(curve.steps, curve.values)
    known = ~np.isnan(values).all(axis=0)
    return Curve(curve.steps[known], values[:, known])


def _save(figure: "Figure", path: Path) -> None:
    """Write the picture: drawn in memory first, as backends fail in other ways on a full disk."""
    picture = io.BytesIO()
    figure.savefig(picture, dpi=150, format=path.suffix[1:] or "png")
    try:
        path.write_bytes(picture.getvalue())
    except OSError as error:
        # The error of a full disk does not name the file.
        raise OSError(
            error.errno, f"cannot save the picture: {error.strerror}", str(path)
        ) from error
