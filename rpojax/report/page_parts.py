"""The style sheet and the script of a page."""

STYLE = """
:root { color-scheme: light dark; --back: #ffffff; --text: #1a1a1a; --muted: #595959;
  --line: #dddddd; --link: #0058a3; }
@media (prefers-color-scheme: dark) {
  :root { --back: #16181d; --text: #ececec; --muted: #aaaaaa; --line: #3b3f47; --link: #7cc4f5; }
}
body { background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif;
  max-width: 75rem; margin: 0 auto; padding: 1rem 1.5rem 4rem; }
h1, h2 { line-height: 1.2; font-weight: 600; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
a { color: var(--link); }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.5rem; list-style: none; padding: 0; }
img { max-width: 100%; height: auto; display: block; margin: 1rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1rem 0; }
caption { text-align: left; color: var(--muted); font-size: .9rem; padding-bottom: .3rem; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .8rem; text-align: left; }
.number, td[data-missing] { text-align: right; }
th button { all: unset; cursor: pointer; font-weight: 600; white-space: nowrap; }
th button:focus-visible { outline: 2px solid var(--link); }
th[aria-sort=ascending] button::after { content: " \\25b2"; }
th[aria-sort=descending] button::after { content: " \\25bc"; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.5rem; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
"""

# Numbers sort by their value, descending at the first click; text ascending; missing cells last.
SCRIPT = """
"use strict";
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const cells = [...body.rows].map((row) => row.cells[column]);
    const numeric = cells.some((cell) => "value" in cell.dataset);
    const last = head.getAttribute("aria-sort");
    const sort = last ? (last === "ascending" ? "descending" : "ascending")
      : (numeric ? "descending" : "ascending");
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", sort);
    const sign = sort === "ascending" ? 1 : -1;
    const compare = (one, other) => {
      const [x, y] = [one, other].map((row) => row.cells[column]);
      const [p, q] = [x, y].map((cell) => Number("missing" in cell.dataset));
      if (p || q) return p - q;
      if ("value" in x.dataset && "value" in y.dataset)
        return sign * (Number(x.dataset.value) - Number(y.dataset.value));
      return sign * x.textContent.localeCompare(y.textContent);
    };
    body.append(...[...body.rows].sort(compare));
  }));
}
"""
