"""Environments that behave, for tests to use and to break."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from rpojax.core.resets import Starts, step_and_reset
from rpojax.envs import Env, TimeStep

LIMIT = 7


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def make_counter(**changes):
    """Counts its steps; terminates on a large action, is cut off after LIMIT steps."""

    def observe(count, position):
        return jnp.stack([count.astype(jnp.float32), position], axis=-1)

    def reset(keys, params):
        position = jax.vmap(lambda key: jax.random.uniform(key, minval=2.0, maxval=3.0))(keys)
        state = {"count": jnp.zeros(keys.shape[0], jnp.int32), "position": position}
        return state, observe(**state)

    def step(keys, state, action, params):
        state = {"count": state["count"] + 1, "position": state["position"] + action[:, 0]}
        obs = observe(**state)
        terminated = action[:, 1] > 0.9
        truncated = (state["count"] >= LIMIT) & ~terminated
        return state, TimeStep(obs, action[:, 0], terminated, truncated)

    env = Env(
        name="Counter-v0",
        reset=reset,
        step=step,
        obs=jax.ShapeDtypeStruct((2,), jnp.float32),
        action_low=np.array([-1.0, -1.0], np.float32),
        action_high=np.array([1.0, 1.0], np.float32),
        max_episode_steps=LIMIT,
    )
    return dataclasses.replace(env, **changes)


def with_step(change, **changes):
    """The counter, with fields of its TimeStep changed by a function of it."""
    return with_step_result(lambda timestep: timestep._replace(**change(timestep)), **changes)


def with_step_result(change, **changes):
    """The counter, with a function of its TimeStep in its place."""
    good = make_counter(**changes)

    def step(keys, state, action, params):
        state, timestep = good.step(keys, state, action, params)
        return state, change(timestep)

    return dataclasses.replace(good, step=step)


def with_reset(change):
    good = make_counter()
    return dataclasses.replace(good, reset=lambda *args: change(*good.reset(*args)))


def with_next_state(change):
    good = make_counter()

    def step(keys, state, action, params):
        state, timestep = good.step(keys, state, action, params)
        return change(state), timestep

    return dataclasses.replace(good, step=step)


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


def run(env, policy, num_steps, num_envs=3, seed=0):
    """Observations acted on, actions, timesteps and states to act in next, [T, B, ...].

    A new episode starts where one ends: `timestep.obs` is the last observation of the old one.
    """

    def body(carry, key):
        state, obs = carry
        action = policy(obs)
        keys = jax.random.split(key, num_envs)
        stepped = step_and_reset(env, {}, Starts(None, None), keys, state, obs, action)
        return (stepped.state, stepped.obs), (obs, action, stepped.timestep, stepped.state)

    keys = jax.random.split(jax.random.key(seed), num_steps + 1)
    start = env.reset(jax.random.split(keys[0], num_envs), {})
    return jax.device_get(jax.jit(lambda: jax.lax.scan(body, start, keys[1:])[1])())
