"""SBX's PPO on Gymnasium's MuJoCo tasks, which Stable-Baselines3 steps one after the other."""

from collections.abc import Callable
from importlib.metadata import version

import gymnasium
from stable_baselines3.common.vec_env import DummyVecEnv

from benchmarks.peers.common import Work, serve
from benchmarks.peers.sbx_ppo import DIFFERENCES, PACKAGES_OF_SBX, build_on


def build(work: Work) -> Callable[[], None]:
    """Builds the agent on `DummyVecEnv`."""
    name = work.env.removeprefix("mujoco/")
    return build_on(DummyVecEnv([lambda: gymnasium.make(name)] * work.num_envs), work)


if __name__ == "__main__":
    serve(
        "SBX PPO on Gymnasium",
        version("sbx-rl"),
        build,
        differences=DIFFERENCES,
        packages=(*PACKAGES_OF_SBX, "gymnasium", "mujoco"),
    )
