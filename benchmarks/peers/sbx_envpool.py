"""SBX's PPO on EnvPool's tasks, which C++ steps on all cores."""

import os
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import envpool
import gymnasium
import numpy as np

from benchmarks.peers.common import Work, serve
from benchmarks.peers.sbx_ppo import DIFFERENCES, PACKAGES_OF_SBX, StepsInPlace, build_on


class EnvPool(StepsInPlace):
    """EnvPool's tasks for Stable-Baselines3.

    EnvPool starts an episode in the step after its last, and ignores that step's action.
    """

    def __init__(self, name: str, num_envs: int) -> None:
        cores = len(os.sched_getaffinity(0))
        self._pool = envpool.make(name, env_type="gymnasium", num_envs=num_envs, num_threads=cores)
        # dm_control's tasks have observations of several parts
        obs = self._reset_obs()
        space = gymnasium.spaces.Box(-np.inf, np.inf, obs.shape[1:], np.float32)
        super().__init__(num_envs, space, self._pool.action_space)
        self._actions = np.zeros((num_envs, *self._pool.action_space.shape))

    def reset(self) -> np.ndarray:
        """Starts an episode in every environment."""
        return self._reset_obs()

    def step_async(self, actions: np.ndarray) -> None:
        """Keeps the actions for `step_wait`."""
        self._actions = actions.astype(np.float64)

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Steps all environments."""
        raw, reward, terminated, truncated, _ = self._pool.step(self._actions)
        obs, done = _flat(raw), terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(done):
            infos[i] = {
                "terminal_observation": obs[i],
                "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
            }
        return obs, reward, done, infos

    def _reset_obs(self) -> np.ndarray:
        return _flat(self._pool.reset()[0])


def _flat(obs: Any) -> np.ndarray:
    """f32[num_envs, n] of an array, or of the parts of dm_control's observations."""
    parts = obs.values() if isinstance(obs, dict) else (obs,)
    return np.concatenate(
        [part.reshape(len(part), -1).astype(np.float32) for part in parts], axis=1
    )


def build(work: Work) -> Callable[[], None]:
    """Builds the agent on the task's name in EnvPool."""
    family, _, name = work.env.partition("/")
    return build_on(EnvPool(name if family == "mujoco" else f"{name}-v1", work.num_envs), work)


if __name__ == "__main__":
    serve(
        "SBX PPO on EnvPool",
        version("envpool"),
        build,
        differences=(*DIFFERENCES, "the step that starts an episode is learnt from too"),
        packages=(*PACKAGES_OF_SBX, "sbx-rl"),
    )
