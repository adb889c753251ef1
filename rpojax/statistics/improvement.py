"""How often one algorithm beats another."""

import numpy as np

from rpojax.statistics.aggregates import ScoresLike
from rpojax.statistics.bootstrap import (
    Estimate,
    check_interval,
    interval_of,
    resampled_weights,
)
from rpojax.statistics.scores import Scores, as_scores


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
        confidence: of the stratified bootstrap interval, between 0 and 1.
        num_resamples: at least 100.
        rng: a generator, or the seed of one.
        method: as in `bootstrap_interval`.

    Returns:
        f64[] each. The interval is NaN where a task has fewer than two runs of X or of Y.

    Raises:
        ValueError: different numbers of tasks, scores that `make_scores` refuses, or an argument
            outside of its range.
    """
    check_interval(confidence, num_resamples, method)
    x, y = as_scores(x), as_scores(y)
    if x.values.shape[1] != y.values.shape[1]:
        raise ValueError(
            f"x is of {x.values.shape[1]} tasks and y of {y.values.shape[1]}; give scores of the "
            "same tasks in the same order"
        )
    rng = np.random.default_rng(rng)
    value, replicates = np.zeros(()), np.zeros(num_resamples)
    tasks = list(zip(_runs(x), _runs(y), strict=True))
    for of_x, of_y in tasks:
        wins = (of_x[:, np.newaxis] > of_y) + 0.5 * (of_x[:, np.newaxis] == of_y)
        value = value + wins.mean() / len(tasks)
        weights_x = resampled_weights(of_x.size, num_resamples, rng)
        weights_y = resampled_weights(of_y.size, num_resamples, rng)
        replicates += (weights_x @ wins * weights_y).sum(axis=1) / len(tasks)
    return interval_of(
        value, replicates, np.concatenate((x.run_counts, y.run_counts)), confidence, method
    )


def _runs(scores: Scores) -> list[np.ndarray]:
    """The runs that each task has, M arrays f64[R_m]."""
    return [column[~np.isnan(column)] for column in scores.values.T]
