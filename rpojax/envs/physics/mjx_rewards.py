"""What Gymnasium's MuJoCo tasks (v5) reward, and which states they call healthy.

The functions are of one environment. `settings` are Gymnasium's keyword arguments of the task. A
reward is the sum of its terms, which have the names that Gymnasium gives them in `info`.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp

from rpojax.envs.physics import mjx_parts
from rpojax.envs.physics.mjx_parts import Settings
from rpojax.types import Array

Terms = dict[str, Array]


class Moment(NamedTuple):
    """One environment after a step."""

    data: Any  # a mujoco.mjx.Data
    action: Array  # f32[A]
    velocity: Array  # f32[2] of the task's position, over the whole step
    healthy: Array  # bool[]


def reward_pendulum(moment: Moment, settings: Settings) -> Terms:
    """1 while the pole is up."""
    return {"reward_survive": 1.0 * moment.healthy}


def reward_double_pendulum(moment: Moment, settings: Settings) -> Terms:
    """A constant while the tip is up, less its distance from the top and the poles' velocities."""
    x, _, height = moment.data.site_xpos[0]
    first, second = moment.data.qvel[1:3]
    return {
        "reward_survive": settings["healthy_reward"] * moment.healthy,
        "distance_penalty": -(0.01 * x**2 + (height - 2.0) ** 2),
        "velocity_penalty": -(1e-3 * first**2 + 5e-3 * second**2),
    }


def reward_reacher(moment: Moment, settings: Settings) -> Terms:
    """Minus the distance of the finger tip from the goal, and the actions' cost."""
    distance = _distance(moment, mjx_parts.REACHER_TIP, mjx_parts.REACHER_GOAL)
    return {
        "reward_dist": -settings["reward_dist_weight"] * distance,
        "reward_ctrl": _control(moment, settings["reward_control_weight"]),
    }


def reward_pusher(moment: Moment, settings: Settings) -> Terms:
    """Minus the distances of the object from the tip and from the goal, and the actions' cost."""
    near = _distance(moment, mjx_parts.PUSHER_OBJECT, mjx_parts.PUSHER_TIP)
    distance = _distance(moment, mjx_parts.PUSHER_OBJECT, mjx_parts.PUSHER_GOAL)
    return {
        "reward_near": -settings["reward_near_weight"] * near,
        "reward_dist": -settings["reward_dist_weight"] * distance,
        "reward_ctrl": _control(moment, settings["reward_control_weight"]),
    }


def reward_running(moment: Moment, settings: Settings) -> Terms:
    """The velocity along x, and the actions' cost."""
    return {
        "reward_forward": settings["forward_reward_weight"] * moment.velocity[0],
        "reward_ctrl": _control(moment, settings["ctrl_cost_weight"]),
    }


def reward_walking(moment: Moment, settings: Settings) -> Terms:
    """The velocity along x, the actions' cost, and a constant while healthy."""
    survive = settings["healthy_reward"] * moment.healthy
    return {**reward_running(moment, settings), "reward_survive": survive}


def reward_ant(moment: Moment, settings: Settings) -> Terms:
    """The terms of walking, and the cost of clipped contact forces."""
    forces = mjx_parts.limited_contact_forces(moment.data, settings)
    contact = -settings["contact_cost_weight"] * jnp.sum(jnp.square(forces))
    return {**reward_walking(moment, settings), "reward_contact": contact}


def reward_humanoid(moment: Moment, settings: Settings) -> Terms:
    """The terms of walking, and the clipped cost of contact forces."""
    cost = settings["contact_cost_weight"] * jnp.sum(jnp.square(moment.data._impl.cfrc_ext))
    contact = -jnp.clip(cost, *settings["contact_cost_range"])
    return {**reward_walking(moment, settings), "reward_contact": contact}


def _control(moment: Moment, weight: float) -> Array:
    return -weight * jnp.sum(jnp.square(moment.action))


def _distance(moment: Moment, first: int, second: int) -> Array:
    return jnp.linalg.norm(moment.data.xpos[first] - moment.data.xpos[second])


def always(data: Any, settings: Settings) -> Array:
    """Healthy whatever happens: episodes end only by the time limit."""
    return jnp.array(True)


def pole_is_up(data: Any, settings: Settings) -> Array:
    """The pole leans by at most 0.2."""
    return jnp.abs(data.qpos[1]) <= 0.2


def tip_is_up(data: Any, settings: Settings) -> Array:
    """The tip of the second pole is higher than 1."""
    return data.site_xpos[0, 2] > 1.0


def walker_is_healthy(data: Any, settings: Settings) -> Array:
    """The torso is high and upright enough."""
    return _inside(data.qpos[1], settings["healthy_z_range"]) & _inside(
        data.qpos[2], settings["healthy_angle_range"]
    )


def hopper_is_healthy(data: Any, settings: Settings) -> Array:
    """The torso is high and upright enough, and no other position or velocity is extreme."""
    others = jnp.concatenate([data.qpos, data.qvel])[2:]
    inside = _inside(others, settings["healthy_state_range"]).all()
    return inside & walker_is_healthy(data, settings)


def ant_is_healthy(data: Any, settings: Settings) -> Array:
    """The torso is at an allowed height, the bounds included."""
    low, high = settings["healthy_z_range"]
    return (low <= data.qpos[2]) & (data.qpos[2] <= high)


def humanoid_is_healthy(data: Any, settings: Settings) -> Array:
    """The torso is at an allowed height, the bounds excluded."""
    return _inside(data.qpos[2], settings["healthy_z_range"])


def _inside(value: Array, bounds: tuple[float, float]) -> Array:
    return (bounds[0] < value) & (value < bounds[1])


def nowhere(model: Any, data: Any) -> Array:
    """No position: the task rewards no velocity."""
    return jnp.zeros(2)


def root_position(model: Any, data: Any) -> Array:
    """The first two joints, which move the whole body."""
    return data.qpos[:2]


def torso_position(model: Any, data: Any) -> Array:
    """Where the first body is, in the plane."""
    return data.xpos[1, :2]


def mass_centre(model: Any, data: Any) -> Array:
    """The centre of mass of all bodies, in the plane."""
    return (model.body_mass @ data.xipos)[:2] / model.body_mass.sum()
