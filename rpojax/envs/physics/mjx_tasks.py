"""Gymnasium's MuJoCo tasks, v5, as a table.

Written after Gymnasium 1.3, whose simulator `tests/envs/test_mjx.py` compares them with.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from rpojax.envs.physics import mjx_parts as parts
from rpojax.envs.physics import mjx_rewards as rewards
from rpojax.envs.physics.mjx_parts import Parts, Settings
from rpojax.envs.physics.mjx_rewards import Moment, Terms
from rpojax.types import Array, Key


class Task(NamedTuple):
    """One task; its functions are of one environment."""

    xml: str  # in the folder `assets` of gymnasium.envs.mujoco
    frame_skip: int
    max_episode_steps: int
    settings: Settings  # with their defaults
    start: Callable[[Key, Array, Array, Settings], tuple[Array, Array]]  # of qpos0, qvel0
    observe: Callable[[Any, Settings], Parts]
    reward: Callable[[Moment, Settings], Terms]
    healthy: Callable[[Any, Settings], Array] = rewards.always
    position: Callable[[Any, Any], Array] = rewards.nowhere  # of (model, data), f32[2]
    contact_forces: bool = False  # whether it reads cfrc_ext


_RUNNING: Settings = {
    "forward_reward_weight": 1.0,
    "exclude_current_positions_from_observation": True,
}
_WALKING: Settings = _RUNNING | {"healthy_reward": 1.0, "terminate_when_unhealthy": True}

TASKS = {
    "InvertedPendulum-v5": Task(
        xml="inverted_pendulum.xml",
        frame_skip=2,
        max_episode_steps=1000,
        settings={"reset_noise_scale": 0.01},
        start=parts.start_uniform,
        observe=parts.observe_joints(),
        reward=rewards.reward_pendulum,
        healthy=rewards.pole_is_up,
    ),
    "InvertedDoublePendulum-v5": Task(
        xml="inverted_double_pendulum.xml",
        frame_skip=5,
        max_episode_steps=1000,
        settings={"healthy_reward": 10.0, "reset_noise_scale": 0.1},
        start=parts.start_normal,
        observe=parts.observe_double_pendulum,
        reward=rewards.reward_double_pendulum,
        healthy=rewards.tip_is_up,
    ),
    "Reacher-v5": Task(
        xml="reacher.xml",
        frame_skip=2,
        max_episode_steps=50,
        settings={"reward_dist_weight": 1.0, "reward_control_weight": 1.0},
        start=parts.start_reacher,
        observe=parts.observe_reacher,
        reward=rewards.reward_reacher,
    ),
    "Pusher-v5": Task(
        xml="pusher_v5.xml",
        frame_skip=5,
        max_episode_steps=100,
        settings={
            "reward_near_weight": 0.5,
            "reward_dist_weight": 1.0,
            "reward_control_weight": 0.1,
        },
        start=parts.start_pusher,
        observe=parts.observe_pusher,
        reward=rewards.reward_pusher,
    ),
    "Swimmer-v5": Task(
        xml="swimmer.xml",
        frame_skip=4,
        max_episode_steps=1000,
        settings=_RUNNING | {"ctrl_cost_weight": 1e-4, "reset_noise_scale": 0.1},
        start=parts.start_uniform,
        observe=parts.observe_joints(hidden=2),
        reward=rewards.reward_running,
        position=rewards.root_position,
    ),
    "HalfCheetah-v5": Task(
        xml="half_cheetah.xml",
        frame_skip=5,
        max_episode_steps=1000,
        settings=_RUNNING | {"ctrl_cost_weight": 0.1, "reset_noise_scale": 0.1},
        start=parts.start_normal,
        observe=parts.observe_joints(hidden=1),
        reward=rewards.reward_running,
        position=rewards.root_position,
    ),
    "Hopper-v5": Task(
        xml="hopper.xml",
        frame_skip=4,
        max_episode_steps=1000,
        settings=_WALKING
        | {
            "ctrl_cost_weight": 1e-3,
            "healthy_state_range": (-100.0, 100.0),
            "healthy_z_range": (0.7, float("inf")),
            "healthy_angle_range": (-0.2, 0.2),
            "reset_noise_scale": 5e-3,
        },
        start=parts.start_uniform,
        observe=parts.observe_joints(hidden=1, most_speed=10.0),
        reward=rewards.reward_walking,
        healthy=rewards.hopper_is_healthy,
        position=rewards.root_position,
    ),
    "Walker2d-v5": Task(
        xml="walker2d_v5.xml",
        frame_skip=4,
        max_episode_steps=1000,
        settings=_WALKING
        | {
            "ctrl_cost_weight": 1e-3,
            "healthy_z_range": (0.8, 2.0),
            "healthy_angle_range": (-1.0, 1.0),
            "reset_noise_scale": 5e-3,
        },
        start=parts.start_uniform,
        observe=parts.observe_joints(hidden=1, most_speed=10.0),
        reward=rewards.reward_walking,
        healthy=rewards.walker_is_healthy,
        position=rewards.root_position,
    ),
    "Ant-v5": Task(
        xml="ant.xml",
        frame_skip=5,
        max_episode_steps=1000,
        settings=_WALKING
        | {
            "ctrl_cost_weight": 0.5,
            "contact_cost_weight": 5e-4,
            "healthy_z_range": (0.2, 1.0),
            "contact_force_range": (-1.0, 1.0),
            "reset_noise_scale": 0.1,
            "include_cfrc_ext_in_observation": True,
        },
        start=parts.start_normal,
        observe=parts.observe_ant,
        reward=rewards.reward_ant,
        healthy=rewards.ant_is_healthy,
        position=rewards.torso_position,
        contact_forces=True,
    ),
    "Humanoid-v5": Task(
        xml="humanoid.xml",
        frame_skip=5,
        max_episode_steps=1000,
        settings=_WALKING
        | {
            "forward_reward_weight": 1.25,
            "ctrl_cost_weight": 0.1,
            "contact_cost_weight": 5e-7,
            "contact_cost_range": (-float("inf"), 10.0),
            "healthy_reward": 5.0,
            "healthy_z_range": (1.0, 2.0),
            "reset_noise_scale": 1e-2,
            "include_cinert_in_observation": True,
            "include_cvel_in_observation": True,
            "include_qfrc_actuator_in_observation": True,
            "include_cfrc_ext_in_observation": True,
        },
        start=parts.start_uniform,
        observe=parts.observe_humanoid,
        reward=rewards.reward_humanoid,
        healthy=rewards.humanoid_is_healthy,
        position=rewards.mass_centre,
        contact_forces=True,
    ),
}
