"""Statistics of learning curves: sample efficiency, and the area under a curve."""

import copy

import numpy as np
from numpy.typing import ArrayLike

from rpojax.statistics.bootstrap import Estimate, bootstrap_interval, check_interval
from rpojax.statistics.nan import bridge_nan
from rpojax.statistics.scores import Scores, Statistic, interquartile_mean
from rpojax.validation import show


def sample_efficiency(
    steps: ArrayLike,
    curves: ArrayLike,
    statistic: Statistic = interquartile_mean,
    *,
    finite: ArrayLike | None = None,
    worst: float | None = None,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    rng: np.random.Generator | int = 0,
    method: str = "percentile",
) -> Estimate:
    """A statistic of all runs at each number of steps, with its bootstrap interval.

    NaN is no value, as in updates in which no episode ended: it is bridged by a straight line, run
    by run. Before its first value and after its last, a run does not count, unless it diverged:
    then it counts as `worst` after its last value.

    Args:
        steps: [T], increasing.
        curves: scores [R, T] of R runs, or [R, M, T] of R runs of M tasks.
        statistic: as in `bootstrap_interval`.
        finite: whether each run stayed finite, bool[R] or bool[R, M], such as `result.finite`;
            None if all did.
        worst: the score of a diverged run, at most the lowest value of all curves.
        confidence: of the interval at each number of steps. The band of all steps together is
            covered less often.
        num_resamples, rng, method: as in `bootstrap_interval`. All steps resample the same runs.

    Returns:
        f64[T] each. NaN where a task has no run that counts; the interval is NaN where a task has
        fewer than two.

    Raises:
        ValueError: shapes that do not fit, infinite values, diverged runs without `worst`, or an
            argument outside of its range.
    """
    check_interval(confidence, num_resamples, method)
    _, values = _whole_curves(steps, curves, finite, worst)
    generator = np.random.default_rng(rng)
    value, low, high = np.full((3, values.shape[-1]), np.nan)
    for step, at_step in enumerate(np.moveaxis(values, -1, 0)):
        scores = Scores(at_step)
        if scores.run_counts.all():
            value[step], low[step], high[step], _ = bootstrap_interval(
                scores,
                statistic,
                confidence=confidence,
                num_resamples=num_resamples,
                rng=copy.deepcopy(generator),
                method=method,
            )
    return Estimate(value, low, high, confidence)


def area_under_curve(
    steps: ArrayLike,
    curves: ArrayLike,
    *,
    finite: ArrayLike | None = None,
    worst: float | None = None,
) -> np.ndarray:
    """The mean height of each learning curve: its area by the trapezoid rule over its steps.

    NaN is bridged as in `sample_efficiency`. The area of a run is that between its first and its
    last value, divided by the steps between them, so that it has the unit of the scores; a single
    value is its own mean. A diverged run counts as `worst` after its last value, to the end.

    Args:
        steps: [T], increasing.
        curves: scores [R, T] of R runs, or [R, M, T] of R runs of M tasks.
        finite: whether each run stayed finite, bool[R] or bool[R, M]; None if all did.
        worst: the score of a diverged run, at most the lowest value of all curves.

    Returns:
        f64[R] or f64[R, M], scores for the other functions.

    Raises:
        ValueError: shapes that do not fit, infinite values, diverged runs without `worst`, or a run
            without values that did not diverge.
    """
    shape = np.shape(curves)[:-1]
    steps, values = _whole_curves(steps, curves, finite, worst)
    values = values.reshape(-1, steps.size)
    means = np.empty(len(values))
    for run, row in enumerate(values):
        known = np.flatnonzero(~np.isnan(row))
        if not known.size:
            raise ValueError(
                f"curve {np.unravel_index(run, shape)} has no value; leave out the run if it does "
                "not exist, or mark it in finite if it diverged"
            )
        at, height = steps[known], row[known]
        means[run] = np.trapezoid(height, at) / (at[-1] - at[0]) if known.size > 1 else height[0]
    return means.reshape(shape)


def _whole_curves(
    steps: ArrayLike, curves: ArrayLike, finite: ArrayLike | None, worst: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Steps f64[T] and curves f64[R, M, T], bridged, with `worst` where a run has diverged."""
    steps, curves = np.asarray(steps, np.float64), np.asarray(curves, np.float64)
    if curves.ndim not in (2, 3) or steps.shape != curves.shape[-1:] or not curves.size:
        raise ValueError(
            f"curves have shape {curves.shape} and steps {steps.shape}; give curves [runs, T] or "
            "[runs, tasks, T] and steps [T]"
        )
    if not (np.diff(steps) > 0).all():
        raise ValueError("steps do not increase; give them sorted, each once")
    if np.isinf(curves).any():
        raise ValueError(
            "curves have infinite values; give NaN from there on, and mark the run in finite"
        )
    values = bridge_nan(steps, curves)
    if finite is not None:
        diverged = ~np.asarray(finite, bool)
        if diverged.shape != curves.shape[:-1]:
            raise ValueError(
                f"finite has shape {diverged.shape}; give a truth value for each run, "
                f"{curves.shape[:-1]}"
            )
        if diverged.any():
            lowest = np.nanmin(values, initial=np.inf)
            if worst is None or not -np.inf < worst <= lowest:
                raise ValueError(
                    f"worst = {show(worst)} is not allowed, as {diverged.sum()} of {diverged.size} "
                    "runs diverged; give the score that they count as, finite and at most the "
                    f"lowest value, {lowest:g}"
                )
            later_value = np.cumsum(~np.isnan(values)[..., ::-1], axis=-1)[..., ::-1] > 0
            values = np.where(diverged[..., np.newaxis] & ~later_value, worst, values)
    return steps, values.reshape(len(values), -1, steps.size)
