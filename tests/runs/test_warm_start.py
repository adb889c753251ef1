"""Runs that begin from trained agents."""

import jax
import numpy as np
import pytest
from bits import assert_same_bits

from rpojax import Config, NetworkConfig, envs, evaluate, fit, load, resume

pytestmark = pytest.mark.optimized

CFG = Config(total_timesteps=4 * 4 * 32, num_envs=4, num_steps=32, num_minibatches=2)
ONE_UPDATE = CFG.replace(total_timesteps=CFG.batch_size)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    place = tmp_path_factory.mktemp("trained")
    return fit(CFG, num_seeds=2, checkpoint_dir=place, eval_every=2, eval_episodes=1), load(place)


def first_states(cfg, **arguments):
    """The states that a run begins with."""
    begun = []

    def stop(progress):
        begun.append(progress.result().state)
        return True

    fit(cfg, on_chunk=stop, **arguments)
    return begun[0]


def test_parameters_and_statistics_are_taken_and_the_rest_is_new(trained):
    result, _ = trained
    fresh = first_states(CFG, num_seeds=2, seed=8)
    state = first_states(CFG, num_seeds=2, seed=8, initial=result)
    names = ("params", "obs_stats", "reward_stats", "value_stats")
    for name in names:
        assert_same_bits(getattr(state, name), getattr(result.state, name))
    assert_same_bits(state.replace(**{name: getattr(fresh, name) for name in names}), fresh)


@pytest.mark.parametrize("kind", ["result", "one", "run", "best"])
def test_agents_begin_as_good_as_they_were(trained, kind):
    result, run = trained
    initial = {
        "result": result,
        "one": result.select(1),
        "run": run,
        "best": load(run.checkpoint.parent, best=True),
    }[kind]
    before = load(run.checkpoint.parent, best=True).policies if kind == "best" else result.state
    if kind == "one":
        before = jax.tree.map(lambda leaf: leaf[np.array([1, 1])], before)
    after = first_states(CFG, num_seeds=2, seed=8, initial=initial)
    for agent in (0, 1):
        returns = [
            evaluate(CFG, jax.tree.map(lambda leaf: leaf[agent], state), jax.random.key(1), 4)  # noqa: B023
            for state in (before, after)
        ]
        assert_same_bits(*returns)


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
def test_each_part_can_be_taken_alone(trained, part, names):
    result, _ = trained
    fresh = first_states(CFG, num_seeds=2, seed=8)
    state = first_states(CFG, num_seeds=2, seed=8, initial=result, initial_parts=[part])
    for name in names:
        assert_same_bits(getattr(state, name), getattr(result.state, name))
    assert_same_bits(state.replace(**{name: getattr(fresh, name) for name in names}), fresh)


def test_a_loaded_run_is_as_good_as_a_result(trained):
    result, run = trained
    assert_same_bits(fit(ONE_UPDATE, 2, initial=run), fit(ONE_UPDATE, 2, initial=result))


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
    result = fit(heavier, 2, initial=trained[0])
    assert bool(np.asarray(result.finite).all())
    assert_same_bits(
        first_states(heavier, num_seeds=2, initial=trained[0]).params, trained[0].state.params
    )


def test_a_killed_warm_start_resumes_bit_identically(trained, tmp_path):
    whole = fit(CFG, 2, seed=8, initial=trained[0])
    stopped = {"on_chunk": lambda progress: progress.updates >= 1}
    fit(CFG, 2, seed=8, initial=trained[0], checkpoint_dir=tmp_path, **stopped)
    assert_same_bits(resume(tmp_path), whole)


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
