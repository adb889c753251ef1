"""Stratified bootstrap: confidence intervals by resampling the runs of each task.

Not by `scipy.stats.bootstrap`, whose statistics reduce each task to a number on its own: the
interquartile mean takes the runs of all tasks together, and a profile is an array.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rpojax.statistics.scores import Scores, ScoresLike, Statistic, as_scores, interquartile_mean
from rpojax.validation import check_choice, show, whole_number

CHUNK = 2**21  # scores that are resampled at a time, 16 MB


class Estimate(NamedTuple):
    """A statistic and its confidence interval."""

    value: np.ndarray  # f64[...] of all runs
    low: np.ndarray  # f64[...] NaN where a task has fewer than two runs
    high: np.ndarray  # f64[...] likewise
    confidence: float  # of the interval, such as 0.95


def bootstrap_interval(
    scores: ScoresLike,
    statistic: Statistic = interquartile_mean,
    *,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    rng: np.random.Generator | int = 0,
    method: str = "percentile",
) -> Estimate:
    """A statistic of scores with its stratified bootstrap confidence interval.

    Each resample draws, for each task on its own, as many runs as the task has, with replacement
    (Agarwal et al. 2021, arXiv 2108.13264). The interval says what other seeds might have given on
    the same tasks; it says nothing about other tasks.

    Percentile intervals of few runs are too narrow; expanded ones correct for that. Simulated
    coverage of intervals of 95 %, for the interquartile mean of 4 tasks with normal scores::

        runs of each task     5       8      16      32
        percentile         89 %    92 %    94 %    94 %
        expanded           94 %    95 %    95 %    95 %

    With 3 or 4 runs, both are too narrow.

    Args:
        scores: as `make_scores` takes them, or its result, [R, M].
        statistic: takes `Scores` with values [..., R, M] and returns [..., *any]; it keeps the
            leading axes, as those of this package do. Set other arguments by `functools.partial`.
        confidence: between 0 and 1.
        num_resamples: at least 100.
        rng: a generator, or the seed of one.
        method: "percentile": quantiles of the resampled statistic, as in the paper. "expanded":
            quantiles further out, by as much as intervals of means by Student's t are wider than
            percentile intervals (Hesterberg 2014, arXiv 1411.5279).

    Returns:
        f64[*any] each. The interval is NaN where a task has fewer than two runs, which say nothing
        about the spread.

    Raises:
        ValueError: an argument outside of its range, scores that `make_scores` refuses, or a
            statistic that does not keep the leading axes.
    """
    check_interval(confidence, num_resamples, method)
    scores = as_scores(scores)
    value = np.asarray(statistic(scores), np.float64)
    resamples = _resamples(scores.values, num_resamples, np.random.default_rng(rng))
    replicates = np.concatenate([_applied(statistic, resample) for resample in resamples])
    return _interval(value, replicates, scores.run_counts, confidence, method)


def probability_of_improvement(
    x: ScoresLike,
    y: ScoresLike,
    *,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    rng: np.random.Generator | int = 0,
    method: str = "percentile",
) -> Estimate:
    """P(X > Y): that a run of X has a higher score than a run of Y, averaged over tasks.

    For each task, it is the share of all pairs of runs in which X is higher, with ties counted
    half: the Mann-Whitney U divided by the number of pairs (Agarwal et al. 2021, arXiv 2108.13264).
    It says how often X is better, not by how much.

    Args:
        x: scores [R, M] or [R] as `make_scores` takes them, or its result.
        y: scores of the same tasks; the number of runs may differ.
        confidence, num_resamples, rng, method: as in `bootstrap_interval`.

    Returns:
        f64[] each. The interval is NaN where a task has fewer than two runs of X or of Y.

    Raises:
        ValueError: different numbers of tasks, scores that `make_scores` refuses, or an argument
            outside of its range.
    """
    check_interval(confidence, num_resamples, method)
    x, y = as_scores(x), as_scores(y)
    if x.num_tasks != y.num_tasks:
        raise ValueError(
            f"x has {x.num_tasks} tasks and y has {y.num_tasks}; give scores of the same tasks in "
            "the same order"
        )
    rng = np.random.default_rng(rng)
    value, replicates = np.zeros(()), np.zeros(num_resamples)
    for of_x, of_y in zip(x.runs(), y.runs(), strict=True):
        wins = (of_x[:, np.newaxis] > of_y) + 0.5 * (of_x[:, np.newaxis] == of_y)
        value = value + wins.mean() / x.num_tasks
        weights_x = _weights(of_x.size, num_resamples, rng)
        weights_y = _weights(of_y.size, num_resamples, rng)
        replicates += (weights_x @ wins * weights_y).sum(axis=1) / x.num_tasks
    run_counts = np.concatenate((x.run_counts, y.run_counts))
    return _interval(value, replicates, run_counts, confidence, method)


def performance_profile(
    scores: ScoresLike,
    thresholds: ArrayLike,
    *,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    rng: np.random.Generator | int = 0,
    method: str = "percentile",
) -> Estimate:
    """The share of runs that score above each threshold, averaged over tasks.

    The run-score distribution of Agarwal et al. 2021 (arXiv 2108.13264). Where one algorithm's
    profile is above another's at all thresholds, it is better whatever a good score is.

    Args:
        scores: [R, M] or [R] as `make_scores` takes them, or its result.
        thresholds: [T], any scores.
        confidence: of the interval at each threshold. The band of all thresholds together is
            covered less often.
        num_resamples, rng, method: as in `bootstrap_interval`.

    Returns:
        f64[T] each. The interval is NaN where a task has fewer than two runs.

    Raises:
        ValueError: thresholds of another rank or not finite, scores that `make_scores` refuses, or
            an argument outside of its range.
    """
    check_interval(confidence, num_resamples, method)
    scores = as_scores(scores)
    thresholds = np.asarray(thresholds, np.float64)
    if thresholds.ndim != 1 or not np.isfinite(thresholds).all():
        raise ValueError(
            f"thresholds have shape {thresholds.shape} or are not all finite; give finite scores "
            "[num_thresholds]"
        )
    rng = np.random.default_rng(rng)
    value, replicates = np.zeros(thresholds.size), np.zeros((num_resamples, thresholds.size))
    for runs in scores.runs():
        above = (runs[:, np.newaxis] > thresholds).astype(np.float64)
        value += above.mean(axis=0) / scores.num_tasks
        replicates += _weights(runs.size, num_resamples, rng) @ above / scores.num_tasks
    return _interval(value, replicates, scores.run_counts, confidence, method)


def check_interval(confidence: float, num_resamples: int, method: str) -> None:
    """Raise ValueError for no confidence, too few resamples, or an unknown method."""
    check_choice("method", method, ("percentile", "expanded"))
    check_confidence(confidence)
    whole_number("num_resamples", num_resamples, least=100)


def check_confidence(confidence: float) -> None:
    """Raise ValueError for what is no confidence."""
    if not isinstance(confidence, int | float | np.number) or not 0.0 < confidence < 1.0:
        raise ValueError(
            f"confidence = {show(confidence)} is not allowed; give a number between 0 and 1, such "
            "as 0.95"
        )


def _interval(
    value: np.ndarray,
    replicates: np.ndarray,
    run_counts: np.ndarray,
    confidence: float,
    method: str,
) -> Estimate:
    """The estimate f64[*any] with its interval, from replicates f64[num_resamples, *any]."""
    if run_counts.min() < 2:
        unknown = np.full(value.shape, np.nan)
        return Estimate(value, unknown, unknown, confidence)
    level = _expanded(confidence, run_counts) if method == "expanded" else confidence
    low, high = np.quantile(replicates, ((1.0 - level) / 2.0, (1.0 + level) / 2.0), axis=0)
    return Estimate(value, low, high, confidence)


def _weights(num_runs: int, num_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """The share of each run in each resample, f64[num_resamples, num_runs]."""
    return rng.multinomial(num_runs, np.full(num_runs, 1.0 / num_runs), num_resamples) / num_runs


def _resamples(
    values: np.ndarray, num_resamples: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Resamples of [R, M], some at a time, f64[some, R, M].

    The runs of a task come first and NaN after them, so that each resample of a task has as many
    runs as the task.
    """
    absent = np.isnan(values)
    counts = (~absent).sum(axis=0)
    packed = np.take_along_axis(values, np.argsort(absent, axis=0, kind="stable"), axis=0)
    beyond = np.arange(len(values))[:, np.newaxis] >= counts
    at_once = max(1, CHUNK // values.size)
    for done in range(0, num_resamples, at_once):
        draws = rng.random((min(at_once, num_resamples - done), *values.shape))
        index = (draws * counts).astype(np.intp)
        resample = np.take_along_axis(packed[np.newaxis], index, axis=1)
        resample[:, beyond] = np.nan
        yield resample


def _applied(statistic: Statistic, values: np.ndarray) -> np.ndarray:
    """The statistic of values [n, R, M], f64[n, ...]."""
    found = np.asarray(statistic(Scores(values)), np.float64)
    if not found.ndim or len(found) != len(values):
        raise ValueError(
            f"statistic gives shape {found.shape} for scores of shape {values.shape}; let it keep "
            "the leading axes, and reduce over the last two: axis=(-2, -1)"
        )
    return found


def _expanded(confidence: float, run_counts: np.ndarray) -> float:
    """The level at which percentile intervals of means are as wide as those by Student's t.

    With n runs of a task, the bootstrap's variance is (n - 1)/n of the unbiased one, and the normal
    quantile stands for that of t.
    """
    from scipy.special import ndtr, stdtrit

    quantile = stdtrit((run_counts - 1).sum(), (1.0 + confidence) / 2.0)
    smallest = run_counts.min()
    return float(2.0 * ndtr(quantile * np.sqrt(smallest / (smallest - 1))) - 1.0)
