import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

from rpojax.report import Picture, Section, Table, plot_heatmap, write_page
from rpojax.report.style import GRID, MUTED, TEXT, new_figure

VOID = {"meta", "img", "source", "br", "link", "input", "hr"}
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Page(HTMLParser):
    """Elements and text of a page; raises where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.elements, self.texts = [], [], {}
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def attributes(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def figure(color: str) -> Figure:
    made = new_figure((2.0, 1.0))
    made.axes[0].plot([0.0, 1.0], color=color)
    return made


TABLE = Table(
    ("setting", "return", "seeds", "finite"),
    [
        ("a<b", -150.25, 16, True),
        ("c", np.float32(-1e6), np.int64(5), False),
        ("b", np.nan, 2, None),
    ],
    caption="best & last",
)
LABELS = {"xlabel": "x", "ylabel": "y", "score_label": "return", "num_seeds": 1}
SECTIONS = [
    Section("Results", ["One <paragraph> & more.", TABLE]),
    Section(
        "Pictures",
        [
            Picture(figure("#123456"), 'a "curve"'),
            Picture(plot_heatmap([1], [2], [[3.0]], **LABELS), "another"),
            {"jax": "0.10", "lr": 1e-3},
        ],
    ),
]


@pytest.fixture
def html(tmp_path) -> str:
    path = tmp_path / "report.html"
    write_page(path, "Study of <alpha>", SECTIONS)
    return path.read_text(encoding="utf-8")


def test_elements_match_and_text_is_escaped(html):
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>\n<html lang=")
    assert page.texts["title"] == page.texts["h1"] == ["Study of <alpha>"]
    assert page.texts["h2"] == page.texts["a"] == ["Results", "Pictures"]
    assert page.texts["p"] == ["One <paragraph> & more."]
    assert page.texts["caption"] == ["best & last"]
    assert page.texts["button"] == list(TABLE.columns)
    assert page.texts["td"] == [
        "a<b", "-150.25", "16", "yes", "c", "-1e+06", "5", "no", "b", "-", "2", "-",
    ]  # fmt: skip
    assert list(zip(page.texts["dt"], page.texts["dd"], strict=True)) == [
        ("jax", "0.10"),
        ("lr", "0.001"),
    ]


def test_cells_of_numbers_have_their_value_to_sort_by(html):
    cells = Page(html).attributes("td")
    assert [cell.get("data-value") for cell in cells[:4]] == [None, "-150.25", "16", None]
    assert cells[5]["data-value"] == "-1000000.0"
    assert ["data-missing" in cell for cell in cells[8:]] == [False, True, False, True]


def test_nothing_is_loaded_from_elsewhere(html):
    page = Page(html)
    for tag, attributes in page.elements:
        for name in ("src", "srcset", "href", "action", "data"):
            assert attributes.get(name, "#").startswith("#"), (tag, name)
        assert attributes.get("xlink:href", "#").startswith(("#", "data:image/png;base64,"))
    assert "link" not in dict(page.elements)
    policies = [meta["content"] for meta in page.attributes("meta") if "http-equiv" in meta]
    assert policies[0].startswith("default-src 'none'; img-src data:; style-src")
    outside = re.sub(r"base64,[^\"]*|^// .*$", "", html, flags=re.MULTILINE)
    assert not re.search(r"https?:|url\((?!#)|@import|//", outside)


def test_links_of_the_contents_lead_to_sections(html):
    page = Page(html)
    targets = [link["href"] for link in page.attributes("a")]
    assert targets == [f"#{section['id']}" for section in page.attributes("section")]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_pictures_have_the_colors_of_the_page_and_references_of_their_own(html):
    page = Page(html)
    pictures = [div for div in page.attributes("div") if div.get("role") == "img"]
    assert [picture["aria-label"] for picture in pictures] == ['a "curve"', "another"]
    svg = html[html.index("<svg") : html.rindex("</svg>")]
    assert "#123456" in svg
    assert "currentColor" in svg
    assert "var(--muted)" in svg
    assert "var(--line)" in svg
    assert not [color for color in (TEXT, MUTED, GRID) if color in svg]
    assert "#ffffff" not in svg.partition("</svg>")[0]
    ids = {attributes.get("id") for _, attributes in page.elements}
    references = [each.get("xlink:href", "") for _, each in page.elements]
    targets = {each for each in references if each.startswith("#")}
    targets |= set(re.findall(r"url\((#[^)]*)\)", svg))
    assert targets
    assert {target[1:] for target in targets} <= ids


def test_the_same_page_can_be_made_again(html, tmp_path):
    write_page(tmp_path / "again.html", "Study of <alpha>", SECTIONS)
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == html


def test_a_page_of_one_section_has_no_contents(tmp_path):
    write_page(tmp_path / "page.html", "One", [Section("Only", [])])
    assert not Page((tmp_path / "page.html").read_text()).attributes("nav")


def test_errors(tmp_path):
    path = tmp_path / "page.html"
    wrong = Table(("a", "b"), [(1, 2), (3,)])
    with pytest.raises(ValueError, match=r"row 1 of a table has 1 cells; give .* the 2 columns"):
        write_page(path, "", [Section("", [wrong])])
    with pytest.raises(TypeError, match="a part of a page is a int; give text, a Table, a Picture"):
        write_page(path, "", [Section("", [3])])
    assert not path.exists()


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_click_sorts_by_the_column_and_another_the_other_way_round(html, tmp_path):
    """Numbers by their value, the highest first; a cell without one always last."""
    clicks = """<script>
      const rows = document.querySelector("tbody").rows;
      const order = () => [...rows].map((row) => row.cells[0].textContent).join();
      const [setting, returns, seeds] = document.querySelectorAll("th button");
      const clicks = [returns, returns, seeds, setting, setting];
      document.title = clicks.map((button) => (button.click(), order())).join(" ");
    </script></body>"""
    path = tmp_path / "clicked.html"
    path.write_text(html.replace("</body>", clicks), encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", path.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout
    assert Page(shown).texts["title"] == ["a<b,c,b c,a<b,b a<b,c,b a<b,b,c c,b,a<b"]
