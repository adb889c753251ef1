import itertools

import numpy as np
import pytest
from scipy import stats

from rpojax.statistics import (
    interquartile_mean,
    make_scores,
    mean,
    median,
    rank_stability,
    ranking,
)


def test_agreement_is_that_of_all_subsamples():
    scores = np.random.default_rng(0).normal([0.0, 0.2, 0.4, 0.6], size=(6, 4))
    reference = scores.mean(axis=0)
    for size in (1, 2, 3, 6):
        subsamples = [
            scores[list(seeds)].mean(0) for seeds in itertools.combinations(range(6), size)
        ]
        best = np.mean([found.argmax() == reference.argmax() for found in subsamples])
        tau = np.mean([stats.kendalltau(found, reference).statistic for found in subsamples])
        stability = rank_stability(scores, [size], num_subsamples=20_000)
        assert stability.num_seeds == [size]
        assert stability.same_best == pytest.approx(best, abs=0.015)
        assert stability.kendall_tau == pytest.approx(tau, abs=0.015)


def test_all_seeds_agree_with_themselves_and_clear_differences_need_one_seed():
    scores = np.random.default_rng(0).normal(size=(8, 3))
    num_seeds, same_best, tau = rank_stability(scores)
    np.testing.assert_array_equal(num_seeds, np.arange(1, 9))
    assert same_best[-1] == pytest.approx(1.0)
    assert tau[-1] == pytest.approx(1.0)
    assert same_best[0] < 0.9
    clear = rank_stability(scores + np.array([0.0, 100.0, 200.0]))
    np.testing.assert_allclose(clear.same_best, 1.0)
    np.testing.assert_allclose(clear.kendall_tau, 1.0)


def test_settings_that_tie_as_the_best_share_it():
    scores = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 4.0, 0.0]])  # the second is best
    stability = rank_stability(scores, [1], num_subsamples=20_000)
    assert stability.same_best[0] == pytest.approx(1 / 3 + (2 / 3) / 2, abs=0.015)
    tied = stats.kendalltau([1, 1, 0], [1, 2, 0]).statistic
    assert stability.kendall_tau[0] == pytest.approx(1 / 3 + (2 / 3) * tied, abs=0.015)
    assert rank_stability(np.zeros((3, 2))).kendall_tau.tolist() == [0.0] * 3


def test_the_statistic_is_what_settings_are_ranked_by():
    scores = np.array([[0.0, 2.0], [0.0, 2.0], [0.0, 2.0], [0.0, 2.0], [99.0, 2.0]])
    by_mean = rank_stability(scores, [4], num_subsamples=5000)
    assert by_mean.same_best[0] == pytest.approx(4 / 5, abs=0.03)
    by_middle = rank_stability(scores, [4], statistic=interquartile_mean)
    assert by_middle.same_best[0] == pytest.approx(1.0)


def test_subsamples_that_are_drawn_in_parts_are_the_same(monkeypatch):
    scores = np.random.default_rng(0).normal(size=(8, 3))
    whole = rank_stability(scores, rng=3)
    monkeypatch.setattr(ranking, "CHUNK", 24 * 7)
    for part, one in zip(rank_stability(scores, rng=3), whole, strict=True):
        np.testing.assert_allclose(part, one, rtol=1e-12)


@pytest.mark.parametrize("statistic", [mean, median])
def test_one_seed_repeats_for_one_random_generator(statistic):
    scores = np.random.default_rng(0).normal(size=(8, 3))
    first, second = (rank_stability(scores, [2], statistic=statistic, rng=5) for _ in range(2))
    assert first == second


def test_errors():
    with pytest.raises(ValueError, match="1 settings and 0 missing runs; give at least two"):
        rank_stability(np.zeros((4, 1)))
    with pytest.raises(ValueError, match="2 settings and 1 missing runs"):
        rank_stability(make_scores({"a": [1.0, 2.0], "b": [3.0]}))
    with pytest.raises(ValueError, match=r"num_seeds = 5 is not allowed; give .* 1 to 4"):
        rank_stability(np.zeros((4, 2)), [5])
    with pytest.raises(ValueError, match="num_subsamples = 0 is not allowed"):
        rank_stability(np.zeros((4, 2)), num_subsamples=0)
