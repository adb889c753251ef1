"""One number for the scores of many runs and tasks (Agarwal et al. 2021, arXiv 2108.13264).

Each takes scores [R, M] of R runs of M tasks, [R] of one task, or `Scores` with leading axes.
A score should mean the same on each task, such as a share of the best known return.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from rpojax.statistics.nan import mean_ignoring_nan
from rpojax.statistics.scores import Scores, as_scores

ScoresLike: TypeAlias = Scores | ArrayLike | Mapping[str, ArrayLike]
Statistic: TypeAlias = Callable[[Scores], np.ndarray]  # values f64[..., R, M] -> f64[...]


def mean(scores: ScoresLike) -> np.ndarray:
    """The mean over tasks of the mean over runs, f64[...].

    Args:
        scores: as `make_scores` takes them, or `Scores`.

    Raises:
        ValueError: `make_scores` refuses the scores, also because runs diverged.
    """
    return _task_means(as_scores(scores).values).mean(axis=-1)


def median(scores: ScoresLike) -> np.ndarray:
    """The median over tasks of the mean over runs, f64[...].

    For one task, it is the mean of its runs.

    Args:
        scores: as `make_scores` takes them, or `Scores`.

    Raises:
        ValueError: `make_scores` refuses the scores, also because runs diverged.
    """
    return np.asarray(np.median(_task_means(as_scores(scores).values), axis=-1))


def interquartile_mean(scores: ScoresLike) -> np.ndarray:
    """The mean of the middle half of all scores, over runs and tasks together, f64[...].

    A quarter of the scores, rounded down, is left out at either end: `scipy.stats.trim_mean` with
    0.25 over runs x tasks, as in the authors' library rliable. Where numbers of runs differ, a task
    with more runs counts more.

    Args:
        scores: as `make_scores` takes them, or `Scores`.

    Returns:
        NaN where a task has no run.

    Raises:
        ValueError: `make_scores` refuses the scores, also because runs diverged.
    """
    values = as_scores(scores).values
    ordered = np.sort(values.reshape(*values.shape[:-2], -1), axis=-1)  # NaN comes last
    known = (~np.isnan(ordered)).sum(axis=-1, keepdims=True)
    cut = known // 4
    place = np.arange(ordered.shape[-1])
    middle = mean_ignoring_nan(ordered, (place >= cut) & (place < known - cut))
    return np.where(_every_task_has_runs(values), middle, np.nan)


def optimality_gap(scores: ScoresLike, target: float) -> np.ndarray:
    """How far the runs fall short of a target on average, f64[...]; lower is better.

    `target` minus the mean of min(score, target): scores above the target do not make up for others
    below. The mean is over runs, then over tasks.

    Args:
        scores: as `make_scores` takes them, or `Scores`.
        target: a score that is good enough, such as 1 for normalised scores.

    Raises:
        ValueError: `make_scores` refuses the scores, also because runs diverged.
    """
    values = as_scores(scores).values
    return target - _task_means(np.minimum(values, target)).mean(axis=-1)


def _task_means(values: np.ndarray) -> np.ndarray:
    """Means over runs, f64[..., M]; NaN for a task without runs."""
    return mean_ignoring_nan(np.swapaxes(values, -1, -2))


def _every_task_has_runs(values: np.ndarray) -> np.ndarray:
    return (~np.isnan(values)).any(axis=-2).all(axis=-1)
