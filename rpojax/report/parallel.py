"""Parallel coordinates: all hyperparameters of a search at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from rpojax.report.scales import MOST_TICKS, as_values, scale_of, to_scale
from rpojax.report.style import (
    Theme,
    add_colorbar,
    new_figure,
    save,
    seeds_in_words,
    set_titles,
    theme_of,
)
from rpojax.validation import check_choice

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DIRECTIONS = ("maximize", "minimize")


def plot_parallel_coordinates(
    hyperparameters: Mapping[str, Sequence[Any] | np.ndarray],
    scores: ArrayLike,
    path: str | Path | None = None,
    *,
    score_label: str,
    num_seeds: int | tuple[int, int],
    direction: str = "maximize",
    statistic: str = "interquartile mean",
    title: str = "",
    theme: str = "light",
) -> "Figure":
    """Draw each setting of a search as a line through its hyperparameters, coloured by its score.

    Each hyperparameter has an axis from its least to its greatest value, logarithmic where its
    values are spread over decades; values that are not numbers are categories. The best setting is
    drawn thick, and settings without a score are dotted.

    Args:
        hyperparameters: values [K] of each hyperparameter, by name.
        scores: f64[K]; NaN or infinite where there is none.
        path: where to save the picture as well; its suffix gives the format, PNG without one.
        score_label: what the scores are, with their unit.
        num_seeds: of each setting; (least, most) where they differ.
        direction: "maximize" where higher scores are better, "minimize" where lower ones are.
        statistic: what the scores show.
        title: above the picture.
        theme: "light" or "dark".

    Raises:
        ValueError: shapes that do not fit, fewer than two hyperparameters, an unknown direction or
            theme.
        OSError: the picture cannot be saved; the message names the file.
    """
    look = theme_of(theme)
    sign = -1.0 if check_choice("direction", direction, DIRECTIONS) == "minimize" else 1.0
    scores = np.asarray(scores, np.float64)
    scores = np.where(np.isfinite(scores), scores, np.nan)
    lengths = {name: len(values) for name, values in hyperparameters.items()}
    if scores.ndim != 1 or not scores.size or set(lengths.values()) != {scores.size}:
        raise ValueError(
            f"scores have shape {scores.shape}, and hyperparameters {lengths} values; give the "
            "same number of each"
        )
    if len(lengths) < 2:
        raise ValueError(f"{list(lengths)} is one hyperparameter; give two, or plot_sensitivity")
    figure = new_figure(look, (min(3.0 + 1.6 * len(lengths), 16.0), 4.5))
    (axes,) = figure.axes
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    mappable = add_colorbar(figure, axes, look, scores, score_label)
    heights = np.stack(
        [_draw_axis(axes, look, x, values) for x, values in enumerate(hyperparameters.values())],
        axis=1,
    )
    # The best is drawn last, on top of the others.
    order = np.argsort(np.where(np.isnan(scores), -np.inf, sign * scores), kind="stable")
    for place, setting in enumerate(order):
        known, best = not np.isnan(scores[setting]), place == len(order) - 1
        axes.plot(
            heights[setting],
            color=mappable.to_rgba(scores[setting]) if known else look.muted,
            linestyle="-" if known else ":",
            linewidth=3.0 if best and known else 1.0,
            alpha=1.0 if best else 0.7,
            zorder=2 + place / len(order),
        )
    axes.set_xticks(range(len(lengths)), list(lengths))
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.set_xlim(-0.3, len(lengths) - 0.6)
    explanation = (
        f"{statistic} of {seeds_in_words(num_seeds)} for each of {scores.size} settings; the best "
        "is thick"
    )
    if np.isnan(scores).any():
        explanation += f", {np.isnan(scores).sum()} without a score dotted"
    set_titles(axes, look, title, explanation)
    save(figure, path)
    return figure


def _draw_axis(axes: "Axes", look: Theme, x: int, values: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Draw the axis of a hyperparameter; returns the heights of its values, 0 to 1, f64[K]."""
    numbers, categories = as_values(values)
    scale = "linear" if categories else scale_of(numbers)
    places = to_scale(numbers, scale)
    low, high = places.min(), places.max()
    span = high - low if high > low else 1.0
    heights = (places - low) / span if high > low else np.full(places.shape, 0.5)
    axes.plot([x, x], [0.0, 1.0], color=look.muted, linewidth=1.0, zorder=1)
    distinct, first = np.unique(numbers, return_index=True)
    if distinct.size > MOST_TICKS:
        ticks = np.linspace(0.0, 1.0, 5)
        at = low + ticks * span
        texts = [f"{number:.3g}" for number in (at if scale == "linear" else 10.0**at)]
        if scale == "symlog":
            texts[0] = "0"
    else:
        ticks = heights[first]
        texts = categories or [f"{number:.3g}" for number in distinct]
    for height, text in zip(ticks, texts, strict=True):
        axes.plot([x, x + 0.03], [height, height], color=look.muted, linewidth=1.0, zorder=1)
        axes.annotate(
            text,
            (x + 0.05, height),
            va="center",
            fontsize="x-small",
            color=look.text,
            zorder=4,
            bbox={"facecolor": look.background, "alpha": 0.7, "linewidth": 0, "pad": 0.8},
        )
    return heights
