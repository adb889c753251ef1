"""The presets of this library: settings, their source, and the results that they gave here."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Preset(NamedTuple):
    """Settings, their source, and the results that they gave here."""

    settings: Mapping[str, Any]  # fields of `Config`
    source: str
    result: str | None = None  # None: not tried here


_CLEANRL = {
    "total_timesteps": 8_000_000,
    "num_envs": 1,
    "num_steps": 2048,
    "update_epochs": 10,
    "num_minibatches": 32,
    "learning_rate": 3e-4,
    "lr_schedule": "linear",
    "adam_eps": 1e-5,
    "alpha": 0.5,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "clip_eps": 0.2,
    "value_clip": 0.2,
    "clip_value_loss": True,
    "vf_coef": 0.5,
    "ent_coef": 0.0,
    "max_grad_norm": 0.5,
    "kl_threshold": 0.0,
    "advantage_normalization": "minibatch",
    "normalize_observations": True,
    "normalize_rewards": True,
    "normalize_values": False,
    "observation_clip": 10.0,
    "reward_clip": 10.0,
    "action_transform": "clip",
    "perturb_rollouts": False,
    "time_limit_bootstrap": False,
}
_PARALLEL = {**_CLEANRL, "num_envs": 16, "num_steps": 128}
_SMALL = {"num_envs": 32, "num_steps": 64, "num_minibatches": 8, "update_epochs": 8}
_OURS = "found here, by a few runs"
_PHYSICS = {
    "num_envs": 64,
    "num_steps": 32,
    "num_minibatches": 8,
    "update_epochs": 4,
    "learning_rate": 1e-3,
    "alpha": 0.1,
}
_GYMNAX = (
    "{} over 10 agents (mean and standard deviation of their mean returns in 1024 episodes, mean "
    "actions), {} steps; CPU, jax 0.10.2, 2026-11-27"
)
_MEASURED = (
    "{} over {} agents (mean and standard deviation of their mean returns in 64 episodes, mean "
    "actions), {} steps; CPU, jax 0.10.2, November 2026"
)

TABLE: dict[str, Preset] = {
    "paper": Preset(
        _CLEANRL,
        "Rahman & Xue (2022), arXiv 2212.07536, Algorithm 1: perturbed in the update only, alpha "
        "0.5. What the algorithm leaves open is as in CleanRL's rpo_continuous_action.py",
    ),
    "cleanrl": Preset(
        _CLEANRL,
        "the defaults of CleanRL's rpo_continuous_action.py; its documentation recommends alpha "
        "0.01 for Ant, Hopper, InvertedDoublePendulum, Reacher and Pusher",
        "training returns over 10 agents: -157 +- 12 with env=Pendulum-v1, 1M steps; 559 +- 257 "
        "with env=playground/PendulumSwingup, 2M steps; CPU, jax 0.10.2, 2026-11-27",
    ),
    "dm_control": Preset(
        {**_PARALLEL, "total_timesteps": 2_000_000},
        "the preset cleanrl, with the 2048 steps of an update from 16 environments",
        "training returns over 10 agents, 2M steps, with env=playground/...: CartpoleBalance "
        "945 +- 8, CartpoleSwingup 801 +- 11, ReacherEasy 774 +- 77, PointMass 734 +- 217, "
        "AcrobotSwingup 43.9 +- 5.4, BallInCup 851 +- 84; 8M steps: CartpoleBalanceSparse 992 +- "
        "9, PendulumSwingup 647 +- 325, CartpoleSwingupSparse 436 +- 359, AcrobotSwingupSparse "
        "3.8 +- 2.5; CPU, jax 0.10.2, 2026-11-27",
    ),
    "Pendulum-v1": Preset(
        {
            "env": "Pendulum-v1",
            "total_timesteps": 600_000,
            "num_envs": 64,
            "num_steps": 64,
            "num_minibatches": 16,
            "update_epochs": 10,
            "learning_rate": 1e-3,
        },
        _OURS,
        "-147.4 +- 1.7, the worst -150.7, over 10 agents (their mean returns in 1024 episodes, "
        "mean actions), 598,016 steps; CPU, jax 0.10.2, 2026-11-26",
    ),
    "MountainCarContinuous-v0": Preset(
        {**_SMALL, "env": "MountainCarContinuous-v0", "total_timesteps": 300_000},
        _OURS,
        _GYMNAX.format("93.0 +- 0.1", "299,008"),
    ),
    "PointRobot-misc": Preset(
        {
            **_SMALL,
            "env": "PointRobot-misc",
            "total_timesteps": 1_000_000,
            "alpha": 0.1,
            "learning_rate": 1e-3,
        },
        _OURS,
        _GYMNAX.format("5.3 +- 0.3", "999,424"),
    ),
    "Reacher-misc": Preset(
        {
            **_SMALL,
            "env": "Reacher-misc",
            "total_timesteps": 1_000_000,
            "alpha": 0.1,
            "learning_rate": 1e-3,
        },
        _OURS,
        _GYMNAX.format("55.3 +- 2.0", "999,424"),
    ),
    "Swimmer-misc": Preset(
        {
            **_SMALL,
            "env": "Swimmer-misc",
            "total_timesteps": 1_000_000,
            "alpha": 0.1,
            "gamma": 0.999,
            "learning_rate": 1e-3,
        },
        _OURS,
        _GYMNAX.format("264.9 +- 56.6", "999,424"),
    ),
    "brax/inverted_pendulum": Preset(
        {**_PHYSICS, "env": "brax/inverted_pendulum", "total_timesteps": 300_000},
        _OURS,
        _MEASURED.format("1000.0 +- 0.0", 4, "299,008"),
    ),
    "brax/inverted_double_pendulum": Preset(
        {
            **_PHYSICS,
            "env": "brax/inverted_double_pendulum",
            "total_timesteps": 500_000,
            "alpha": 0.01,
        },
        _OURS,
        _MEASURED.format("9355.2 +- 2.7", 4, "499,712"),
    ),
    "mjx/InvertedPendulum-v5": Preset(
        {**_PHYSICS, "env": "mjx/InvertedPendulum-v5", "total_timesteps": 300_000},
        _OURS,
        _MEASURED.format("1000.0 +- 0.0, in Gymnasium too,", 4, "299,008"),
    ),
    "mjx/InvertedDoublePendulum-v5": Preset(
        {
            **_PARALLEL,
            "env": "mjx/InvertedDoublePendulum-v5",
            "total_timesteps": 1_000_000,
            "alpha": 0.01,
        },
        "the preset dm_control, with the alpha that CleanRL recommends",
        _MEASURED.format("9357.3 +- 1.8, in Gymnasium 9357.5 +- 1.9,", 4, "999,424"),
    ),
}
