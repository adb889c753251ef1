"""Rankings of settings: intervals that hold for the best one too, and how stable a ranking is."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rpojax.statistics.bootstrap import Estimate, check_confidence
from rpojax.statistics.scores import (
    Scores,
    ScoresLike,
    Statistic,
    as_scores,
    interquartile_mean,
    mean,
)
from rpojax.validation import whole_number

CHUNK = 2**21  # pairs of settings that are compared at a time
DRAWS = 2**13  # normal samples from which a critical value is computed


def simultaneous_intervals(
    scores: ScoresLike,
    statistic: Statistic = interquartile_mean,
    *,
    confidence: float = 0.95,
) -> Estimate:
    """A statistic of each of K settings, with intervals that hold for all of them together.

    The setting that scored best did so in part by luck, so that an interval of its own, from the
    same seeds, misses the truth too often. Intervals that hold together hold for whichever setting
    is picked by its scores, and two settings whose intervals do not overlap differ, however many
    were compared.

    An interval is value ± c * std, where std is over the seeds of its setting. With probability
    confidence^(1/K) (Sidak 1967), |statistic| <= c * std for normal scores around 0; for the mean,
    c follows from Student's t. Nothing is assumed about how the settings' spreads compare. With few
    seeds, this is wide, and exact for normal scores alone. Simulated misses of the best setting's
    interval, where all settings are equally good (`benchmarks/selection.py`: normal scores, the
    same with other spreads, runs of which a fifth fail, and scores with a long tail)::

        settings x seeds   6 x 4    32 x 4    6 x 8    32 x 8    16 x 16
        normal             1.5 %     0.7 %    1.9 %     2.0 %      1.8 %
        spread             1.0 %     0.4 %    1.5 %     0.4 %      1.9 %
        fails              2.2 %     0.6 %    2.9 %     2.4 %      1.5 %
        skewed             7.8 %     7.8 %    6.6 %     9.0 %      5.7 %

    Args:
        scores: [N, K] of N seeds of K settings, as `make_scores` takes them, or its result. The
            settings may have different numbers of seeds.
        statistic: of the seeds of a setting, as in `bootstrap_interval`: one that moves and scales
            with the scores, such as `interquartile_mean` and `mean`.
        confidence: that all intervals hold, between 0 and 1.

    Returns:
        f64[K] each. The interval of a setting of fewer than two seeds is NaN.

    Raises:
        ValueError: scores that `make_scores` refuses; a confidence out of range.
    """
    check_confidence(confidence)
    scores = as_scores(scores)
    own = confidence ** (1.0 / scores.num_tasks)
    value, reach = np.full((2, scores.num_tasks), np.nan)
    for setting, runs in enumerate(scores.runs()):
        value[setting] = statistic(Scores(runs[:, np.newaxis]))
        if runs.size > 1:
            reach[setting] = _critical_value(statistic, runs.size, own) * runs.std(ddof=1)
    return Estimate(value, value - reach, value + reach, confidence)


@functools.lru_cache(64)
def _critical_value(statistic: Statistic, count: int, confidence: float) -> float:
    """c, for which |statistic| <= c * std of normal samples has the probability `confidence`.

    statistic / std is the sum of mean / std, which is t / sqrt(n), and of a part that depends only
    on the standardised sample. The two are independent (Basu), so that only the second is drawn.
    """
    from scipy.optimize import brentq
    from scipy.special import stdtr, stdtrit

    sample = np.random.default_rng(0).standard_normal((DRAWS, count))
    sample -= sample.mean(axis=1, keepdims=True)
    sample /= sample.std(axis=1, ddof=1, keepdims=True)
    shift = statistic(Scores(sample[..., np.newaxis]))
    root = np.sqrt(count)

    def misses(c: float) -> float:
        beyond = stdtr(count - 1, root * np.stack([shift - c, -shift - c]))
        return float(beyond.sum(axis=0).mean()) - (1.0 - confidence)

    most = stdtrit(count - 1, (1.0 + confidence) / 2.0) / root + np.abs(shift).max()
    return float(brentq(misses, 0.0, 1.01 * most))  # where rounding does not matter


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
