"""Runs that begin from trained agents."""

import jax
import numpy as np
import pytest
from bits import assert_same_bits
from stopped_runs import stopped_after

from rpojax import Config, NetworkConfig, envs, fit, load, resume
from rpojax.core.model import make_model
from rpojax.runs.launch import new_run
from rpojax.runs.settings import RunSettings
from rpojax.runs.warm_start import INITIAL_PARTS
from rpojax.settings.agent_table import agent_table

pytestmark = pytest.mark.usefixtures("programs_shared")

CFG = Config(
    total_timesteps=4 * 4 * 32, num_envs=4, num_steps=32, num_minibatches=2, update_epochs=2
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    place = tmp_path_factory.mktemp("trained")
    return fit(CFG, num_seeds=2, checkpoint_dir=place, eval_every=2, eval_episodes=1), load(place)


def first_states(cfg, initial=None, initial_parts=INITIAL_PARTS, **agents):
    """The states that a run begins with."""
    settings = RunSettings(cfg=cfg, agents=agent_table(cfg.hyperparams(), **agents))
    given = None if initial is None else (initial, initial_parts)
    return new_run(make_model(cfg), settings, given).states.state


@pytest.fixture(scope="module")
def fresh():
    return first_states(CFG, num_seeds=2, seed=8)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["result", "one", "run", "best"])
def test_parameters_and_statistics_are_taken_and_the_rest_is_new(trained, fresh, kind):
    result, run = trained
    best = load(run.checkpoint.parent, best=True)
    initial, expected = {
        "result": (result, result.state),
        "one": (result.select(1), jax.tree.map(lambda leaf: leaf[np.array([1, 1])], result.state)),
        "run": (run, result.state),
        "best": (best, best.policies),
    }[kind]
    state = first_states(CFG, num_seeds=2, seed=8, initial=initial)
    names = ("params", "obs_stats", "reward_stats", "value_stats")
    for name in names:
        assert_same_bits(getattr(state, name), getattr(expected, name))
    assert_same_bits(state.replace(**{name: getattr(fresh, name) for name in names}), fresh)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalize_observations": False}, "normalize_observations = False, and .* with True"),
        ({"network": NetworkConfig(activation="relu")}, "activation = 'relu', and .* with 'tanh'"),
        ({"action_transform": "rescale"}, "action_transform = 'rescale', and .* with 'clip'"),
    ],
)
def test_what_makes_them_act_otherwise_is_named(trained, changes, message):
    with pytest.warns(RuntimeWarning, match=message):
        first_states(CFG.replace(**changes), num_seeds=2, initial=trained[1])


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("params", ["params"]),
        ("statistics", ["obs_stats", "reward_stats", "value_stats"]),
        ("optimizer", ["opt_state", "learning_rate"]),
    ],
)
def test_each_part_can_be_taken_alone(trained, fresh, part, names):
    result, _ = trained
    state = first_states(CFG, num_seeds=2, seed=8, initial=result, initial_parts=[part])
    for name in names:
        assert_same_bits(getattr(state, name), getattr(result.state, name))
    assert_same_bits(state.replace(**{name: getattr(fresh, name) for name in names}), fresh)


def test_one_agent_serves_all(trained):
    alone = trained[0].select(1)
    axis_of_one = jax.tree.map(lambda leaf: leaf[None], alone)
    for initial in (alone, axis_of_one):
        state = first_states(CFG, num_seeds=3, initial=initial)
        for agent in range(3):
            params = jax.tree.map(lambda leaf, agent=agent: leaf[agent], state.params)
            assert_same_bits(params, alone.state.params)


def test_in_another_environment_of_the_same_shapes(trained):
    heavier = CFG.replace(env=envs.make("Pendulum-v1", m=2.0))
    state = first_states(heavier, num_seeds=2, initial=trained[0])
    assert_same_bits(state.params, trained[0].state.params)


def test_a_killed_warm_start_resumes_bit_identically(trained, tmp_path):
    saved = {"checkpoint_dir": tmp_path / "whole", "checkpoint_every": 1, "keep_checkpoints": 5}
    whole = fit(CFG, 2, initial=trained[0], eval_episodes=1, **saved)
    assert not np.array_equal(whole.metrics.kl, trained[0].metrics.kl)
    at = stopped_after(tmp_path / "whole", 1, tmp_path / "stopped")
    assert_same_bits(resume(at), whole)


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({}, {"num_seeds": 3}, r"agents of shape \(2,\), and the run has 3"),
        (
            {"network": NetworkConfig(hidden_sizes=(5,))},
            {"num_seeds": 2},
            "params of the trained agents is .* where the run needs",
        ),
        (
            {"env": "MountainCarContinuous-v0"},
            {"num_seeds": 2, "initial_parts": ["statistics"]},
            "obs_stats of the trained agents is",
        ),
        ({}, {"num_seeds": 2, "initial_parts": "params"}, "is not a list of parts"),
        ({}, {"num_seeds": 2, "initial_parts": []}, "is not a list of parts"),
        ({}, {"num_seeds": 2, "initial_parts": ["weights"]}, "initial_parts = 'weights'"),
    ],
)
def test_errors_say_what_to_do(trained, changes, arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(CFG.replace(**changes), initial=trained[0], **arguments)


def test_anything_else_is_refused(trained):
    with pytest.raises(ValueError, match="initial = TrainState is neither a TrainResult nor a run"):
        fit(CFG, 2, initial=trained[0].state)
