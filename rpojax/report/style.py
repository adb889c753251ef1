"""How pictures look: axes, titles, scales, and colours that colour-blind people can tell apart."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from rpojax.files import replaced
from rpojax.statistics.bootstrap import Estimate

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEXT, MUTED, GRID = "#1a1a1a", "#595959", "#dddddd"  # a page replaces them by its own colours
PALETTE = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00",
)  # of curves, Okabe and Ito 2008  # fmt: skip
OTHERS = "#999999"  # of curves past those of the palette
SHADES = (0.2, 0.9)  # the part of viridis that stands out from light and from dark pages
MOST_TICKS = 12  # at the values themselves; more would overlap


def new_figure(size: tuple[float, float], panels: int = 1) -> "Figure":
    """A figure of `panels` axes above each other that share their x axis, size in inches.

    Neither pyplot nor its backend is touched.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    for axes in np.ravel(figure.subplots(panels, sharex=True)):
        axes.tick_params(which="both", colors=TEXT)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["bottom", "left"]].set_color(MUTED)
        axes.xaxis.label.set_color(TEXT)
        axes.yaxis.label.set_color(TEXT)
        axes.grid(color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
    return figure


def finish(figure: "Figure", path: str | Path | None, title: str, explanation: str) -> "Figure":
    """Add the title and, below it, what is drawn; write the picture if a path is given.

    Raises:
        ValueError: a format that matplotlib does not know.
        OSError: the picture cannot be saved; the message names the file.
    """
    axes = figure.axes[0]
    axes.set_title(as_it_is(title), loc="left", color=TEXT, pad=24.0 if explanation else None)
    if explanation:
        axes.annotate(
            explanation,
            (0.0, 1.0),
            (0.0, 8.0),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize="small",
            color=MUTED,
            gid="explanation",
        )
    if path is not None:
        path = Path(path)
        picture = io.BytesIO()  # drawn in memory first: backends fail in other ways on a full disk
        figure.savefig(picture, dpi=150, format=path.suffix[1:] or "png")
        try:
            with replaced(path) as draft:
                draft.write_bytes(picture.getvalue())
        except OSError as error:  # that of a full disk does not name the file
            message = f"cannot save the picture: {error.strerror}"
            raise OSError(error.errno, message, str(path)) from error
    return figure


def as_it_is(text: str) -> str:
    """Text in which matplotlib finds no formulas: names of runs may hold "$"."""
    return text.replace("$", r"\$")


def add_legend(figure: "Figure", curves: Mapping[str, Any]) -> None:
    """A legend of curves by label, beside the axes so that it covers nothing.

    Grey curves are one entry.
    """
    others = [label for label in curves if curves[label].get_color() == OTHERS]
    if len(others) > 1:
        named = {label: line for label, line in curves.items() if label not in others}
        curves = {**named, f"{len(others)} others": curves[others[0]]}
    legend = figure.legend(
        list(curves.values()),
        [str(number) for number in range(len(curves))],
        loc="outside right upper",
        frameon=False,
        fontsize="small",
        labelcolor=TEXT,
    )
    for text, label in zip(legend.get_texts(), curves, strict=True):
        text.set_text(as_it_is(label))  # `legend` leaves out labels that begin with "_"


def add_colorbar(figure: "Figure", axes: Any, scores: np.ndarray, label: str) -> Any:
    """A colour bar for the finite ones of `scores`; returns what maps scores to colours."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    finite = scores[np.isfinite(scores)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    norm = Normalize(low, high if high > low else low + 1.0)
    shades = colormaps["viridis"](np.linspace(*SHADES, 256))
    mappable = ScalarMappable(norm, ListedColormap(shades))
    bar = figure.colorbar(mappable, ax=axes, pad=0.02)
    bar.set_label(label, color=TEXT)
    bar.ax.tick_params(colors=TEXT)
    bar.outline.set_visible(False)
    return mappable


def colors(count: int) -> list[str]:
    """A colour for each curve: those of the palette for the first ones, grey for the others."""
    return [*PALETTE[:count], *[OTHERS] * (count - len(PALETTE))]


def seeds_in_words(num_seeds: int | tuple[int, int]) -> str:
    """The text "5 seeds", or "3 to 5 seeds" for (3, 5)."""
    low, high = (num_seeds, num_seeds) if isinstance(num_seeds, int) else num_seeds
    if low != high:
        return f"{low} to {high} seeds"
    return f"{low} seed" if low == 1 else f"{low} seeds"


def explain(statistic: str, estimates: Sequence[Estimate], num_seeds: int | tuple[int, int]) -> str:
    """The text "median and 95 % interval of 5 seeds"; no interval where there is none."""
    levels = {
        f"{100 * estimate.confidence:g} %"
        for estimate in estimates
        if not np.isnan(estimate.low).all()
    }
    interval = f" and {' or '.join(sorted(levels))} interval" if levels else ""
    return f"{statistic}{interval} of {seeds_in_words(num_seeds)}"


def as_values(values: Sequence[Any] | np.ndarray) -> tuple[np.ndarray, list[str] | None]:
    """Numbers as f64[K] and None; anything else as indices of categories, and their names.

    Categories are in the order in which they come. Truth values and tuples are categories too.
    """
    items = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if all(isinstance(x, int | float | np.number) and not isinstance(x, bool) for x in items):
        return np.array(items, np.float64), None
    names = [str(item) for item in items]
    categories = list(dict.fromkeys(names))
    return np.array([categories.index(name) for name in names], np.float64), categories


def scale_of(values: ArrayLike) -> str:
    """The scale that fits values of a hyperparameter: "log", "symlog" or "linear".

    It is "log" where positive values span a decade, and half of them would crowd in the lowest
    fifth of a linear axis or their logarithms are more evenly spaced than they are; "symlog" where
    zeros come with them.
    """
    values = np.unique(np.asarray(values, np.float64))
    positive = values[values > 0.0]
    if values.size == 0 or values[0] < 0.0 or positive.size < 2 or positive[-1] < 10 * positive[0]:
        return "linear"
    crowded = np.median(positive) < positive[0] + 0.2 * (positive[-1] - positive[0])
    if not crowded and _unevenness(np.log(positive)) > _unevenness(positive):
        return "linear"
    return "log" if positive.size == values.size else "symlog"


def set_scale(axes: "Axes", which: str, values: np.ndarray) -> None:
    """Give the axis "x" or "y" the scale of its values, with ticks at them if they are few."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    scale = scale_of(values)
    settings = {"linthresh": values[values > 0.0].min()} if scale == "symlog" else {}
    (axes.set_xscale if which == "x" else axes.set_yscale)(scale, **settings)
    distinct = np.unique(values)
    few = distinct.size <= MOST_TICKS
    if few:
        axis.set_major_locator(FixedLocator(distinct.tolist()))
    if few or scale != "linear":
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        axis.set_minor_locator(NullLocator())


def _unevenness(ordered: np.ndarray) -> float:
    gaps = np.diff(ordered)
    return float(gaps.std() / gaps.mean())
