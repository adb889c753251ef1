"""Pictures of searches: scores against one hyperparameter or two, and how a population moved."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from rpojax.report.style import (
    MUTED,
    PALETTE,
    TEXT,
    add_colorbar,
    as_values,
    colors,
    explain,
    finish,
    new_figure,
    seeds_in_words,
    set_scale,
)
from rpojax.statistics.bootstrap import Estimate
from rpojax.types import Evolution

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.figure import Figure

MOST_WRITTEN = 120  # cells of a heat map that have their score written into them


def plot_sensitivity(
    values: Sequence[Any] | np.ndarray,
    estimate: Estimate,
    path: str | Path | None = None,
    *,
    xlabel: str,
    ylabel: str,
    num_seeds: int | tuple[int, int],
    statistic: str = "interquartile mean",
    joined: bool = True,
    title: str = "",
) -> "Figure":
    """Draw how a score depends on one hyperparameter, with the interval of each setting.

    The axis is logarithmic where the values are spread over decades. Values that are not numbers
    are categories.

    Args:
        values: of the hyperparameter, K of them.
        estimate: of each setting, f64[K] each; settings without a score are NaN.
        path: as in `plot_curves`, and so are `title` and errors of saving.
        xlabel: the hyperparameter, with its unit if it has one.
        ylabel: what the scores are, with their unit.
        num_seeds: of each setting; (least, most) where they differ.
        statistic: what the points show.
        joined: draw a line through the points; False where settings differ in more than `values`.

    Raises:
        ValueError: shapes that do not fit.
    """
    places, categories = as_values(values)
    score, low, high = (np.asarray(part, np.float64) for part in estimate[:3])
    if places.ndim != 1 or not places.size or score.shape != places.shape:
        raise ValueError(
            f"values have shape {places.shape} and scores {score.shape}; give both the shape "
            "[settings]"
        )
    figure = new_figure((7.0, 4.0))
    (axes,) = figure.axes
    order = np.argsort(places, kind="stable")
    (color,) = colors(1)
    line = "o-" if joined and categories is None else "o"
    axes.plot(places[order], score[order], line, color=color, markersize=5, linewidth=1.2)
    axes.vlines(places, low, high, color=color, linewidth=2.2, alpha=0.6)
    if categories is None:
        set_scale(axes, "x", places)
    else:
        axes.set_xticks(range(len(categories)), categories)
        axes.margins(x=0.1)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    explanation = explain(statistic, [estimate], num_seeds)
    return finish(figure, path, title, f"{explanation} for each setting")


def plot_heatmap(
    x_values: Sequence[Any] | np.ndarray,
    y_values: Sequence[Any] | np.ndarray,
    scores: ArrayLike,
    path: str | Path | None = None,
    *,
    xlabel: str,
    ylabel: str,
    score_label: str,
    num_seeds: int | tuple[int, int],
    statistic: str = "interquartile mean",
    title: str = "",
) -> "Figure":
    """Draw scores of a grid of two hyperparameters; a cell without a score is empty.

    Args:
        x_values: of one hyperparameter, X of them, from left to right.
        y_values: of the other, Y of them, from the bottom to the top.
        scores: [Y, X]; NaN where there is none.
        path: as in `plot_curves`, and so are `title` and errors of saving.
        xlabel: the one hyperparameter.
        ylabel: the other.
        score_label: what the scores are, with their unit.
        num_seeds: of each setting; (least, most) where they differ.
        statistic: what the scores show.

    Raises:
        ValueError: shapes that do not fit.
    """
    scores = np.asarray(scores, np.float64)
    if scores.shape != (len(y_values), len(x_values)) or not scores.size:
        raise ValueError(
            f"scores have shape {scores.shape}, for {len(y_values)} values up and {len(x_values)} "
            "to the right; give [y, x], at least one of each"
        )
    rows, columns = scores.shape
    figure = new_figure((min(3.0 + 0.8 * columns, 14.0), min(2.0 + 0.5 * rows, 12.0)))
    (axes,) = figure.axes
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    mappable = add_colorbar(figure, axes, scores, score_label)
    axes.pcolormesh(
        np.arange(columns + 1) - 0.5,
        np.arange(rows + 1) - 0.5,
        np.ma.masked_invalid(scores),
        cmap=mappable.get_cmap(),
        norm=mappable.norm,
        edgecolors="white",
        linewidth=1.5,
    )
    axes.set_xticks(range(columns), [_label(value) for value in x_values])
    axes.set_yticks(range(rows), [_label(value) for value in y_values])
    if scores.size <= MOST_WRITTEN:
        for (row, column), score in np.ndenumerate(scores):
            known = np.isfinite(score)
            bright = known and np.dot(mappable.to_rgba(score)[:3], (0.299, 0.587, 0.114)) > 0.5
            color = ("black" if bright else "white") if known else MUTED
            text = f"{score:.3g}" if abs(score) < 1000 else f"{score:.0f}"
            axes.text(
                column, row, text if known else "-", color=color, ha="center", va="center",
                fontsize="small",
            )  # fmt: skip
    axes.set(xlabel=xlabel, ylabel=ylabel)
    explanation = f"{statistic} of {seeds_in_words(num_seeds)} for each setting"
    return finish(figure, path, title, explanation)


def plot_genealogy(
    evolution: Evolution,
    names: Sequence[str],
    path: str | Path | None = None,
    *,
    score_label: str,
    title: str = "",
) -> "Figure":
    """Draw hyperparameters of a population over its generations, with the descent of its agents.

    A point is an agent in a generation, coloured by its score; a cross has none. A line leads to it
    from its parent, in orange if it was copied. The ancestors of the best agent are drawn thick.

    Args:
        evolution: `TrainResult.evolution` of a `fit` with `PBT`.
        names: of the hyperparameters, at least one; a panel each.
        path: as in `plot_curves`, and so are `title` and errors of saving.
        score_label: what the scores are, with their unit.
    """
    scores, parents = np.asarray(evolution.scores, np.float64).T, np.asarray(evolution.parents).T
    generations, agents = scores.shape
    x = np.arange(1, generations + 1)
    figure = new_figure((8.0, min(1.2 + 2.4 * len(names), 16.0)), panels=len(names))
    panels = list(figure.axes)
    mappable = add_colorbar(figure, panels, scores, score_label)
    known = np.isfinite(scores)
    ancestors = [int(np.argmax(np.where(known[-1], scores[-1], -np.inf)))]
    for parent in parents[-2::-1]:  # `parents[g]` leads from generation g to the next
        ancestors.insert(0, int(parent[ancestors[0]]))
    for axes, name in zip(panels, names, strict=True):
        values = np.asarray(getattr(evolution.hyperparams, name), np.float64).T
        for g, parent in enumerate(parents[:-1]):
            ends, copied = np.stack((values[g, parent], values[g + 1])), parent != np.arange(agents)
            axes.plot(x[g : g + 2], ends[:, ~copied], color=MUTED, linewidth=0.6, alpha=0.6)
            axes.plot(x[g : g + 2], ends[:, copied], color=PALETTE[1], linewidth=0.9, alpha=0.8)
        axes.plot(x, values[x - 1, ancestors], color=TEXT, linewidth=2.4)
        across = np.broadcast_to(x[:, np.newaxis], values.shape)
        axes.scatter(across[~known], values[~known], s=16, marker="x", color=MUTED, zorder=3)
        axes.scatter(
            across[known], values[known], s=16, c=mappable.to_rgba(scores[known]), zorder=3
        )
        axes.set_ylabel(name)
        set_scale(axes, "y", values.ravel())
    panels[-1].set_xlabel("generation")
    explanation = f"{agents} agents; orange: copied from another; thick: ancestors of the best"
    return finish(figure, path, title, explanation)


def _label(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)
