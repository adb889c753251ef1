"""The time limit that is laid over an environment."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from toys import LIMIT, make_counter, run

from rpojax.envs import check_env
from rpojax.envs.wrappers import with_time_limit

CALM, FATAL = jnp.zeros((3, 2)), jnp.ones((3, 2))


def test_episodes_are_cut_off_after_the_limit():
    env = with_time_limit(make_counter(), 4)
    assert env.max_episode_steps == 4
    check_env(env, num_steps=50)
    obs, _, timestep, _ = run(env, lambda obs: CALM, 9)
    np.testing.assert_array_equal(np.flatnonzero(timestep.truncated.all(axis=1)), [3, 7])
    np.testing.assert_array_equal(timestep.truncated.any(axis=1), timestep.truncated.all(axis=1))
    assert not timestep.terminated.any()
    np.testing.assert_array_equal(timestep.obs[3, :, 0], 4.0)
    np.testing.assert_array_equal(obs[4, :, 0], 0.0)


def test_the_environments_own_limit_stays():
    env = with_time_limit(make_counter(), LIMIT + 2)
    _, _, timestep, _ = run(env, lambda obs: CALM, LIMIT + 1)
    np.testing.assert_array_equal(np.flatnonzero(timestep.truncated.all(axis=1)), [LIMIT - 1])


def test_termination_on_the_last_step_is_no_truncation():
    env = with_time_limit(make_counter(), 3)
    _, _, timestep, _ = run(env, lambda obs: jnp.where(obs[:, :1] == 2.0, FATAL, CALM), 3)
    np.testing.assert_array_equal(np.flatnonzero(timestep.terminated.all(axis=1)), [2])
    assert not timestep.truncated.any()


def test_renderer_sees_the_state_without_the_counter():
    seen = []
    env = dataclasses.replace(make_counter(), render=lambda states: seen.append(states))
    states, _ = env.reset(jax.random.split(jax.random.key(0)), {})
    limited = with_time_limit(env, 3)
    limited.render(limited.reset(jax.random.split(jax.random.key(0)), {})[0])
    assert jax.tree.structure(seen[0]) == jax.tree.structure(states)
    assert with_time_limit(make_counter(), 3).render is None
