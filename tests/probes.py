"""Five environments whose values are known, after rejax's: each asks one thing more of the trainer.

A failure says where to look: the value loss, the observations, the discount and GAE, the policy
gradient, or all of it together.
"""

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs import Env, TimeStep


def _probe(name, reset_one, step_one, obs_size=1):
    """An Env from functions of one environment; step_one -> (state, obs, reward, terminated)."""

    def step(keys, state, action, params):
        state, obs, reward, terminated = jax.vmap(step_one)(keys, state, action[:, 0])
        truncated = jnp.zeros_like(terminated)
        return state, TimeStep(obs, reward, terminated, truncated)

    return Env(
        name=name,
        reset=lambda keys, params: jax.vmap(reset_one)(keys),
        step=step,
        obs=jax.ShapeDtypeStruct((obs_size,), jnp.float32),
        action_low=np.array([-2.0], np.float32),
        action_high=np.array([2.0], np.float32),
        max_episode_steps=3,
    )


def _sign(key):
    return jax.random.rademacher(key, (1,), jnp.float32)


def constant_reward():
    """One step, reward 1 whatever happens: V = 1."""
    return _probe(
        "constant_reward",
        lambda key: (jnp.zeros(()), jnp.zeros(1)),
        lambda key, state, action: (state, jnp.zeros(1), jnp.float32(1.0), jnp.array(True)),
    )


def reward_by_observation():
    """One step, reward is the observation, -1 or 1: V(obs) = obs."""

    def reset(key):
        sign = _sign(key)
        return sign, sign

    def step(key, state, action):
        return state, state, state[0], jnp.array(True)

    return _probe("reward_by_observation", reset, step)


def discounted_two_step():
    """Two steps, reward 1 at the end: V(obs 0) = gamma, V(obs 1) = 1."""

    def step(key, state, action):
        return jnp.ones(()), jnp.ones(1), state, state > 0.5

    return _probe("discounted_two_step", lambda key: (jnp.zeros(()), jnp.zeros(1)), step)


def reward_by_action():
    """One step, reward 1 - (action - 0.5)^2: the best action is 0.5."""

    def step(key, state, action):
        return state, jnp.zeros(1), 1.0 - jnp.square(action - 0.5), jnp.array(True)

    return _probe("reward_by_action", lambda key: (jnp.zeros(()), jnp.zeros(1)), step)


def reward_by_action_and_observation():
    """One step, reward 1 - (action - obs)^2, obs -1 or 1: the best action is the observation."""

    def reset(key):
        sign = _sign(key)
        return sign, sign

    def step(key, state, action):
        return state, state, 1.0 - jnp.square(action - state[0]), jnp.array(True)

    return _probe("reward_by_action_and_observation", reset, step)


def echo():
    """Not a probe of values: each observation is the action that the environment received."""

    def step(key, state, action):
        return state, action[None], jnp.float32(0.0), jnp.array(False)

    return _probe("echo", lambda key: (jnp.zeros(()), jnp.zeros(1)), step)


def noisy_episodes():
    """Not a probe of values: episodes of random length that terminate and are cut off.

    The observation is two random numbers, the reward their product with the action.
    """

    def step_one(key, state, action, params):
        obs_key, end_key, cut_key = jax.random.split(key, 3)
        obs = jax.random.normal(obs_key, (2,))
        terminated = jax.random.bernoulli(end_key, 0.2)
        truncated = jax.random.bernoulli(cut_key, 0.2) & ~terminated
        reward = jnp.prod(state) * action[0]
        return obs, TimeStep(obs, reward, terminated, truncated)

    def reset_one(key, params):
        obs = jax.random.normal(key, (2,))
        return obs, obs

    reset = jax.vmap(reset_one)
    return Env(
        name="noisy_episodes",
        reset=reset,
        step=jax.vmap(step_one),
        obs=jax.ShapeDtypeStruct((2,), jnp.float32),
        action_low=np.array([-2.0], np.float32),
        action_high=np.array([2.0], np.float32),
    )


def recall():
    """Three steps: the observation shows a sign at the first alone, the last action repeats it.

    Reward 1 - (action - sign)^2 at the end: without memory at best 0, with it 1.
    """

    def step(key, state, action):
        sign, time = state
        obs = jnp.stack([jnp.zeros(()), (time + 1.0) / 2.0])
        last = time > 1.5
        reward = jnp.where(last, 1.0 - jnp.square(action - sign), 0.0)
        return (sign, time + 1.0), obs, reward, last

    def reset(key):
        sign = _sign(key)[0]
        return (sign, jnp.zeros(())), jnp.stack([sign, jnp.zeros(())])

    return _probe("recall", reset, step, obs_size=2)
