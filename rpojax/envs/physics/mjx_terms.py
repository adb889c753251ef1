"""How episodes of Gymnasium's MuJoCo tasks (v5) start, what they observe, reward and call healthy.

The functions are of one environment. `data` is a `mujoco.mjx.Data`, `settings` are Gymnasium's
keyword arguments of the task. Nothing here imports MuJoCo.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from rpojax.types import Array, Key

Settings: TypeAlias = dict[str, Any]
Parts: TypeAlias = dict[str, Array]  # of an observation, in order


class Moment(NamedTuple):
    """One environment after a step."""

    data: Any  # a mujoco.mjx.Data
    action: Array  # f32[A]
    velocity: Array  # f32[2] of the task's position, over the whole step
    healthy: Array  # bool[]
    timestep: float  # seconds of one step of the simulation


Term: TypeAlias = Callable[[Moment, Settings], Array]  # of a reward

# Bodies, numbered as in the models of the installed gymnasium; a test holds them to their names.
REACHER_TIP, REACHER_GOAL = 3, 4
PUSHER_TIP, PUSHER_OBJECT, PUSHER_GOAL = 10, 11, 12


def start_uniform(key: Key, qpos: Array, qvel: Array, settings: Settings) -> tuple[Array, Array]:
    """Uniform noise on positions and velocities."""
    scale = settings["reset_noise_scale"]
    qpos_key, qvel_key = jax.random.split(key)
    return qpos + _uniform(qpos_key, qpos, scale), qvel + _uniform(qvel_key, qvel, scale)


def start_normal(key: Key, qpos: Array, qvel: Array, settings: Settings) -> tuple[Array, Array]:
    """Uniform noise on positions, normal noise on velocities."""
    scale = settings["reset_noise_scale"]
    qpos_key, qvel_key = jax.random.split(key)
    noise = scale * jax.random.normal(qvel_key, qvel.shape, qvel.dtype)
    return qpos + _uniform(qpos_key, qpos, scale), qvel + noise


def start_reacher(key: Key, qpos: Array, qvel: Array, settings: Settings) -> tuple[Array, Array]:
    """The goal is uniform in a disc of radius 0.2."""
    qpos_key, qvel_key, angle_key, radius_key = jax.random.split(key, 4)
    angle = jax.random.uniform(angle_key, (), qpos.dtype, 0.0, 2.0 * jnp.pi)
    radius = 0.2 * jnp.sqrt(jax.random.uniform(radius_key, (), qpos.dtype))
    goal = radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
    noisy = qvel + _uniform(qvel_key, qvel, 0.005)
    return (qpos + _uniform(qpos_key, qpos, 0.1)).at[-2:].set(goal), noisy.at[-2:].set(0.0)


def start_pusher(key: Key, qpos: Array, qvel: Array, settings: Settings) -> tuple[Array, Array]:
    """The object is uniform in a rectangle, without a disc of radius 0.17 around the goal."""
    object_key, qvel_key = jax.random.split(key)
    low, high = jnp.array([-0.3, -0.2], qpos.dtype), jnp.array([0.0, 0.2], qpos.dtype)

    def draw(drawn: tuple[Key, Array]) -> tuple[Key, Array]:
        next_key, place_key = jax.random.split(drawn[0])
        return next_key, jax.random.uniform(place_key, (2,), qpos.dtype, low, high)

    def is_too_near(drawn: tuple[Key, Array]) -> Array:
        return jnp.linalg.norm(drawn[1]) <= 0.17

    _, place = jax.lax.while_loop(is_too_near, draw, (object_key, jnp.zeros(2, qpos.dtype)))
    noisy = qvel + _uniform(qvel_key, qvel, 0.005)
    return qpos.at[-4:-2].set(place).at[-2:].set(0.0), noisy.at[-4:].set(0.0)


def _uniform(key: Key, like: Array, scale: float) -> Array:
    return jax.random.uniform(key, like.shape, like.dtype, -scale, scale)


def observe_joints(
    hidden: int = 0, most_speed: float | None = None
) -> Callable[[Any, Settings], Parts]:
    """Positions and velocities of all joints.

    Args:
        hidden: how many of the first positions give the place of the body, and are left out.
        most_speed: velocities are clipped to [-most_speed, most_speed]; None for no clipping.
    """

    def observe(data: Any, settings: Settings) -> Parts:
        excluded = settings.get("exclude_current_positions_from_observation", False)
        qvel = data.qvel if most_speed is None else jnp.clip(data.qvel, -most_speed, most_speed)
        return {"qpos": data.qpos[hidden * excluded :], "qvel": qvel}

    return observe


def observe_double_pendulum(data: Any, settings: Settings) -> Parts:
    """The cart's position, the poles' angles, all velocities, the force at the ends of the rail."""
    angles = data.qpos[1:]
    return {
        "cart": data.qpos[:1],
        "sin": jnp.sin(angles),
        "cos": jnp.cos(angles),
        "qvel": jnp.clip(data.qvel, -10.0, 10.0),
        "constraint": jnp.clip(data.qfrc_constraint[:1], -10.0, 10.0),
    }


def observe_reacher(data: Any, settings: Settings) -> Parts:
    """The arm's angles and velocities, the goal, and the vector from the goal to the finger tip."""
    angles = data.qpos[:2]
    return {
        "cos": jnp.cos(angles),
        "sin": jnp.sin(angles),
        "goal": data.qpos[2:],
        "qvel": data.qvel[:2],
        "difference": (data.xpos[REACHER_TIP] - data.xpos[REACHER_GOAL])[:2],
    }


def observe_pusher(data: Any, settings: Settings) -> Parts:
    """The arm's joints, and where its tip, the object and the goal are."""
    bodies = {"tip": PUSHER_TIP, "object": PUSHER_OBJECT, "goal": PUSHER_GOAL}
    joints = {"qpos": data.qpos[:7], "qvel": data.qvel[:7]}
    return joints | {name: data.xpos[body] for name, body in bodies.items()}


def observe_ant(data: Any, settings: Settings) -> Parts:
    """Joints, and the clipped contact forces on each body."""
    forces = _limited_contact_forces(data, settings)
    return {**observe_joints(hidden=2)(data, settings), "cfrc_ext": forces[1:].reshape(-1)}


def observe_humanoid(data: Any, settings: Settings) -> Parts:
    """Joints, and each body's inertia, velocity, actuator and contact forces."""
    return {
        **observe_joints(hidden=2)(data, settings),
        "cinert": data._impl.cinert[1:].reshape(-1),
        "cvel": data.cvel[1:].reshape(-1),
        "qfrc_actuator": data.qfrc_actuator[6:],
        "cfrc_ext": data._impl.cfrc_ext[1:].reshape(-1),
    }


def _limited_contact_forces(data: Any, settings: Settings) -> Array:
    """Contact forces and torques on each body, clipped: f32[bodies, 6]."""
    return jnp.clip(data._impl.cfrc_ext, *settings["contact_force_range"])


def survive(moment: Moment, settings: Settings) -> Array:
    """A constant while healthy."""
    return settings.get("healthy_reward", 1.0) * moment.healthy


def forward(moment: Moment, settings: Settings) -> Array:
    """The velocity along x."""
    return settings["forward_reward_weight"] * moment.velocity[0]


def control(weight: str) -> Term:
    """The cost of actions, with the weight in a setting."""

    def term(moment: Moment, settings: Settings) -> Array:
        return -settings[weight] * jnp.sum(jnp.square(moment.action))

    return term


def distance(first: int, second: int, weight: str) -> Term:
    """Minus the distance of two bodies, with the weight in a setting."""

    def term(moment: Moment, settings: Settings) -> Array:
        xpos = moment.data.xpos
        return -settings[weight] * jnp.linalg.norm(xpos[first] - xpos[second])

    return term


def contact_ant(moment: Moment, settings: Settings) -> Array:
    """The cost of clipped contact forces."""
    forces = _limited_contact_forces(moment.data, settings)
    return -settings["contact_cost_weight"] * jnp.sum(jnp.square(forces))


def clipped_contact(weight: str, bounds: str) -> Term:
    """The clipped cost of contact forces, with the weight and the bounds in settings."""

    def term(moment: Moment, settings: Settings) -> Array:
        cost = settings[weight] * jnp.sum(jnp.square(moment.data._impl.cfrc_ext))
        return -jnp.clip(cost, *settings[bounds])

    return term


def height_per_timestep(moment: Moment, settings: Settings) -> Array:
    """The height of the root, over the seconds of one step of the simulation."""
    return moment.data.qpos[2] / moment.timestep


def one(moment: Moment, settings: Settings) -> Array:
    """A constant."""
    return jnp.array(1.0)


def tip_from_top(moment: Moment, settings: Settings) -> Array:
    """Minus the distance of the second pole's tip from the top."""
    x, _, height = moment.data.site_xpos[0]
    return -(0.01 * x**2 + (height - 2.0) ** 2)


def pole_velocities(moment: Moment, settings: Settings) -> Array:
    """The cost of the poles' velocities."""
    first, second = moment.data.qvel[1:3]
    return -(1e-3 * first**2 + 5e-3 * second**2)


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
