"""Studies from start to end: what is trained, what is kept, what comes out."""

import json

import jax
import numpy as np
import pytest
from bits import assert_same_bits
from small_study import CFG, SMALL, tables

import rpojax
from rpojax import make_train, resume_study, study
from rpojax.studies import Confirm, Halving, StudyResult, runner, scores, write_table
from rpojax.studies.api import finished_study
from rpojax.studies.plan import StudyPlan
from rpojax.studies.scores import (
    RungResult,
    metrics_at_end,
    setting_scores,
    updates_at_end,
    worst_of,
)
from rpojax.studies.settings import Setting
from rpojax.types import Metrics, TrainResult

pytestmark = pytest.mark.usefixtures("programs_shared")

GRID = {"alpha": [0.0, 0.5], "learning_rate": [1e-3, 1e-2]}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    directory = tmp_path_factory.mktemp("studies") / "found"
    return study(CFG, grid=GRID, directory=directory, **SMALL), directory


def test_scores_are_evaluations_by_setting_and_seed(found):
    result, _ = found
    assert result.scores.shape == result.finite.shape == (4, 2)
    seen, alphas, rates = [], [0.0] * 4 + [0.5] * 4, [1e-3, 1e-3, 1e-2, 1e-2] * 2
    rpojax.fit(
        CFG,
        seeds=[0, 1] * 4,
        hyperparams=CFG.hyperparams().replace(alpha=alphas, learning_rate=rates),
        eval_every=CFG.num_updates,
        eval_episodes=2,
        on_chunk=lambda progress: seen.append(progress.evaluation_return),
    )
    np.testing.assert_allclose(result.scores.ravel(), seen[-1], rtol=1e-6)


def test_summary_orders_settings_and_best_is_the_first(found):
    result, _ = found
    rows = result.summary()
    assert rows == sorted(rows, key=lambda row: -row.score)
    assert rows[0].setting == result.settings[result.best]
    for row in rows:
        values = result.scores[result.settings.index(row.setting)]
        assert row.low <= row.score <= row.high
        assert row.mean == pytest.approx(values.mean())
        assert row.finite == 2
        assert row.fraction == 1.0


def test_tables_are_tidy(found):
    _, directory = found
    lines = (directory / "agents.csv").read_text().splitlines()
    header = lines[0].split(",")
    assert len(lines) == 1 + 4 * 2
    wanted = {"alpha", "learning_rate", "seed", "finite", "evaluation_return", "version_jax"}
    assert wanted <= set(header)
    curves = (directory / "curves.csv").read_text().splitlines()
    assert len(curves) == 1 + 4 * 2 * CFG.num_updates
    assert curves[0].split(",")[:4] == ["setting", "label", "seed", "steps"]


def test_export_for_marl_eval_keeps_the_rules_of_its_readme(found):
    """The same metrics in each step and in absolute_metrics, as many steps, no commas in names."""
    result, _ = found
    tree = result.marl_eval()["gymnax"]["MountainCarContinuous-v0"]
    assert set(tree) == {setting.label.replace(",", ";") for setting in result.settings}
    run = tree["alpha=0.5;learning_rate=0.01"]["seed_1"]
    assert run["absolute_metrics"] == {"return": [result.scores[3, 1]]}
    runs = [run for runs in tree.values() for run in runs.values()]
    assert {len(run) for run in runs} == {1 + 3}
    names = {name for run in runs for step in run.values() for name in step}
    assert names == {"step_count", "return"}
    assert [run[f"step_{n}"]["step_count"] for n in range(3)] == [32, 64, 96]
    json.dumps(tree)


def test_finished_study_is_read_and_not_trained_again(found, monkeypatch):
    result, directory = found
    before = tables(directory)

    def refuse(*arguments, **keywords):
        raise AssertionError("nothing is left to do")

    for module, name in ((runner, "new_run"), (runner, "train"), (scores, "play_with_agents")):
        monkeypatch.setattr(module, name, refuse)
    again = study(CFG, grid=GRID, directory=directory, **SMALL)
    np.testing.assert_array_equal(again.scores, result.scores)
    assert_same_bits(again.result(1), result.result(1))
    np.testing.assert_array_equal(resume_study(directory).scores, result.scores)
    assert tables(directory) == before


def test_other_study_in_the_directory_is_refused(found):
    _, directory = found
    with pytest.raises(ValueError, match="holds another study: num_seeds = 3 where the study has"):
        study(CFG, grid=GRID, directory=directory, **(SMALL | {"num_seeds": 3}))
    with pytest.raises(ValueError, match=r"setting 2 .*differs in alpha"):
        study(CFG, grid=GRID | {"alpha": [0.0, 0.4]}, directory=directory, **SMALL)
    with pytest.raises(ValueError, match="is not empty and holds no study"):
        study(CFG, grid=GRID, directory=directory / "programs", **SMALL)
    with pytest.raises(ValueError, match="holds no study"):
        resume_study(directory / "programs")


@pytest.mark.slow
def test_static_settings_make_programs_of_their_own():
    seen = []
    result = study(
        CFG,
        grid={"num_envs": [4, 8], "alpha": [0.0, 0.5]},
        objective="episode_length",
        direction="minimize",
        on_progress=seen.append,
        **SMALL,
    )
    assert len(result.plan.programs) == 2
    assert [setting.cfg.num_envs for setting in result.settings] == [4, 4, 8, 8]
    assert seen[-1].done == seen[-1].settings == 4
    steps = sum(2 * setting.cfg.actual_timesteps for setting in result.settings)
    assert seen[-1].steps == seen[-1].steps_now == seen[-1].total_steps == steps
    assert {progress.running for progress in seen} == {2, 0}


def test_an_objective_of_training_counts_all_episodes_of_the_last_tenth_alike():
    count = np.ones((2, 20), np.float32)
    count[:, -2:] = [[1, 3], [0, 5]]
    returns = np.full((2, 20), -1000.0, np.float32)
    returns[:, -2:] = [[10, 2], [np.nan, 7]]
    metrics = Metrics.filled(returns).replace(episode_count=count)
    np.testing.assert_array_equal(metrics_at_end(metrics).episode_return, np.float32([4, 7]))


def test_the_end_of_a_training_is_as_long_as_it_takes_an_episode_to_end():
    """Of agents that diverged, or that never ended one, none is waited for."""
    count, rate = np.zeros((4, 20), np.float32), np.ones((4, 20), np.float32)
    count[0, 18], count[1, 13], count[2, 0] = 1, 1, 1
    rate[2, 10:] = np.nan
    returns = np.where(count > 0, np.float32(-7), np.float32(np.nan))
    metrics = Metrics.filled(returns).replace(episode_count=count, learning_rate=rate)
    assert updates_at_end(metrics) == 8  # 2, 4, 8
    np.testing.assert_array_equal(metrics_at_end(metrics).episode_return[:2], np.float32([-7, -7]))
    assert updates_at_end(jax.tree.map(lambda leaf: leaf[:1], metrics)) == 2
    assert updates_at_end(jax.tree.map(lambda leaf: leaf[3:], metrics)) == 2


def test_a_score_by_a_metric_of_training_says_of_which_part():
    found = study(CFG, grid={"alpha": [0.1, 0.5]}, num_seeds=4, objective="episode_return")
    assert np.isfinite(found.scores).all()  # no episode ends in the last update
    assert found.score_label == "episode return, last 67 % of the updates"


@pytest.mark.slow
def test_halving_stops_the_worse_settings_and_packs_the_others(tmp_path):
    arguments = {
        "grid": {"alpha": [0.0, 0.5], "learning_rate": [1e-4, 1e-3, 1e-2]},
        "halving": Halving(3),
        "directory": tmp_path / "study",
        **SMALL,
    }
    whole = study(CFG, **arguments)
    assert sorted(whole.fractions.tolist()) == pytest.approx([1 / 3] * 4 + [1.0] * 2)
    assert whole.fractions[whole.best] == 1.0
    stopped = int(np.flatnonzero(whole.fractions < 0.5)[0])
    assert whole.result(stopped).metrics.episode_return.shape == (2, 1)
    assert whole.summary()[0].setting == whole.settings[whole.best]
    again = study(CFG, **arguments)
    np.testing.assert_array_equal(again.scores, whole.scores)


def test_the_best_settings_are_confirmed_by_fresh_seeds(found, tmp_path):
    chosen, _ = found
    seen = []
    arguments = {
        "grid": GRID,
        "confirm": Confirm(num_seeds=4, settings=2),
        "directory": tmp_path / "study",
        **SMALL,
    }
    result = study(CFG, on_progress=seen.append, **arguments)
    np.testing.assert_array_equal(result.scores, chosen.scores)
    again = result.confirmed
    assert again.settings == tuple(chosen.settings[index] for index in chosen.at_end[:2])
    assert [row["seed"] for row in again.agent_rows()] == [2, 3, 4, 5] * 2
    assert seen[-1].steps == seen[-1].total_steps == seen[-1].steps_now
    assert seen[-1].confirming
    assert len((tmp_path / "study/confirmation/agents.csv").read_text().splitlines()) == 1 + 8
    label = result.settings[result.best].label
    score = again.summary()[[row.setting.label for row in again.summary()].index(label)].score
    assert f"Best of 4 settings: {label}, with evaluation return {score:.4g}" in result.verdict
    for read in (finished_study, resume_study):
        np.testing.assert_array_equal(read(tmp_path / "study").confirmed.scores, again.scores)


def test_interrupted_study_goes_on_to_the_same_result(found, tmp_path):
    _, directory = found

    class Enough(Exception):
        pass

    def stop(progress):
        if progress.steps > progress.total_steps / 3:
            raise Enough

    with pytest.raises(Enough):
        study(CFG, grid=GRID, directory=tmp_path / "study", on_progress=stop, **SMALL)
    assert not (tmp_path / "study" / "agents.csv").exists()
    study(CFG, grid=GRID, directory=tmp_path / "study", **SMALL)
    assert tables(tmp_path / "study") == tables(directory)


@pytest.mark.slow
def test_settings_that_do_not_fit_together_train_in_parts(found, monkeypatch, tmp_path):
    _, directory = found
    new_run = runner.new_run
    sizes = []

    def limited(model, settings, *others):
        sizes.append(len(settings.agents))
        if len(settings.agents) > 4:
            raise MemoryError
        return new_run(model, settings, *others)

    monkeypatch.setattr(runner, "new_run", limited)
    study(CFG, grid=GRID, directory=tmp_path / "study", **SMALL)
    assert sizes == [8, 4, 4]
    assert tables(tmp_path / "study") == tables(directory)
    study(CFG, grid=GRID, directory=tmp_path / "study", **SMALL)
    assert sizes == [8, 4, 4]


@pytest.mark.slow
def test_agents_that_diverge_count_as_the_worst():
    result = study(CFG, grid={"learning_rate": [1e-3, 3e38]}, **SMALL)
    assert result.finite.tolist() == [[True, True], [False, False]]
    assert result.best == 0
    rows = result.summary()
    assert [row.finite for row in rows] == [2, 0]
    assert rows[1].score == result.scores.min()


def test_tables_can_be_parquet(tmp_path):
    rows = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    with pytest.raises(ValueError, match=r"unknown suffix; give .csv or .parquet"):
        write_table(rows, tmp_path / "table.xlsx")
    parquet = pytest.importorskip("pyarrow.parquet")
    write_table(rows, tmp_path / "table.parquet")
    assert parquet.read_table(tmp_path / "table.parquet").to_pylist() == rows


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"grid": GRID, "configs": [CFG]}, "configs are settings one by one"),
        ({"grid": {"alfa": [1.0]}}, "unknown setting 'alfa'"),
        ({"objective": "reward"}, "objective = 'reward'"),
        ({"halving": 1}, "halving.factor = 1"),
        ({"on_progress": True}, "on_progress = True is not callable"),
    ],
)
def test_errors_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        study(CFG, **(SMALL | arguments))


def test_a_metric_that_an_environment_lacks_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(ValueError, match=r"objective = 'environment/foo' .*-v0 has 0 metrics of"):
        study(CFG, objective="environment/foo", directory=tmp_path / "study", **SMALL)
    assert not (tmp_path / "study").exists()


def trained_of(measured, finite=True):
    """Settings with a score for each seed, [K, S]."""
    result = TrainResult(state=None, metrics=None, finite=np.broadcast_to(finite, len(measured[0])))
    return [RungResult(k, 0, result, np.array(row), 1, 0.0) for k, row in enumerate(measured)]


def plan_of(measured):
    settings = [Setting(f"setting {number}", {}, CFG) for number in range(len(measured))]
    return StudyPlan(settings=tuple(settings), num_seeds=len(measured[0]))


def test_scores_that_are_not_finite_numbers_count_as_the_worst():
    measured = [[-np.inf, np.inf, np.nan, -120.0]]
    plan, trained = plan_of(measured), trained_of(measured)
    assert setting_scores(plan, trained) == {0: -120.0}
    assert worst_of(plan, trained[0].scores) == -120.0


def test_agents_that_diverged_count_with_the_worst_so_far():
    measured = [[-10.0] * 4]
    plan, trained = plan_of(measured), trained_of(measured, [True, False, False, False])
    assert setting_scores(plan, trained) == {0: -10.0}
    assert setting_scores(plan, trained, worst_before=-500.0) == {0: -500.0}
    assert setting_scores(plan, trained, worst_before=-5.0) == {0: -10.0}


def test_stability_is_that_of_the_interquartile_mean():
    """By the mean, one agent that failed would make the other setting the best."""
    measured = np.array([[100.0] * 7 + [-1500.0], [90.0] * 8])
    stability = StudyResult(plan_of(measured), tuple(trained_of(measured))).rank_stability()
    assert stability.same_best[0] == pytest.approx(7 / 8, abs=0.05)


@pytest.mark.slow
@pytest.mark.optimized
def test_each_agent_is_that_of_train_alone_to_the_bit():
    cfg = CFG.replace(total_timesteps=8 * CFG.batch_size, update_epochs=2)
    grid = {"alpha": [0.0, 0.5], "env_params.power": [0.001, 0.002]}
    confirm = Confirm(num_seeds=1, settings=1)
    found = study(cfg, grid=grid, halving=4, confirm=confirm, **SMALL)
    train = jax.jit(make_train(cfg))

    def alone(setting, seed):
        hyperparams = cfg.hyperparams().replace(alpha=setting.changes["alpha"])
        power = setting.changes["env_params.power"]
        return train(jax.random.key(seed), hyperparams, {"power": power})

    assert sorted(found.fractions.tolist()) == [0.25, 0.25, 0.25, 1.0]
    for index, setting in enumerate(found.settings):
        for seed in range(2):
            agent, expected = found.result(index).select(seed), alone(setting, seed)
            done = len(agent.metrics.kl)
            assert done == (8 if index == found.best else 2)
            first = jax.tree.map(lambda leaf, done=done: leaf[:done], expected.metrics)
            assert_same_bits(agent.metrics, first)
            if index == found.best:
                assert_same_bits(agent.state, expected.state)
    again = found.confirmed.result(0).select(0)
    assert_same_bits(again.state, alone(found.settings[found.best], 2).state)
    assert not np.array_equal(again.metrics.kl, found.result(found.best).metrics.kl[0])
