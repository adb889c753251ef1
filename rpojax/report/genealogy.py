"""Genealogy of a population: who descends from whom, and how its hyperparameters moved."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from rpojax.report.scales import set_scale
from rpojax.report.style import add_colorbar, new_figure, save, set_titles, theme_of

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.figure import Figure


def plot_genealogy(
    parents: ArrayLike,
    hyperparameters: Mapping[str, ArrayLike],
    scores: ArrayLike,
    path: str | Path | None = None,
    *,
    score_label: str,
    steps: ArrayLike | None = None,
    title: str = "",
    theme: str = "light",
) -> "Figure":
    """Draw the hyperparameters of a population over time, with the descent of its agents.

    A point is an agent in a generation, coloured by its score. A line leads to it from its parent
    in the generation before. The ancestors of the agent that is best in the end are drawn thick.

    Args:
        parents: i[G, N], the place in generation g - 1 of the agent that agent [g, i] continues or
            copies; that of the first generation is ignored.
        hyperparameters: values [G, N] by name, a panel each; at least one.
        scores: f64[G, N], higher is better; NaN or infinite where there is none.
        path: where to save the picture as well; its suffix gives the format, PNG without one.
        score_label: what the scores are, with their unit.
        steps: [G] environment steps of each agent at each generation; None for their numbers.
        title: above the picture.
        theme: "light" or "dark".

    Raises:
        ValueError: shapes that do not fit, parents outside of 0 to N - 1, or an unknown theme.
        OSError: the picture cannot be saved; the message names the file.
    """
    from matplotlib.ticker import EngFormatter, MaxNLocator

    look = theme_of(theme)
    parents, scores, values = _checked(parents, scores, hyperparameters)
    generations, agents = parents.shape
    x = np.arange(generations) if steps is None else np.asarray(steps)
    if x.shape != (generations,):
        raise ValueError(
            f"steps have shape {x.shape}; give one for each of {generations} generations"
        )
    figure = new_figure(look, (8.0, min(1.2 + 2.4 * len(values), 16.0)), panels=len(values))
    panels = list(figure.axes)
    mappable = add_colorbar(figure, panels, look, scores, score_label)
    lineage = _lineage(parents, scores)
    for axes, (name, moved) in zip(panels, values.items(), strict=True):
        for g in range(1, generations):
            copied = parents[g] != np.arange(agents)
            ends = np.stack((moved[g - 1, parents[g]], moved[g]))
            axes.plot(
                x[g - 1 : g + 1], ends[:, ~copied], color=look.muted, linewidth=0.6, alpha=0.6
            )
            axes.plot(x[g - 1 : g + 1], ends[:, copied], color="#d55e00", linewidth=0.9, alpha=0.8)
        axes.plot(x, moved[np.arange(generations), lineage], color=look.text, linewidth=2.4)
        known = ~np.isnan(scores)
        across = np.broadcast_to(x[:, np.newaxis], moved.shape)
        axes.scatter(across[~known], moved[~known], s=16, marker="x", color=look.muted, zorder=3)
        axes.scatter(across[known], moved[known], s=16, c=mappable.to_rgba(scores[known]), zorder=3)
        axes.set_ylabel(name)
        set_scale(axes, "y", moved.ravel())
    bottom = panels[-1].xaxis
    if steps is None:
        bottom.set_major_locator(MaxNLocator(integer=True))
    else:
        bottom.set_major_formatter(EngFormatter(sep=""))
    panels[-1].set_xlabel("generation" if steps is None else "environment steps of each agent")
    explanation = f"{agents} agents; orange: copied from another; thick: ancestors of the best"
    set_titles(panels[0], look, title, explanation)
    save(figure, path)
    return figure


def _checked(
    parents: ArrayLike, scores: ArrayLike, hyperparameters: Mapping[str, ArrayLike]
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    parents, scores = np.asarray(parents), np.asarray(scores, np.float64)
    values = {name: np.asarray(each, np.float64) for name, each in hyperparameters.items()}
    shapes = {name: each.shape for name, each in values.items()}
    if parents.ndim != 2 or not parents.size or {scores.shape, *shapes.values()} != {parents.shape}:
        raise ValueError(
            f"parents have shape {parents.shape}, scores {scores.shape} and hyperparameters "
            f"{shapes}; give all the shape [generations, agents]"
        )
    if not values:
        raise ValueError("hyperparameters are empty; give the values of at least one")
    later = parents[1:]
    if parents.dtype.kind not in "iu" or (later < 0).any() or (later >= parents.shape[1]).any():
        raise ValueError(
            f"parents have dtype {parents.dtype} or are out of range; give whole numbers from 0 to "
            f"{parents.shape[1] - 1}"
        )
    return parents, np.where(np.isfinite(scores), scores, np.nan), values


def _lineage(parents: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The ancestors of the agent that is best in the last generation, i64[G]."""
    line = [int(np.argmax(np.where(np.isnan(scores[-1]), -np.inf, scores[-1])))]
    for of_generation in parents[:0:-1]:
        line.append(int(of_generation[line[-1]]))
    return np.array(line[::-1])
