"""An environment as a bundle of functions, and automatic resets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import make_counter

from rpojax.envs import TimeStep, auto_reset


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


def test_env_is_hashable_and_equal_only_to_itself():
    env = make_counter()
    assert hash(env) == hash(env)
    assert env == env
    assert env != make_counter()


@pytest.mark.parametrize("largest", [3.4e38, np.finfo(np.float32).max, 1e38, 1e300, np.inf])
def test_bounds_of_the_largest_float_mean_none(largest):
    env = make_counter(action_low=[-largest, -1.0], action_high=[9e37, largest])
    np.testing.assert_array_equal(env.action_low, [-np.inf, -1.0])
    np.testing.assert_array_equal(env.action_high, np.float32([9e37, np.inf]))
    assert env.action_low.dtype == env.action_high.dtype == np.float32


def test_bounds_of_any_sequence_become_arrays():
    env = make_counter(action_low=[-1, -2], action_high=jnp.array([1, 2]))
    assert env.action_dim == 2
    assert isinstance(env.action_high, np.ndarray)
