import errno
import os
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from pictures import assert_nothing_is_cut_off, explanation, lines

from rpojax import Config, Metrics, TrainResult
from rpojax.report import plot_profiles, plot_sample_efficiency
from rpojax.report.curves import Curve
from rpojax.report.plotting import plot_curves, plot_learning_curves
from rpojax.report.style import PALETTE
from rpojax.settings.agent_table import AgentTable, agent_table
from rpojax.statistics import Estimate, performance_profile, sample_efficiency

pytestmark = pytest.mark.filterwarnings("error")

CFG = Config(total_timesteps=40 * 1024, num_envs=16, num_steps=64)


def metrics_of(episode_return: np.ndarray) -> Metrics:
    return Metrics.filled(np.asarray(episode_return, np.float32))


def curves(count: int) -> np.ndarray:
    rising = -1200.0 * np.exp(-np.arange(40) / 10.0)
    return rising + np.random.default_rng(0).normal(0.0, 30.0, (count, 40))


def band(figure, index: int = 0) -> np.ndarray:
    return figure.axes[0].collections[index].get_paths()[0].vertices


def test_the_file_is_a_picture_of_the_curves(tmp_path):
    path = tmp_path / "curve.png"
    plot_learning_curves(CFG, metrics_of(curves(4)), path)
    pixels = matplotlib.image.imread(path)[..., :3]
    assert pixels.shape == (600, 1050, 3)
    share_of_blue = np.mean((pixels[..., 2] - pixels[..., 0]) > 0.1)
    assert 0.005 < share_of_blue < 0.5


def test_axes_are_labelled_in_environment_steps():
    figure = plot_learning_curves(CFG, metrics_of(curves(4)))
    axes = figure.axes[0]
    assert axes.get_xlabel() == "environment steps"
    assert axes.get_ylabel() == "episode return"
    assert axes.get_title(loc="left") == "Pendulum-v1"
    assert explanation(figure) == "mean and range of 4 seeds"
    steps = lines(figure)["mean"][:, 0]
    assert steps[0] == CFG.batch_size
    assert steps[-1] == CFG.actual_timesteps
    assert axes.xaxis.get_major_formatter()(100_000) == "100k"


def test_mean_and_band_over_few_and_over_many_agents():
    few = curves(4)
    figure = plot_learning_curves(CFG, metrics_of(few))
    np.testing.assert_allclose(lines(figure)["mean"][:, 1], few.mean(axis=0), rtol=1e-5)
    assert band(figure)[:, 1].max() == pytest.approx(few.max(), rel=1e-5)
    assert band(figure)[:, 1].min() == pytest.approx(few.min(), rel=1e-5)
    assert len(figure.axes[0].lines) == 1 + 4

    many = curves(20)
    figure = plot_learning_curves(CFG, metrics_of(many))
    assert band(figure)[:, 1].max() == pytest.approx(
        np.percentile(many, 90, axis=0).max(), rel=1e-5
    )
    assert explanation(figure) == "mean and 10th to 90th percentile of 20 seeds"


def test_updates_in_which_no_episode_ended_are_bridged_agent_by_agent():
    nan = np.nan
    returns = np.array([[nan, 0.0, nan, 2.0, 3.0, nan], [nan, nan, 10.0, nan, nan, 40.0]])
    figure = plot_learning_curves(CFG, metrics_of(returns))
    update = lines(figure)["mean"][:, 0] / CFG.batch_size
    np.testing.assert_array_equal(update, [2, 3, 4, 5, 6])
    np.testing.assert_allclose(
        lines(figure)["mean"][:, 1], [0.0, (1 + 10) / 2, (2 + 20) / 2, (3 + 30) / 2, 40.0]
    )


def test_a_run_in_which_no_episode_ended_says_so(tmp_path):
    figure = plot_learning_curves(CFG, metrics_of(np.full((3, 5), np.nan)), tmp_path / "none.png")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert sorted(texts) == ["mean and range of 3 seeds", "no values"]


def test_one_agent_is_one_line_without_a_band():
    figure = plot_learning_curves(CFG, metrics_of(curves(1)[0]))
    assert len(figure.axes[0].lines) == 1
    assert not figure.axes[0].collections
    assert explanation(figure) == ""


def test_a_sweep_has_a_labelled_curve_for_each():
    sweep = {f"alpha = {alpha}": metrics_of(curves(3)) for alpha in (0.0, 0.1, 0.5)}
    figure = plot_learning_curves(CFG, sweep, metric="action_std", title="A sweep")
    axes = figure.axes[0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(sweep)
    assert len(axes.lines) == len(axes.collections) == 3
    assert len({line.get_color() for line in axes.lines}) == 3
    assert axes.get_ylabel() == "action std"
    assert axes.get_title(loc="left") == "A sweep"


def test_curves_have_their_own_steps_and_the_title_names_their_seeds_where_they_agree():
    runs = {
        "short": Curve(np.array([100, 200]), np.array([[1.0, 2.0], [3.0, 4.0]])),
        "long": Curve(np.array([300, 900]), np.array([[5.0, 6.0], [7.0, 8.0]])),
    }
    figure = plot_curves(runs, ylabel="return")
    np.testing.assert_array_equal(lines(figure)["short"], [[100, 2], [200, 3]])
    np.testing.assert_array_equal(lines(figure)["long"], [[300, 6], [900, 7]])
    assert figure.axes[0].get_xlim()[1] == pytest.approx(1.02 * 900)
    assert explanation(figure) == "mean and range of 2 seeds"

    runs["one"] = Curve(np.array([100, 200]), np.array([[1.0, 2.0]]))
    figure = plot_curves(runs, ylabel="return")
    assert explanation(figure) == "mean and band over seeds"


def sweep() -> AgentTable:
    """3 alphas x 2 seeds."""
    hyperparams = CFG.hyperparams().replace(alpha=[0.0, 0.0, 0.1, 0.1, 0.5, 0.5])
    return agent_table(CFG.hyperparams(), hyperparams, seeds=[0, 1] * 3)


def test_agents_with_several_hyperparameters_have_a_curve_for_each_set():
    values = curves(6)
    figure = plot_learning_curves(CFG, metrics_of(values), agents=sweep())
    drawn = lines(figure)
    assert list(drawn) == ["alpha=0", "alpha=0.1", "alpha=0.5"]
    np.testing.assert_allclose(drawn["alpha=0.1"][:, 1], values[2:4].mean(axis=0), rtol=1e-5)
    assert explanation(figure) == "mean and range of 2 seeds"


def test_results_of_several_configs_have_their_own_steps():
    other = CFG.replace(num_envs=64, total_timesteps=4 * CFG.total_timesteps)
    metrics = metrics_of(curves(2))
    figure = plot_learning_curves(CFG, {"16 envs": metrics, "64 envs": (other, metrics)})
    drawn = lines(figure)
    assert drawn["16 envs"][-1, 0] == 40 * 16 * 64
    assert drawn["64 envs"][-1, 0] == 40 * 64 * 64


def test_results_that_are_not_of_the_config_are_refused():
    metrics, half = metrics_of(curves(2)), metrics_of(curves(2)[:, :20])
    with pytest.raises(ValueError, match=r"updates differ \(a: 40, b: 20\).*\(its Config, its met"):
        plot_learning_curves(CFG, {"a": metrics, "b": half})
    longer = CFG.replace(num_envs=64)
    with pytest.raises(ValueError, match="has 40 updates, and cfg has 10; give the Config that"):
        plot_learning_curves(longer, metrics)
    assert lines(plot_learning_curves(CFG, half))["mean"][-1, 0] == 20 * CFG.batch_size


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="unknown metric 'episode_returns'; did you mean"):
        plot_learning_curves(CFG, metrics_of(curves(1)), metric="episode_returns")
    with pytest.raises(ValueError, match="under a label each"):
        plot_learning_curves(CFG, metrics_of(np.zeros((2, 3, 40))))
    with pytest.raises(ValueError, match="metrics are of 4 agents, and agents has 6"):
        plot_learning_curves(CFG, metrics_of(curves(4)), agents=sweep())
    with pytest.raises(ValueError, match="metrics has labels; give one or the other"):
        plot_learning_curves(CFG, {"a": metrics_of(curves(6))}, agents=sweep())
    with pytest.raises(ValueError, match="no updates yet; wait for the first ones"):
        plot_learning_curves(CFG, metrics_of(np.zeros((2, 0))))
    result = TrainResult(state=None, metrics=metrics_of(curves(2)), finite=np.ones(2, bool))
    with pytest.raises(ValueError, match=r"is not a Metrics; give result.metrics of a training"):
        plot_learning_curves(CFG, result)
    with pytest.raises(ValueError, match="gfi"):
        plot_learning_curves(CFG, metrics_of(curves(1)), "curve.gfi")


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_a_full_disk_names_the_file(suffix, tmp_path, monkeypatch):
    def write(self, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(OSError, match=rf"cannot save the picture: No space.*curve\.{suffix}'"):
        plot_learning_curves(CFG, metrics_of(curves(2)), tmp_path / f"curve.{suffix}")


def test_a_missing_directory_names_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cannot save the picture.*missing/curve\.png'"):
        plot_learning_curves(CFG, metrics_of(curves(2)), tmp_path / "missing" / "curve.png")


def test_a_path_without_a_suffix_is_a_png(tmp_path):
    plot_learning_curves(CFG, metrics_of(curves(2)), tmp_path / "curve")
    assert (tmp_path / "curve").read_bytes().startswith(b"\x89PNG")


def test_labels_and_titles_are_shown_as_they_are(tmp_path):
    """Names of runs may begin with "_", and hold what matplotlib takes for a formula."""
    metrics = metrics_of(curves(2))
    labels = ["_first", r"a$\b$", "second"]
    path = tmp_path / "curves.png"
    figure = plot_learning_curves(CFG, dict.fromkeys(labels, metrics), path, title=r"$\x$")
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [text.replace(r"\$", "$") for text in shown] == labels
    assert plot_learning_curves(CFG, metrics, title="").axes[0].get_title(loc="left") == ""


STEPS = 8192 * np.arange(1, 11)


def curve(seed: int, runs: int = 8) -> tuple[np.ndarray, Estimate]:
    values = np.random.default_rng(seed).normal(size=(runs, 10)).cumsum(axis=1)
    return STEPS, sample_efficiency(STEPS, values)


def test_learning_curves_have_the_values_and_intervals_of_the_estimates():
    curves = {"alpha=0": curve(0), "alpha=0.5": curve(1)}
    figure = plot_sample_efficiency(
        curves, ylabel="episode return", num_seeds=8, title="Pendulum-v1"
    )
    axes = figure.axes[0]
    for index, (label, (_, estimate)) in enumerate(curves.items()):
        np.testing.assert_allclose(lines(figure)[label], np.stack([STEPS, estimate.value], 1))
        corners = band(figure, index)
        assert corners[:, 1].max() == pytest.approx(estimate.high.max())
        assert corners[:, 1].min() == pytest.approx(estimate.low.min())
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("environment steps", "episode return")
    assert axes.get_title(loc="left") == "Pendulum-v1"
    assert explanation(figure) == "interquartile mean and 95 % interval of 8 seeds"
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
    assert explanation(figure) == "median and 90 % interval of 5 to 8 seeds"


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
    assert explanation(figure) == ("share and 95 % interval of 16 seeds on each of 3 tasks")
    assert axes.get_ylim()[1] == pytest.approx(1.02)
    assert "<svg" in (tmp_path / "profile.svg").read_text()


def test_errors_of_curves():
    with pytest.raises(ValueError, match="there is no curve to draw; give at least one"):
        plot_sample_efficiency({}, ylabel="return", num_seeds=1)
    steps, estimate = curve(0)
    with pytest.raises(ValueError, match=r"curve 'a' has x of shape \(9,\) and values of \(10,\)"):
        plot_sample_efficiency({"a": (steps[1:], estimate)}, ylabel="return", num_seeds=1)
