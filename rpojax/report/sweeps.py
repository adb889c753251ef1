"""Pictures of a search: scores against one hyperparameter, against two, and against all."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from rpojax.report.scales import as_values, set_scale
from rpojax.report.style import (
    add_colorbar,
    colors,
    explain,
    new_figure,
    save,
    seeds_in_words,
    set_titles,
    theme_of,
)
from rpojax.statistics.bootstrap import Estimate

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
    title: str = "",
    theme: str = "light",
) -> "Figure":
    """Draw how a score depends on one hyperparameter, with the interval of each setting.

    The axis is logarithmic where the values are spread over decades. Values that are not numbers
    are categories.

    Args:
        values: of the hyperparameter, K of them.
        estimate: of each setting, f64[K] each; settings without a score are NaN.
        path: where to save the picture as well; its suffix gives the format, PNG without one.
        xlabel: the hyperparameter, with its unit if it has one.
        ylabel: what the scores are, with their unit.
        num_seeds: of each setting; (least, most) where they differ.
        statistic: what the points show.
        title: above the picture.
        theme: "light" or "dark".

    Raises:
        ValueError: shapes that do not fit, or an unknown theme.
        OSError: the picture cannot be saved; the message names the file.
    """
    look = theme_of(theme)
    places, categories = as_values(values)
    score, low, high = (np.asarray(part, np.float64) for part in estimate[:3])
    if places.ndim != 1 or not places.size or score.shape != places.shape:
        raise ValueError(
            f"values have shape {places.shape} and scores {score.shape}; give both the shape "
            "[settings]"
        )
    figure = new_figure(look, (7.0, 4.0))
    (axes,) = figure.axes
    order = np.argsort(places, kind="stable")
    (color,) = colors(1, look)
    join = "-" if categories is None else ""
    axes.plot(places[order], score[order], f"o{join}", color=color, markersize=5, linewidth=1.2)
    axes.vlines(places, low, high, color=color, linewidth=2.2, alpha=0.6)
    if categories is None:
        set_scale(axes, "x", places)
    else:
        axes.set_xticks(range(len(categories)), categories)
        axes.margins(x=0.1)
    explanation = explain(statistic, [estimate], num_seeds)
    set_titles(axes, look, title, f"{explanation} for each setting")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    save(figure, path)
    return figure


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
    theme: str = "light",
) -> "Figure":
    """Draw scores of a grid of two hyperparameters; a cell without a score is empty.

    Args:
        x_values: of one hyperparameter, X of them, from left to right.
        y_values: of the other, Y of them, from the bottom to the top.
        scores: [Y, X]; NaN where there is none.
        path: where to save the picture as well; its suffix gives the format, PNG without one.
        xlabel: the one hyperparameter.
        ylabel: the other.
        score_label: what the scores are, with their unit.
        num_seeds: of each setting; (least, most) where they differ.
        statistic: what the scores show.
        title: above the picture.
        theme: "light" or "dark".

    Raises:
        ValueError: shapes that do not fit, or an unknown theme.
        OSError: the picture cannot be saved; the message names the file.
    """
    look = theme_of(theme)
    scores = np.asarray(scores, np.float64)
    if scores.shape != (len(y_values), len(x_values)) or not scores.size:
        raise ValueError(
            f"scores have shape {scores.shape}, for {len(y_values)} values up and {len(x_values)} "
            "to the right; give [y, x], at least one of each"
        )
    rows, columns = scores.shape
    figure = new_figure(look, (min(3.0 + 0.8 * columns, 14.0), min(2.0 + 0.5 * rows, 12.0)))
    (axes,) = figure.axes
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    mappable = add_colorbar(figure, axes, look, scores, score_label)
    edges = np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5
    axes.pcolormesh(
        *edges,
        np.ma.masked_invalid(scores),
        cmap=mappable.get_cmap(),
        norm=mappable.norm,
        edgecolors=look.background,
        linewidth=1.5,
    )
    axes.set_xticks(range(columns), [_label(value) for value in x_values])
    axes.set_yticks(range(rows), [_label(value) for value in y_values])
    if scores.size <= MOST_WRITTEN:
        for (row, column), score in np.ndenumerate(scores):
            known = np.isfinite(score)
            bright = known and np.dot(mappable.to_rgba(score)[:3], (0.299, 0.587, 0.114)) > 0.5
            color = ("#000000" if bright else "#ffffff") if known else look.muted
            text = f"{score:.3g}" if abs(score) < 1000 else f"{score:.0f}"
            axes.text(
                column, row, text if known else "-", color=color, ha="center", va="center",
                fontsize="small",
            )  # fmt: skip
    set_titles(axes, look, title, f"{statistic} of {seeds_in_words(num_seeds)} for each setting")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    save(figure, path)
    return figure


def _label(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)
