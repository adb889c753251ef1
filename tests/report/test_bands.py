import numpy as np
import pytest
from pictures import assert_nothing_is_cut_off, explanation, lines

from rpojax.report import plot_profiles, plot_sample_efficiency
from rpojax.report.style import PALETTE
from rpojax.statistics import Estimate, performance_profile, sample_efficiency

STEPS = 8192 * np.arange(1, 11)


def curve(seed: int, runs: int = 8) -> tuple[np.ndarray, Estimate]:
    values = np.random.default_rng(seed).normal(size=(runs, 10)).cumsum(axis=1)
    return STEPS, sample_efficiency(STEPS, values)


def band(axes, index: int) -> np.ndarray:
    return axes.collections[index].get_paths()[0].vertices


def test_learning_curves_have_the_values_and_intervals_of_the_estimates():
    curves = {"alpha=0": curve(0), "alpha=0.5": curve(1)}
    figure = plot_sample_efficiency(
        curves, ylabel="episode return", num_seeds=8, title="Pendulum-v1"
    )
    axes = figure.axes[0]
    for index, (label, (_, estimate)) in enumerate(curves.items()):
        np.testing.assert_allclose(lines(figure)[label], np.stack([STEPS, estimate.value], 1))
        corners = band(axes, index)
        assert corners[:, 1].max() == pytest.approx(estimate.high.max())
        assert corners[:, 1].min() == pytest.approx(estimate.low.min())
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("environment steps", "episode return")
    assert axes.get_title(loc="left") == "Pendulum-v1"
    assert explanation(figure) == "interquartile mean and 95 % bootstrap interval of 8 seeds"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(curves)
    assert [line.get_color() for line in axes.lines] == list(PALETTE[:2])
    assert axes.xaxis.get_major_formatter()(100_000) == "100k"
    assert_nothing_is_cut_off(figure)


def test_one_curve_needs_no_legend_and_the_statistic_is_named():
    estimate = curve(0)[1]._replace(confidence=0.9)
    figure = plot_sample_efficiency(
        {"mine": (STEPS, estimate)}, ylabel="return", num_seeds=(5, 8), statistic="median"
    )
    assert not figure.legends
    assert explanation(figure) == "median and 90 % bootstrap interval of 5 to 8 seeds"


def test_a_curve_without_an_interval_has_no_band_and_a_single_value_is_a_point():
    nan = np.full(4, np.nan)
    value = np.array([1.0, np.nan, 2.0, 3.0])
    figure = plot_sample_efficiency(
        {"one": (STEPS[:4], Estimate(value, nan, nan, 0.95))}, ylabel="return", num_seeds=1
    )
    (axes,) = figure.axes
    assert explanation(figure) == "interquartile mean of 1 seed"
    assert not axes.collections
    _, points = axes.lines
    np.testing.assert_array_equal(points.get_xydata(), [[STEPS[0], 1.0]])
    assert points.get_marker() == "o"


def test_profiles_are_shares_of_runs(tmp_path):
    thresholds = np.linspace(-2, 2, 41)
    scores = np.random.default_rng(0).normal(size=(16, 3))
    profile = performance_profile(scores, thresholds)
    figure = plot_profiles(
        {"RPO": (thresholds, profile)},
        tmp_path / "profile.svg",
        xlabel="normalised return",
        num_seeds=16,
        num_tasks=3,
    )
    (axes,) = figure.axes
    np.testing.assert_allclose(lines(figure)["RPO"], np.stack([thresholds, profile.value], 1))
    assert axes.get_xlabel() == "normalised return"
    assert axes.get_ylabel() == "share of runs with a higher score"
    assert explanation(figure) == (
        "share and 95 % bootstrap interval of 16 seeds on each of 3 tasks"
    )
    assert axes.get_ylim()[1] == pytest.approx(1.02)
    assert "<svg" in (tmp_path / "profile.svg").read_text()


def test_errors():
    with pytest.raises(ValueError, match="there is no curve to draw; give at least one"):
        plot_sample_efficiency({}, ylabel="return", num_seeds=1)
    steps, estimate = curve(0)
    with pytest.raises(ValueError, match=r"curve 'a' has x of shape \(9,\) and values of \(10,\)"):
        plot_sample_efficiency({"a": (steps[1:], estimate)}, ylabel="return", num_seeds=1)
