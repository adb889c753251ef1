"""Ranges and what is drawn from them."""

import numpy as np
import pytest
from scipy import stats

from rpojax.settings.ranges import check_range
from rpojax.studies import Choice, LogUniform, Uniform, Whole
from rpojax.studies.settings import draw, draw_distinct

SPACE = {
    "alpha": Uniform(0.0, 2.0),
    "learning_rate": LogUniform(1e-5, 1e-1),
    "num_envs": Whole(1, 4),
    "activation": Choice(("tanh", "relu")),
}


@pytest.mark.parametrize("sampler", ["random", "sobol"])
def test_draws_have_the_distribution_of_their_range(sampler):
    points = draw(SPACE, 4096, sampler, seed=3)
    alpha = np.array([point["alpha"] for point in points])
    rate = np.log10([point["learning_rate"] for point in points])
    assert stats.kstest(alpha, stats.uniform(0.0, 2.0).cdf).pvalue > 1e-3
    assert stats.kstest(rate, stats.uniform(-5.0, 4.0).cdf).pvalue > 1e-3
    envs, counts = np.unique([point["num_envs"] for point in points], return_counts=True)
    assert envs.tolist() == [1, 2, 3, 4]
    assert abs(counts - 1024).max() < 150
    assert {point["activation"] for point in points} == {"tanh", "relu"}


def test_draws_follow_from_the_seed_and_start_alike():
    assert draw(SPACE, 8, seed=1) == draw(SPACE, 16, seed=1)[:8]
    assert draw(SPACE, 8, seed=1) != draw(SPACE, 8, seed=2)
    assert draw(SPACE, 8, "sobol", seed=1) == draw(SPACE, 8, "sobol", seed=1)


def test_sobol_points_fill_each_half_of_each_range_alike():
    points = draw({"alpha": Uniform(0.0, 1.0), "gamma": Uniform(0.0, 1.0)}, 16, "sobol")
    for name in ("alpha", "gamma"):
        assert sum(point[name] < 0.5 for point in points) == 8


def test_numbers_are_short_enough_to_read():
    for point in draw(SPACE, 64):
        assert len(f"{point['learning_rate']:g}") <= 9


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"log_uniform": [1e-4, 1e-2]}, LogUniform(1e-4, 1e-2)),
        ({"uniform": (0, 1)}, Uniform(0.0, 1.0)),
        ({"whole": [1.0, 8]}, Whole(1, 8)),
        ({"choice": [1, 2]}, Choice((1, 2))),
        (Uniform(0, 1), Uniform(0.0, 1.0)),
    ],
)
def test_ranges_can_be_written_as_in_a_file(written, expected):
    assert check_range("alpha", written) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Uniform(1.0, 0.0), "range of alpha is .*low < high"),
        (Uniform(0.0, float("inf")), "finite"),
        (Uniform("a", 1.0), "low < high"),
        (LogUniform(0.0, 1.0), "both above 0"),
        (Whole(3, 2), "whole number of at least 3"),
        (Choice(()), "no options"),
        ([0.0, 1.0], r"LogUniform\(low, high\)"),
        ({"uniform": [1.0]}, "give uniform two numbers"),
        ({"choice": 3}, "give choice a list"),
        ({"normal": [0, 1]}, "'normal' is not known; give one of 'uniform'"),
    ],
)
def test_bad_range_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        check_range("alpha", given)


def test_unknown_sampler_is_refused():
    with pytest.raises(ValueError, match=r"sampler = 'grid'.*'random', 'sobol'"):
        draw(SPACE, 4, "grid")


def test_a_narrow_range_has_as_many_values_as_a_wide_one():
    points = draw_distinct({"gamma": Uniform(0.99, 0.999)}, 256)
    values = [point["gamma"] for point in points]
    assert len(set(values)) == 256
    assert max(len(repr(value)) for value in values) <= 8
    assert Uniform(0.99, 0.99999).at(0.9999) <= 0.99999
    assert LogUniform(1.00004, 2.0).at(0.0) == 1.00004
    assert Uniform(-1.0, 1.0).at(0.12345678) == -0.7531


@pytest.mark.parametrize("sampler", ["random", "sobol"])
def test_points_that_repeat_are_drawn_on(sampler):
    space = {"num_envs": Whole(1, 3), "activation": Choice(("tanh", "relu"))}
    points = draw_distinct(space, 6, sampler)
    assert len({tuple(point.values()) for point in points}) == 6
    wide = draw(SPACE, 8, sampler)
    assert draw_distinct(SPACE, 8, sampler) == wide
    with pytest.raises(ValueError, match="num_settings = 7 is more than the 6 different points of"):
        draw_distinct(space, 7, sampler)
