"""The report of studies: one page with tables and pictures."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rpojax.report.page import Chart, Part, Picture, Section, Table, write_page
from rpojax.report.plotting import plot_profiles, plot_sample_efficiency
from rpojax.report.sweeps import plot_heatmap, plot_sensitivity
from rpojax.runs.checkpoint import versions
from rpojax.settings.plain import fields_to_plain
from rpojax.statistics import (
    Estimate,
    performance_profile,
    probability_of_improvement,
    sample_efficiency,
)
from rpojax.statistics.text import decimals_of, duration

if TYPE_CHECKING:
    from rpojax.studies.result import StudyResult

MOST_CURVES = 30
"""Settings in one picture of curves: the best ones, of which the first have colours."""

THRESHOLDS = 201  # scores at which a profile is drawn


def write_report(studies: "StudyResult | Mapping[str, StudyResult]", path: str | Path) -> None:
    """Write a page of one study or several: tables that sort, pictures, settings, versions.

    Args:
        studies: one, or several by the titles of their sections.
        path: of the file; replaced if it exists.

    Raises:
        OSError: it cannot be written.
    """
    by_title = studies if isinstance(studies, Mapping) else {"study": studies}
    sections = [
        Section(f"{name}: {title}" if len(by_title) > 1 else title, parts)
        for name, study in by_title.items()
        for title, parts in _sections(study).items()
    ]
    sections.append(Section("Versions and devices of this report", [versions()]))
    title = next(iter(by_title)) if len(by_title) == 1 else f"{len(by_title)} studies"
    write_page(path, f"rpojax: {title}", sections)


def _sections(study: "StudyResult") -> dict[str, Sequence[Part]]:
    again = study.confirmed
    confirmed: dict[str, Sequence[Part]] = {}
    if again is not None:
        place = again.settings.index(study.settings[study.best])
        confirmed["Confirmed with fresh seeds"] = [
            _settings_table(again),
            *_improvements(again, place, "These runs did not choose it."),
        ]
    return {
        "Verdict": [study.verdict, _facts(study)],
        **confirmed,
        "Settings compared": [_settings_table(study)],
        "Pictures": _pictures(study),
        "How sure the ranking is": _ranking(study),
        "Agents": [_agents_table(study)],
        "Settings in common": [_common(study)],
    }


def _agents_table(study: "StudyResult") -> Table:
    rows, objective = study.agent_rows(), study.plan.objective
    names = [name for name in rows[0] if not name.startswith("version_")]
    cells = [[row.get(name) for name in names] for row in rows]
    decimals = {objective: decimals_of([row[objective] for row in rows]), "fraction": 2}
    return Table(names, cells, "One row for each agent.", decimals)


def _facts(study: "StudyResult") -> dict[str, Any]:
    """What was trained, how long, and how many agents."""
    configs = [setting.cfg for setting in study.settings]
    lengths = dict.fromkeys(f"{cfg.actual_timesteps:,}" for cfg in configs)
    agents = study.finite.size
    steps = sum(
        round(fraction * cfg.actual_timesteps) * study.plan.num_seeds
        for fraction, cfg in zip(study.fractions, configs, strict=True)
    )
    return {
        "task": ", ".join(dict.fromkeys(str(getattr(cfg.env, "name", cfg.env)) for cfg in configs)),
        "length": f"{' or '.join(lengths)} environment steps of each agent",
        "agents": f"{agents:,}: {len(configs)} settings with {study.plan.num_seeds} seeds each",
        "steps of all agents": f"{steps:,}",
        "training": f"{duration(sum(part.train_seconds for part in study.trained))}, without "
        "compilation and evaluation",
        "compared by": study.score_label,
    }


def _settings_table(study: "StudyResult") -> Table:
    names = list(study.settings[0].changes) or ["setting"]
    rows = [
        [
            *(row.setting.cells.values() or [row.setting.label]),
            *row[1:-1],
            f"{100 * row.fraction:.0f} %",
        ]
        for row in study.summary()
    ]
    caption = (
        f"Score: interquartile mean of {study.score_label} over {study.plan.num_seeds} seeds, with "
        "95 % intervals that hold for all settings together. Area: mean height of the learning "
        "curves. Agents that diverged count with the worst score of the study, and in curves with "
        "its lowest return from there on."
    )
    heads = ["score", "low", "high", "mean", "std", "area", "finite agents", "trained"]
    decimals = dict.fromkeys(heads[:6], decimals_of(*study.intervals[:3]))
    return Table([*names, *heads], rows, caption, decimals)


def _pictures(study: "StudyResult") -> list[Part]:
    count, seeds = len(study.settings), study.plan.num_seeds
    best = [study.settings.index(row.setting) for row in study.summary()[:MOST_CURVES]]
    parts: list[Part] = []
    if count > MOST_CURVES:
        parts.append(f"Pictures of curves show the best {MOST_CURVES} of {count} settings.")
    for metric in ("episode_return", "action_std"):
        curves = _curves(study, metric, best)
        if curves:
            label = metric.replace("_", " ")
            figure = plot_sample_efficiency(curves, ylabel=label, num_seeds=seeds)
            chart = Chart(curves, "environment steps", label)
            title = f"{label.capitalize()} while training"
            parts.append(Picture(figure, f"{metric} over environment steps", title, chart))
    parts += _sweep(study)
    scores = study.filled_scores
    if not np.isnan(scores).any() and seeds > 1:
        thresholds = np.linspace(scores.min(), scores.max(), THRESHOLDS)
        profiles = {}
        for index in best:
            profile = performance_profile(scores[index], thresholds, method="expanded")
            profiles[study.settings[index].label or "all"] = thresholds, profile
        figure = plot_profiles(profiles, xlabel=study.score_label, num_seeds=seeds)
        chart = Chart(profiles, study.score_label, "share of runs with a higher score")
        title = "Share of runs above each score"
        parts.append(Picture(figure, "share of runs above each score", title, chart))
    return parts


def _curves(
    study: "StudyResult", metric: str, settings: Sequence[int]
) -> dict[str, tuple[np.ndarray, Estimate]]:
    """Steps and estimate of a metric for some settings by label, of the runs that count."""
    curves = study.curves(metric)
    found = {}
    for index in settings:
        label = study.settings[index].label
        if metric == "episode_return":
            counted = study.counted_returns(index)
        else:
            steps, values = curves[label]
            counted = {"steps": steps, "curves": values[~np.isnan(values).all(axis=1)]}
        if len(counted["curves"]):
            estimate = sample_efficiency(**counted, method="expanded")
            found[label or "all"] = counted["steps"], estimate
    return found


def _sweep(study: "StudyResult") -> list[Part]:
    """How the score depends on what differs: a heat map of a grid of two, else one each."""
    if len(study.settings) < 2:
        return []
    label, seeds = study.score_label, study.plan.num_seeds
    names = list(study.settings[0].changes)
    columns = {name: [setting.cells[name] for setting in study.settings] for name in names}
    distinct = [list(dict.fromkeys(values)) for values in columns.values()]
    if len(names) == 2 and math.prod(map(len, distinct)) == len(study.settings):
        (x, y), (x_values, y_values) = names, distinct
        grid = np.full((len(y_values), len(x_values)), np.nan)
        for at_x, at_y, score in zip(columns[x], columns[y], study.intervals.value, strict=True):
            grid[y_values.index(at_y), x_values.index(at_x)] = score
        figures = {
            f"{x} and {y}": plot_heatmap(
                x_values, y_values, grid, xlabel=x, ylabel=y, score_label=label, num_seeds=seeds
            )
        }
    else:
        figures = {
            name: plot_sensitivity(
                values,
                study.intervals,
                xlabel=name,
                ylabel=label,
                num_seeds=seeds,
                joined=len(names) == 1,
            )
            for name, values in columns.items()
        }
    titles = {name: f"{label} by {name}" for name in figures}
    return [
        Picture(figure, titles[name], titles[name].capitalize()) for name, figure in figures.items()
    ]


def _ranking(study: "StudyResult") -> list[Part]:
    if len(study.at_end) < 2 or np.isnan(study.filled_scores).any():
        return ["Fewer than two settings with scores reached the end."]
    return [
        *_improvements(study, study.best, "The same runs chose it, so that the share is too high."),
        Table(
            ["seeds", "same best setting", "Kendall's tau"],
            [list(row) for row in zip(*study.rank_stability(), strict=True)],
            "How often that many seeds would have named the same setting as the best, and how well "
            f"their ranking agrees with that of all {study.plan.num_seeds}. Numbers above half of "
            "the seeds look better than they are.",
            {"same best setting": 2, "Kendall's tau": 2},
        ),
    ]


def _improvements(study: "StudyResult", best: int, remark: str) -> list[Part]:
    """A setting against each other one that reached the end."""
    scores = study.plan.sign * study.filled_scores
    others = [index for index in study.at_end if index != best]
    if not others or np.isnan(scores).any():
        return []
    _, low, high, _ = study.intervals
    rows = [
        [
            study.settings[index].label,
            float(probability_of_improvement(scores[best], scores[index]).value),
            "yes" if low[index] > high[best] or high[index] < low[best] else "no",
        ]
        for index in others
    ]
    caption = (
        "Share of pairs of runs in which that of the best setting "
        f"({study.settings[best].label}) has a better score than that of another one. {remark} "
        "Apart: whether their intervals do not overlap."
    )
    heads = ["other setting", "P(best is better)", "apart"]
    return [Table(heads, rows, caption, {heads[1]: 2})]


def _common(study: "StudyResult") -> dict[str, Any]:
    """What all settings have in common, and how they were compared."""
    first, *others = [fields_to_plain(setting.cfg) for setting in study.settings]
    common = {name: value for name, value in first.items() if all(p[name] == value for p in others)}
    record = study.plan.record()
    del record["settings"]
    return {**record, **common}
