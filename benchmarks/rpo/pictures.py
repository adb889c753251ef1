"""Pictures of the learning curves: a panel for each environment, a colour for each alpha."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from benchmarks.rpo.cells import AGENTS
from benchmarks.rpo.groups import Group, Row, groups_of
from benchmarks.rpo.published import published_for
from rpojax.statistics import mean, sample_efficiency

COLORS = {0.0: "#000000", 0.01: "#e69f00", 0.1: "#009e73", 0.5: "#0072b2", 1.0: "#cc79a7"}
"""By alpha, the same in all pictures (Okabe and Ito, 2008)."""

METRICS = {"episode_return": "episode return", "action_std": "standard deviation of the policy"}
WITH_PUBLISHED = ("dm_control", "mujoco", "cleanrl")
"""The tables whose settings are close to CleanRL's."""

WIDTH, HEIGHT, DPI = 4.0, 3.0, 80  # of a panel, in inches
COLUMNS, FACTOR_COLUMNS = 3, 4  # panels in a row; of the ablation, all of an environment

Groups = Mapping[Group, list[Row]]


def draw(table: str, rows: Sequence[Row], directory: Path) -> None:
    """Draw the learning curves of a table; of the ablation, the policies' std as well.

    Args:
        table: its name, and that of the picture.
        rows: points of its curves.
        directory: where the pictures go.
    """
    groups = longest(rows)
    if table != "ablation":
        published = table in WITH_PUBLISHED
        figure = _sheet(panels(groups), "episode_return", COLUMNS, published=published)
        figure.savefig(directory / f"{table}.png")
        return
    for metric, suffix in (("episode_return", ""), ("action_std", "-action_std")):
        figure = _sheet(factor_panels(groups), metric, FACTOR_COLUMNS, same_y=True)
        figure.savefig(directory / f"{table}{suffix}.png")


def longest(rows: Sequence[Row]) -> dict[Group, list[Row]]:
    """Points of curves by group; in each environment, of the longest training only."""
    groups = groups_of(rows, "total_steps")
    most = {group.environment: 0 for group in groups}
    for group in groups:
        most[group.environment] = max(most[group.environment], group.steps)
    return {group: rows for group, rows in groups.items() if group.steps == most[group.environment]}


def panels(groups: Groups) -> dict[str, Groups]:
    """By title: a panel for each environment."""
    found: dict[str, dict[Group, list[Row]]] = {}
    for group, rows in groups.items():
        found.setdefault(group.environment, {})[group] = rows
    return dict(found)


def factor_panels(groups: Groups) -> dict[str, Groups]:
    """By title: for each environment, what a time limit is, and where alpha perturbs.

    Alpha 0 perturbs nowhere, and is in both.
    """
    return {
        f"{environment}: {limit}, {where}": {
            group: rows
            for group, rows in members.items()
            if group.time_limit_bootstrap == bootstrap
            and (group.alpha == 0.0 or group.perturb_rollouts == perturb_rollouts)
        }
        for environment, members in panels(groups).items()
        for bootstrap, limit in ((False, "termination"), (True, "bootstrapped"))
        for perturb_rollouts, where in ((False, "update only"), (True, "rollout too"))
    }


def _sheet(
    titled: Mapping[str, Groups],
    metric: str,
    columns: int,
    *,
    published: bool = False,
    same_y: bool = False,
) -> Figure:
    """Panels by title, with one legend below them; `same_y`: with one y axis for each row."""
    columns = min(columns, len(titled))
    lines = -(-len(titled) // columns)
    figure = Figure(figsize=(columns * WIDTH, lines * HEIGHT + 0.8), dpi=DPI, layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharey="row" if same_y else "none")
    places = grid.ravel()
    for axes in places[len(titled) :]:
        axes.set_axis_off()
    for axes, (title, groups) in zip(places, titled.items(), strict=False):
        _draw_panel(axes, groups, metric, published)
        axes.set_title(title.removeprefix("playground/").removeprefix("mjx/"), fontsize="medium")
    for axes in grid[:, 0]:
        axes.set_ylabel(METRICS[metric])
    for axes in grid[-1]:
        axes.set_xlabel("environment steps")
    handles = {
        label: handle
        for axes in places
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=2 * columns - 1,
        frameon=False,
    )
    figure.suptitle(f"mean of {AGENTS} agents, and its 95 % bootstrap interval", fontsize="medium")
    return figure


def _draw_panel(axes: Axes, groups: Groups, metric: str, published: bool) -> None:
    for group, rows in groups.items():
        steps = np.unique([row["steps"] for row in rows])
        values = np.reshape([row[metric] for row in rows], (-1, len(steps)))
        curve = sample_efficiency(steps, values, mean, method="expanded")
        color = COLORS[group.alpha]
        dashed = group.perturb_rollouts and group.alpha != 0.0
        axes.plot(steps, curve.value, "--" if dashed else "-", color=color, label=group.variant)
        axes.fill_between(steps, curve.low, curve.high, color=color, alpha=0.15, linewidth=0)
        score = published_for(group)
        if published and score is not None:
            label = f"CleanRL: {group.variant}, 8M steps"
            axes.axhline(score.mean, linestyle=":", color=color, label=label)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlim(left=0)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
