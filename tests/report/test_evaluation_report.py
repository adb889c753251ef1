import json

import numpy as np
import pytest

from rpojax import Config, Evaluation, Metrics, TrainResult
from rpojax.cli.flags import print_json
from rpojax.report.tables import evaluation_report
from rpojax.settings.agent_table import agent_table

CFG = Config()
AGENTS = agent_table(
    CFG.hyperparams(), CFG.hyperparams().replace(alpha=[0.0, 0.0, 0.1, 0.1]), seeds=[7, 8, 7, 8]
)
RETURNS = np.float32([[1.0, 3.0], [4.0, 4.0], [10.0, 20.0], [-900.0, -900.0]])


def report(finite=(True, True, True, False), agents=AGENTS):
    known = np.where(np.array(finite)[:, None], 1.0, np.float32([np.nan, np.nan]))
    result = TrainResult(state=None, metrics=Metrics.filled(known), finite=np.array(finite))
    evaluation = Evaluation(
        episode_return=RETURNS,
        episode_length=np.ones_like(RETURNS, np.int32),
        finished=np.ones_like(RETURNS, bool),
        invalid=np.zeros_like(RETURNS, bool),
        metrics={},
    )
    return evaluation_report(CFG, agents, result, evaluation)


def test_each_agent_has_an_entry_with_its_seed_and_hyperparameters():
    found = report()
    assert found["env"] == "Pendulum-v1"
    assert found["episodes"] == 2
    assert found["agents"][0] == {
        "agent": 0, "seed": 7, "hyperparams": {"alpha": 0.0}, "mean": 2.0, "std": 1.0,
        "metrics": {}, "env_params": {},
        "finite": True, "diverged_at": None,
    }  # fmt: skip
    assert found["agents"][3] == {
        "agent": 3, "seed": 8, "hyperparams": {"alpha": 0.1}, "mean": -900.0, "std": 0.0,
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
    agents = agent_table(CFG.hyperparams(), env_params=worlds, seeds=[7, 8, 7, 8])
    found = report([True] * 4, agents)
    assert found["agents"][2]["env_params"] == {"g": 9.81}
    assert [group["env_params"] for group in found["groups"]] == [{"g": 1.62}, {"g": 9.81}]
    assert found["groups"][0]["hyperparams"] == {}


def test_a_group_that_diverged_as_a_whole_has_null_for_its_mean(capsys):
    print_json(report([True, True, False, False]))
    group = json.loads(capsys.readouterr().out)["groups"][1]
    assert group["mean"] is group["std"] is None
    assert group["finite"] == 0
