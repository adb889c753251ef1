import io
import json
import types

import numpy as np
import pytest
from rich.console import Console

from rpojax import Config, Evaluation, Metrics, TrainResult
from rpojax.cli.flags import print_json
from rpojax.report.tables import diverged_at, evaluation_report, results_table
from rpojax.settings.agent_table import agent_table

CFG = Config()
NAN = np.nan
ALIKE = agent_table(CFG.hyperparams(), num_seeds=3, seed=4)
SWEEP = agent_table(
    CFG.hyperparams(), CFG.hyperparams().replace(alpha=[0.0, 0.0, 0.1, 0.1]), seeds=[0, 1, 0, 1]
)


def result_of(episode_return, finite=None) -> TrainResult:
    """Of one update if the returns are [N]; metrics of a diverged agent are NaN."""
    returns = np.atleast_2d(np.asarray(episode_return, np.float32).T).T
    finite = np.ones(len(returns), bool) if finite is None else np.array(finite)
    metrics = Metrics.filled(returns).replace(learning_rate=np.where(finite[:, None], 1.0, returns))
    return TrainResult(state=None, metrics=metrics, finite=finite)


def evaluation_of(episode_return) -> Evaluation:
    returns = np.asarray(episode_return, np.float32)
    return Evaluation(
        episode_return=returns,
        episode_length=np.ones_like(returns, np.int32),
        finished=np.ones_like(returns, bool),
        invalid=np.zeros_like(returns, bool),
        metrics={},
    )


def shown(agents, result, evaluation, title="Title", encoding="utf-8") -> list[list[str]]:
    """The table's lines, each as its cells."""
    raw = io.BytesIO()
    text = io.TextIOWrapper(raw, encoding=encoding)
    console = Console(file=text, width=140, color_system=None)
    console.print(results_table(agents, result, evaluation, title))
    text.flush()
    bars = types.MappingProxyType({ord("│"): "|", ord("┃"): "|"})
    lines = raw.getvalue().decode(encoding).translate(bars).splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_each_agent_has_a_row_and_all_together_have_one():
    evaluation = evaluation_of([[1.0, 3.0], [5.0, 5.0], [8.0, 10.0]])
    rows = shown(ALIKE, result_of([-1.0, NAN, -3.0]), evaluation, title="[bold] and all")
    assert rows[0] == ["[bold] and all"]
    assert ["agent", "seed", "return, end of training", "return, 2 evaluation episodes",
            "finite"] in rows  # fmt: skip
    assert ["0", "4", "-1.0", "2.0 ± 1.0", "yes"] in rows
    assert ["1", "5", "-", "5.0 ± 0.0", "yes"] in rows
    assert ["2", "6", "-3.0", "9.0 ± 1.0", "yes"] in rows
    assert ["all", "3 seeds", "-2.0 ± 1.0", "5.3 ± 2.9", "3 of 3"] in rows
    assert any("mean ± standard deviation" in row[0] for row in rows)


def test_each_set_of_hyperparameters_has_its_own_mean():
    rows = shown(SWEEP, result_of([1.0, 3.0, 10.0, 20.0]), evaluation_of(np.ones((4, 2))))
    assert ["agent", "alpha", "seed"] in [row[:3] for row in rows]
    assert ["2", "0.1", "0", "10.0", "1.0 ± 0.0", "yes"] in rows
    assert ["", "0.0", "2 seeds", "2.0 ± 1.0", "1.0 ± 0.0", "2 of 2"] in rows
    assert ["", "0.1", "2 seeds", "15.0 ± 5.0", "1.0 ± 0.0", "2 of 2"] in rows
    assert not any(row[0] == "all" for row in rows)


def test_a_set_of_hyperparameters_with_one_agent_has_no_mean():
    agents = agent_table(CFG.hyperparams(), CFG.hyperparams().replace(gamma=[0.9, 0.99]))
    rows = shown(agents, result_of([1.0, 2.0]), evaluation_of(np.ones((2, 2))))
    assert not any("seeds" in cell for row in rows for cell in row)


def test_an_agent_that_diverged_is_flagged_and_does_not_count():
    returns = [[1.0, 2.0, 3.0], [1.0, 2.0, NAN], [NAN, NAN, NAN], [NAN, NAN, NAN]]
    evaluation = evaluation_of([[7.0, 7.0], [50.0, 50.0], [-900.0, -900.0], [-800.0, -800.0]])
    result = result_of(returns, [True, False, False, False])
    rows = shown(SWEEP, result, evaluation)
    assert ["0", "0.0", "0", "3.0", "7.0 ± 0.0", "yes"] in rows
    assert ["1", "0.0", "1", "2.0", "50.0 ± 0.0", "no, since update 3"] in rows
    assert ["2", "0.1", "0", "-", "-900.0 ± 0.0", "no, never trained"] in rows
    assert ["", "0.0", "2 seeds", "3.0", "7.0", "1 of 2"] in rows
    assert ["", "0.1", "2 seeds", "-", "-", "0 of 2"] in rows


def test_metrics_of_the_environment_are_shown_where_the_evaluation_has_them():
    result, evaluation = result_of([1.0, 2.0, 3.0]), evaluation_of(np.eye(3))
    own = {"success": np.ones((3, 1), np.float32)}
    result = result.replace(metrics=result.metrics.replace(environment=own))
    rows = shown(ALIKE, result, evaluation.replace(metrics={"success": np.eye(3)}))
    assert ["success", "1 ± 0", "0.333 ± 0"] in rows
    assert shown(ALIKE, result, evaluation) == shown(ALIKE, result_of([1.0, 2.0, 3.0]), evaluation)


def test_an_ascii_terminal_gets_a_table_too():
    rows = shown(ALIKE, result_of([1.0, 2.0, 3.0]), evaluation_of(np.eye(3)), encoding="ascii")
    assert ["0", "4", "1.0", "0.3 +- 0.5", "yes"] in rows
    assert any("mean +- standard deviation" in row[0] for row in rows)


def test_divergence_is_the_first_update_without_metrics():
    returns = [[1.0, NAN], [NAN, NAN], [1.0, 1.0]]
    assert diverged_at(result_of(returns, [False, False, True])) == [2, 1, None]
    assert diverged_at(result_of([[1.0, 1.0]], [False])) == [None]  # not trained by fit
    revived = [[1.0, NAN, NAN, 1.0, NAN]]  # by evolution
    assert diverged_at(result_of(revived, [False])) == [5]


RETURNS = np.float32([[1.0, 3.0], [4.0, 4.0], [10.0, 20.0], [-900.0, -900.0]])


def report(finite=(True, True, True, False), agents=SWEEP):
    result = result_of(np.where(finite, 1.0, NAN), finite)
    return evaluation_report(CFG, agents, result, evaluation_of(RETURNS))


def test_each_agent_has_an_entry_with_its_seed_and_hyperparameters():
    found = report()
    assert found["env"] == "Pendulum-v1"
    assert found["episodes"] == 2
    assert found["agents"][0] == {
        "agent": 0, "seed": 0, "hyperparams": {"alpha": 0.0}, "mean": 2.0, "std": 1.0,
        "metrics": {}, "env_params": {},
        "finite": True, "diverged_at": None,
    }  # fmt: skip
    assert found["agents"][3] == {
        "agent": 3, "seed": 1, "hyperparams": {"alpha": 0.1}, "mean": -900.0, "std": 0.0,
        "metrics": {}, "env_params": {},
        "finite": False, "diverged_at": 1,
    }  # fmt: skip


def test_each_set_of_hyperparameters_has_the_mean_of_its_finite_agents():
    first, second = report()["groups"]
    assert first == {
        "hyperparams": {"alpha": 0.0}, "env_params": {},
        "agents": [0, 1], "mean": 3.0, "std": 1.0, "finite": 2,
    }  # fmt: skip
    assert second == {
        "hyperparams": {"alpha": 0.1}, "env_params": {},
        "agents": [2, 3], "mean": 15.0, "std": 0.0, "finite": 1,
    }  # fmt: skip
    alike = report([True] * 4, agent_table(CFG.hyperparams(), num_seeds=4))
    (group,) = alike["groups"]
    assert group["hyperparams"] == {}
    assert group["mean"] == pytest.approx(RETURNS.mean(axis=1).mean())
    assert group["std"] == pytest.approx(RETURNS.mean(axis=1).std())


def test_parameters_of_environments_have_a_place_of_their_own():
    worlds = {"g": np.asarray([1.62, 1.62, 9.81, 9.81], np.float32)}
    agents = agent_table(CFG.hyperparams(), env_params=worlds, seeds=[0, 1, 0, 1])
    found = report([True] * 4, agents)
    assert found["agents"][2]["env_params"] == {"g": 9.81}
    assert [group["env_params"] for group in found["groups"]] == [{"g": 1.62}, {"g": 9.81}]
    assert found["groups"][0]["hyperparams"] == {}


def test_a_group_that_diverged_as_a_whole_has_null_for_its_mean(capsys):
    print_json(report([True, True, False, False]))
    group = json.loads(capsys.readouterr().out)["groups"][1]
    assert group["mean"] is group["std"] is None
    assert group["finite"] == 0
