"""gymnax's environments by name, and objects with its interface."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from toys import Plain, run

from rpojax import envs
from rpojax.envs import check_env
from rpojax.envs.gymnax import family as adapter
from rpojax.envs.gymnax.family import NAMES


def test_names_are_gymnax_environments_with_a_box_of_actions():
    continuous = set()
    for name in gymnax.registered_envs:
        if name in adapter.DOWNLOADING:
            continue
        env, params = gymnax.make(name)
        if isinstance(env.action_space(params), spaces.Box):
            continuous.add(name)
    assert set(adapter.names()) == set(NAMES) == continuous
    assert len(NAMES) == len(continuous)


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
        np.testing.assert_allclose(timestep.obs[t, b], expected, atol=2e-5)
        np.testing.assert_allclose(timestep.reward[t, b], reward, rtol=1e-3, atol=1e-4)


def test_pendulum_is_cut_off_at_200_and_never_terminates():
    env = envs.make("Pendulum-v1")
    obs, action, timestep, state = run(env, lambda obs: jnp.ones((3, 1)), 401)
    assert not timestep.terminated.any()
    np.testing.assert_array_equal(np.flatnonzero(timestep.truncated[:, 0]), [199, 399])
    np.testing.assert_array_equal(timestep.truncated.all(1), timestep.truncated.any(1))
    for b in range(3):  # the last observation of the old episode, the first of the new one
        expected, _ = pendulum_step(obs[199, b], action[199, b])
        np.testing.assert_allclose(timestep.obs[199, b], expected, atol=2e-5)
        assert np.abs(obs[200, b] - expected).max() > 1e-2
        theta, speed = state.theta[199, b], state.theta_dot[199, b]
        np.testing.assert_allclose(obs[200, b], [np.cos(theta), np.sin(theta), speed], atol=1e-5)
        assert abs(speed) <= 1.0
    np.testing.assert_array_equal(state.time[199], 0)
    inside = np.arange(400) % 200 != 199
    np.testing.assert_array_equal(timestep.obs[:400][inside], obs[1:][inside])


def test_mountain_car_terminates_at_the_goal():
    env = envs.make("MountainCarContinuous-v0")
    # Full force along the motion swings the car up.
    obs, _, timestep, state = run(env, lambda obs: jnp.where(obs[:, 1:] < 0, -1.0, 1.0), 300)
    assert timestep.terminated.any(0).all()
    assert not timestep.truncated.any()
    goal = timestep.obs[timestep.terminated]
    assert (goal[:, 0] >= 0.45).all()
    assert (goal[:, 1] >= 0.0).all()
    start = obs[1:][timestep.terminated[:-1]]
    assert ((start[:, 0] >= -0.6) & (start[:, 0] <= -0.4) & (start[:, 1] == 0.0)).all()
    np.testing.assert_array_equal(state.time[timestep.terminated], 0)
    assert (timestep.obs[~timestep.terminated][:, 0] < 0.45).all()
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


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_is_carried_has_a_weak_type(name):
    env = envs.make(name)
    keys = jax.random.split(jax.random.key(0), 2)
    first = jax.eval_shape(env.reset, keys, {})
    later = jax.eval_shape(env.step, keys, first[0], jnp.zeros((2, env.action_dim)), {})
    assert not [leaf for leaf in jax.tree.leaves((first, later)) if leaf.weak_type]


@pytest.mark.parametrize("name", NAMES)
def test_environments_can_be_made_inside_a_jit(name):
    """`evaluate` does: bounds must not become tracers there."""

    def observe(keys):
        return envs.make(name).reset(keys, {})[1]

    jax.eval_shape(observe, jax.random.split(jax.random.key(0)))


@pytest.mark.parametrize("make_keys", [jax.random.key, jax.random.PRNGKey])
def test_both_kinds_of_key_are_taken(make_keys):
    env = envs.make("Pendulum-v1")
    keys = jax.random.split(make_keys(0), 2)
    state, obs = env.reset(keys, {})
    _, timestep = env.step(keys, state, jnp.zeros((2, 1)), {})
    assert obs.shape == timestep.obs.shape == (2, 3)


def test_object_with_gymnax_interface_but_no_truncation_works():
    env = envs.make(Plain())
    assert env.name == "Plain"
    assert env.action_dim == 6
    assert env.max_episode_steps is None
    assert env.action_low.dtype == env.action_high.dtype == np.float32
    np.testing.assert_array_equal(env.action_low, [-1.0] * 6)
    np.testing.assert_array_equal(env.action_high, [4.0] * 6)
    acted_on, _, timestep, _ = run(env, lambda obs: jnp.ones((3, 6)), 7)
    assert not timestep.truncated.any()
    np.testing.assert_array_equal(np.flatnonzero(timestep.terminated.all(1)), [2, 5])
    np.testing.assert_array_equal(timestep.obs["time"][:, 0], [1, 2, 3, 1, 2, 3, 1])
    np.testing.assert_array_equal(acted_on["time"][:, 0], [0, 1, 2, 0, 1, 2, 0])
    np.testing.assert_array_equal(timestep.reward, 6.0)


def test_dtypes_are_settled_in_the_adapter():
    env = envs.make(Plain())
    check_env(env, num_steps=20)
    assert env.obs["image"].dtype == jnp.int32  # holds the uint8 of reset too
    assert env.obs["time"].dtype == jnp.int32
    keys = jax.random.split(jax.random.key(0), 2)
    state, obs = env.reset(keys, {})
    state, timestep = env.step(keys, state, jnp.zeros((2, 6)), {})
    assert obs["image"].dtype == timestep.obs["image"].dtype == jnp.int32
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


@pytest.mark.parametrize("bad", [(1.0, 2.0), np.nan, "1.0", None, jnp.ones(2)])
def test_parameters_are_numbers_like_their_defaults(bad):
    with pytest.raises(ValueError, match=r"parameter l = .* of Pendulum-v1 is not allowed; .*1.0"):
        envs.make("Pendulum-v1", l=bad)
