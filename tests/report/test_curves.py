import numpy as np
import pytest

from rpojax import Config, Metrics
from rpojax.loggers import CSVLogger, LogRecord
from rpojax.report.curves import Curve, group_curves, learning_curve, read_curves
from rpojax.settings.agent_table import AgentTable, agent_table

CFG = Config(total_timesteps=40 * 1024, num_envs=16, num_steps=64)
NAN = np.nan
RETURNS = np.array([[NAN, 1.5], [-2.0, 4.0], [0.25, NAN]], np.float32)  # [updates, agents]


def metrics_of(values) -> Metrics:
    return Metrics.filled(np.asarray(values, np.float32))


def alike(count: int) -> AgentTable:
    return agent_table(CFG.hyperparams(), num_seeds=count, seed=3)


def sweep(**values) -> AgentTable:
    return agent_table(CFG.hyperparams(), CFG.hyperparams().replace(**values), seeds=[0, 1, 0, 1])


def logged(path, agents, returns=RETURNS):
    """A file with records of all updates; there is an evaluation after the second."""
    logger = CSVLogger(path)
    logger.start(CFG, agents, updates=None)
    for update, each in enumerate(returns, start=1):
        evaluation = each if update == 2 else None
        steps = update * CFG.batch_size
        logger.log(LogRecord(update, steps, metrics_of(each), 1000.0, evaluation))
    logger.close()
    return path


def test_steps_are_those_of_the_config():
    steps, values = learning_curve(CFG, metrics_of(RETURNS.T), "kl")
    np.testing.assert_array_equal(steps, [1024, 2048, 3072])
    np.testing.assert_array_equal(values, RETURNS.T)
    assert learning_curve(CFG, metrics_of(RETURNS[:, 0])).values.shape == (1, 3)


def test_groups_are_the_agents_that_share_their_hyperparameters():
    curve = Curve(np.arange(3), np.arange(12.0).reshape(4, 3))
    groups = group_curves(curve, sweep(alpha=[0.5, 0.5, 0.1, 0.5], gamma=[0.9, 0.9, 0.9, 0.99]))
    assert {label: each.values[:, 0].tolist() for label, each in groups.items()} == {
        "alpha=0.5,gamma=0.9": [0, 3],
        "alpha=0.1,gamma=0.9": [6],
        "alpha=0.5,gamma=0.99": [9],
    }
    ((label, whole),) = group_curves(curve, alike(4)).items()
    assert label == ""
    np.testing.assert_array_equal(whole.values, curve.values)


def test_a_curve_is_read_from_the_file_of_a_logger(tmp_path):
    path = logged(tmp_path / "metrics.csv", alike(2))
    ((label, curve),) = read_curves(path, "episode_return").items()
    assert label == ""
    np.testing.assert_array_equal(curve.steps, CFG.batch_size * np.arange(1, 4))
    np.testing.assert_array_equal(curve.values, RETURNS.T)
    evaluated = read_curves(path, "evaluation_return")[""].values
    np.testing.assert_array_equal(evaluated, [[NAN, -2.0, NAN], [NAN, 4.0, NAN]])


@pytest.mark.parametrize(
    "values",
    [
        {"alpha": [0.0, 0.0, 0.1, 0.1]},
        {"learning_rate": [1e-5, 1e-5, 0.1, 0.1], "alpha": [0.0, 0.0, 0.0, 0.3]},
    ],
)
def test_curves_of_a_file_have_the_labels_and_agents_of_the_run(values, tmp_path):
    agents = sweep(**values)
    returns = np.arange(8.0).reshape(2, 4)
    path = logged(tmp_path / "metrics.csv", agents, returns)
    expected = group_curves(learning_curve(CFG, metrics_of(returns.T)), agents)
    found = read_curves(path, "episode_return")
    assert list(found) == list(expected)
    for label, curve in found.items():
        np.testing.assert_array_equal(curve.steps, expected[label].steps)
        np.testing.assert_array_equal(curve.values, expected[label].values)


@pytest.mark.parametrize("torn", ["0,3,4,4096,1.", "0,3,4,4096" + 14 * ",1" + ",17"])
def test_a_line_that_a_kill_left_incomplete_is_ignored(torn, tmp_path):
    path = logged(tmp_path / "metrics.csv", alike(2))
    with path.open("a") as file:
        file.write(torn)
    curve = read_curves(path, "evaluation_return")[""]
    assert curve.steps[-1] == 3 * CFG.batch_size


def test_files_of_other_versions_may_lack_a_metric_or_have_another(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("agent,steps,new_metric,episode_return\n0,32,1.5,2.0\n")
    assert read_curves(path, "episode_return")[""].values.tolist() == [[2.0]]
    assert np.isnan(read_curves(path, "kl")[""].values).all()


def test_files_without_a_curve_are_refused(tmp_path):
    path = tmp_path / "metrics.csv"
    with pytest.raises(ValueError, match="unknown metric 'steps'"):
        read_curves(path, "steps")
    with pytest.raises(FileNotFoundError):
        read_curves(path, "kl")
    header = logged(tmp_path / "right.csv", alike(1)).read_text().splitlines()[0]
    foreign = ("a,b\n1,2\n", "\0\n", "seed,steps\n0,1\n", f"{header}\n0,1\n")
    for text in foreign:
        path.write_text(text)
        with pytest.raises(ValueError, match=r"metrics.csv' is not a file of a CSVLogger: "):
            read_curves(path, "kl")
    for text in ("", f"{header}\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match="holds no metrics yet; wait for the run's first rec"):
            read_curves(path, "kl")
