"""What the adapters of Brax and MuJoCo Playground make of an environment, with a small one."""

import contextlib
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rpojax import envs
from rpojax.core.resets import rekey
from rpojax.envs.physics.brax_interface import from_brax_interface


@flax.struct.dataclass
class State:
    obs: Any
    reward: Any
    done: Any
    metrics: dict
    info: dict


class Countdown:
    """Ends when the count is 0. Careless of types; its steps write into what they are given."""

    action_size = 2

    def reset(self, key):
        info = {"count": 5.0, "key": key, "noise": jnp.zeros(2)}
        metrics = {"one": 0.0, "vector": jnp.zeros(2), "count": jnp.float16(5)}
        return State({"state": jnp.zeros(2)}, 0, 0.0, metrics, info)

    def step(self, state, action):
        state.info["count"] -= 1.0
        state.info["key"], key = jax.random.split(state.info["key"])
        state.info["noise"] = jax.random.uniform(key, (2,))
        state.metrics.update(one=1.0, count=state.info["count"].astype(jnp.float16))
        obs = {"state": state.info["noise"] + action}
        done = jnp.where(state.info["count"] <= 0, 1.0, 0.0)
        return state.replace(obs=obs, reward=state.info["count"], done=done)


def adapted(env=None, **settings):
    settings = {"episode_length": 100, "action_repeat": 1} | settings
    return from_brax_interface(
        "Countdown", env or Countdown(), **settings, tracing=contextlib.nullcontext
    )


def played(env, num_steps):
    """TimeSteps of one environment, one after the other, and the last state."""
    keys = jax.random.split(jax.random.key(0), 1)
    state, _ = env.reset(keys, {})
    timesteps = []
    for _ in range(num_steps):
        state, timestep = env.step(keys, state, jnp.zeros((1, 2)), {})
        timesteps.append(timestep)
    return timesteps, state


def test_it_conforms():
    env = adapted()
    envs.make(env)  # checks the static contract
    envs.check_env(env, num_steps=20)
    assert env.metrics == ("count", "one")
    np.testing.assert_array_equal([env.action_low, env.action_high], [[-1.0] * 2, [1.0] * 2])


def test_done_that_is_nan_is_an_invalid_step_and_no_end_of_the_task():
    class Broken(Countdown):
        def step(self, state, action):
            return super().step(state, action).replace(done=jnp.float32(jnp.nan))

    env = adapted(Broken())
    keys = jax.random.split(jax.random.key(0), 2)
    state, _ = env.reset(keys, {})
    timestep = env.step(keys, state, jnp.zeros((2, env.action_dim)), {})[1]
    assert np.isnan(timestep.reward).all()


def test_done_terminates():
    timesteps, _ = played(adapted(), 5)
    assert [float(timestep.reward[0]) for timestep in timesteps] == [4.0, 3.0, 2.0, 1.0, 0.0]
    assert [bool(timestep.terminated[0]) for timestep in timesteps] == [False] * 4 + [True]
    assert not any(timestep.truncated[0] for timestep in timesteps)


def test_steps_of_one_action_are_added_up_to_the_end_of_the_episode():
    timesteps, state = played(adapted(action_repeat=2), 3)
    assert [float(timestep.reward[0]) for timestep in timesteps] == [4.0 + 3.0, 2.0 + 1.0, 0.0]
    assert [float(timestep.metrics["one"][0]) for timestep in timesteps] == [2.0, 2.0, 1.0]
    assert [bool(timestep.terminated[0]) for timestep in timesteps] == [False, False, True]
    assert float(state.state.info["count"][0]) == 0.0


@pytest.mark.parametrize(("action_repeat", "steps"), [(1, 3), (2, 2), (4, 1)])
def test_time_limit_is_in_steps_of_the_environment(action_repeat, steps):
    env = adapted(episode_length=3, action_repeat=action_repeat)
    assert env.max_episode_steps == steps
    timesteps, _ = played(env, steps)
    assert [bool(timestep.truncated[0]) for timestep in timesteps] == [False] * (steps - 1) + [True]


def test_time_of_a_frame():
    assert adapted(seconds=0.05).render_fps == pytest.approx(20.0)
    assert adapted(seconds=0.05, action_repeat=2).render_fps == pytest.approx(10.0)
    assert adapted(seconds=0.001).render_fps == 50.0
    assert adapted().render_fps == 30.0


def test_steps_leave_the_state_that_they_are_given():
    env = adapted()
    keys = jax.random.split(jax.random.key(0), 1)
    with jax.disable_jit():
        state, _ = env.reset(keys, {})
        first, again = (env.step(keys, state, jnp.zeros((1, 2)), {})[1] for _ in range(2))
    np.testing.assert_array_equal(first.reward, again.reward)
    np.testing.assert_array_equal(first.reward, [4.0])


def test_keys_in_a_state_are_typed_and_replaced_where_a_start_is_used_again():
    env = adapted()
    one = env.reset(jax.random.split(jax.random.key(0), 1), {})[0]
    state = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), one)
    assert jnp.issubdtype(state.state.info["key"].dtype, jax.dtypes.prng_key)
    keys = jax.random.split(jax.random.key(1))
    _, timestep = env.step(keys, rekey(env, keys, state), jnp.zeros((2, 2)), {})
    assert (timestep.obs["state"][0] != timestep.obs["state"][1]).all()


def test_environment_that_fails_is_refused():
    class Old(Countdown):
        def step(self, state, action):
            return jnp.clip(action, least=0.0)

    with pytest.raises(ValueError, match=r"'Countdown' fails with the installed packages .*least"):
        adapted(Old())


def test_former_names_of_the_bounds_of_clip_are_taken():
    class Old(Countdown):
        def step(self, state, action):
            return super().step(state, jnp.clip(action, a_min=0.0, a_max=1.0))

    keys = jax.random.split(jax.random.key(0), 3)
    actions = jnp.array([[-2.0, 0.5], [0.25, 2.0], [0.5, 0.5]])
    rewards = []
    for env, action in ((adapted(Old()), actions), (adapted(), jnp.clip(actions, 0.0, 1.0))):
        rewards.append(env.step(keys, env.reset(keys, {})[0], action, {})[1].reward)
    np.testing.assert_array_equal(*rewards)
    with pytest.raises(TypeError, match="a_min"):  # outside, JAX is as it was
        jnp.clip(actions, a_min=0.0)


def test_a_cpu_computes_a_large_batch_in_blocks():
    keys = jax.random.split(jax.random.key(0), 6)
    action = jnp.arange(12.0).reshape(6, 2)
    found = []
    for env in (adapted(), adapted(most_at_once=3)):
        state, _ = env.reset(keys, {})
        found.append(env.step(keys, state, action, {}))
    np.testing.assert_allclose(found[0][1].obs["state"], found[1][1].obs["state"])
    assert env.most_at_once == 3
    program = jax.make_jaxpr(env.step)(keys, state, action, {})
    assert "f32[2,3,2]" in str(program)  # two blocks of three
