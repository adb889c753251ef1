import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from rpojax.report import Chart, Picture, Section, Table, plot_heatmap, write_page
from rpojax.report import page as page_module
from rpojax.report.style import GRID, MUTED, TEXT, new_figure
from rpojax.statistics import Estimate

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


ESTIMATE = Estimate(*np.array([[5.0, 9.0], [4.0, 8.0], [6.0, 10.0]]), 0.95)
TABLE = Table(
    ("setting", "return", "seeds", "finite"),
    [
        ("a<b", -150.25, 16, True),
        ("c", np.float32(-1e6), np.int64(5), False),
        ("b", np.nan, 2, None),
    ],
    caption="best & last",
    decimals={"return": 1},
)
CURVE = np.array([1.0, np.nan, 3.25])
CHART = Chart(
    {"a<b": ([0, 1, 2], Estimate(CURVE, CURVE - 1, CURVE + 1, 0.95)), "c": ([0, 4], ESTIMATE)},
    "steps",
    "return </script>",
)
LABELS = {"xlabel": "x", "ylabel": "y", "score_label": "return", "num_seeds": 1}
SECTIONS = [
    Section("Results", ["One <paragraph> & more.", TABLE]),
    Section(
        "Pictures",
        [
            Picture(figure("#123456"), 'a "curve"', "A curve", CHART),
            Picture(plot_heatmap([1], [2], [[3.0]], **LABELS), "another"),
            {"jax": "0.10", "lr": 1e-3},
        ],
    ),
]


@pytest.fixture(scope="module")
def html(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(path, "Study of <alpha>", SECTIONS)
    return path.read_text(encoding="utf-8")


def test_elements_match_and_text_is_escaped(html):
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>\n<html lang=")
    assert page.texts["title"] == page.texts["h1"] == ["Study of <alpha>"]
    assert page.texts["h2"] == page.texts["a"] == ["Results", "Pictures"]
    assert page.texts["p"][0] == "One <paragraph> & more."
    assert page.texts["p"][1] == "best & last"
    assert page.texts["figcaption"] == ["A curve"]
    assert page.texts["button"] == list(TABLE.columns)
    assert page.texts["td"] == [
        "a<b", "-150.2", "16", "yes", "c", "-1000000.0", "5", "no", "b", "-", "2", "-",
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
    library = (Path(page_module.__file__).parent / "uPlot.iife.min.js").read_text()
    assert library in html
    outside = re.sub(r"base64,[^\"]*|^// .*$", "", html.replace(library, ""), flags=re.MULTILINE)
    assert not re.search(r"https?:|url\((?!#)|@import|//", outside)


def test_a_chart_is_in_the_page_as_numbers_beside_its_picture(html):
    page = Page(html)
    (source,) = [each for each in page.attributes("script") if each.get("class") == "chart"]
    assert source["type"] == "application/json"
    text = html.partition('class="chart">')[2].partition("</script>")[0]
    data = json.loads(text)
    assert (data["x"], data["xlabel"], data["ylabel"]) == (
        [0, 1, 2, 4],
        "steps",
        "return </script>",
    )
    first, second = data["curves"]
    assert (first["label"], first["value"]) == ("a<b", [1.0, None, 3.25, None])
    assert first["band"] == [[0.0, None, 2.25, None], [2.0, None, 4.25, None]]
    assert second["value"] == [5.0, 6.0, 7.0, 9.0]
    assert first["color"] != second["color"]
    assert html.index("<svg") < html.index('class="chart"')  # shown where there is no JavaScript


def test_a_page_without_charts_has_no_library(tmp_path):
    write_page(tmp_path / "page.html", "Tables", SECTIONS[:1])
    assert "uPlot" not in (tmp_path / "page.html").read_text()


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


def dumped(path: Path, profile: Path) -> str:
    """The elements of a page after its scripts have run in Chromium."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={profile}", path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout


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
    shown = dumped(path, tmp_path / "profile")
    assert Page(shown).texts["title"] == ["a<b,c,b c,a<b,b a<b,c,b a<b,b,c c,b,a<b"]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_chart_replaces_its_picture_and_its_legend_switches_curves_off(html, tmp_path):
    clicks = """<script>
      const rows = () => [...document.querySelectorAll(".u-series:not(.edge)")];
      const off = () => rows().map((row) => Number(row.classList.contains("u-off"))).join("");
      const hidden = [...document.querySelectorAll(".picture")].map((each) => Number(each.hidden));
      rows()[1].querySelector("th").click();
      const edges = document.querySelectorAll(".u-series.edge.u-off").length;
      document.title = [hidden.join(""), rows().map((r) => r.textContent.split(":")[0]).join("|"),
        off(), edges].join(" ");
    </script></body>"""
    path = tmp_path / "chart.html"
    path.write_text(html.replace("</body>", clicks), encoding="utf-8")
    title = re.search("<title>(.*?)</title>", dumped(path, tmp_path / "profile")).group(1)
    hidden, labels, off, edges = title.split(" ")
    assert hidden == "10"  # the other picture has no chart
    assert labels.startswith("steps")
    assert (off, edges) == ("010", "2")
