"""Performance profiles: the whole distribution of scores instead of one number."""

import numpy as np
from numpy.typing import ArrayLike

from rpojax.statistics.aggregates import ScoresLike
from rpojax.statistics.bootstrap import (
    Estimate,
    check_interval,
    interval_of,
    resampled_weights,
)
from rpojax.statistics.scores import as_scores


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
        confidence: of the stratified bootstrap interval at each threshold, between 0 and 1. The
            band of all thresholds together is covered less often.
        num_resamples: at least 100.
        rng: a generator, or the seed of one.
        method: as in `bootstrap_interval`.

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
    for column in scores.values.T:
        runs = column[~np.isnan(column)]
        above = (runs[:, np.newaxis] > thresholds).astype(np.float64)
        value += above.mean(axis=0) / scores.values.shape[1]
        weights = resampled_weights(runs.size, num_resamples, rng)
        replicates += weights @ above / scores.values.shape[1]
    return interval_of(value, replicates, scores.run_counts, confidence, method)
