"""Parameters of environments that may be traced."""

import dataclasses

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from toys import make_counter

from rpojax import envs
from rpojax.envs.params import resolve_params

PENDULUM = envs.make("Pendulum-v1")


def one_step(env, params):
    keys = jax.random.split(jax.random.key(0), 3)
    state, _ = env.reset(keys, params)
    return env.step(keys, state, jnp.full((3, env.action_dim), 0.5), params)


def counter_with_params(change=None):
    """The counter, whose reward can be scaled and moved."""
    plain, defaults = make_counter(), {"scale": 1.0, "move": 0.0}

    def step(keys, state, action, params):
        state, timestep = plain.step(keys, state, action, params)
        used = {**defaults, **params}
        timestep = timestep._replace(reward=timestep.reward * used["scale"] + used["move"])
        return state if change is None else change(state, params), timestep

    return dataclasses.replace(plain, step=step, params=defaults)


def test_gymnax_environments_have_their_floats_as_parameters():
    names = {
        "Pendulum-v1": {"max_speed", "dt", "g", "m", "l"},  # the torque bounds the actions
        "Reacher-misc": {"torque_scale", "dt"},
        "Swimmer-misc": {"dt"},
        "PointRobot-misc": {"circle_radius", "goal_radius"},
    }
    for name, expected in names.items():
        params = envs.make(name).params
        assert set(params) == expected
        assert all(value.dtype == np.float32 and value.shape == () for value in params.values())
    assert envs.make("MountainCarContinuous-v0").params["gravity"] == np.float32(0.0025)
    assert envs.make("Pendulum-v1", g=1.62).params["g"] == np.float32(1.62)
    envs.check_env(PENDULUM, num_steps=10)


@pytest.mark.parametrize("name", ["max_speed", "dt", "g", "m", "l"])
def test_a_traced_parameter_is_that_of_an_environment_made_with_it(name):
    value = float(PENDULUM.params[name]) * 0.6
    changed = jax.jit(lambda value: one_step(PENDULUM, {name: value}))(value)
    made = one_step(envs.make("Pendulum-v1", **{name: value}), {})
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), changed, made)
    if name != "max_speed":  # which the pendulum does not reach in one step
        assert not np.array_equal(made[1].obs, one_step(PENDULUM, {})[1].obs)


@pytest.mark.parametrize("whole", [2, np.int64(2), np.float32(2)])
def test_a_whole_number_for_a_float_can_be_traced(whole):
    env = envs.make("Pendulum-v1", l=whole, g=9)
    assert set(env.params) == set(PENDULUM.params)
    assert (env.params["l"], env.params["g"]) == (2.0, 9.0)
    envs.randomized(env, lambda key: {"l": jax.random.uniform(key)})


@dataclasses.dataclass(frozen=True)
class GainParams:
    gain: float = 2.0
    count: int = 1
    max_steps_in_episode: float = 5.0


class Gaining:
    """The reward is the gain; `gain` and `count` are in the state."""

    default_params = GainParams()

    def action_space(self, params):
        return gymnax.environments.spaces.Box(-1.0, 1.0, (1,))

    def reset_env(self, key, params):
        return jnp.zeros(1), {"gain": params.gain, "count": params.count, "time": 0}

    def step_env(self, key, state, action, params):
        state = {**state, "time": state["time"] + 1}
        return jnp.zeros(1), state, state["gain"], False, {}

    def is_truncated(self, state, params):
        return state["time"] >= params.max_steps_in_episode


def test_numbers_of_an_object_are_of_the_kind_of_its_defaults():
    env = envs.from_gymnax(Gaining(), GainParams(gain=3, count=4.0))
    assert set(env.params) == {"gain"}
    state, timestep = one_step(env, {"gain": 1.5})
    np.testing.assert_array_equal(timestep.reward, 1.5)  # a state of whole numbers would hold 1
    assert state["count"].dtype == jnp.int32


@pytest.mark.parametrize("limit", [400.0, np.float32(400), np.inf])
def test_the_time_limit_is_never_traced(limit):
    env = envs.make("Pendulum-v1", max_steps_in_episode=limit)
    assert set(env.params) == set(PENDULUM.params)
    assert env.max_episode_steps == (400 if limit < np.inf else None)
    assert set(envs.from_gymnax(Gaining()).params) == {"gain"}


@pytest.mark.parametrize("torque", [0.6, 0.8, 1.4, np.inf])
def test_what_bounds_the_actions_is_not_traced(torque):
    assert set(envs.make("Pendulum-v1", max_torque=torque).params) == set(PENDULUM.params)


def test_parameters_of_an_environment_of_ones_own():
    env = counter_with_params()
    timestep = one_step(env, {"scale": 3.0, "move": 1.0})[1]
    np.testing.assert_array_equal(timestep.reward, np.full(3, 2.5))
    assert one_step(env, {"move": 1.0})[1].reward[0] == 1.5
    assert one_step(env, {})[1].reward[0] == 0.5
    assert env.params == {"scale": np.float32(1.0), "move": np.float32(0.0)}


def test_parameters_of_an_object_are_fields_that_hold_floats():
    @struct.dataclass
    class Params:
        g: jax.Array = dataclasses.field(default_factory=lambda: np.full(2, 9.0, np.float16))
        label: str = struct.field(pytree_node=False, default="x")
        strict: bool = True
        max_torque: float = 2.0
        max_steps_in_episode: int = 5

    class Falling:
        def action_space(self, params):
            return gymnax.environments.spaces.Box(-1.0, 1.0, (1,))

        def reset_env(self, key, params):
            return jnp.zeros(2), {"v": jnp.zeros(2, jnp.float16)}

        def step_env(self, key, state, action, params):
            v = state["v"] + params.g
            return v.astype(jnp.float32), {"v": v}, 0.0, False, {}

        def is_truncated(self, state, params):
            return False

    env = envs.from_gymnax(Falling(), Params())
    assert set(env.params) == {"g", "max_torque"}
    assert env.params["g"].dtype == np.float32
    state, timestep = one_step(env, {"g": jnp.array([1.0, 2.0])})
    assert state["v"].dtype == jnp.float16
    np.testing.assert_array_equal(timestep.obs, [[1.0, 2.0]] * 3)
    assert not envs.from_gymnax(Falling(), dataclasses.replace(Params(), g=1)).params.keys() & {"g"}


def test_a_time_limit_passes_parameters_on():
    from rpojax.envs.wrappers import with_time_limit

    env = with_time_limit(counter_with_params(), 1)
    timestep = one_step(env, {"move": 1.0})[1]
    assert timestep.reward[0] == 1.5
    assert timestep.truncated.all()
    assert not with_time_limit(make_counter(), 1).params


@pytest.mark.parametrize("nothing", [None, {}])
def test_no_parameters_change_nothing(nothing):
    assert resolve_params(PENDULUM, nothing) == {}
    assert resolve_params(make_counter(), nothing) == {}


def test_numbers_and_lists_become_float32():
    resolved = resolve_params(PENDULUM, {"g": 9, "m": np.float64(0.5)})
    assert {name: value.dtype for name, value in resolved.items()} == dict.fromkeys(
        ("g", "m"), jnp.float32
    )


@pytest.mark.parametrize(
    ("env_params", "message"),
    [
        (3, r"env_params = 3, which is not a dictionary; .* by name, such as \{'max_speed': 8.0\}"),
        ({"gravity": 3}, "unknown parameter of Pendulum-v1 'gravity'"),
        ({"max_torque": 3.0}, "unknown parameter .* 'max_torque'; did you mean 'max_speed'"),
        ({"g": "x"}, r"env_params\['g'\] = 'x' is not an array of numbers"),
        ({"g": True}, r"env_params\['g'\] = True is not an array of numbers"),
        ({"g": [1.0, 2.0]}, r"\['g'\] has the shape \(2,\), and one .* takes \(\); .*\{'g': 0\}"),
    ],
)
def test_wrong_parameters_are_refused(env_params, message):
    with pytest.raises(ValueError, match=message):
        resolve_params(PENDULUM, env_params)


def test_environment_without_parameters_says_so():
    with pytest.raises(
        ValueError, match=r"'Counter-v0' has no parameters .* declare some in Env.params"
    ):
        resolve_params(make_counter(), {"g": 1.0})


def test_check_env_finds_parameters_that_change_what_is_returned():
    wrong = counter_with_params(lambda state, params: {**state, **params})
    with pytest.raises(ValueError, match=r"with traced parameters, step is .*scale"):
        envs.check_env(wrong)
    envs.check_env(counter_with_params(), num_steps=20)


def test_a_copy_keeps_the_parameters():
    copy = dataclasses.replace(PENDULUM, step=lambda *args: PENDULUM.step(*args))
    assert copy.params == PENDULUM.params
    same = one_step(copy, {"g": 1.0}), one_step(PENDULUM, {"g": 1.0})
    jax.tree.map(np.testing.assert_array_equal, *same)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"reset": lambda keys: None},
            r"reset takes \(keys\), .* reset\(keys, params\) with",
        ),
        ({"step": lambda keys, state, action: None}, r"step takes \(keys, state, action\), and is"),
        ({"reset": jax.vmap(lambda key: None)}, r"reset takes \(key\), and is called as"),
    ],
)
def test_functions_that_take_no_parameters_are_named(changes, message):
    with pytest.raises(ValueError, match=r"environment 'Counter-v0': " + message):
        envs.make(make_counter(**changes))
