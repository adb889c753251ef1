"""Objects that do something else than gymnax's interface says are refused by name."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import environment, spaces
from gymnax.environments.classic_control.pendulum import Pendulum
from gymnax.wrappers.compat import LegacyStepAPIWrapper
from gymnax.wrappers.purerl import FlattenObservationWrapper, GymnaxWrapper, LogWrapper
from toys import Plain, run

from rpojax import envs


def pendulum():
    return gymnax.make("Pendulum-v1")[0]


# Wrappers.


class NegatedStep(GymnaxWrapper):
    def step(self, key, state, action, params=None):
        obs, state, reward, *rest = self._env.step(key, state, action, params)
        return obs, state, -reward, *rest


class NegatedSubclass(Pendulum):
    def step(self, key, state, action, params=None):
        obs, state, reward, *rest = super().step(key, state, action, params)
        return obs, state, -reward, *rest


class NegatedStepEnv(GymnaxWrapper):
    def step_env(self, key, state, action, params=None):
        obs, state, reward, *rest = self._env.step_env(key, state, action, params)
        return obs, state, -reward, *rest


class OwnReset(GymnaxWrapper):
    def reset(self, key, params=None):
        return self._env.reset(key, params)


def with_a_method_set():
    env = pendulum()
    env.step = lambda *args: None
    return env


WRAPPERS = {
    "step": lambda: NegatedStep(pendulum()),
    "step of a subclass": NegatedSubclass,
    "step of an object": with_a_method_set,
    "reset": lambda: OwnReset(pendulum()),
    "step of a wrapper inside": lambda: NegatedStepEnv(NegatedStep(pendulum())),
    "log": lambda: LogWrapper(pendulum()),
    "flatten": lambda: FlattenObservationWrapper(pendulum()),
    "legacy": lambda: LegacyStepAPIWrapper(pendulum()),
}


@pytest.mark.parametrize("kind", WRAPPERS)
def test_step_and_reset_that_would_be_ignored_are_refused(kind):
    message = r"'Pendulum-v1': \w+ defines its own (step|reset), .* Override reset_env and step_env"
    with pytest.raises(ValueError, match=message):
        envs.make(WRAPPERS[kind]())


def test_wrapper_around_step_env_is_used():
    plain, negated = envs.make(pendulum()), envs.make(NegatedStepEnv(pendulum()))
    rewards = [run(env, lambda obs: jnp.ones((3, 1)), 5)[2].reward for env in (plain, negated)]
    np.testing.assert_array_equal(rewards[0], -rewards[1])
    assert (rewards[0] < 0.0).all()


def test_inner_object_of_another_interface_may_have_step_and_reset():
    class Physics:
        def step(self):
            raise AssertionError("not called")

        reset = step

    env = Plain()
    env.env = Physics()
    assert envs.make(env).name == "Plain"


# Numbers of values, shapes and kinds.


def plain_with(change):
    class Changed(Plain):
        def step_env(self, *args):
            return change(*super().step_env(*args))

    return Changed()


def test_numbers_in_info_are_metrics():
    info = {
        "success": jnp.array(True),
        "cost": 2,
        "discount": 0.9,  # gymnax's own
        "vector": jnp.zeros(2),
        "text": "x",
        "key": jax.random.key(0),
        "a,b": 1.0,  # no name for a column
    }
    env = envs.make(plain_with(lambda *values: (*values[:4], info)))
    assert set(env.metrics) == {"success", "cost"}
    timestep = run(env, lambda obs: jnp.ones((3, env.action_dim)), 2)[2]
    np.testing.assert_array_equal(timestep.metrics["success"], 1.0)
    np.testing.assert_array_equal(timestep.metrics["cost"], 2.0)
    assert timestep.metrics["cost"].dtype == jnp.float32


def plain_with_reset(change):
    class Changed(Plain):
        def reset_env(self, *args):
            return change(*super().reset_env(*args))

    return Changed()


VALUES = {
    "four": (
        lambda: plain_with(lambda o, s, r, d, i: (o, s, r, d)),
        r"step_env returns 4 values, and gymnax's interface has 5: \(obs, state, reward, term",
    ),
    "six": (
        lambda: plain_with(lambda o, s, r, d, i: (o, s, r, d, d, i)),
        "step_env returns 6 values, and gymnax's interface has 5",
    ),
    "one": (
        lambda: plain_with(lambda o, s, r, d, i: {"obs": o}),
        "step_env returns 1 value, and gymnax's interface has 5",
    ),
    "truncated for info": (
        lambda: plain_with(lambda o, s, r, d, i: (o, s, r, d, jnp.array(False))),
        "the fifth value of step_env is an array; .* is_truncated",
    ),
    "three of reset": (
        lambda: plain_with_reset(lambda o, s: (o, s, {})),
        r"reset_env returns 3 values, and gymnax's interface has 2: \(obs, state\)",
    ),
    "only obs of reset": (
        lambda: plain_with_reset(lambda o, s: o),
        "reset_env returns 1 value, and gymnax's interface has 2",
    ),
    "rewards of several": (
        lambda: plain_with(lambda o, s, r, d, i: (o, s, jnp.zeros(3), d, i)),
        r"the reward of step_env is float32\[3\]; return one real number",
    ),
    "complex reward": (
        lambda: plain_with(lambda o, s, r, d, i: (o, s, 1j * r, d, i)),
        r"the reward of step_env is complex64\[1\]; return one real number",
    ),
    "flags of several": (
        lambda: plain_with(lambda o, s, r, d, i: (o, s, r, jnp.zeros(2, bool), i)),
        r"terminated is bool\[2\]; return one truth value",
    ),
}


@pytest.mark.parametrize("kind", VALUES)
def test_values_that_the_interface_does_not_have_are_refused(kind):
    make, message = VALUES[kind]
    with pytest.raises(ValueError, match=f"^environment 'Changed': {message}"):
        envs.make(make())


# Time limits.


@struct.dataclass
class Params:
    max_steps_in_episode: int = 5


class Limited(Plain):
    default_params = Params()


class DoneAtLimit(Limited):
    """As gymnax before 1.0: one flag for both."""

    def step_env(self, key, state, action, params):
        obs, state, reward, _, info = super().step_env(key, state, action, params)
        return obs, state, reward, state["time"] >= params.max_steps_in_episode, info


class BothAtLimit(DoneAtLimit):
    def is_truncated(self, state, params):
        return state["time"] >= params.max_steps_in_episode


class Jitted(BothAtLimit):
    def step_env(self, key, state, action, params):
        return jax.jit(super().step_env)(key, state, action, params)


class Truncated(Limited):
    def is_truncated(self, state, params):
        return state["time"] >= params.max_steps_in_episode


class LegacyTerminal(Pendulum):
    def is_terminal(self, state, params):
        return state.time >= params.max_steps_in_episode


class TerminatedAtLimit(Pendulum):
    def is_terminated(self, state, params):
        return state.time >= params.max_steps_in_episode


@pytest.mark.parametrize("make", [Limited, DoneAtLimit])
def test_time_limit_without_is_truncated_is_refused(make):
    message = rf"'{make.__name__}': params has max_steps_in_episode = 5, .* define is_truncated\("
    with pytest.raises(ValueError, match=message):
        envs.make(make())


@pytest.mark.parametrize("make", [BothAtLimit, Jitted, TerminatedAtLimit])
def test_flag_that_depends_on_the_time_limit_is_refused(make):
    message = rf"step_env of {make.__name__} .* depends on params.max_steps_in_episode, .* leave it"
    with pytest.raises(ValueError, match=message):
        envs.make(make())


def test_is_terminal_of_old_environments_is_refused():
    with pytest.raises(
        ValueError, match="'Pendulum-v1': LegacyTerminal defines is_terminal, which"
    ):
        envs.make(LegacyTerminal())


def test_state_without_what_is_truncated_reads_is_refused():
    class NoTime(environment.Environment):
        default_params = Params()
        name = "NoTime"
        action_space = Plain.action_space
        reset_env = Plain.reset_env
        step_env = Plain.step_env

    with pytest.raises(ValueError, match=r"'NoTime': is_truncated fails \(.*time.*\); define"):
        envs.make(NoTime())


@pytest.mark.parametrize(
    "limit", [3, 3.0, np.int32(3), np.float32(3), np.array([3]), jnp.array(3), jnp.float32(3)]
)
def test_limit_may_be_any_whole_number(limit):
    class Sized(Truncated):
        default_params = Params(limit)

    limit = envs.make(Sized()).max_episode_steps
    assert limit == 3
    assert isinstance(limit, int)


@pytest.mark.parametrize(
    "limit", [0, -1, 2.5, np.nan, jnp.array([3, 4]), jnp.array(0), True, "5", 2**31]
)
def test_limit_that_is_no_whole_number_is_refused(limit):
    class Sized(Truncated):
        default_params = Params(limit)

    message = "'Sized': params.max_steps_in_episode = .* give a whole number"
    with pytest.raises(ValueError, match=message):
        envs.make(Sized())


def test_infinite_limit_is_none():
    class Sized(Truncated):
        default_params = Params(jnp.inf)

    assert envs.make(Sized()).max_episode_steps is None


def test_traced_limit_is_refused():
    def traced(limit):
        return envs.from_gymnax(Truncated(), Params(limit)).max_episode_steps

    with pytest.raises(ValueError, match=r"'Truncated': params.max_steps_in_episode is traced"):
        jax.jit(traced)(3)


# Sizes and bounds.


BOXES = {
    "no actions": (spaces.Box(-1.0, 1.0, (0,)), "actions have no dimensions"),
    "swapped": (spaces.Box(1.0, -1.0, (2, 3)), "action_low is not below action_high"),
    "nan": (spaces.Box(-1.0, np.nan, (2, 3)), "action_low is not below action_high"),
    "bounds of another shape": (
        spaces.Box(-np.ones(2), np.ones(2), (2, 3)),
        r"bounds of the action space have the shapes \(2,\) and \(2,\), and the space has \(2, 3\)",
    ),
    "more bounds than actions": (
        spaces.Box(-np.ones(3), np.ones(3), (1,)),
        r"have the shapes \(3,\) and \(3,\), and the space has \(1,\)",
    ),
    "whole numbers": (spaces.Box(0, 5, (2, 3), jnp.int32), "RPO needs continuous actions"),
}


@pytest.mark.parametrize("kind", BOXES)
def test_box_that_is_none_is_refused(kind):
    space, message = BOXES[kind]

    class Boxed(Plain):
        def action_space(self, params):
            return space

        def step_env(self, key, state, action, params):
            return *self.reset_env(key, params), 0.0, False, {}

    with pytest.raises(ValueError, match=f"'Boxed'.*{message}"):
        envs.make(Boxed())


def test_observations_of_no_numbers_are_refused():
    class Blind(Plain):
        def reset_env(self, key, params):
            return jnp.zeros(0), 0

        def step_env(self, key, state, action, params):
            return jnp.zeros(0), state, 0.0, False, {}

    with pytest.raises(ValueError, match=r"'Blind': obs has the shape \(0,\), which holds no num"):
        envs.make(Blind())


class Given(Plain):
    """Has the reward and the flag that it is given."""

    def __init__(self, reward=0.0, flag=False):
        self.reward, self.flag = reward, flag

    def step_env(self, key, state, action, params):
        return *self.reset_env(key, params), self.reward, self.flag, {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"reward": None}, "the reward of step_env is None; return one number"),
        ({"reward": "good"}, "the reward of step_env is 'good'; return one number"),
        ({"flag": None}, "the terminated of step_env is None; return one number"),
    ],
)
def test_a_reward_that_is_no_number_is_named(given, message):
    with pytest.raises(ValueError, match=f"'Given': {message}"):
        envs.make(Given(**given))


def test_a_flag_that_is_nan_is_an_invalid_step_and_no_end_of_the_task():
    rewards = []
    for flag in (jnp.float32(jnp.nan), jnp.float32(1.0), True):
        env = envs.make(Given(1.5, flag))
        keys = jax.random.split(jax.random.key(0), 2)
        state, _ = env.reset(keys, {})
        timestep = env.step(keys, state, jnp.zeros((2, env.action_dim)), {})[1]
        rewards.append(float(timestep.reward[0]))
    np.testing.assert_array_equal(rewards, [np.nan, 1.5, 1.5])
