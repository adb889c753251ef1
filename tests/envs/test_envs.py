"""The contract of environments, the check that holds them to it, and gymnax's adapter."""

import dataclasses
import re
from typing import NamedTuple

import chex
import gymnasium
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces

from rpojax import envs
from rpojax.envs import Env, TimeStep, auto_reset, check_env
from rpojax.envs import gymnax as adapter

# A well-behaved environment, and ways to break it.


LIMIT = 7


def make_counter(**changes):
    """Counts its steps; terminates on a large action, is cut off after LIMIT steps."""

    def observe(count, position):
        return jnp.stack([count.astype(jnp.float32), position], axis=-1)

    def reset(keys):
        position = jax.vmap(lambda key: jax.random.uniform(key, minval=2.0, maxval=3.0))(keys)
        state = {"count": jnp.zeros(keys.shape[0], jnp.int32), "position": position}
        return state, observe(**state)

    def step(keys, state, action):
        state = {"count": state["count"] + 1, "position": state["position"] + action[:, 0]}
        obs = observe(**state)
        terminated = action[:, 1] > 0.9
        truncated = (state["count"] >= LIMIT) & ~terminated
        return state, TimeStep(obs, obs, action[:, 0], terminated, truncated)

    env = Env(
        name="Counter-v0",
        reset=reset,
        step=auto_reset(reset, step),
        obs=jax.ShapeDtypeStruct((2,), jnp.float32),
        action_low=np.array([-1.0, -1.0], np.float32),
        action_high=np.array([1.0, 1.0], np.float32),
        max_episode_steps=LIMIT,
    )
    return dataclasses.replace(env, **changes)


def with_step(change):
    """The counter, its TimeStep changed by a function of it."""
    good = make_counter()

    def step(keys, state, action):
        state, timestep = good.step(keys, state, action)
        return state, timestep._replace(**change(timestep))

    return dataclasses.replace(good, step=step)


def with_reset(change):
    good = make_counter()
    return dataclasses.replace(good, reset=lambda keys: change(*good.reset(keys)))


def with_next_state(change):
    good = make_counter()

    def step(keys, state, action):
        state, timestep = good.step(keys, state, action)
        return change(state), timestep

    return dataclasses.replace(good, step=step)


def random_from_the_host():
    """Rewards out of a generator that the keys do not govern."""
    good, generator = make_counter(), np.random.default_rng(0)

    def step(keys, state, action):
        state, timestep = good.step(keys, state, action)
        shape = jax.ShapeDtypeStruct(timestep.reward.shape, jnp.float32)
        reward = jax.experimental.io_callback(
            lambda: generator.random(shape.shape, np.float32), shape
        )
        return state, timestep._replace(reward=reward)

    return dataclasses.replace(good, step=step)


def nan_at_the_limit(name):
    def change(timestep):
        values = getattr(timestep, name)
        flag = timestep.truncated.reshape(-1, *[1] * (values.ndim - 1))
        return {name: jnp.where(flag, jnp.nan, values)}

    return with_step(change)


BROKEN = {
    "bounds of different shapes": (
        lambda: make_counter(action_low=np.float32([-1.0])),
        "bounds differ in shape",
    ),
    "bounds swapped": (
        lambda: make_counter(action_low=np.float32([-1.0, 2.0])),
        "action_low is not below high",
    ),
    "bounds of nan": (
        lambda: make_counter(action_high=np.float32([1.0, np.nan])),
        "action_low is not below high",
    ),
    "first obs of another shape": (
        lambda: with_reset(lambda state, obs: (state, obs[:, :1])),
        "obs from reset is",
    ),
    "first obs of another dtype": (
        lambda: with_reset(lambda state, obs: (state, obs.astype(jnp.int32))),
        "obs from reset is",
    ),
    "first obs of another structure": (
        lambda: with_reset(lambda state, obs: (state, {"obs": obs})),
        "obs from reset is",
    ),
    "first obs without the batch": (
        lambda: with_reset(lambda state, obs: (state, obs[0])),
        "obs from reset is",
    ),
    "obs of another shape": (
        lambda: with_step(lambda t: {"obs": t.obs[:, :1]}),
        "obs from step is",
    ),
    "obs of another dtype": (
        lambda: with_step(lambda t: {"obs": t.obs.astype(jnp.bfloat16)}),
        "obs from step is",
    ),
    "final_obs of another shape": (
        lambda: with_step(lambda t: {"final_obs": t.final_obs[0]}),
        "final_obs is",
    ),
    "reward with an axis of one": (
        lambda: with_step(lambda t: {"reward": t.reward[:, None]}),
        "reward is",
    ),
    "reward of whole numbers": (
        lambda: with_step(lambda t: {"reward": t.reward.astype(jnp.int32)}),
        "reward is",
    ),
    "terminated of floats": (
        lambda: with_step(lambda t: {"terminated": t.terminated.astype(jnp.float32)}),
        "terminated is",
    ),
    "truncated for all at once": (
        lambda: with_step(lambda t: {"truncated": jnp.any(t.truncated)}),
        "truncated is",
    ),
    "state of another dtype": (
        lambda: with_next_state(lambda s: s | {"count": s["count"].astype(jnp.float32)}),
        "the state changes",
    ),
    "state of another shape": (
        lambda: with_next_state(lambda s: s | {"count": s["count"][:, None]}),
        "the state changes",
    ),
    "state of another structure": (
        lambda: with_next_state(lambda s: s | {"more": s["count"]}),
        "the state changes",
    ),
    "nan in obs": (lambda: nan_at_the_limit("obs"), "^environment 'Counter-v0': obs holds NaN"),
    "nan in final_obs": (lambda: nan_at_the_limit("final_obs"), "final_obs holds NaN"),
    "nan in reward": (lambda: nan_at_the_limit("reward"), "reward holds NaN"),
    "infinite reward": (
        lambda: with_step(lambda t: {"reward": t.reward / jnp.zeros_like(t.reward)}),
        "reward holds NaN or infinity",
    ),
    "both ends at once": (
        lambda: with_step(lambda t: {"truncated": t.truncated | t.terminated}),
        "both terminated and truncated",
    ),
    "final_obs apart inside an episode": (
        lambda: with_step(lambda t: {"final_obs": t.final_obs + 1.0}),
        "obs and final_obs differ",
    ),
    "episodes past the limit": (
        lambda: make_counter(max_episode_steps=LIMIT - 1),
        f"ran past max_episode_steps = {LIMIT - 1}",
    ),
    "randomness without the keys": (random_from_the_host, "the same keys gave different results"),
}


def test_check_passes_a_good_environment():
    check_env(make_counter(), num_steps=50)


@pytest.mark.parametrize("way", BROKEN)
def test_check_fails_a_broken_environment_and_names_it(way):
    make_broken, problem = BROKEN[way]
    with pytest.raises(ValueError, match=r"^environment 'Counter-v0': ") as error:
        check_env(make_broken(), num_steps=60)
    assert re.search(problem, str(error.value)), str(error.value)


def test_check_fails_randomness_drawn_while_tracing():
    generator = np.random.default_rng(0)
    env = with_step(lambda t: {"reward": t.reward + np.float32(generator.random())})
    with pytest.raises(ValueError, match="the same keys gave different results"):
        check_env(env, num_steps=60)


def test_check_fails_what_cannot_be_vmapped():
    good = make_counter()

    @jax.custom_batching.custom_vmap
    def only_alone(x):
        return x

    @only_alone.def_vmap
    def _(axis_size, in_batched, x):
        raise NotImplementedError("no batches")

    def step(keys, state, action):
        state, timestep = good.step(keys, state, action)
        return state, timestep._replace(reward=only_alone(timestep.reward))

    with pytest.raises((ValueError, NotImplementedError)):
        check_env(dataclasses.replace(good, step=step), num_steps=60)


@pytest.mark.parametrize("name", envs.names())
def test_check_passes_each_named_environment(name):
    check_env(envs.make(name))


# Automatic resets.


def test_final_obs_is_before_the_reset_and_obs_after_it():
    env = make_counter()
    keys = jax.random.split(jax.random.key(0), 3)
    state = {"count": jnp.array([6, 0, 3]), "position": jnp.array([9.0, 8.0, 7.0])}
    # The first is cut off, the second terminates, the third goes on.
    action = jnp.array([[0.5, 0.0], [0.5, 1.0], [0.5, 0.0]])
    state, timestep = env.step(keys, state, action)
    np.testing.assert_array_equal(timestep.terminated, [False, True, False])
    np.testing.assert_array_equal(timestep.truncated, [True, False, False])
    np.testing.assert_allclose(timestep.final_obs, [[7.0, 9.5], [1.0, 8.5], [4.0, 7.5]])
    np.testing.assert_array_equal(state["count"], [0, 0, 4])
    np.testing.assert_array_equal(timestep.obs[:, 0], [0.0, 0.0, 4.0])
    np.testing.assert_array_equal(timestep.obs[:, 1], state["position"])
    fresh = np.asarray(state["position"][:2])
    assert ((fresh >= 2.0) & (fresh < 3.0)).all()
    assert fresh[0] != fresh[1]
    assert state["position"][2] == 7.5


def test_reset_does_not_reuse_the_key_of_the_step():
    """Each sees its own half of the key, so that starts are independent of the dynamics."""

    def reset(keys):
        return {"key": jax.random.key_data(keys)}, jnp.zeros((keys.shape[0], 1))

    def step(keys, state, action):
        obs, done = jnp.zeros((keys.shape[0], 1)), jnp.ones(keys.shape[0], bool)
        seen.append(jax.random.key_data(keys))
        return state, TimeStep(obs, obs, obs[:, 0], done, ~done)

    seen = []
    keys = jax.random.split(jax.random.key(0), 4)
    state, _ = auto_reset(reset, step)(keys, reset(keys)[0], jnp.zeros((4, 1)))
    used = np.concatenate([seen[0], state["key"], jax.random.key_data(keys)])
    assert len({tuple(key) for key in used}) == 12


# gymnax by name.


def run(env, policy, num_steps, num_envs=3, seed=0):
    """Observations acted on, actions, timesteps and states after them, [T, B, ...]."""

    def body(carry, key):
        state, obs = carry
        action = policy(obs)
        state, timestep = env.step(jax.random.split(key, num_envs), state, action)
        return (state, timestep.obs), (obs, action, timestep, state)

    keys = jax.random.split(jax.random.key(seed), num_steps + 1)
    start = env.reset(jax.random.split(keys[0], num_envs))
    return jax.device_get(jax.jit(lambda: jax.lax.scan(body, start, keys[1:])[1])())


def test_names_are_gymnax_environments_with_a_box_of_actions():
    continuous = set()
    for name in gymnax.registered_envs:
        if name in adapter.DOWNLOADING:
            continue
        env, params = gymnax.make(name)
        if isinstance(env.action_space(params), spaces.Box):
            continuous.add(name)
    assert set(envs.names()) == set(adapter.CONTINUOUS) == continuous
    assert len(adapter.CONTINUOUS) == len(continuous)


def test_pendulum_is_described_as_it_is():
    env = envs.make("Pendulum-v1")
    assert (env.name, env.action_dim, env.max_episode_steps) == ("Pendulum-v1", 1, 200)
    assert (env.obs.shape, env.obs.dtype) == ((3,), jnp.float32)
    for bound, value in [(env.action_low, -2.0), (env.action_high, 2.0)]:
        assert isinstance(bound, np.ndarray)
        assert bound.dtype == np.float32
        np.testing.assert_array_equal(bound, [value])


def pendulum_step(obs, action, g=10.0):
    """Gymnasium's Pendulum in NumPy: what an action leads to, and its reward."""
    cos, sin, speed = obs.astype(np.float64)
    angle = np.arctan2(sin, cos)
    torque = np.clip(float(action[0]), -2.0, 2.0)
    reward = -(angle**2 + 0.1 * speed**2 + 0.001 * torque**2)
    speed = np.clip(speed + (1.5 * g * np.sin(angle) + 3.0 * torque) * 0.05, -8.0, 8.0)
    angle = angle + 0.05 * speed
    return np.array([np.cos(angle), np.sin(angle), speed]), reward


@pytest.mark.parametrize("g", [10.0, 9.81])
def test_pendulum_moves_as_numpy_says_and_its_parameters_count(g):
    env = envs.make("Pendulum-v1", g=g)
    obs, action, timestep, _ = run(env, lambda obs: jnp.sin(3.0 * obs[:, 2:]), 60, num_envs=2)
    for t, b in np.ndindex(60, 2):
        expected, reward = pendulum_step(obs[t, b], action[t, b], g)
        np.testing.assert_allclose(timestep.final_obs[t, b], expected, atol=2e-5)
        np.testing.assert_allclose(timestep.reward[t, b], reward, rtol=1e-3, atol=1e-4)


def test_pendulum_is_cut_off_at_200_and_never_terminates():
    env = envs.make("Pendulum-v1")
    obs, action, timestep, state = run(env, lambda obs: jnp.ones((3, 1)), 401)
    assert not timestep.terminated.any()
    np.testing.assert_array_equal(np.flatnonzero(timestep.truncated[:, 0]), [199, 399])
    np.testing.assert_array_equal(timestep.truncated.all(1), timestep.truncated.any(1))
    for b in range(3):  # the last observation of the old episode, the first of the new one
        expected, _ = pendulum_step(obs[199, b], action[199, b])
        np.testing.assert_allclose(timestep.final_obs[199, b], expected, atol=2e-5)
        assert np.abs(timestep.obs[199, b] - expected).max() > 1e-2
        theta, speed = state.theta[199, b], state.theta_dot[199, b]
        np.testing.assert_allclose(
            timestep.obs[199, b], [np.cos(theta), np.sin(theta), speed], atol=1e-5
        )
        assert abs(speed) <= 1.0
    np.testing.assert_array_equal(state.time[199], 0)
    np.testing.assert_array_equal(obs[200], timestep.obs[199])
    inside = np.arange(401) % 200 != 199
    np.testing.assert_array_equal(timestep.obs[inside], timestep.final_obs[inside])


def test_mountain_car_terminates_at_the_goal():
    env = envs.make("MountainCarContinuous-v0")
    # Full force along the motion swings the car up.
    _, _, timestep, state = run(env, lambda obs: jnp.where(obs[:, 1:] < 0, -1.0, 1.0), 300)
    assert timestep.terminated.any(0).all()
    assert not timestep.truncated.any()
    goal = timestep.final_obs[timestep.terminated]
    assert (goal[:, 0] >= 0.45).all()
    assert (goal[:, 1] >= 0.0).all()
    start = timestep.obs[timestep.terminated]
    assert ((start[:, 0] >= -0.6) & (start[:, 0] <= -0.4) & (start[:, 1] == 0.0)).all()
    np.testing.assert_array_equal(state.time[timestep.terminated], 0)
    assert (timestep.final_obs[~timestep.terminated][:, 0] < 0.45).all()
    np.testing.assert_allclose(timestep.reward[timestep.terminated], 99.9, rtol=1e-4)


def test_mountain_car_is_cut_off_at_its_limit():
    env = envs.make("MountainCarContinuous-v0", max_steps_in_episode=40)
    assert env.max_episode_steps == 40
    _, _, timestep, _ = run(env, lambda obs: jnp.zeros((3, 1)), 100)
    assert not timestep.terminated.any()
    np.testing.assert_array_equal(np.flatnonzero(timestep.truncated.all(1)), [39, 79])


def test_parameters_reach_the_bounds():
    env = envs.make("Pendulum-v1", max_torque=5.0)
    np.testing.assert_array_equal(env.action_high, [5.0])
    np.testing.assert_array_equal(env.action_low, [-5.0])


@pytest.mark.parametrize("name", envs.names())
def test_nothing_that_is_carried_has_a_weak_type(name):
    env = envs.make(name)
    keys = jax.random.split(jax.random.key(0), 2)
    first = jax.eval_shape(env.reset, keys)
    later = jax.eval_shape(env.step, keys, first[0], jnp.zeros((2, env.action_dim)))
    assert not [leaf for leaf in jax.tree.leaves((first, later)) if leaf.weak_type]


@pytest.mark.parametrize("name", envs.names())
def test_environments_can_be_made_inside_a_jit(name):
    """`evaluate` does: bounds must not become tracers there."""

    def observe(keys):
        return envs.make(name).reset(keys)[1]

    jax.eval_shape(observe, jax.random.split(jax.random.key(0)))


@pytest.mark.parametrize("make_keys", [jax.random.key, jax.random.PRNGKey])
def test_both_kinds_of_key_are_taken(make_keys):
    env = envs.make("Pendulum-v1")
    keys = jax.random.split(make_keys(0), 2)
    state, obs = env.reset(keys)
    _, timestep = env.step(keys, state, jnp.zeros((2, 1)))
    assert obs.shape == timestep.obs.shape == (2, 3)


# What cannot be made.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: envs.make("Pendulum-v0"), "unknown environment 'Pendulum-v0'; .*'Pendulum-v1'"),
        (
            lambda: envs.make("pendulum"),
            "unknown environment 'pendulum'; did you mean 'Pendulum-v1'",
        ),
        (lambda: envs.make("MountainCarContinous-v0"), "did you mean 'MountainCarContinuous-v0'"),
        (lambda: envs.make("zzz"), "unknown environment 'zzz'; known: .*Pendulum-v1"),
        (lambda: envs.make("CartPole-v1"), "'CartPole-v1' .*Discrete.* continuous.*Pendulum-v1"),
        (lambda: envs.make("MNISTBandit-bsuite"), "'MNISTBandit-bsuite' .*continuous"),
        (lambda: envs.make(gymnax.make("Catch-bsuite")[0]), "'Catch-bsuite' .*Discrete"),
        (
            lambda: envs.make("Pendulum-v1", max_torq=3.0),
            "parameter of Pendulum-v1 'max_torq'; did you mean 'max_torque'",
        ),
        (lambda: envs.make(3), "env = 3 has no reset_env, step_env"),
        (lambda: envs.make(gymnax.make("Pendulum-v1")[0], g=9.0), "'g': 9.0.*by name only"),
        (lambda: envs.make(make_counter(), g=9.0), "by name only; set them on the object"),
    ],
    ids=lambda value: "" if callable(value) else value[:40],
)
def test_environment_that_cannot_be_made_is_refused_with_the_remedy(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_env_is_passed_through_as_it_is():
    env = make_counter()
    assert envs.make(env) is env
    assert hash(env) == hash(env)
    assert env != make_counter()


# Objects with gymnax's interface.


class Plain:
    """Unregistered, not derived from gymnax's class, without is_truncated, careless of types."""

    default_params = None

    def reset_env(self, key, params):
        return {"image": jnp.zeros((2, 2), jnp.uint8), "time": 0}, {"time": 0, "key": key}

    def step_env(self, key, state, action, params):
        assert action.shape == (2, 3)
        time = state["time"] + 1
        obs = {"image": jnp.full((2, 2), time, jnp.int32), "time": time}
        reward = jnp.sum(action.astype(jnp.bfloat16), keepdims=True)[0]
        done = (time >= 3) * 1.0
        return obs, {"time": time, "key": jax.random.fold_in(state["key"], 1)}, reward, done, {}

    def action_space(self, params):
        return spaces.Box(np.full((2, 3), -1.0), 4, (2, 3))


def test_object_with_gymnax_interface_but_no_truncation_works():
    env = envs.make(Plain())
    assert env.name == "Plain"
    assert env.action_dim == 6
    assert env.max_episode_steps is None
    assert env.action_low.dtype == env.action_high.dtype == np.float32
    np.testing.assert_array_equal(env.action_low, [-1.0] * 6)
    np.testing.assert_array_equal(env.action_high, [4.0] * 6)
    _, _, timestep, _ = run(env, lambda obs: jnp.ones((3, 6)), 7)
    assert not timestep.truncated.any()
    np.testing.assert_array_equal(np.flatnonzero(timestep.terminated.all(1)), [2, 5])
    np.testing.assert_array_equal(timestep.final_obs["time"][:, 0], [1, 2, 3, 1, 2, 3, 1])
    np.testing.assert_array_equal(timestep.obs["time"][:, 0], [1, 2, 0, 1, 2, 0, 1])
    np.testing.assert_array_equal(timestep.reward, 6.0)


def test_dtypes_are_settled_in_the_adapter():
    env = envs.make(Plain())
    check_env(env, num_steps=20)
    assert env.obs["image"].dtype == jnp.uint8
    assert env.obs["time"].dtype == jnp.int32
    keys = jax.random.split(jax.random.key(0), 2)
    state, obs = env.reset(keys)
    state, timestep = env.step(keys, state, jnp.zeros((2, 6)))
    assert obs["image"].dtype == timestep.obs["image"].dtype == jnp.uint8
    assert timestep.reward.dtype == jnp.float32
    assert timestep.terminated.dtype == timestep.truncated.dtype == jnp.bool_
    assert timestep.terminated.shape == (2,)
    assert not any(getattr(leaf, "weak_type", False) for leaf in jax.tree.leaves((state, timestep)))


class Both(Plain):
    """Its time limit falls on the step that also terminates."""

    def is_truncated(self, state, params):
        return state["time"] >= 3


def test_termination_wins_where_both_happen():
    _, _, timestep, _ = run(envs.make(Both()), lambda obs: jnp.ones((3, 6)), 4)
    np.testing.assert_array_equal(np.flatnonzero(timestep.terminated.all(1)), [2])
    assert not timestep.truncated.any()


def test_params_of_an_object_are_its_own_or_those_given():
    env, params = gymnax.make("Pendulum-v1")
    assert envs.from_gymnax(env).max_episode_steps == 200
    made = envs.from_gymnax(env, params.replace(max_steps_in_episode=9), name="Short")
    assert (made.name, made.max_episode_steps) == ("Short", 9)
    _, _, timestep, _ = run(made, lambda obs: jnp.zeros((3, 1)), 10)
    np.testing.assert_array_equal(np.flatnonzero(timestep.truncated.all(1)), [8])


def test_unbounded_actions_stay_unbounded():
    class Unbounded(Plain):
        def action_space(self, params):
            return spaces.Box(-jnp.inf, jnp.inf, (2, 3))

    env = envs.make(Unbounded())
    assert np.isneginf(env.action_low).all()
    assert np.isposinf(env.action_high).all()
    check_env(env, num_steps=20)


# Observations: Dict and Tuple spaces, Discrete ones as one-hot vectors.


class Maze(Plain):
    """Box leaves of rank 0, 1 and 2, Discrete ones, spaces inside of spaces."""

    def observation_space(self, params):
        return spaces.Dict(
            {
                "time": spaces.Box(0.0, 10.0, ()),
                "position": spaces.Box(-1.0, 1.0, (3,)),
                "image": spaces.Box(0, 255, (2, 4), jnp.uint8),
                "room": spaces.Discrete(5),
                "goal": spaces.Dict(
                    {"key": spaces.Discrete(2), "pair": spaces.Tuple((BOX, spaces.Discrete(3)))}
                ),
            }
        )

    def observe(self, time):
        return {
            "time": time.astype(jnp.float32),
            "position": jnp.full(3, 0.5 * time),
            "image": jnp.full((2, 4), time, jnp.uint8),
            "room": (time + 1) % 5,
            "goal": {"key": time % 2, "pair": (jnp.full(2, -1.0), time % 3)},
        }

    def reset_env(self, key, params):
        return self.observe(jnp.int32(0)), jnp.int32(0)

    def step_env(self, key, state, action, params):
        return self.observe(state + 1), state + 1, jnp.sum(action), state >= 6, {}


BOX = spaces.Box(-1.0, 1.0, (2,))
ONE_HOT = {n: jax.ShapeDtypeStruct((n,), jnp.float32) for n in (2, 3, 5)}


def test_dict_observations_keep_their_boxes_and_get_one_hot_leaves():
    env = envs.make(Maze())
    check_env(env, num_steps=20)
    assert env.obs == {
        "time": jax.ShapeDtypeStruct((), jnp.float32),
        "position": jax.ShapeDtypeStruct((3,), jnp.float32),
        "image": jax.ShapeDtypeStruct((2, 4), jnp.uint8),
        "room": ONE_HOT[5],
        "goal": {
            "key": ONE_HOT[2],
            "pair": (jax.ShapeDtypeStruct((2,), jnp.float32), ONE_HOT[3]),
        },
    }
    acted_on, _, timestep, _ = run(env, lambda obs: jnp.ones((3, 6)), 9)
    np.testing.assert_array_equal(acted_on["room"][0], np.eye(5)[[1, 1, 1]])
    times = np.array([1, 2, 3, 4, 5, 6, 7, 1, 2])  # the seventh ends the episode
    final = jax.tree.map(lambda leaf: np.asarray(leaf)[:, 0], timestep.final_obs)
    np.testing.assert_array_equal(final["time"], times)
    np.testing.assert_array_equal(final["room"], np.eye(5)[(times + 1) % 5])
    np.testing.assert_array_equal(final["goal"]["key"], np.eye(2)[times % 2])
    np.testing.assert_array_equal(final["goal"]["pair"][1], np.eye(3)[times % 3])
    np.testing.assert_array_equal(timestep.obs["room"][6, 0], np.eye(5)[1])


class Rooms(Maze):
    """One Discrete observation, without a Dict around it; `start` as in Gymnasium."""

    def __init__(self, space):
        self.space = space

    def observation_space(self, params):
        return self.space

    def observe(self, time):
        return time % 5 + getattr(self.space, "start", 0)


@pytest.mark.parametrize(
    "space", [spaces.Discrete(5), gymnasium.spaces.Discrete(5, start=-2)], ids=repr
)
def test_discrete_observations_become_one_hot(space):
    env = envs.make(Rooms(space))
    check_env(env, num_steps=20)
    assert env.obs == ONE_HOT[5]
    acted_on, _, timestep, _ = run(env, lambda obs: jnp.ones((3, 6)), 5)
    np.testing.assert_array_equal(acted_on[0], np.eye(5)[[0, 0, 0]])
    np.testing.assert_array_equal(timestep.obs[:, 0], np.eye(5)[[1, 2, 3, 4, 0]])


class Position(NamedTuple):
    x: jax.Array
    room: jax.Array


@chex.dataclass
class PositionObject:
    x: jax.Array
    room: jax.Array


@pytest.mark.parametrize("container", [Position, PositionObject, dict], ids=lambda c: c.__name__)
def test_parts_of_a_dict_space_may_be_those_of_an_object(container):
    class Named(Rooms):
        def observe(self, time):
            return container(x=time * 0.5, room=time % 3)

    space = spaces.Dict({"x": spaces.Box(0.0, 9.0, ()), "room": spaces.Discrete(3)})
    env = envs.make(Named(space))
    check_env(env, num_steps=20)
    assert env.obs == {"x": jax.ShapeDtypeStruct((), jnp.float32), "room": ONE_HOT[3]}


def test_space_that_is_not_told_leaves_observations_as_they_are():
    class Untold(Rooms):
        def observation_space(self, params):
            raise NotImplementedError

    assert envs.make(Untold(None)).obs == jax.ShapeDtypeStruct((), jnp.int32)


PART = spaces.Dict({"x": spaces.Discrete(5)})


@pytest.mark.parametrize(
    ("space", "obs", "message"),
    [
        (PART, {"y": 1}, r"at obs, and its observation has the parts \['y'\]; give both"),
        (PART, {"x": 1, "y": 1}, r"has the parts \['x', 'y'\]"),
        (PART, 1, r"has the parts \[\]"),
        (spaces.Tuple((BOX,)), jnp.zeros(1), r"has the parts \[\]"),
        (spaces.Tuple((PART, BOX)), ({"z": 1}, 0.0), r"at obs\[0\], .* the parts \['z'\]"),
        (PART, {"x": jnp.zeros(5)}, r"at obs\['x'\], .* float32\[5\]; return one integer"),
        (spaces.Discrete(5), jnp.zeros(2, jnp.int32), r"at obs, .* int32\[2\]"),
        (spaces.Discrete(5), 1.0, r"at obs, .* float32\[\]; return one integer"),
    ],
)
def test_observation_that_its_space_does_not_tell_of_is_refused(space, obs, message):
    class Wrong(Rooms):
        def observe(self, time):
            return obs

    with pytest.raises(ValueError, match=message):
        envs.make(Wrong(space))
