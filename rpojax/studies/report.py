"""The report of studies: one page with tables and pictures."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rpojax.report.bands import plot_profiles, plot_sample_efficiency
from rpojax.report.page import Part, Picture, Section, Table, write_page
from rpojax.report.parallel import plot_parallel_coordinates
from rpojax.report.sweeps import plot_heatmap, plot_sensitivity
from rpojax.runs.checkpoint import versions
from rpojax.settings.plain import fields_to_plain
from rpojax.statistics import (
    Estimate,
    make_scores,
    performance_profile,
    probability_of_improvement,
    sample_efficiency,
)
from rpojax.studies.result import SettingScore, StudyResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CURVES = 8
"""Settings in one picture of curves: the best ones."""

THRESHOLDS = 201  # scores at which a profile is drawn


def write_report(studies: Mapping[str, StudyResult], path: str | Path) -> None:
    """Write a page of one study or several.

    Args:
        studies: by the titles of their sections.
        path: of the file; replaced if it exists.

    Raises:
        OSError: it cannot be written.
    """
    sections = [part for name, study in studies.items() for part in _sections(name, study, studies)]
    sections.append(Section("Versions and devices of this report", [versions()]))
    title = next(iter(studies)) if len(studies) == 1 else f"{len(studies)} studies"
    write_page(path, f"rpojax: {title}", sections)


def _sections(name: str, study: StudyResult, studies: Mapping[str, Any]) -> list[Section]:
    prefix = f"{name}: " if len(studies) > 1 else ""
    summary = study.summary()
    return [
        Section(f"{prefix}Settings compared", [_settings_table(study, summary)]),
        Section(f"{prefix}Pictures", _pictures(study, summary)),
        Section(f"{prefix}How sure the ranking is", _ranking(study, summary)),
        Section(f"{prefix}Agents", [_rows_table(study.agent_rows(), "One row for each agent.")]),
        Section(f"{prefix}Settings in common", [_common(study)]),
    ]


def _settings_table(study: StudyResult, summary: Sequence[SettingScore]) -> Table:
    names = list(study.settings[0].changes) or ["setting"]
    rows = [
        [
            *(_cell(value) for value in row.setting.changes.values() or [row.setting.label]),
            row.score,
            row.low,
            row.high,
            row.mean,
            row.std,
            row.area,
            row.finite,
            f"{100 * row.fraction:.0f} %",
        ]
        for row in summary
    ]
    caption = (
        f"Score: interquartile mean of {study.plan.objective.replace('_', ' ')} over "
        f"{study.plan.num_seeds} seeds, with its 95 % bootstrap interval. Area: mean height of the "
        "learning curves. Agents that diverged count with the worst score of the study, and in "
        "curves with its lowest return from there on."
    )
    heads = ["score", "low", "high", "mean", "std", "area", "finite agents", "trained"]
    return Table([*names, *heads], rows, caption)


def _pictures(study: StudyResult, summary: Sequence[SettingScore]) -> list[Part]:
    best = [row.setting.label for row in summary[:MOST_CURVES]]
    parts: list[Part] = []
    if len(summary) > MOST_CURVES:
        parts.append(f"Pictures of curves show the best {MOST_CURVES} of {len(summary)} settings.")
    for metric in ("episode_return", "action_std"):
        curves = _curves(study, metric, best)
        if curves:
            draw = functools.partial(
                plot_sample_efficiency,
                curves,
                ylabel=metric.replace("_", " "),
                num_seeds=study.plan.num_seeds,
            )
            parts.append(_picture(f"{metric} over environment steps", draw))
    parts += _sweep(study, summary)
    profiles = _profiles(study, best)
    if profiles:
        parts.append(
            _picture(
                "share of runs above each score",
                lambda theme: plot_profiles(
                    profiles,
                    xlabel=_score_label(study),
                    num_seeds=study.plan.num_seeds,
                    theme=theme,
                ),
            )
        )
    return parts


def _curves(
    study: StudyResult, metric: str, labels: Sequence[str]
) -> dict[str, tuple[np.ndarray, Estimate]]:
    """Each label's steps and estimate of a metric, of the runs that count."""
    index = {setting.label: place for place, setting in enumerate(study.settings)}
    curves = study.curves(metric)
    found = {}
    for label in labels:
        if metric == "episode_return":
            counted = study.counted_returns(index[label])
        else:
            steps, values = curves[label]
            counted = {"steps": steps, "curves": values[~np.isnan(values).all(axis=1)]}
        if len(counted["curves"]):
            estimate = sample_efficiency(**counted, method="expanded")
            found[label or "all"] = counted["steps"], estimate
    return found


def _sweep(study: StudyResult, summary: Sequence[SettingScore]) -> list[Part]:
    """How the score depends on what differs."""
    names = list(study.settings[0].changes)
    if not names or len(summary) < 2:
        return []
    by_setting = {row.setting.label: row for row in summary}
    rows = [by_setting[setting.label] for setting in study.settings]
    columns = {name: [_cell(row.setting.changes[name]) for row in rows] for name in names}
    scores = np.asarray([row.score for row in rows])
    seeds, label = study.plan.num_seeds, _score_label(study)
    distinct = {name: list(dict.fromkeys(values)) for name, values in columns.items()}
    if len(names) == 1:
        (name,) = names
        estimate = Estimate(
            scores,
            np.asarray([row.low for row in rows]),
            np.asarray([row.high for row in rows]),
            0.95,
        )
        return [
            _picture(
                f"{label} by {name}",
                lambda theme: plot_sensitivity(
                    columns[name],
                    estimate,
                    xlabel=name,
                    ylabel=label,
                    num_seeds=seeds,
                    theme=theme,
                ),
            )
        ]
    if len(names) == 2 and np.prod([len(values) for values in distinct.values()]) == len(rows):
        x, y = names
        grid = np.full((len(distinct[y]), len(distinct[x])), np.nan)
        for row, (at_x, at_y) in zip(rows, zip(columns[x], columns[y], strict=True), strict=True):
            grid[distinct[y].index(at_y), distinct[x].index(at_x)] = row.score
        return [
            _picture(
                f"{label} by {x} and {y}",
                lambda theme: plot_heatmap(
                    distinct[x],
                    distinct[y],
                    grid,
                    xlabel=x,
                    ylabel=y,
                    score_label=label,
                    num_seeds=seeds,
                    theme=theme,
                ),
            )
        ]
    return [
        _picture(
            f"{label} of each setting",
            lambda theme: plot_parallel_coordinates(
                columns,
                scores,
                score_label=label,
                num_seeds=seeds,
                direction=study.plan.direction,
                theme=theme,
            ),
        )
    ]


def _profiles(study: StudyResult, labels: Sequence[str]) -> dict[str, tuple[np.ndarray, Estimate]]:
    scores = study.filled_scores
    if np.isnan(scores).any() or study.plan.num_seeds < 2:
        return {}
    low, high = scores.min(), scores.max()
    thresholds = np.linspace(low, high, THRESHOLDS)
    index = {setting.label: place for place, setting in enumerate(study.settings)}
    return {
        label or "all": (
            thresholds,
            performance_profile(scores[index[label]], thresholds, method="expanded"),
        )
        for label in labels
    }


def _ranking(study: StudyResult, summary: Sequence[SettingScore]) -> list[Part]:
    at_end = [row for row in summary if row.fraction == summary[0].fraction]
    if len(at_end) < 2 or np.isnan(study.filled_scores).any():
        return ["Fewer than two settings with scores reached the end."]
    index = {setting.label: place for place, setting in enumerate(study.settings)}
    sign = study.plan.sign

    def scores_of(row: SettingScore) -> Any:
        return make_scores(sign * study.filled_scores[index[row.setting.label]])

    best = at_end[0]
    improvements = []
    for row in at_end[1:]:
        estimate = probability_of_improvement(scores_of(best), scores_of(row), method="expanded")
        improvements.append([row.setting.label, estimate.value, estimate.low, estimate.high])
    stability = study.rank_stability()
    return [
        Table(
            ["other setting", "P(best is better)", "low", "high"],
            improvements,
            f"Probability that a run of the best setting ({best.setting.label}) has a better score "
            "than one of another setting, with its 95 % bootstrap interval.",
        ),
        Table(
            ["seeds", "same best setting", "Kendall's tau"],
            [list(row) for row in zip(*stability, strict=True)],
            "How often that many seeds would have named the same setting as the best, and how well "
            f"their ranking agrees with that of all {study.plan.num_seeds}. Numbers above half of "
            "the seeds look better than they are.",
        ),
    ]


def _common(study: StudyResult) -> dict[str, Any]:
    """What all settings have in common, and how they were compared."""
    plain = [fields_to_plain(setting.cfg) for setting in study.settings]
    common = {
        name: value for name, value in plain[0].items() if all(p[name] == value for p in plain)
    }
    record = study.plan.record()
    del record["settings"]
    return {**record, **common}


def _rows_table(rows: Sequence[Mapping[str, Any]], caption: str) -> Table:
    names = [name for name in rows[0] if not name.startswith("version_")]
    return Table(names, [[row.get(name) for name in names] for row in rows], caption)


def _score_label(study: StudyResult) -> str:
    return study.plan.objective.replace("_", " ")


def _picture(description: str, draw: "Callable[..., Figure]") -> Picture:
    return Picture(draw(theme="light"), draw(theme="dark"), description)


def _cell(value: Any) -> Any:
    """A value on an axis or in a table."""
    return value if isinstance(value, bool | int | float | str) else str(value)
