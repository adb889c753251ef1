"""How stable a ranking of settings is if there are fewer seeds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rpojax.statistics.scores import Scores, ScoresLike, Statistic, as_scores, mean
from rpojax.validation import whole_number

CHUNK = 2**21  # pairs of settings that are compared at a time


class RankStability(NamedTuple):
    """How the ranking of settings by few seeds agrees with that by all N."""

    num_seeds: np.ndarray  # i64[S] n, from 1 to N
    same_best: np.ndarray  # f64[S] probability that n seeds name the same setting as the best
    kendall_tau: np.ndarray  # f64[S] mean of Kendall's tau between the two rankings, -1 to 1


def rank_stability(
    scores: ScoresLike,
    num_seeds: Sequence[int] | None = None,
    *,
    statistic: Statistic = mean,
    num_subsamples: int = 2000,
    rng: np.random.Generator | int = 0,
) -> RankStability:
    """The agreement of rankings by n of N seeds with the ranking by all, for several n.

    Subsamples of n different seeds are drawn, the same seeds for all settings, as in a smaller
    study. The ranking by all N seeds is taken as the truth. It contains the n seeds, so the
    agreement is 1 at n = N, and overestimated where n is more than about half of N.

    Args:
        scores: [N, K] of N seeds of K settings; higher is better. As `make_scores` takes them, or
            its result; each setting has all seeds.
        num_seeds: numbers n of seeds, 1 to N; None for all of them.
        statistic: of the seeds of a setting, as in `bootstrap_interval`: `mean`,
            `interquartile_mean`, ...
        num_subsamples: at least 1.
        rng: a generator, or the seed of one.

    Returns:
        One element for each n. Where settings tie as the best, each counts with an equal share.
        Ties lower the tau, which is Kendall's tau-b; it is 0 where all settings tie.

    Raises:
        ValueError: fewer than two settings, missing runs, or a number outside of its range.
    """
    values = as_scores(scores).values
    seeds, settings = values.shape
    if settings < 2 or np.isnan(values).any():
        raise ValueError(
            f"scores have {settings} settings and {np.isnan(values).sum()} missing runs; give "
            "at least two settings with the same seeds each"
        )
    counts = [
        whole_number("num_seeds", count, 1, seeds)
        for count in (range(1, seeds + 1) if num_seeds is None else num_seeds)
    ]
    whole_number("num_subsamples", num_subsamples)
    rng = np.random.default_rng(rng)
    reference = _by_setting(values[np.newaxis], statistic)
    same_best, tau = np.zeros(len(counts)), np.zeros(len(counts))
    at_once = max(1, CHUNK // (settings * max(settings, seeds)))
    for done in range(0, num_subsamples, at_once):
        order = np.argsort(rng.random((min(at_once, num_subsamples - done), seeds)), axis=1)
        for place, count in enumerate(counts):
            found = _by_setting(values[order[:, :count]], statistic)
            same_best[place] += _shared_best(found, reference).sum()
            tau[place] += _kendall_tau(found, reference).sum()
    return RankStability(np.array(counts), same_best / num_subsamples, tau / num_subsamples)


def _by_setting(values: np.ndarray, statistic: Statistic) -> np.ndarray:
    """The statistic of each setting, f64[n, K], of values [n, seeds, K]."""
    return statistic(Scores(np.swapaxes(values, 1, 2)[..., np.newaxis]))


def _shared_best(found: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The probability that a best setting of `found` is one of the best of `reference`, f64[n]."""
    best = found == found.max(axis=1, keepdims=True)
    truth = reference == reference.max()
    return (best & truth).sum(axis=1) / best.sum(axis=1)


def _kendall_tau(found: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Kendall's tau-b between [n, K] and [1, K], f64[n]; 0 where all of one tie."""
    upper = np.triu_indices(found.shape[1], 1)
    sign, truth = (np.sign(each[:, upper[0]] - each[:, upper[1]]) for each in (found, reference))
    untied = np.sqrt((sign**2).sum(axis=1) * (truth**2).sum(axis=1))
    return (sign * truth).sum(axis=1) / np.maximum(untied, 1.0)
