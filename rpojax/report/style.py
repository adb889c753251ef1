"""The look of pictures: light and dark, in colours that colour-blind people can tell apart."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rpojax.statistics.bootstrap import Estimate
from rpojax.validation import check_choice

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORMAP = "viridis"  # of scores


class Theme(NamedTuple):
    """Colours of a picture."""

    background: str
    text: str
    muted: str  # of explanations
    grid: str
    palette: tuple[str, ...]  # Okabe and Ito 2008, without what the background hides
    shades: tuple[float, float]  # the part of the colour map that contrasts with the background


THEMES = {
    "light": Theme(
        background="#ffffff",
        text="#1a1a1a",
        muted="#595959",
        grid="#dddddd",
        palette=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"),
        shades=(0.0, 0.95),
    ),
    "dark": Theme(
        background="#16181d",
        text="#ececec",
        muted="#aaaaaa",
        grid="#3b3f47",
        palette=("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#ffffff"),
        shades=(0.25, 1.0),
    ),
}


def theme_of(name: str) -> Theme:
    """The theme "light" or "dark"; ValueError for another name."""
    return THEMES[check_choice("theme", name, THEMES)]


def new_figure(theme: Theme, size: tuple[float, float], panels: int = 1) -> "Figure":
    """A figure of `panels` axes above each other that share their x axis, size in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", facecolor=theme.background)
    for axes in np.ravel(figure.subplots(panels, sharex=True)):
        axes.set_facecolor(theme.background)
        axes.tick_params(which="both", colors=theme.text)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["bottom", "left"]].set_color(theme.muted)
        axes.xaxis.label.set_color(theme.text)
        axes.yaxis.label.set_color(theme.text)
        axes.grid(color=theme.grid, linewidth=0.6)
        axes.set_axisbelow(True)
    return figure


def set_titles(axes: "Axes", theme: Theme, title: str, explanation: str) -> None:
    """The title of a picture, and below it what is drawn."""
    axes.set_title(as_it_is(title), loc="left", color=theme.text, pad=24.0 if explanation else None)
    if explanation:
        axes.annotate(
            explanation,
            (0.0, 1.0),
            (0.0, 8.0),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize="small",
            color=theme.muted,
            gid="explanation",
        )


def as_it_is(text: str) -> str:
    """Text in which matplotlib finds no formulas: names of runs may hold "$"."""
    return text.replace("$", r"\$")


def add_legend(figure: "Figure", theme: Theme, curves: Mapping[str, Any]) -> None:
    """A legend of curves by label, beside the axes so that it covers nothing."""
    legend = figure.legend(
        list(curves.values()),
        [str(number) for number in range(len(curves))],
        loc="outside right upper",
        frameon=False,
        fontsize="small",
        labelcolor=theme.text,
    )
    for text, label in zip(legend.get_texts(), curves, strict=True):
        text.set_text(as_it_is(label))  # `legend` leaves out labels that begin with "_"


def add_colorbar(figure: "Figure", axes: Any, theme: Theme, scores: np.ndarray, label: str) -> Any:
    """A colour bar for the finite ones of `scores`; returns what maps scores to colours."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    finite = scores[np.isfinite(scores)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    norm = Normalize(low, high if high > low else low + 1.0)
    mappable = ScalarMappable(norm, ListedColormap(_shades(256, theme)))
    bar = figure.colorbar(mappable, ax=axes, pad=0.02)
    bar.set_label(label, color=theme.text)
    bar.ax.tick_params(colors=theme.text)
    bar.outline.set_visible(False)
    return mappable


def colors(count: int, theme: Theme) -> list[Any]:
    """As many colours as there are curves: a palette, or shades where it is too small."""
    return list(theme.palette[:count] if count <= len(theme.palette) else _shades(count, theme))


def seeds_in_words(num_seeds: int | tuple[int, int]) -> str:
    """The text "5 seeds", or "3 to 5 seeds" for (3, 5)."""
    low, high = (num_seeds, num_seeds) if isinstance(num_seeds, int) else num_seeds
    if low != high:
        return f"{low} to {high} seeds"
    return f"{low} seed" if low == 1 else f"{low} seeds"


def explain(statistic: str, estimates: Sequence[Estimate], num_seeds: int | tuple[int, int]) -> str:
    """The text "median and 95 % bootstrap interval of 5 seeds"; no interval where there is none."""
    levels = {
        f"{100 * estimate.confidence:g} %"
        for estimate in estimates
        if not np.isnan(estimate.low).all()
    }
    interval = f" and {' or '.join(sorted(levels))} bootstrap interval" if levels else ""
    return f"{statistic}{interval} of {seeds_in_words(num_seeds)}"


def save(figure: "Figure", path: str | Path | None) -> None:
    """Write a picture if a path is given.

    It is drawn in memory first, since backends fail in other ways on a full disk.

    Raises:
        ValueError: a format that matplotlib does not know.
        OSError: the picture cannot be saved; the message names the file.
    """
    if path is None:
        return
    path = Path(path)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=150, format=path.suffix[1:] or "png")
    try:
        path.write_bytes(picture.getvalue())
    except OSError as error:
        # The error of a full disk does not name the file.
        raise OSError(
            error.errno, f"cannot save the picture: {error.strerror}", str(path)
        ) from error


def _shades(count: int, theme: Theme) -> np.ndarray:
    """RGBA f64[count, 4] from the colour map."""
    from matplotlib import colormaps

    return np.asarray(colormaps[COLORMAP](np.linspace(*theme.shades, count)))
