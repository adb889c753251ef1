"""New episodes where old ones end."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from toys import make_counter

from rpojax.core.resets import step_and_reset
from rpojax.envs import TimeStep


def test_an_episode_that_ends_gives_way_to_a_new_one():
    env = make_counter()
    keys = jax.random.split(jax.random.key(0), 3)
    state = {"count": jnp.array([6, 0, 3]), "position": jnp.array([9.0, 8.0, 7.0])}
    # The first is cut off, the second terminates, the third goes on.
    action = jnp.array([[0.5, 0.0], [0.5, 1.0], [0.5, 0.0]])
    state, obs, timestep = step_and_reset(env, keys, state, action)
    np.testing.assert_array_equal(timestep.terminated, [False, True, False])
    np.testing.assert_array_equal(timestep.truncated, [True, False, False])
    np.testing.assert_allclose(timestep.obs, [[7.0, 9.5], [1.0, 8.5], [4.0, 7.5]])
    np.testing.assert_array_equal(state["count"], [0, 0, 4])
    np.testing.assert_array_equal(obs[:, 0], [0.0, 0.0, 4.0])
    np.testing.assert_array_equal(obs[:, 1], state["position"])
    fresh = np.asarray(state["position"][:2])
    assert ((fresh >= 2.0) & (fresh < 3.0)).all()
    assert fresh[0] != fresh[1]
    assert state["position"][2] == 7.5


def test_reset_does_not_reuse_the_key_of_the_step():
    """Each sees its own half of the key, so that starts are independent of the dynamics."""

    def reset(keys):
        return {"key": jax.random.key_data(keys)}, jnp.zeros((keys.shape[0], 2))

    def step(keys, state, action):
        obs, done = jnp.zeros((keys.shape[0], 2)), jnp.ones(keys.shape[0], bool)
        seen.append(jax.random.key_data(keys))
        return state, TimeStep(obs, obs[:, 0], done, ~done)

    seen = []
    env = dataclasses.replace(make_counter(), reset=reset, step=step)
    keys = jax.random.split(jax.random.key(0), 4)
    state, _, _ = step_and_reset(env, keys, reset(keys)[0], jnp.zeros((4, 2)))
    used = np.concatenate([seen[0], state["key"], jax.random.key_data(keys)])
    assert len({tuple(key) for key in used}) == 12
    halves = jax.random.key_data(jax.vmap(jax.random.split)(keys))
    np.testing.assert_array_equal(seen[0], halves[:, 0])  # runs keep their numbers
    np.testing.assert_array_equal(state["key"], halves[:, 1])
