"""A report as one HTML file that needs nothing else: no network, no other file."""

import base64
import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from rpojax.report.page_parts import SCRIPT, STYLE

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Table:
    """A table that sorts by the column whose head is clicked."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]  # a cell for each column; None and NaN are "-"; these sort last
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture for light and one for dark pages; the browser shows that of its colour scheme."""

    light: "Figure"
    dark: "Figure"
    description: str  # what it shows, for those who cannot see it


Part: TypeAlias = str | Table | Picture | Mapping[str, Any]  # a paragraph, ..., names and values


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and what is below it."""

    title: str
    parts: Sequence[Part]


def write_page(path: str | Path, title: str, sections: Sequence[Section]) -> None:
    """Write a report as an HTML page that refers to nothing outside of it.

    Pictures are in the file as SVG. A content security policy keeps browsers from loading anything
    from elsewhere. All text is escaped.

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
    contents = "\n".join(
        f'<li><a href="#section-{number}">{escape(section.title)}</a></li>'
        for number, section in enumerate(sections, start=1)
    )
    body = "\n".join(
        f'<section id="section-{number}">\n<h2>{escape(section.title)}</h2>\n'
        + "\n".join(_part(part) for part in section.parts)
        + "\n</section>"
        for number, section in enumerate(sections, start=1)
    )
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
{f"<nav><ul>{contents}</ul></nav>" if len(sections) > 1 else ""}
<main>
{body}
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""
    Path(path).write_text(page, encoding="utf-8")


def _part(part: Part) -> str:
    if isinstance(part, str):
        return f"<p>{escape(part)}</p>"
    if isinstance(part, Table):
        return _table(part)
    if isinstance(part, Picture):
        return _picture(part)
    if isinstance(part, Mapping):
        pairs = (
            f"<dt>{escape(str(name))}</dt><dd>{escape(_text(value))}</dd>"
            for name, value in part.items()
        )
        return f"<dl>{''.join(pairs)}</dl>"
    raise TypeError(
        f"a part of a page is a {type(part).__name__}; give text, a Table, a Picture or a mapping"
    )


def _table(table: Table) -> str:
    width = len(table.columns)
    wrong = [index for index, row in enumerate(table.rows) if len(row) != width]
    if wrong:
        raise ValueError(
            f"row {wrong[0]} of a table has {len(table.rows[wrong[0]])} cells; give one for each "
            f"of the {width} columns {list(table.columns)}"
        )
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    rows = [[_cell(value) for value in row] for row in table.rows]
    heads = "".join(_head(name, [row[at] for row in rows]) for at, name in enumerate(table.columns))
    lines = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="wide"><table>{caption}\n<thead><tr>{heads}</tr></thead>\n'
        f"<tbody>\n{lines}\n</tbody></table></div>"
    )


def _head(name: str, cells: Sequence[str]) -> str:
    """The head of a column, at the side where its cells are."""
    side = ' class="number"' if any('class="number"' in cell for cell in cells) else ""
    return f'<th scope="col"{side}><button type="button">{escape(name)}</button></th>'


def _cell(value: Any) -> str:
    """A cell; a number has its value in full beside it, to sort by."""
    value = _plain(value)
    if isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value):
        return f'<td class="number" data-value="{value!r}">{_text(value)}</td>'
    missing = " data-missing" if value is None or isinstance(value, float) else ""
    return f"<td{missing}>{escape(_text(value))}</td>"


def _picture(picture: Picture) -> str:
    light, dark = (
        f"data:image/svg+xml;base64,{_svg(figure)}" for figure in (picture.light, picture.dark)
    )
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{escape(picture.description)}"></picture>'
    )


def _svg(figure: "Figure") -> str:
    """The picture as SVG, in base64; without the date, so that a page can be made again."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return base64.b64encode(file.getvalue()).decode("ascii")


def _text(value: Any) -> str:
    """A value for people: numbers with five digits, None and NaN as "-"."""
    value = _plain(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    """NumPy's and JAX's scalars as plain ones; all else as it is."""
    return value.item() if getattr(value, "shape", None) == () else value
