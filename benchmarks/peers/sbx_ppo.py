"""SBX's PPO (Stable-Baselines3 on JAX): jitted functions called from a loop in Python."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import gymnax
import jax
import numpy as np
import optax
from sbx import PPO
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from benchmarks.peers.common import Work, serve
from benchmarks.peers.gymnax_batch import to_gymnasium
from benchmarks.reporting import PACKAGES

DIFFERENCES = (
    "PPO: no perturbation",
    "one Adam each for actor and critic, each clipped by its own norm",
    "value loss not clipped (SBX cannot)",
    "observation and reward statistics are updated every step",
    "logging is off, and no episode statistics are kept",
)


PACKAGES_OF_SBX = (*PACKAGES, "stable-baselines3", "torch")


class StepsInPlace(VecEnv):
    """A `VecEnv` with what training never calls.

    Subclasses have `reset`, `step_async` and `step_wait`.
    """

    def close(self) -> None:
        """Nothing to close."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Asked for `render_mode` alone: there is none."""
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Never called in training."""
        raise NotImplementedError

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any
    ) -> list[Any]:
        """Never called in training."""
        raise NotImplementedError

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Nothing wraps the single environments."""
        return [False] * self.num_envs


class NumpyPendulum(StepsInPlace):
    """Gymnax's Pendulum, all environments at once in NumPy.

    Stable-Baselines3 works on NumPy arrays, and for these few numbers NumPy's arithmetic costs less
    than calling a jitted step and fetching what it returns.
    """

    def __init__(self, name: str, num_envs: int, seed: int = 0) -> None:
        env, self._params = gymnax.make(name)
        assert env.name == "Pendulum-v1"
        self._rng = np.random.default_rng(seed)
        self._theta = self._theta_dot = self._action = np.zeros(num_envs, np.float32)
        self._time = 0  # none terminates, so all are cut off in the same step
        observation_space = to_gymnasium(env.observation_space(self._params))
        super().__init__(num_envs, observation_space, to_gymnasium(env.action_space(self._params)))

    def reset(self) -> np.ndarray:
        """Starts an episode in every environment."""
        shape = self.num_envs
        self._theta = self._rng.uniform(-np.pi, np.pi, shape).astype(np.float32)
        self._theta_dot = self._rng.uniform(-1.0, 1.0, shape).astype(np.float32)
        self._time = 0
        return self._obs()

    def step_async(self, actions: np.ndarray) -> None:
        """Keeps the actions for `step_wait`."""
        self._action = actions[:, 0]

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Steps all environments; starts new episodes at the time limit."""
        p = self._params
        torque = np.clip(self._action, -p.max_torque, p.max_torque)
        angle = (self._theta + np.pi) % (2 * np.pi) - np.pi
        reward = -(angle**2 + 0.1 * self._theta_dot**2 + 0.001 * torque**2)
        gravity = 3 * p.g / (2 * p.l) * np.sin(self._theta)
        acceleration = gravity + 3 / (p.m * p.l**2) * torque
        speed = self._theta_dot + acceleration * p.dt
        self._theta_dot = np.clip(speed, -p.max_speed, p.max_speed)
        self._theta = self._theta + self._theta_dot * p.dt
        self._time += 1

        obs = self._obs()
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        truncated = self._time >= p.max_steps_in_episode
        if truncated:
            for info, final_obs in zip(infos, obs, strict=True):
                info.update({"terminal_observation": final_obs, "TimeLimit.truncated": True})
            obs = self.reset()
        return obs, reward, np.full(self.num_envs, truncated), infos

    def _obs(self) -> np.ndarray:
        return np.stack([np.cos(self._theta), np.sin(self._theta), self._theta_dot], axis=1)


def build_on(env: VecEnv, work: Work) -> Callable[[], None]:
    """Builds the agent; normalisation is Stable-Baselines3's own wrapper."""
    agent = PPO(
        "MlpPolicy",
        VecNormalize(env, gamma=work.gamma),
        learning_rate=work.learning_rate,
        n_steps=work.num_steps,
        batch_size=work.minibatch_size,
        n_epochs=work.update_epochs,
        gamma=work.gamma,
        gae_lambda=work.gae_lambda,
        clip_range=work.clip_eps,
        ent_coef=0.0,
        vf_coef=work.vf_coef,
        max_grad_norm=work.max_grad_norm,
        policy_kwargs={
            "net_arch": list(work.hidden_sizes),
            "optimizer_class": optax.adam,
            "optimizer_kwargs": {"eps": work.adam_eps},
        },
        seed=0,
        verbose=0,
    )

    def train_chunk() -> None:
        never = work.updates_per_chunk + 1
        agent.learn(work.chunk_steps, log_interval=never, reset_num_timesteps=False)
        jax.block_until_ready([agent.policy.actor_state.params, agent.policy.vf_state.params])

    return train_chunk


def build(work: Work) -> Callable[[], None]:
    """Builds the agent on Pendulum."""
    return build_on(NumpyPendulum(work.env, work.num_envs), work)


if __name__ == "__main__":
    serve(
        "SBX PPO",
        version("sbx-rl"),
        build,
        differences=(*DIFFERENCES, "Pendulum is stepped in NumPy, the fastest way to feed it"),
        packages=PACKAGES_OF_SBX,
    )
