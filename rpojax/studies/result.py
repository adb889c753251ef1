"""What a study found: agents, settings, curves, as arrays and as tidy tables."""

import csv
import dataclasses
import functools
import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from rpojax.files import replaced
from rpojax.loggers.base import METRICS
from rpojax.report.curves import Curve, learning_curve, metrics_by_name
from rpojax.report.style import as_values, scale_of, seeds_in_words
from rpojax.runs.checkpoint import versions
from rpojax.statistics import (
    Estimate,
    RankStability,
    area_under_curve,
    interquartile_mean,
    rank_stability,
    simultaneous_intervals,
)
from rpojax.statistics.text import decimals_of
from rpojax.studies.plan import EVALUATION, StudyPlan
from rpojax.studies.report import write_report
from rpojax.studies.scores import RungResult, filled
from rpojax.studies.settings import Setting
from rpojax.types import TrainResult
from rpojax.validation import whole_number

if TYPE_CHECKING:
    import optuna

Row: TypeAlias = dict[str, Any]

FEW_SEEDS = 8
"""With fewer seeds, whether an interval holds depends on how the scores are distributed."""

MOST_MISSES = 9  # % of the studies in the benchmark, with skewed scores
MOST_SHOWN = 5  # settings in the repr of a study: the best ones
SUMMARY_HEADS = ("score", "95 % interval", "finite", "trained")


class SettingScore(NamedTuple):
    """A setting in the table of a study."""

    setting: Setting
    score: float  # interquartile mean over the seeds
    low: float  # of its 95 % interval, which holds for all settings together; NaN for one seed
    high: float
    mean: float
    std: float  # over the seeds, of the population
    area: float  # mean height of the curves of `counted_returns`, interquartile mean over the seeds
    finite: int  # agents that did not diverge; the others count with the worst score of the study
    fraction: float  # of the training that the setting completed


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class StudyResult:
    """What `rpojax.study` returns. K settings, S seeds of each.

    Attributes:
        plan: what was compared, and how.
        trained: each of the K settings as it was at its last rung.
        confirmed: the best settings with fresh seeds, if the study was asked to `confirm` them.
    """

    plan: StudyPlan
    trained: tuple[RungResult, ...]
    confirmed: "StudyResult | None" = None

    def __repr__(self) -> str:
        plan, rows = self.plan, summary_cells(self)
        lines = [
            f"StudyResult: {len(rows)} settings, {plan.num_seeds} seeds of each; {plan.direction} "
            f"{self.score_label}, with 95 % interval"
        ]
        for setting, (score, interval, *_) in rows[:MOST_SHOWN]:
            lines.append(f"  {setting.label or 'all'}: {score} ({interval})")
        more = len(rows) - MOST_SHOWN
        return "\n".join([*lines, f"  and {more} more"] if more > 0 else lines)

    def _repr_html_(self) -> str:
        """The settings from the best to the worst, as a table of a notebook."""
        rows = [("td", setting.label or "all", *cells) for setting, cells in summary_cells(self)]
        cells = [
            "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
            for tag, *row in [("th", "setting", *SUMMARY_HEADS), *rows]
        ]
        return f"<table><tr>{'</tr><tr>'.join(cells)}</tr></table>"

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The K settings."""
        return self.plan.settings

    @functools.cached_property
    def scores(self) -> np.ndarray:
        """The objective of each agent, f64[K, S], as measured; see `finite`."""
        return np.stack([each.scores for each in self.trained])

    @functools.cached_property
    def finite(self) -> np.ndarray:
        """bool[K, S] False: the agent diverged, and its score is that of its last finite state."""
        return np.stack([np.asarray(each.result.finite) for each in self.trained])

    @functools.cached_property
    def filled_scores(self) -> np.ndarray:
        """`scores`, f64[K, S]; agents that diverged or have none get the worst of the study."""
        return filled(self.plan, self.scores, self.finite)

    @functools.cached_property
    def fractions(self) -> np.ndarray:
        """The fraction of the training that each setting completed, f64[K]."""
        lengths = [setting.cfg.num_updates for setting in self.settings]
        return np.asarray([each.updates for each in self.trained]) / lengths

    @functools.cached_property
    def at_end(self) -> list[int]:
        """The settings that reached the last rung, from the best to the worst."""
        rungs = np.asarray([each.rung for each in self.trained])
        reached = np.flatnonzero(rungs == rungs.max()).tolist()
        return sorted(reached, key=lambda index: -self.plan.rank(self._score(index)))

    @functools.cached_property
    def intervals(self) -> Estimate:
        """The score of each setting, f64[K], with 95 % intervals that hold together.

        Whichever setting its scores have made the best, its interval is as good as the others':
        see `rpojax.statistics.simultaneous_intervals`. NaN where no agent has a score.
        """
        if np.isnan(self.filled_scores).any():
            unknown = np.full(len(self.settings), np.nan)
            return Estimate(unknown, unknown, unknown, 0.95)
        return simultaneous_intervals(self.filled_scores.T)

    @property
    def verdict(self) -> str:
        """What the study has found, in sentences: the best setting, and which are not as good.

        Of the settings with fresh seeds, if there are any. Two settings differ if their intervals
        do not overlap.
        """
        found = self.confirmed or self
        score, low, high, _ = found.intervals
        if np.isnan(score).any():
            return "No agent has a score."
        best = found.settings.index(self.settings[self.best])  # by the seeds of the study
        seeds = seeds_in_words(found.plan.num_seeds)
        result = f"{self.score_label} {score[best]:.4g}"
        if not np.isnan(low[best]):
            result += f" (95 % interval {low[best]:.4g} to {high[best]:.4g})"
        if len(self.settings) == 1:
            said = [f"{result}, {seeds}."]
        else:
            label = found.settings[best].label
            said = [
                f"Best of {len(self.settings)} settings: {label}, with {result}, {seeds}.",
                "The seeds that chose it also score it, so that its score is too good; the "
                "intervals allow for that, and hold for all settings together."
                if self.confirmed is None
                else "These seeds are not those that chose it.",
            ]
        better = found.plan.sign * (score - score[best]) > 0
        apart = (low > high[best]) | (high < low[best])  # never where an interval is NaN
        for words, those in (
            ("Better", apart & better),
            ("Worse", apart & ~better),
            ("Cannot be told apart from it", ~apart),
        ):
            named = [found.settings[i].label for i in found.at_end if those[i] and i != best]
            if named:
                said.append(f"{words}: {'; '.join(named)}.")
        if found.plan.num_seeds < FEW_SEEDS:
            said.append(
                f"Intervals of {seeds} hold for normally distributed scores. Where a few runs are "
                f"far worse than the others, up to {MOST_MISSES} % of them miss the truth, as "
                "simulated (benchmarks/selection.py)."
            )
        return " ".join(said)

    @property
    def score_label(self) -> str:
        """The objective in words, for pictures and tables; of a metric of training, of which part.

        See `rpojax.study`: the part is larger where no episode ended in the last tenth.
        """
        label = self.plan.objective.replace("_", " ")
        if self.plan.objective not in METRICS:
            return label
        shares = [each.end / each.updates for each in self.trained]
        ends = dict.fromkeys(f"{100 * share:.0f}" for share in (min(shares), max(shares)))
        return f"{label}, last {' to '.join(ends)} % of the updates"

    @property
    def best(self) -> int:
        """The setting with the best score, as in `summary`, of those that reached the last rung."""
        return self.at_end[0]

    def result(self, setting: int) -> TrainResult:
        """The agents of one setting: state [S, ...], metrics [S, updates], finite bool[S]."""
        most = len(self.settings) - 1
        return self.trained[whole_number("setting", setting, least=0, most=most)].result

    def curves(self, metric: str = "episode_return") -> dict[str, Curve]:
        """A metric over the steps of each agent, [S, updates], by the label of the setting."""
        return {
            setting.label: learning_curve(setting.cfg, self.result(index).metrics, metric)
            for index, setting in enumerate(self.settings)
        }

    def counted_returns(self, setting: int) -> dict[str, Any]:
        """Episode returns of a setting, as arguments of `rpojax.statistics.sample_efficiency`.

        An agent that diverged counts with the lowest return of the study from there on. One without
        any return does not count, unless it diverged.

        Returns:
            "steps" [updates], "curves" [R, updates], "finite" bool[R] and "worst".
        """
        curve = learning_curve(self.settings[setting].cfg, self.result(setting).metrics)
        finite = self.finite[setting]
        known = np.isfinite(self._lowest_return)
        counted = known & (~finite | ~np.isnan(curve.values).all(axis=1))
        return {
            "steps": curve.steps,
            "curves": curve.values[counted],
            "finite": finite[counted],
            "worst": self._lowest_return,
        }

    def summary(self) -> list[SettingScore]:
        """The settings from the best to the worst; those that stopped early come last."""
        return list(self._summary)

    @functools.cached_property
    def _summary(self) -> list[SettingScore]:
        """For tables and reports, which need it several times."""
        rungs = [part.rung for part in self.trained]
        score, low, high, _ = self.intervals
        rows = []
        for index, values in enumerate(self.filled_scores):
            counted, area = self.counted_returns(index), np.nan
            if len(counted["curves"]):
                area = float(interquartile_mean(area_under_curve(**counted)))
            row = SettingScore(
                setting=self.settings[index],
                score=float(score[index]),
                low=float(low[index]),
                high=float(high[index]),
                mean=float(values.mean()),
                std=float(values.std()),
                area=area,
                finite=int(self.finite[index].sum()),
                fraction=float(self.fractions[index]),
            )
            rows.append((-rungs[index], -self.plan.rank(row.score), index, row))
        return [row for *_, row in sorted(rows)]

    def rank_stability(self, seed: int = 0) -> RankStability:
        """How the ranking of the settings that reached the end depends on the number of seeds.

        Args:
            seed: of the subsamples.

        Raises:
            ValueError: fewer than two settings reached the end.
        """
        scores = self.plan.sign * self.filled_scores[sorted(self.at_end)].T
        return rank_stability(scores, statistic=interquartile_mean, rng=seed)

    def agent_rows(self) -> list[Row]:
        """A row for each agent: what identifies it, what it was trained with, and its score."""
        of_versions = {f"version_{name}": text for name, text in versions().items()}
        updates = [part.updates for part in self.trained]
        return [
            {
                "setting": index,
                "label": setting.label,
                **setting.cells,
                "seed": self.plan.seed + place,
                "updates": updates[index],
                "steps": updates[index] * setting.cfg.batch_size,
                "fraction": float(self.fractions[index]),
                "finite": bool(self.finite[index, place]),
                self.plan.objective: float(score),
                **of_versions,
            }
            for index, setting in enumerate(self.settings)
            for place, score in enumerate(self.scores[index])
        ]

    def setting_rows(self) -> list[Row]:
        """A row for each setting, as in `summary`."""
        return [
            {
                "label": row.setting.label,
                **row.setting.cells,
                **{name: getattr(row, name) for name in SettingScore._fields[1:]},
            }
            for row in self.summary()
        ]

    def curve_rows(self) -> list[Row]:
        """A row for each update of each agent, with all of its metrics."""
        rows = []
        for index, setting in enumerate(self.settings):
            metrics = self.result(index).metrics
            columns = metrics_by_name(metrics)
            seeds, updates = metrics.episode_return.shape
            rows += [
                {
                    "setting": index,
                    "label": setting.label,
                    "seed": self.plan.seed + seed,
                    "steps": (update + 1) * setting.cfg.batch_size,
                    **{name: float(each[seed, update]) for name, each in columns.items()},
                }
                for seed in range(seeds)
                for update in range(updates)
            ]
        return rows

    def report(self, path: str | Path) -> None:
        """Write a page of this study: tables that sort, pictures, settings, versions.

        Args:
            path: of the file, HTML; replaced if it exists.

        Raises:
            OSError: it cannot be written.
        """
        write_report(self, path)

    def to_optuna(self) -> "optuna.Study":
        """The settings as trials of an Optuna study in memory, for `optuna.visualization`.

        Their values are the scores of `summary`, and their parameters the cells of `setting_rows`.
        Settings that halving stopped are "pruned" trials, and those without a score failed ones.
        """
        import optuna

        spaces: dict[str, optuna.distributions.BaseDistribution] = {}
        rows = [setting.cells for setting in self.settings]
        for name in rows[0]:
            values = [row[name] for row in rows]
            numbers, categories = as_values(values)
            if categories is not None:
                options = list(dict.fromkeys(values))
                spaces[name] = optuna.distributions.CategoricalDistribution(options)
            elif all(isinstance(value, int) for value in values):
                spaces[name] = optuna.distributions.IntDistribution(min(values), max(values))
            else:
                ends, log = (numbers.min(), numbers.max()), scale_of(numbers) == "log"
                spaces[name] = optuna.distributions.FloatDistribution(*ends, log=log)
        study = optuna.create_study(direction=self.plan.direction)
        for index, row in enumerate(rows):
            score = self._score(index)
            state = "COMPLETE" if index in self.at_end else "PRUNED"
            trial = optuna.trial.create_trial(
                state=optuna.trial.TrialState["FAIL" if np.isnan(score) else state],
                value=None if np.isnan(score) else score,
                params=row,
                distributions=spaces,
                user_attrs={"label": self.settings[index].label},
            )
            study.add_trial(trial)
        return study

    def marl_eval(self) -> dict[str, Any]:
        """The scores in the format of marl-eval's JSON files (Gorsane et al. 2022).

        {environment: {task: {setting: {run: {step, absolute metrics}}}}}; the environment is the
        family, the task its name. As the format asks, names have ";" in place of commas, and all
        runs the same metric and number of steps: the absolute metric is the score, named "return"
        where it is that of an evaluation; the steps are updates of the training, evenly spaced,
        between which updates without a value are interpolated. Settings that halving stopped are
        left out.
        """
        tree: dict[str, Any] = {}
        metric = name = self.plan.objective
        if metric == EVALUATION:
            metric, name = "episode_return", "return"
        curves = {
            index: learning_curve(self.settings[index].cfg, self.result(index).metrics, metric)
            for index in sorted(self.at_end)
        }
        count = min(curve.steps.size for curve in curves.values())
        for index, curve in curves.items():
            label, _, cfg = self.settings[index]
            task = str(getattr(cfg.env, "name", cfg.env))
            family, task = task.split("/", 1) if "/" in task else ("gymnax", task)
            runs = tree.setdefault(family, {}).setdefault(task, {})[label.replace(",", ";")] = {}
            updates = np.linspace(0, curve.steps.size - 1, count).round().astype(int)
            for place, score in enumerate(self.scores[index]):
                values, known = curve.values[place], ~np.isnan(curve.values[place])
                if known.any():
                    values = np.interp(curve.steps, curve.steps[known], values[known])
                run: dict[str, Any] = {
                    f"step_{n}": {"step_count": int(curve.steps[at]), name: [float(values[at])]}
                    for n, at in enumerate(updates)
                }
                run["absolute_metrics"] = {name: [float(score)]}
                runs[f"seed_{self.plan.seed + place}"] = run
        return tree

    @functools.cached_property
    def _lowest_return(self) -> float:
        """Of any agent in any update; infinite if no episode ended."""
        returns = [np.asarray(each.result.metrics.episode_return).ravel() for each in self.trained]
        return float(np.nanmin(np.concatenate(returns), initial=np.inf))

    def _score(self, index: int) -> float:
        """The interquartile mean over the seeds; NaN where no agent of the study has a score."""
        return float(self.intervals.value[index])


def summary_cells(study: StudyResult) -> list[tuple[Setting, list[str]]]:
    """The settings from the best to the worst, each with a text for each of `SUMMARY_HEADS`.

    Scores have the decimals that their intervals carry.
    """
    spec = f".{decimals_of(*study.intervals[:3])}f"
    return [
        (
            row.setting,
            [
                f"{row.score:{spec}}",
                f"{row.low:{spec}} to {row.high:{spec}}",
                f"{row.finite} of {study.plan.num_seeds}",
                f"{100 * row.fraction:.0f} %",
            ],
        )
        for row in study.summary()
    ]


def write_table(rows: Sequence[Row], path: str | Path) -> None:
    """Write rows as CSV or, by the suffix .parquet, as Parquet, which needs pyarrow.

    Raises:
        ValueError: another suffix, or pyarrow is missing.
        OSError: the file cannot be written.
    """
    path = Path(path)
    names = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".csv":
        with replaced(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
        return
    if path.suffix != ".parquet":
        raise ValueError(f"path = {str(path)!r} has an unknown suffix; give .csv or .parquet")
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError(
            f"{str(path)!r} needs pyarrow; run: pip install 'rpojax[parquet]'"
        ) from error
    with replaced(path) as draft:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), draft)
