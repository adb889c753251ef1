"""`fit` of agents whose environments differ in their parameters."""

import csv

import jax
import numpy as np
import pytest
from bits import assert_same_bits
from stopped_runs import stopped_after

import rpojax
from rpojax.loggers import CSVLogger
from rpojax.programs.agent_states import AgentStates
from rpojax.programs.evolution import evolve
from rpojax.report.curves import read_curves
from rpojax.runs.api import fit, resume
from rpojax.settings.ranges import Uniform

pytestmark = pytest.mark.usefixtures("programs_shared")

CFG = rpojax.Config(
    num_envs=4,
    num_steps=16,
    num_minibatches=2,
    update_epochs=2,
    total_timesteps=3 * 64,
    env_params={"max_steps_in_episode": 10},
    agents_at_once=1,
)
GRAVITIES = [1.62, 9.81, 20.0]
WORLDS = {"g": GRAVITIES, "m": 1.5}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A run that was saved and logged, and the programs that were compiled for its updates."""
    directory = tmp_path_factory.mktemp("worlds")
    result = fit(
        CFG,
        seeds=[0, 0, 0],
        env_params=WORLDS,
        loggers=[CSVLogger(directory / "metrics.csv")],
        eval_every=3,
        eval_episodes=4,
        checkpoint_dir=directory / "run",
        checkpoint_every=1,
        keep_checkpoints=4,
    )
    return result, directory


def test_a_resumed_run_keeps_them(fitted, tmp_path):
    result, directory = fitted
    assert_same_bits(resume(stopped_after(directory / "run", 1, tmp_path / "run")), result)


def test_files_and_labels_name_the_parameters_that_differ(fitted):
    result, directory = fitted
    with (directory / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [*rows[0]][:3] == ["agent", "seed", "env_params.g"]
    assert [float(row["env_params.g"]) for row in rows[:3]] == GRAVITIES
    curves = read_curves(directory / "metrics.csv", "value_loss")
    assert [*curves] == ["env_params.g=1.62", "env_params.g=9.81", "env_params.g=20"]
    np.testing.assert_allclose(curves["env_params.g=20"].values, result.metrics.value_loss[2:])


def test_a_loaded_run_is_evaluated_in_its_own_worlds_and_in_others(fitted):
    run = rpojax.load(fitted[1] / "run")
    assert run.agents[0].env_params == {"g": np.float32(1.62), "m": np.float32(1.5)}
    own = run.evaluate(4, seed=5).episode_return
    for index, agent in enumerate(run.agents):
        alone = rpojax.evaluate(
            CFG, run.state(index), jax.random.key(5), 4, env_params=agent.env_params
        )
        np.testing.assert_allclose(own[index], alone.episode_return, rtol=1e-5)
    on_the_moon = run.evaluate(4, seed=5, env_params={"g": 1.62}).episode_return
    np.testing.assert_allclose(on_the_moon[0], own[0], rtol=1e-5)
    assert not np.allclose(on_the_moon[2], own[2], rtol=1e-2)
    with pytest.raises(ValueError, match=r"\['g'\] has 2 values, and the run has 3 agents; give"):
        run.evaluate(4, env_params={"g": [1.0, 2.0]})


def test_agents_of_a_population_keep_their_own(fitted):
    hyperparams = jax.tree.map(lambda leaf: np.full(3, leaf), CFG.hyperparams())
    env_params = {"g": np.asarray(GRAVITIES)}
    before = AgentStates(fitted[0].state, np.ones(3, bool), hyperparams, env_params)
    pbt = rpojax.PBT(every=1, hyperparams={"alpha": Uniform(0.0, 1.0)})
    after, parents = evolve(pbt, before, np.asarray([1.0, 2.0, 3.0]), jax.random.key(0))
    assert parents.tolist() == [2, 1, 2]
    assert after.env_params is env_params


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"h": 1.0}, "unknown parameter of Pendulum-v1 'h'"),
        ({"g": [[1.0, 2.0]]}, r"\['g'\] has the shape \(1, 2\).* one for each agent, \[N\]"),
        ({"g": [1.0, np.inf]}, r"\['g'\] = \[1.0, inf\] is not finite; give finite numbers"),
        ({"g": "moon"}, r"\['g'\] = 'moon' is not an array of numbers; give one"),
        ({"g": [1.0, 2.0], "m": [1.0, 2.0, 3.0]}, "env_params.g: 2, env_params.m: 3"),
        ({"g": [1.0, 1.0]}, "the same hyperparameters, the same environment and the same seed 3"),
    ],
)
def test_errors_say_what_to_do(given, message):
    with pytest.raises(ValueError, match=message):
        fit(CFG, seeds=[3, 3] if given == {"g": [1.0, 1.0]} else None, env_params=given)


def any_length(key):
    return {"l": jax.random.uniform(key, minval=0.5, maxval=1.5)}


def any_shorter_length(key):
    return {"l": jax.random.uniform(key, minval=0.5, maxval=1.0)}


def with_drawn(draw):
    pendulum = rpojax.envs.make("Pendulum-v1", max_steps_in_episode=10)
    return CFG.replace(env=rpojax.envs.randomized(pendulum, draw), env_params={})


@pytest.mark.slow
def test_a_run_with_domain_randomisation_is_saved_and_resumed_with_its_config(tmp_path):
    cfg, gravities = with_drawn(any_length), {"g": [1.62, 9.81]}
    saved = {"checkpoint_dir": tmp_path / "whole", "checkpoint_every": 1, "keep_checkpoints": 4}
    whole = fit(cfg, env_params=gravities, seeds=[0, 0], **saved)
    at = stopped_after(tmp_path / "whole", 1, tmp_path / "stopped")
    with pytest.raises(ValueError, match=r"config holds objects.*\(env = .*\); pass the config"):
        resume(at)
    with pytest.warns(
        UserWarning, match=r"env = .*shorter_length\) where the run has .*:any_length"
    ):
        rpojax.load(at, cfg=with_drawn(any_shorter_length))
    assert_same_bits(resume(at, cfg=with_drawn(any_length)), whole)
    assert rpojax.load(at, cfg=cfg).agents[1].env_params == {"g": np.float32(9.81)}
