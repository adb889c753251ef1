"""Gymnasium's MuJoCo tasks, v5, as a table.

Written after Gymnasium 1.3, whose simulator `tests/envs/test_mjx.py` compares them with.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from rpojax.envs.physics import mjx_terms as terms
from rpojax.envs.physics.mjx_terms import Parts, Settings, Term
from rpojax.types import Array, Key


class Task(NamedTuple):
    """One task; its functions are of one environment."""

    xml: str  # in the folder `assets` of gymnasium.envs.mujoco
    frame_skip: int
    settings: Settings  # with their defaults
    observe: Callable[[Any, Settings], Parts]
    rewards: dict[str, Term]  # whose sum is the reward, by Gymnasium's names in `info`
    # of qpos0, qvel0
    start: Callable[[Key, Array, Array, Settings], tuple[Array, Array]] = terms.start_uniform
    healthy: Callable[[Any, Settings], Array] = terms.always
    position: Callable[[Any, Any], Array] = terms.nowhere  # of (model, data), f32[2]
    max_episode_steps: int = 1000
    contact_forces: bool = False  # whether it reads cfrc_ext


_RUNNING: Settings = {
    "forward_reward_weight": 1.0,
    "exclude_current_positions_from_observation": True,
}
_WALKING: Settings = _RUNNING | {"healthy_reward": 1.0, "terminate_when_unhealthy": True}

_RUN = {"reward_forward": terms.forward, "reward_ctrl": terms.control("ctrl_cost_weight")}
_WALK = _RUN | {"reward_survive": terms.survive}
_REACH = {"reward_ctrl": terms.control("reward_control_weight")}

TASKS = {
    "InvertedPendulum-v5": Task(
        xml="inverted_pendulum.xml",
        frame_skip=2,
        settings={"reset_noise_scale": 0.01},
        observe=terms.observe_joints(),
        rewards={"reward_survive": terms.survive},
        healthy=terms.pole_is_up,
    ),
    "InvertedDoublePendulum-v5": Task(
        xml="inverted_double_pendulum.xml",
        frame_skip=5,
        settings={"healthy_reward": 10.0, "reset_noise_scale": 0.1},
        observe=terms.observe_double_pendulum,
        rewards={
            "reward_survive": terms.survive,
            "distance_penalty": terms.tip_from_top,
            "velocity_penalty": terms.pole_velocities,
        },
        start=terms.start_normal,
        healthy=terms.tip_is_up,
    ),
    "Reacher-v5": Task(
        xml="reacher.xml",
        frame_skip=2,
        settings={"reward_dist_weight": 1.0, "reward_control_weight": 1.0},
        observe=terms.observe_reacher,
        rewards={
            "reward_dist": terms.distance(
                terms.REACHER_TIP, terms.REACHER_GOAL, "reward_dist_weight"
            ),
            **_REACH,
        },
        start=terms.start_reacher,
        max_episode_steps=50,
    ),
    "Pusher-v5": Task(
        xml="pusher_v5.xml",
        frame_skip=5,
        settings={
            "reward_near_weight": 0.5,
            "reward_dist_weight": 1.0,
            "reward_control_weight": 0.1,
        },
        observe=terms.observe_pusher,
        rewards={
            "reward_near": terms.distance(
                terms.PUSHER_OBJECT, terms.PUSHER_TIP, "reward_near_weight"
            ),
            "reward_dist": terms.distance(
                terms.PUSHER_OBJECT, terms.PUSHER_GOAL, "reward_dist_weight"
            ),
            **_REACH,
        },
        start=terms.start_pusher,
        max_episode_steps=100,
    ),
    "Swimmer-v5": Task(
        xml="swimmer.xml",
        frame_skip=4,
        settings=_RUNNING | {"ctrl_cost_weight": 1e-4, "reset_noise_scale": 0.1},
        observe=terms.observe_joints(hidden=2),
        rewards=_RUN,
        position=terms.root_position,
    ),
    "HalfCheetah-v5": Task(
        xml="half_cheetah.xml",
        frame_skip=5,
        settings=_RUNNING | {"ctrl_cost_weight": 0.1, "reset_noise_scale": 0.1},
        observe=terms.observe_joints(hidden=1),
        rewards=_RUN,
        start=terms.start_normal,
        position=terms.root_position,
    ),
    "Hopper-v5": Task(
        xml="hopper.xml",
        frame_skip=4,
        settings=_WALKING
        | {
            "ctrl_cost_weight": 1e-3,
            "healthy_state_range": (-100.0, 100.0),
            "healthy_z_range": (0.7, float("inf")),
            "healthy_angle_range": (-0.2, 0.2),
            "reset_noise_scale": 5e-3,
        },
        observe=terms.observe_joints(hidden=1, most_speed=10.0),
        rewards=_WALK,
        healthy=terms.hopper_is_healthy,
        position=terms.root_position,
    ),
    "Walker2d-v5": Task(
        xml="walker2d_v5.xml",
        frame_skip=4,
        settings=_WALKING
        | {
            "ctrl_cost_weight": 1e-3,
            "healthy_z_range": (0.8, 2.0),
            "healthy_angle_range": (-1.0, 1.0),
            "reset_noise_scale": 5e-3,
        },
        observe=terms.observe_joints(hidden=1, most_speed=10.0),
        rewards=_WALK,
        healthy=terms.walker_is_healthy,
        position=terms.root_position,
    ),
    "Ant-v5": Task(
        xml="ant.xml",
        frame_skip=5,
        settings=_WALKING
        | {
            "ctrl_cost_weight": 0.5,
            "contact_cost_weight": 5e-4,
            "healthy_z_range": (0.2, 1.0),
            "contact_force_range": (-1.0, 1.0),
            "reset_noise_scale": 0.1,
            "include_cfrc_ext_in_observation": True,
        },
        observe=terms.observe_ant,
        rewards=_WALK | {"reward_contact": terms.contact_ant},
        start=terms.start_normal,
        healthy=terms.ant_is_healthy,
        position=terms.torso_position,
        contact_forces=True,
    ),
    "Humanoid-v5": Task(
        xml="humanoid.xml",
        frame_skip=5,
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
        observe=terms.observe_humanoid,
        rewards=_WALK
        | {"reward_contact": terms.clipped_contact("contact_cost_weight", "contact_cost_range")},
        healthy=terms.humanoid_is_healthy,
        position=terms.mass_centre,
        contact_forces=True,
    ),
    "HumanoidStandup-v5": Task(
        xml="humanoidstandup.xml",
        frame_skip=5,
        settings={
            "ctrl_cost_weight": 0.1,
            "impact_cost_weight": 0.5e-6,
            "impact_cost_range": (-float("inf"), 10.0),
            "reset_noise_scale": 1e-2,
            "exclude_current_positions_from_observation": True,
            "include_cinert_in_observation": True,
            "include_cvel_in_observation": True,
            "include_qfrc_actuator_in_observation": True,
            "include_cfrc_ext_in_observation": True,
        },
        observe=terms.observe_humanoid,
        rewards={
            "reward_linup": terms.height_per_timestep,
            "reward_quadctrl": terms.control("ctrl_cost_weight"),
            "reward_impact": terms.clipped_contact("impact_cost_weight", "impact_cost_range"),
            "reward_constant": terms.one,
        },
        contact_forces=True,
    ),
}
