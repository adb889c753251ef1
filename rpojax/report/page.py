"""A report as one HTML file that needs nothing else: no network, no other file."""

import dataclasses
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from rpojax.files import write_text
from rpojax.report.style import GRID, MUTED, OTHERS, TEXT, colors
from rpojax.statistics.bootstrap import Estimate

if TYPE_CHECKING:  # matplotlib and jinja2 are imported where they are used
    from markupsafe import Markup
    from matplotlib.figure import Figure

UPLOT = {"script": "uPlot.iife.min.js", "style": "uPlot.min.css"}  # MIT, github.com/leeoniya/uPlot
MOST_POINTS = 400  # of a curve in a chart


@dataclasses.dataclass(frozen=True)
class Table:
    """A table that sorts by the column whose head is clicked."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]  # a cell for each column; None and NaN are "-"; these sort last
    caption: str = ""
    decimals: Mapping[str, int] = dataclasses.field(default_factory=dict)  # of columns, by name


@dataclasses.dataclass(frozen=True)
class Chart:
    """Curves by label with their bands, as numbers: what a picture of curves is drawn from."""

    curves: Mapping[str, tuple[ArrayLike, Estimate]]  # x [n] and value, low, high [n]
    xlabel: str
    ylabel: str


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture, whose text, axes and grid have the colours of the page, light or dark.

    With a chart, a browser that runs JavaScript shows that in its place: it has the values below
    the pointer, curves that can be switched off, and a part that can be enlarged.
    """

    figure: "Figure"
    description: str  # what it shows, for those who cannot see it
    title: str = ""  # above it
    chart: Chart | None = None


Part: TypeAlias = str | Table | Picture | Mapping[str, Any]  # a paragraph, ..., names and values


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and what is below it."""

    title: str
    parts: Sequence[Part]


def write_page(path: str | Path, title: str, sections: Sequence[Section]) -> None:
    """Write a report as an HTML page that refers to nothing outside of it.

    Pictures are in the file as SVG, and charts as numbers with uPlot, which draws them. A content
    security policy keeps browsers from loading anything from elsewhere. All text is escaped.

    Args:
        path: of the file, such as "report.html"; replaced if it exists.
        title: of the page.
        sections: from the top down. A part is a paragraph of text, a `Table`, a `Picture`, or a
            mapping of names to values, such as settings and versions.

    Raises:
        ValueError: a table has a row with another number of cells than columns.
        TypeError: a part of another type.
        OSError: the file cannot be written.
    """
    import jinja2

    parts = [part for section in sections for part in section.parts]
    for part in parts:
        _check(part)
    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"plain": _plain, "text": _text, "number": _number}
    environment.filters |= {"svg": _svg, "json": _json}
    template = environment.get_template("page.html")
    library = {}
    if any(isinstance(part, Picture) and part.chart is not None for part in parts):
        library = {kind: (folder / name).read_text("utf-8") for kind, name in UPLOT.items()}
    write_text(path, template.render(title=title, sections=sections, library=library))


def _check(part: Any) -> None:
    if isinstance(part, Table):
        width = len(part.columns)
        for index, row in enumerate(part.rows):
            if len(row) != width:
                raise ValueError(
                    f"row {index} of a table has {len(row)} cells; give one for each of the "
                    f"{width} columns {list(part.columns)}"
                )
    elif not isinstance(part, str | Picture | Mapping):
        raise TypeError(
            f"a part of a page is a {type(part).__name__}; give text, a Table, a Picture or a "
            "mapping"
        )


def _svg(figure: "Figure", name: str) -> "Markup":
    """The picture as an element of the page; `name` makes its ids different from other pictures'.

    The same figure gives the same text, so that a page can be made again.
    """
    import matplotlib
    from markupsafe import Markup

    file = io.StringIO()
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once: drawn again, it is the same to the digit
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)  # the page has them by itself
    svg = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    for color, of_page in ((TEXT, "currentColor"), (MUTED, "var(--muted)"), (GRID, "var(--line)")):
        svg = svg.replace(color, of_page)
    return Markup(svg)


def _json(chart: Chart) -> "Markup":
    """The numbers of a chart: all curves at the same x, with None where there is no value."""
    from markupsafe import Markup

    x = np.unique(np.concatenate([np.asarray(at, np.float64) for at, _ in chart.curves.values()]))
    x = x[np.unique(np.linspace(0, x.size - 1, MOST_POINTS).round().astype(int))]
    curves = []
    for (label, (at, estimate)), color in zip(
        chart.curves.items(), colors(len(chart.curves)), strict=True
    ):
        value, *band = (_at(x, at, each) for each in estimate[:3])
        band = [] if color == OTHERS else band
        curves.append({"label": label, "color": color, "value": value, "band": band})
    data = {"x": x.tolist(), "xlabel": chart.xlabel, "ylabel": chart.ylabel, "curves": curves}
    return Markup(json.dumps(data, allow_nan=False).replace("<", "\\u003c"))


def _at(x: np.ndarray, known_at: ArrayLike, values: ArrayLike) -> list[float | None]:
    """Values between their neighbours, with five digits; None outside, and beside gaps."""
    found = np.interp(x, np.asarray(known_at), np.asarray(values), left=np.nan, right=np.nan)
    return [None if np.isnan(each) else float(f"{each:.5g}") for each in found]


def _number(value: Any) -> float | int | None:
    """A finite number in full, to sort by; None for anything else."""
    value = _plain(value)
    is_number = isinstance(value, float | int) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) else None


def _text(value: Any, decimals: int | None = None) -> str:
    """A value for people: numbers with five digits or so many decimals, None and NaN as "-"."""
    value = _plain(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.5g}" if decimals is None else f"{value:.{decimals}f}"


def _plain(value: Any) -> Any:
    """NumPy's and JAX's scalars as plain ones; all else as it is."""
    return value.item() if getattr(value, "shape", None) == () else value
