"""The presets of this library: settings, their source, and the results that they gave here."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Preset(NamedTuple):
    """Settings, their source, and the results that they gave here."""

    settings: Mapping[str, Any]  # fields of `Config`
    source: str
    result: str | None = None  # None: not tried here


CLEANRL = {
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
_PARALLEL = {**CLEANRL, "num_envs": 16, "num_steps": 128}
_SMALL = {"num_envs": 32, "num_steps": 64, "num_minibatches": 8, "update_epochs": 8}
_MISC = {**_SMALL, "total_timesteps": 1_000_000, "alpha": 0.1, "learning_rate": 1e-3}
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
    "{} over 4 agents (mean and standard deviation of their mean returns in 64 episodes, mean "
    "actions), {} steps; CPU, jax 0.10.2, November 2026"
)


def _ours(
    env: str,
    settings: Mapping[str, Any],
    result: str,
    source: str = "found here, by a few runs",
    **changes: Any,
) -> dict[str, Preset]:
    """A preset that has the name of its environment."""
    return {env: Preset({**settings, "env": env, **changes}, source, result)}


TABLE: dict[str, Preset] = {
    "paper": Preset(
        CLEANRL,
        "Rahman & Xue (2022), arXiv 2212.07536, Algorithm 1: perturbed in the update only, alpha "
        "0.5. What the algorithm leaves open is as in CleanRL's rpo_continuous_action.py",
    ),
    "cleanrl": Preset(
        CLEANRL,
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
    **_ours(
        "Pendulum-v1",
        {"num_envs": 64, "num_steps": 64, "num_minibatches": 16, "update_epochs": 10},
        "-147.4 +- 1.7, the worst -150.7, over 10 agents (their mean returns in 1024 episodes, "
        "mean actions), 598,016 steps; CPU, jax 0.10.2, 2026-11-26",
        total_timesteps=600_000,
        learning_rate=1e-3,
    ),
    **_ours(
        "MountainCarContinuous-v0",
        _SMALL,
        _GYMNAX.format("93.0 +- 0.1", "299,008"),
        total_timesteps=300_000,
    ),
    **_ours("PointRobot-misc", _MISC, _GYMNAX.format("5.3 +- 0.3", "999,424")),
    **_ours("Reacher-misc", _MISC, _GYMNAX.format("55.3 +- 2.0", "999,424")),
    **_ours("Swimmer-misc", _MISC, _GYMNAX.format("264.9 +- 56.6", "999,424"), gamma=0.999),
    **_ours(
        "brax/inverted_pendulum",
        _PHYSICS,
        _MEASURED.format("1000.0 +- 0.0", "299,008"),
        total_timesteps=300_000,
    ),
    **_ours(
        "brax/inverted_double_pendulum",
        _PHYSICS,
        _MEASURED.format("9355.2 +- 2.7", "499,712"),
        total_timesteps=500_000,
        alpha=0.01,
    ),
    **_ours(
        "mjx/InvertedPendulum-v5",
        _PHYSICS,
        _MEASURED.format("1000.0 +- 0.0, in Gymnasium too,", "299,008"),
        total_timesteps=300_000,
    ),
    **_ours(
        "mjx/InvertedDoublePendulum-v5",
        _PARALLEL,
        _MEASURED.format("9357.3 +- 1.8, in Gymnasium 9357.5 +- 1.9,", "999,424"),
        source="the preset dm_control, with the alpha that CleanRL recommends",
        total_timesteps=1_000_000,
        alpha=0.01,
    ),
}
