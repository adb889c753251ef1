import dataclasses
import subprocess
import sys
import warnings

import matplotlib.image
import numpy as np
import pytest

from rpojax import Config, Metrics
from rpojax.loggers import CSVLogger, LogRecord
from rpojax.report.plotting import Curve, plot_curves, plot_learning_curves, read_curve

CFG = Config(total_timesteps=40 * 1024, num_envs=16, num_steps=64)


def metrics_of(episode_return: np.ndarray) -> Metrics:
    fields = dataclasses.fields(Metrics)
    return Metrics(**{field.name: np.asarray(episode_return, np.float32) for field in fields})


def curves(num_seeds: int) -> np.ndarray:
    rising = -1200.0 * np.exp(-np.arange(40) / 10.0)
    return rising + np.random.default_rng(0).normal(0.0, 30.0, (num_seeds, 40))


@pytest.fixture(autouse=True)
def _warnings_raise():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def lines(figure) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in figure.axes[0].lines}


def band(figure) -> np.ndarray:
    return figure.axes[0].collections[0].get_paths()[0].vertices


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
    assert axes.get_title(loc="right") == "mean and range of 4 seeds"
    steps = lines(figure)["mean"][:, 0]
    assert steps[0] == CFG.batch_size
    assert steps[-1] == CFG.actual_timesteps
    assert axes.xaxis.get_major_formatter()(100_000) == "100k"


def test_mean_and_band_over_few_and_over_many_seeds():
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
    assert figure.axes[0].get_title(loc="right") == "mean and 10th to 90th percentile of 20 seeds"


def test_updates_in_which_no_episode_ended_are_bridged_seed_by_seed():
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
    assert [text.get_text() for text in figure.axes[0].texts] == ["no values"]


def test_one_agent_is_one_line_without_a_band():
    figure = plot_learning_curves(CFG, metrics_of(curves(1)[0]))
    assert len(figure.axes[0].lines) == 1
    assert not figure.axes[0].collections
    assert figure.axes[0].get_title(loc="right") == ""


def test_a_sweep_has_a_labelled_curve_for_each():
    sweep = {f"alpha = {alpha}": metrics_of(curves(3)) for alpha in (0.0, 0.1, 0.5)}
    figure = plot_learning_curves(CFG, sweep, metric="action_std", title="A sweep")
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(sweep)
    assert len(axes.lines) == len(axes.collections) == 3
    assert (
        len(
            {
                line.get_color() if isinstance(line.get_color(), str) else tuple(line.get_color())
                for line in axes.lines
            }
        )
        == 3
    )
    assert axes.get_ylabel() == "action std"
    assert axes.get_title(loc="left") == "A sweep"


def test_curves_have_steps_of_their_own_and_tell_of_their_seeds_where_they_agree():
    runs = {
        "short": Curve(np.array([100, 200]), np.array([[1.0, 2.0], [3.0, 4.0]])),
        "long": Curve(np.array([300, 900]), np.array([[5.0, 6.0], [7.0, 8.0]])),
    }
    figure = plot_curves(runs, ylabel="return")
    np.testing.assert_array_equal(lines(figure)["short"], [[100, 2], [200, 3]])
    np.testing.assert_array_equal(lines(figure)["long"], [[300, 6], [900, 7]])
    assert figure.axes[0].get_xlim()[1] == pytest.approx(1.02 * 900)
    assert figure.axes[0].get_title(loc="right") == "mean and range of 2 seeds"

    runs["one"] = Curve(np.array([100, 200]), np.array([[1.0, 2.0]]))
    figure = plot_curves(runs, ylabel="return")
    assert figure.axes[0].get_title(loc="right") == "mean and spread over seeds"


def test_a_curve_comes_from_the_file_of_a_logger(tmp_path):
    path = tmp_path / "metrics.csv"
    logger = CSVLogger(path)
    logger.start(CFG, num_seeds=2, updates=0)
    returns = np.array([[np.nan, 1.5], [-2.0, 4.0], [0.25, np.nan]], np.float32)
    for update, each in enumerate(returns, start=1):
        steps = update * CFG.batch_size
        evaluation = each if update == 2 else None
        logger.log(LogRecord(update, steps, metrics_of(each), 1000.0, evaluation))
    logger.close()
    steps, values = read_curve(path, "episode_return")
    np.testing.assert_array_equal(steps, CFG.batch_size * np.arange(1, 4))
    np.testing.assert_array_equal(values, returns.T)
    nan = np.nan
    evaluated = read_curve(path, "evaluation_return").values
    np.testing.assert_array_equal(evaluated, [[nan, -2.0, nan], [nan, 4.0, nan]])

    with path.open("a") as file:
        file.write("0,4,4096,1.")  # and then the process was killed
    np.testing.assert_array_equal(read_curve(path, "episode_return").values, returns.T)


def test_files_without_a_curve_are_refused(tmp_path):
    path = tmp_path / "metrics.csv"
    with pytest.raises(ValueError, match="unknown metric 'steps'"):
        read_curve(path, "steps")
    with pytest.raises(FileNotFoundError):
        read_curve(path, "kl")
    for text in ("a,b\n1,2\n", "\0", "seed,steps\n0,1\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"not a file of metrics by CSVLogger|no metrics yet"):
            read_curve(path, "kl")
    logger = CSVLogger(tmp_path / "empty.csv")
    logger.start(CFG, num_seeds=1, updates=0)
    logger.close()
    with pytest.raises(ValueError, match="let the run log a first update"):
        read_curve(tmp_path / "empty.csv", "kl")


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="unknown metric 'episode_returns'; did you mean"):
        plot_learning_curves(CFG, metrics_of(curves(1)), metric="episode_returns")
    with pytest.raises(ValueError, match="under a label each"):
        plot_learning_curves(CFG, metrics_of(np.zeros((2, 3, 40))))


def test_pyplot_is_left_alone():
    program = """
import sys, dataclasses, numpy, rpojax, rpojax.report.plotting
assert "matplotlib" not in sys.modules
values = {field.name: numpy.zeros((2, 3)) for field in dataclasses.fields(rpojax.Metrics)}
rpojax.report.plotting.plot_learning_curves(rpojax.Config(), rpojax.Metrics(**values))
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
