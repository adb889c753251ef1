"""From grids, spaces and configs to the settings of a study."""

import dataclasses
import inspect
import json
import re

import numpy as np
import pytest

from rpojax import Config, NetworkConfig
from rpojax.studies import Halving, LogUniform
from rpojax.studies.api import make_plan, study
from rpojax.studies.plan import Confirm, StudyPlan, rule_from
from rpojax.studies.settings import given_configs, grid_and_space, with_changes

BASE = Config(num_envs=4, num_steps=8, num_minibatches=2, total_timesteps=320)


def grid(values, **others):
    arguments = {"space": None, "num_settings": None, "sampler": "random", "seed": 0}
    return grid_and_space(BASE, values, **(arguments | others))


def test_changes_reach_config_network_and_environment():
    changes = {"alpha": 0.1, "network.hidden_sizes": [8], "env_params.g": 1.62}
    cfg = with_changes(BASE, changes)
    network = NetworkConfig(hidden_sizes=(8,))
    assert cfg == BASE.replace(alpha=0.1, network=network, env_params={"g": 1.62})


def test_changes_of_env_params_add_to_those_of_the_base():
    base = BASE.replace(env_params={"g": 1.0, "m": 2.0})
    assert dict(with_changes(base, {"env_params.g": 3.0}).env_params) == {"g": 3.0, "m": 2.0}
    changed = with_changes(base, {"env_params": {"l": 1.0}})
    assert dict(changed.env_params) == {"l": 1.0}
    both = with_changes(base, {"env_params": {"g": 5.0}, "env_params.m": 3.0})
    assert dict(both.env_params) == {"g": 5.0, "m": 3.0}
    back = with_changes(base, {"env_params": {"g": 5.0}, "env_params.g": 1.0})
    assert dict(back.env_params) == {"g": 1.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alfa": 1.0}, "unknown setting 'alfa'; did you mean 'alpha'"),
        ({"network.hidden": [8]}, "unknown setting of the network 'hidden'"),
        ({"alpha": -1.0}, "alpha = -1 is out of range"),
        ({"network": lambda rngs: None, "network.cell": "gru"}, "changes the built-in network"),
    ],
)
def test_bad_change_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        with_changes(BASE, changes)


def test_grid_is_all_combinations_in_order():
    settings = grid({"alpha": [0.0, 0.5], "network.hidden_sizes": [(8,), (8, 8)]})
    assert [setting.label for setting in settings] == [
        "alpha=0,network.hidden_sizes=8",
        "alpha=0,network.hidden_sizes=8x8",
        "alpha=0.5,network.hidden_sizes=8",
        "alpha=0.5,network.hidden_sizes=8x8",
    ]
    assert settings[3].cfg.network.hidden_sizes == (8, 8)


def test_space_is_drawn_for_each_point_of_the_grid():
    space = {"learning_rate": LogUniform(1e-4, 1e-2)}
    settings = grid({"alpha": [0.0, 0.5]}, space=space, num_settings=3)
    rates = [setting.changes["learning_rate"] for setting in settings]
    assert rates[:3] == rates[3:]
    assert len(set(rates)) == 3


def test_numbers_of_settings_and_seeds_may_be_written_as_floats():
    space = {"alpha": LogUniform(0.1, 1.0)}
    whole, floats = (
        make_plan(BASE, space=space, num_settings=kind(3), seed=kind(2)) for kind in (int, float)
    )
    assert floats == whole
    with pytest.raises(ValueError, match="seed = -1 is not allowed; give a whole number of 0 to"):
        make_plan(BASE, space=space, num_settings=3, seed=-1)


def test_neither_grid_nor_space_is_the_base_alone():
    (setting,) = grid(None)
    assert setting.cfg == BASE
    assert setting.label == ""


@pytest.mark.parametrize(
    ("values", "others", "message"),
    [
        ({"alpha": 0.5}, {}, r"grid\['alpha'\] = 0.5 is not a list"),
        ({"alpha": []}, {}, "is not a list"),
        ({"alpha": [0.5, 0.5]}, {}, "settings 0 and 1 are the same"),
        ([1], {}, "grid = .* is not a dictionary"),
        ({3: [0.5]}, {}, "grid has the key 3; give names of settings"),
        ({}, {"num_settings": 3}, "how many points to draw"),
        ({}, {"space": {"alpha": LogUniform(0.1, 1.0)}}, "how many points to draw"),
        ({}, {"space": {"alpha": LogUniform(0.1, 1.0)}, "num_settings": 0}, "num_settings = 0 is"),
        ({}, {"space": {"alpha": LogUniform(0.1, 1.0)}, "num_settings": "3"}, "num_settings = '3'"),
        (
            {"alpha": [0.1]},
            {"space": {"alpha": LogUniform(0.1, 1.0)}, "num_settings": 2},
            "alpha is in grid and in space",
        ),
    ],
)
def test_bad_grid_is_refused(values, others, message):
    with pytest.raises(ValueError, match=message):
        grid(values, **others)


def test_given_configs_are_labelled_by_their_differences():
    other = BASE.replace(alpha=0.1, network=NetworkConfig(hidden_sizes=(8,)))
    settings = given_configs(BASE, [BASE, other, {"gamma": 0.9}])
    assert set(settings[0].changes) == {"alpha", "gamma", "network.hidden_sizes"}
    assert settings[1].changes["network.hidden_sizes"] == [8]
    assert settings[2].cfg == BASE.replace(gamma=0.9)
    named = given_configs(BASE, {"first": BASE, "second": other})
    assert [setting.label for setting in named] == ["first", "second"]


def half(count):
    return 0.5


def test_settings_are_plain_values_and_descriptions_of_objects():
    settings = grid({"lr_schedule": ["linear", half], "num_envs": list(np.array([4, 8]))})
    assert settings[1].label == "lr_schedule=linear,num_envs=8"
    assert settings[2].label == "lr_schedule=test_study_settings:half,num_envs=4"
    assert settings[2].changes == {
        "lr_schedule": "test_study_settings:half",
        "num_envs": 4,
    }
    assert settings[2].cfg.lr_schedule is half
    assert [s.label for s in grid({"alpha": list(np.float32([0.0, 0.1]))})] == [
        "alpha=0",
        "alpha=0.1",
    ]


def test_labels_tell_settings_apart():
    assert [setting.label for setting in grid({"gamma": [0.9999999, 0.99999999]})] == [
        "gamma=0.9999999",
        "gamma=0.99999999",
    ]
    alike = [lambda count: 1.0 for _ in range(2)]
    with pytest.raises(ValueError, match=r"settings 0 and 1 have the label 'lr_schedule=.*both"):
        grid({"lr_schedule": alike})
    named = given_configs(BASE, {"a": {"lr_schedule": alike[0]}, "b": {"lr_schedule": alike[1]}})
    assert [setting.label for setting in named] == ["a", "b"]
    with pytest.raises(ValueError, match="have the label '1' both"):
        given_configs(BASE, {1: {"alpha": 0.1}, "1": {"alpha": 0.2}})


@pytest.mark.parametrize("configs", [[], 3, [3]])
def test_bad_configs_are_refused(configs):
    with pytest.raises(ValueError, match="configs"):
        given_configs(BASE, configs)


def plan(**changes):
    settings = tuple(grid({"alpha": [0.0, 0.5], "num_envs": [4, 8]}))
    return StudyPlan(**({"settings": settings, "num_seeds": 2} | changes))


def test_settings_that_differ_in_hyperparameters_share_a_program():
    programs = plan().programs
    assert list(programs.values()) == [[0, 2], [1, 3]]
    agents = plan().agents([0, 2])
    assert agents.seeds == (0, 1, 0, 1)
    assert agents.hyperparams.alpha.tolist() == [0.0, 0.0, 0.5, 0.5]


def test_parameters_of_the_environment_that_can_be_traced_share_a_program():
    gravities = {"env_params.g": [1.62, 9.81], "env_params.max_steps_in_episode": [100, 200]}
    settings = (*grid(gravities), *grid({"env_params.max_steps_in_episode": [100]}))
    worlds = StudyPlan(settings=settings, num_seeds=2)
    assert list(worlds.programs.values()) == [[0, 2, 4], [1, 3]]
    assert dict(next(iter(worlds.programs)).env_params) == {"max_steps_in_episode": 100}
    table = worlds.agents([0, 2, 4])
    np.testing.assert_allclose(table.env_params["g"], [1.62, 1.62, 9.81, 9.81, 10.0, 10.0])
    assert table.label(2) == "env_params.g=9.81,seed=0"


def test_plan_survives_its_record():
    again = StudyPlan.from_record(json.loads(json.dumps(plan(halving=3).record())))
    assert again == plan(halving=3)
    assert again.difference(plan(halving=3).record()) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_seeds": 3}, "num_seeds = 3 where the study has 2"),
        ({"settings": tuple(grid({"alpha": [0.0]}))}, "1 settings where the study has 4"),
        (
            {"settings": tuple(grid({"alpha": [0.0, 0.4], "num_envs": [4, 8]}))},
            r"setting 2 \(alpha=0.4,num_envs=4\) differs in alpha",
        ),
    ],
)
def test_difference_of_plans_is_named(changes, message):
    assert re.search(message, plan(**changes).difference(plan().record()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_seeds": 0}, "num_seeds = 0"),
        ({"eval_episodes": 0}, "eval_episodes = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"objective": "loss"}, "objective = 'loss' is not known; .*environment/NAME"),
        ({"objective": 3}, "objective = 3 is not known"),
        ({"direction": "up"}, "direction = 'up'"),
    ],
)
def test_bad_plan_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        plan(**changes)


def test_a_plan_has_the_defaults_of_a_study():
    of_study = inspect.signature(study).parameters
    for field in dataclasses.fields(StudyPlan):
        if field.name in of_study:
            assert field.default == of_study[field.name].default
    assert make_plan(BASE) == StudyPlan(settings=tuple(grid(None)))


@pytest.mark.parametrize(
    ("count", "rungs"),
    [(1, [1.0]), (2, [1.0]), (3, [1 / 3, 1.0]), (9, [1 / 9, 1 / 3, 1.0]), (10, [1 / 9, 1 / 3, 1])],
)
def test_rungs_leave_one_setting_or_a_few_at_the_end(count, rungs):
    assert Halving(3).rungs(count) == pytest.approx(rungs)


def test_first_rung_can_be_given():
    assert Halving(2, first=0.25).rungs(100) == [0.25, 0.5, 1.0]
    assert Halving(3, first=0.5).rungs(100) == [0.5, 1.0]
    assert Halving(3, first=0.33).rungs(100) == [0.33, 1.0]  # and none at 0.99


def test_best_third_goes_on_in_order():
    ranks = {0: 1.0, 1: 5.0, 2: float("-inf"), 3: 4.0, 4: 5.0, 5: 0.0, 6: -1.0}
    assert Halving(3).survivors(list(ranks), ranks) == [1, 3, 4]
    assert Halving(2).survivors([2, 5], ranks) == [5]


@pytest.mark.parametrize("given", [3, {"factor": 3}, Halving(3)])
def test_halving_can_be_a_number_or_a_dictionary(given):
    assert rule_from(Halving, "halving", given) == Halving(3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (1, "halving.factor = 1"),
        ({"factor": 1}, "halving.factor = 1"),
        ({"eta": 3}, "unknown key of halving: 'eta'"),
        ({"factor": 3, 1: 2, "eta": 3}, "unknown key of halving: '1'"),
        ({"first": 0.0}, "halving.first = 0"),
    ],
)
def test_bad_halving_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        rule_from(Halving, "halving", given)


def test_a_confirmation_has_the_best_settings_and_seeds_that_follow():
    whole = plan(halving=2, seed=3, confirm={"num_seeds": 5, "settings": 2})
    again = whole.confirmation(whole.settings[1:])
    assert again == StudyPlan(settings=whole.settings[1:3], num_seeds=5, seed=5)
    each = BASE.actual_timesteps
    assert whole.steps() == 2 * 2 * each + 5 * each, "halving leaves one setting"
    with pytest.raises(ValueError, match=r"confirm.num_seeds = 0"):
        plan(confirm=0)
    with pytest.raises(ValueError, match=f"seed = {2**32 - 6} is not allowed"):
        plan(seed=2**32 - 6, confirm=Confirm(5))


def test_where_only_descriptions_of_objects_differ_there_is_a_warning():
    settings = grid({"lr_schedule": [half, "linear"]})
    recorded = StudyPlan(settings=tuple(settings)).record()
    other = grid({"lr_schedule": [lambda count: 0.5, "linear"]})
    with pytest.warns(UserWarning, match=r"lr_schedule of setting 0 .* was as test_study.*:half"):
        assert StudyPlan(settings=tuple(other)).difference(recorded) is None
    plain = grid({"lr_schedule": ["constant", "linear"]})
    assert "differs in lr_schedule" in StudyPlan(settings=tuple(plain)).difference(recorded)
