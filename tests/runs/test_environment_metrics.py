"""An environment's own metrics, from its steps to files, charts, tables and checkpoints."""

import csv
import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console
from toys import LIMIT, with_step

import rpojax
from rpojax import fit
from rpojax.loggers import CSVLogger, JSONLinesLogger, LogRecord, TensorBoardLogger
from rpojax.loggers.base import METRICS, columns
from rpojax.report.curves import learning_curve, read_curves
from rpojax.report.tables import evaluation_report, results_table
from rpojax.settings.agent_table import agent_table
from rpojax.types import Metrics

pytestmark = pytest.mark.usefixtures("programs_shared")

ENVS, STEPS = 8, 16


def observed():
    """The counter with its steps as a metric, and whether an episode ended by itself as another."""
    return with_step(
        lambda t: {
            "metrics": {
                "z/steps": jnp.ones_like(t.reward),
                "success": t.terminated.astype(jnp.float32),
            }
        },
        metrics=("z/steps", "success"),
    )


CFG = rpojax.Config(
    env=observed(),
    num_envs=ENVS,
    num_steps=STEPS,
    num_minibatches=2,
    update_epochs=1,
    total_timesteps=ENVS * STEPS * 4,
    network=rpojax.NetworkConfig(hidden_sizes=(4,)),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The directory and the result of a run of two agents."""
    directory = tmp_path_factory.mktemp("run")
    loggers = [CSVLogger(directory / "log.csv"), JSONLinesLogger(directory / "log.jsonl")]
    result = fit(
        CFG,
        num_seeds=2,
        loggers=loggers,
        log_every=2,
        eval_every=4,
        checkpoint_dir=directory / "run",
        checkpoint_every=2,
    )
    return directory, result


def test_sums_over_an_episode_are_averaged_over_the_episodes(run):
    metrics = run[1].metrics
    assert set(metrics.environment) == {"z/steps", "success"}
    np.testing.assert_allclose(metrics.environment["z/steps"], metrics.episode_length, rtol=1e-6)
    success = np.asarray(metrics.environment["success"])
    assert ((success > 0.0) & (success < 1.0)).all()  # a rate, as one episode counts 0 or 1


@pytest.mark.slow
def test_updates_without_episodes_have_none():
    cfg = CFG.replace(num_steps=2, total_timesteps=ENVS * 2)
    cfg = cfg.replace(env=dataclasses.replace(cfg.env, action_high=np.float32([1.0, 0.1])))
    metrics = jax.jit(rpojax.make_train(cfg))(jax.random.key(0)).metrics
    assert float(metrics.episode_count[0]) == 0.0
    assert np.isnan(metrics.environment["success"]).all()
    with jax.debug_nans(True):
        metrics = fit(cfg).metrics
    assert np.isnan(metrics.environment["success"]).all()


def test_rows_of_files_end_with_them(run):
    directory, result = run
    agents = agent_table(CFG.hyperparams(), num_seeds=2)
    with (directory / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == columns(agents, ("success", "z/steps"))
    assert tuple(rows[0])[-2:] == ("environment/success", "environment/z/steps")
    lines = [json.loads(line) for line in (directory / "log.jsonl").read_text().splitlines()]
    assert list(lines[0]) == list(rows[0])
    metrics = jax.tree.map(np.asarray, result.metrics)
    ended, success = metrics.episode_count, metrics.environment["success"]
    expected = (ended * success).reshape(2, 2, 2).sum(2) / ended.reshape(2, 2, 2).sum(2)
    for found in (rows, lines):
        values = [float(row["environment/success"]) for row in found]
        np.testing.assert_allclose(values, expected.T.ravel(), rtol=1e-5)


def test_curves_are_drawn_of_them(run):
    directory, result = run
    curve = learning_curve(CFG, result.metrics, "environment/success")
    np.testing.assert_array_equal(curve.values, result.metrics.environment["success"])
    (read,) = read_curves(directory / "log.csv", "environment/success").values()
    assert read.values.shape == (2, 2)
    assert np.isfinite(read.values).all()
    message = "unknown metric 'environment/succes'; did you mean 'environment/success'"
    with pytest.raises(ValueError, match=message):
        learning_curve(CFG, result.metrics, "environment/succes")
    with pytest.raises(ValueError, match=message):
        read_curves(directory / "log.csv", "environment/succes")


def test_resumed_and_loaded_runs_have_them(run):
    directory, result = run
    loaded = rpojax.load(directory / "run", cfg=CFG).result
    for again in (loaded, rpojax.resume(directory / "run", cfg=CFG)):
        metrics = again.metrics
        jax.tree.map(np.testing.assert_array_equal, metrics, result.metrics)


def record(agents, updates=1, **environment):
    values = np.arange(len(agents), dtype=np.float32)
    metrics = Metrics.filled(values, environment).replace(
        environment={name: value + values for name, value in environment.items()}
    )
    return LogRecord(updates, updates * CFG.batch_size, metrics, 1.0, None)


@pytest.mark.parametrize("kind", [CSVLogger, JSONLinesLogger])
def test_a_file_keeps_to_the_metrics_that_it_began_with(kind, tmp_path):
    agents = agent_table(CFG.hyperparams(), num_seeds=1)

    def logged(*records, updates):
        logger = kind(tmp_path / "log")
        logger.start(CFG, agents, updates)
        try:
            for each in records:
                logger.log(each)
        finally:
            logger.close()

    logged(record(agents, success=0.0), updates=None)
    logged(record(agents, 2, success=0.0), updates=1)
    assert len((tmp_path / "log").read_text().splitlines()) == 2 + (kind is CSVLogger)
    with pytest.raises(ValueError, match=r"are environment/effort, and .* has environment/s"):
        logged(record(agents, 3, effort=0.0), updates=2)


def test_a_file_without_a_record_is_continued(tmp_path):
    agents = agent_table(CFG.hyperparams(), num_seeds=1)
    path = tmp_path / "log.csv"
    header = ",".join(columns(agents, ["success"]))
    for torn in ("", header[:20], header[:-3]):  # as a kill may leave it
        path.write_text(torn)
        logger = CSVLogger(path)
        logger.start(CFG, agents, updates=0)
        logger.log(record(agents, success=0.0))
        logger.close()
        assert path.read_text().splitlines()[0] == header
        assert len(path.read_text().splitlines()) == 2


def test_a_table_shows_them(run):
    result = run[1]
    agents = agent_table(CFG.hyperparams(), num_seeds=2)
    evaluation = jax.vmap(lambda state: rpojax.evaluate(CFG, state, jax.random.key(0), 5))(
        result.state
    )
    assert evaluation.metrics["z/steps"].shape == (2, 5)
    np.testing.assert_array_equal(evaluation.metrics["z/steps"], evaluation.episode_length)
    assert (evaluation.episode_length <= LIMIT).all()
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(results_table(agents, result, evaluation, "Title"))
    text = console.export_text()
    (row,) = [line for line in text.splitlines() if "z/steps" in line]
    last = np.asarray(result.metrics.environment["z/steps"])[:, -1]
    assert f"{last.mean():.3g} ± {last.std():.3g}" in row
    report = evaluation_report(CFG, agents, result, evaluation)
    mean = float(np.mean(evaluation.metrics["z/steps"][1]))
    assert report["agents"][1]["metrics"]["z/steps"] == pytest.approx(mean)


def test_tensorboard_takes_the_tag(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    agents = agent_table(CFG.hyperparams(), num_seeds=1)
    logger = TensorBoardLogger(tmp_path)
    logger.start(CFG, agents, None)
    logger.log(record(agents, success=0.25))
    logger.close()
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.value for event in events.Scalars("environment/success")] == [0.25]
    assert len(events.Tags()["scalars"]) == len(METRICS) + 2
