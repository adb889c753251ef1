"""Scores of runs, how diverged runs count, and one number for all of them.

The statistics are those of Agarwal et al. 2021 (arXiv 2108.13264). Each takes scores [R, M] of R
runs of M tasks, [R] of one task, a mapping of tasks to scores, or `Scores` with leading axes, and
raises ValueError where `make_scores` does. A score should mean the same on each task, such as a
share of the best known return.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from rpojax.statistics.nan import mean_ignoring_nan
from rpojax.validation import show


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """Scores of R runs on each of M tasks; made by `make_scores`.

    Statistics take leading axes, such as those of resamples, and keep them.
    """

    values: np.ndarray  # f64[..., R, M] NaN where a task has no such run

    @property
    def num_tasks(self) -> int:
        """M."""
        return self.values.shape[-1]

    @property
    def run_counts(self) -> np.ndarray:
        """The number of runs of each task, i64[..., M]."""
        return (~np.isnan(self.values)).sum(axis=-2)

    def runs(self) -> list[np.ndarray]:
        """The scores of each task's runs, M arrays f64[R_m]; without leading axes."""
        return [column[~np.isnan(column)] for column in self.values.T]


ScoresLike: TypeAlias = Scores | ArrayLike | Mapping[str, ArrayLike]
Statistic: TypeAlias = Callable[[Scores], np.ndarray]  # values f64[..., R, M] -> f64[...]


def make_scores(
    scores: ArrayLike | Mapping[str, ArrayLike],
    *,
    finite: ArrayLike | Mapping[str, ArrayLike] | None = None,
    worst: float | None = None,
    missing: ArrayLike | None = None,
) -> Scores:
    """Scores for the functions of this package, with an explicit choice for runs that diverged.

    A run that diverged is a result, and the worst one. Leaving it out would make an algorithm that
    diverges look better than it is. Diverged runs are therefore an error unless `worst` is given.

    Args:
        scores: [R, M] of R runs of M tasks; [R] of one task; or a mapping of tasks to their scores
            [R_m], where the numbers of runs differ.
        finite: whether each run stayed finite, such as `result.finite`; bool of the form of
            `scores`. A run whose score is NaN or infinite counts as diverged in any case.
        worst: the score that a diverged run counts as, at most the lowest score of the others.
        missing: bool of the shape of `scores`, an array; True where there never was a run.

    Raises:
        ValueError: diverged runs and no `worst`, a `worst` that is better than another run's
            score, a task without runs, or shapes that do not fit.
    """
    names, values, absent = _matrix(scores)
    if missing is not None:
        absent = absent | _mask("missing", missing, scores, values.shape)
    diverged = ~np.isfinite(values)
    if finite is not None:
        diverged |= ~_mask("finite", finite, scores, values.shape)
    diverged &= ~absent
    empty = np.flatnonzero(absent.all(axis=0))
    if empty.size or not values.shape[1]:
        which = f"of {names[empty[0]]} " if empty.size else ""
        raise ValueError(f"scores {which}contain no runs; give at least one of each task")
    if diverged.any():
        lowest = values[~absent & ~diverged].min(initial=np.inf)
        values = np.where(diverged, _checked_worst(worst, lowest, values, diverged, names), values)
    return Scores(np.where(absent, np.nan, values))


def as_scores(scores: ScoresLike) -> Scores:
    """The argument itself if it is `Scores`, and else what `make_scores` makes of it."""
    return scores if isinstance(scores, Scores) else make_scores(scores)


def mean(scores: ScoresLike) -> np.ndarray:
    """The mean over tasks of the mean over runs, f64[...]."""
    return _task_means(as_scores(scores).values).mean(axis=-1)


def median(scores: ScoresLike) -> np.ndarray:
    """The median over tasks of the mean over runs, f64[...].

    For one task, it is the mean of its runs.
    """
    return np.asarray(np.median(_task_means(as_scores(scores).values), axis=-1))


def interquartile_mean(scores: ScoresLike) -> np.ndarray:
    """The mean of the middle half of all scores, over runs and tasks together, f64[...].

    A quarter of the scores, rounded down, is left out at either end: `scipy.stats.trim_mean` with
    0.25 over runs x tasks, as in the authors' library rliable. Where numbers of runs differ, a task
    with more runs counts more. NaN where a task has no run.
    """
    values = as_scores(scores).values
    ordered = np.sort(values.reshape(*values.shape[:-2], -1), axis=-1)  # NaN comes last
    known = (~np.isnan(ordered)).sum(axis=-1, keepdims=True)
    cut = known // 4
    place = np.arange(ordered.shape[-1])
    middle = mean_ignoring_nan(ordered, (place >= cut) & (place < known - cut))
    every_task_has_runs = (~np.isnan(values)).any(axis=-2).all(axis=-1)
    return np.where(every_task_has_runs, middle, np.nan)


def optimality_gap(scores: ScoresLike, target: float) -> np.ndarray:
    """How far the runs fall short of a target on average, f64[...]; lower is better.

    `target` minus the mean of min(score, target): scores above the target do not make up for others
    below. The mean is over runs, then over tasks.

    Args:
        scores: as for the other statistics.
        target: a score that is good enough, such as 1 for normalised scores.
    """
    values = as_scores(scores).values
    return target - _task_means(np.minimum(values, target)).mean(axis=-1)


def _task_means(values: np.ndarray) -> np.ndarray:
    """Means over runs, f64[..., M]; NaN for a task without runs."""
    return mean_ignoring_nan(np.swapaxes(values, -1, -2))


def _matrix(scores: Any) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names of tasks, values f64[R, M], and where a shorter task was padded, bool[R, M]."""
    if isinstance(scores, Mapping):
        columns = [_numbers(f"scores[{task!r}]", column) for task, column in scores.items()]
        wrong = [each for each in columns if each.ndim != 1]
        if wrong:
            raise ValueError(f"scores of a task have shape {wrong[0].shape}; give [runs]")
        return [f"task {task!r}" for task in scores], *_padded(columns)
    values = _numbers("scores", scores)
    if values.ndim not in (1, 2):
        raise ValueError(f"scores have shape {values.shape}; give [runs] or [runs, tasks]")
    values = values if values.ndim == 2 else values[:, np.newaxis]
    return [f"task {task}" for task in range(values.shape[1])], values, np.zeros(values.shape, bool)


def _padded(columns: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """[R, M] of M columns of at most R values, and where there are none."""
    rows = max((column.size for column in columns), default=0)
    values = np.zeros((rows, len(columns)))
    absent = np.ones(values.shape, bool)
    for task, column in enumerate(columns):
        values[: column.size, task] = column
        absent[: column.size, task] = False
    return values, absent


def _mask(name: str, given: Any, scores: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A mask of the form of `scores` as bool[R, M]; ValueError where they differ."""
    if isinstance(scores, Mapping):
        lengths = {task: np.size(column) for task, column in scores.items()}
        if not isinstance(given, Mapping) or lengths != {t: np.size(c) for t, c in given.items()}:
            raise ValueError(
                f"{name} = {show(given)} must have the same tasks and runs as scores, which are "
                f"{lengths}; give a mapping with the same"
            )
        values, absent = _padded([np.asarray(given[task], np.float64) for task in scores])
        return (values != 0.0) | absent
    mask = np.asarray(given)
    if mask.dtype != bool or mask.shape != np.shape(scores):
        raise ValueError(
            f"{name} has dtype {mask.dtype} and shape {mask.shape}; give truth values of the shape "
            f"of scores, {np.shape(scores)}"
        )
    return mask.reshape(shape)


def _checked_worst(
    worst: Any, lowest: float, values: np.ndarray, diverged: np.ndarray, names: list[str]
) -> float:
    run, task = np.argwhere(diverged)[0]
    if worst is None:
        raise ValueError(
            f"{diverged.sum()} of {diverged.size} runs diverged, the first is run {run} of "
            f"{names[task]} ({values[run, task]:g}); use make_scores with worst=, the score that "
            "they count as, or with missing= where there never was a run"
        )
    number = _numbers("worst", worst)
    if number.ndim or not np.isfinite(number) or number > lowest:
        raise ValueError(
            f"worst = {show(worst)} is not allowed; a diverged run counts as a finite score of at "
            f"most {lowest:g}, the lowest of the other runs"
        )
    return float(number)


def _numbers(name: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{name} are lists of different lengths; give a mapping of tasks to their scores"
        ) from error
    if array.dtype.kind not in "iuf" and array.size:
        raise ValueError(f"{name} = {show(values)} is not numbers; give an array of numbers")
    return array.astype(np.float64)
