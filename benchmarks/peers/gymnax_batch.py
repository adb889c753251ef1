"""Gymnax environments stepped together from Python, for a peer whose loop runs on the host."""

from typing import Any, NamedTuple

import gymnasium
import gymnax
import jax
import numpy as np


class BatchStep(NamedTuple):
    """What one step of all the environments returns."""

    obs: jax.Array  # f32[num_envs, obs_dim], after the automatic reset
    reward: jax.Array  # f32[num_envs]
    terminated: jax.Array  # bool[num_envs]
    truncated: jax.Array  # bool[num_envs]


class GymnaxBatch:
    """Steps `num_envs` copies of a gymnax environment in one jitted call."""

    def __init__(self, name: str, num_envs: int, seed: int = 0) -> None:
        env, params = gymnax.make(name)
        self.num_envs = num_envs
        self.observation_space = to_gymnasium(env.observation_space(params))
        self.action_space = to_gymnasium(env.action_space(params))
        self._key = jax.random.key(seed)
        self._state: Any = None

        def split(key: jax.Array) -> tuple[jax.Array, jax.Array]:
            key, env_key = jax.random.split(key)
            return key, jax.random.split(env_key, num_envs)

        @jax.jit
        def reset(key: jax.Array) -> tuple[jax.Array, Any, jax.Array]:
            key, env_keys = split(key)
            obs, state = jax.vmap(env.reset, (0, None))(env_keys, params)
            return key, state, obs

        @jax.jit
        def step(key: jax.Array, state: Any, action: jax.Array) -> tuple[jax.Array, Any, BatchStep]:
            key, env_keys = split(key)
            obs, state, reward, terminated, truncated, _ = jax.vmap(env.step, (0, 0, 0, None))(
                env_keys, state, action, params
            )
            return key, state, BatchStep(obs, reward, terminated, truncated)

        self._reset, self._step = reset, step

    def reset(self) -> jax.Array:
        """Starts an episode in every environment: f32[num_envs, obs_dim]."""
        self._key, self._state, obs = self._reset(self._key)
        return obs

    def step(self, action: jax.Array | np.ndarray) -> BatchStep:
        """Takes f32[num_envs, action_dim]; environments whose episode ends are reset."""
        self._key, self._state, result = self._step(self._key, self._state, action)
        return result


def to_gymnasium(space: Any) -> gymnasium.spaces.Box:
    """The same box as a Gymnasium space, in float32."""
    low, high = (np.broadcast_to(bound, space.shape) for bound in (space.low, space.high))
    return gymnasium.spaces.Box(low.astype(np.float32), high.astype(np.float32))
