"""Gymnasium's MuJoCo tasks, v5, as a table of what `from_mjcf` takes.

Written after Gymnasium 1.3, whose simulator `tests/envs/test_mjx.py` compares them with.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from rpojax.envs.physics.data import Data
from rpojax.envs.physics.mjcf import Noise, Term, start_at
from rpojax.ops.noise import symmetric_uniform
from rpojax.types import Array, Key

Settings: TypeAlias = dict[str, Any]  # Gymnasium's keyword arguments
Arguments: TypeAlias = dict[str, Any]  # of `from_mjcf`
Parts: TypeAlias = dict[str, Array]  # of an observation, in order


class Task(NamedTuple):
    """One task."""

    xml: str  # in the folder `assets` of gymnasium.envs.mujoco
    frame_skip: int
    settings: Settings  # with their defaults
    functions: Callable[[Settings], Arguments]  # with the given settings
    max_episode_steps: int = 1000


def inverted_pendulum(s: Settings) -> Arguments:
    """A pole that leans by at most 0.2."""

    def is_up(data: Data) -> Array:
        return jnp.abs(data.qpos[1]) <= 0.2

    noise = s["reset_noise_scale"]
    return {
        "start": start_at(qpos=noise, qvel=noise),
        "observe": lambda data: jnp.concatenate([data.qpos, data.qvel]),
        "reward": {"reward_survive": (1.0, _goes_on)},
        **_until(is_up),
    }


def inverted_double_pendulum(s: Settings) -> Arguments:
    """Two poles, whose tip stays above 1 and should be at 2."""

    def is_up(data: Data) -> Array:
        return data.site_xpos[0, 2] > 1.0

    def tip_from_top(data: Data) -> Array:
        x, _, height = data.site_xpos[0]
        return 0.01 * x**2 + (height - 2.0) ** 2

    def speeds(data: Data) -> Array:
        first, second = data.qvel[1:3]
        return 1e-3 * first**2 + 5e-3 * second**2

    def observe(data: Data) -> Array:
        angles = data.qpos[1:]
        force = jnp.clip(data.qfrc_constraint[:1], -10.0, 10.0)  # at the ends of the rail
        qvel = jnp.clip(data.qvel, -10.0, 10.0)
        return jnp.concatenate([data.qpos[:1], jnp.sin(angles), jnp.cos(angles), qvel, force])

    noise = s["reset_noise_scale"]
    return {
        "start": start_at(qpos=noise, qvel=_normal(noise)),
        "observe": observe,
        "reward": {
            "reward_survive": (s["healthy_reward"], _goes_on),
            "distance_penalty": (-1.0, tip_from_top),
            "velocity_penalty": (-1.0, speeds),
        },
        **_until(is_up),
    }


def reacher(s: Settings) -> Arguments:
    """An arm whose finger tip reaches for a goal, uniform in a disc of radius 0.2."""

    def start(key: Key, model: Any) -> tuple[Array, Array]:
        qpos_key, qvel_key, angle_key, radius_key = jax.random.split(key, 4)
        angle = jax.random.uniform(angle_key, (), jnp.float32, 0.0, 2.0 * jnp.pi)
        radius = 0.2 * jnp.sqrt(jax.random.uniform(radius_key, (), jnp.float32))
        goal = radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        qpos = jnp.asarray(model.qpos0, jnp.float32) + symmetric_uniform(qpos_key, (model.nq,), 0.1)
        qvel = symmetric_uniform(qvel_key, (model.nv,), 0.005)
        return qpos.at[-2:].set(goal), qvel.at[-2:].set(0.0)

    def to_goal(data: Data) -> Array:
        return data.body("fingertip").xpos - data.body("target").xpos

    def observe(data: Data) -> Array:
        angles = data.qpos[:2]
        joints = (jnp.cos(angles), jnp.sin(angles), data.qpos[2:], data.qvel[:2])
        return jnp.concatenate([*joints, to_goal(data)[:2]])

    return {
        "start": start,
        "observe": observe,
        "reward": {
            "reward_dist": (-s["reward_dist_weight"], lambda data: jnp.linalg.norm(to_goal(data))),
            "reward_ctrl": (-s["reward_control_weight"], _effort),
        },
    }


def pusher(s: Settings) -> Arguments:
    """An arm that pushes an object, which starts in a rectangle, but apart from the goal."""

    def start(key: Key, model: Any) -> tuple[Array, Array]:
        object_key, qvel_key = jax.random.split(key)
        low, high = jnp.array([-0.3, -0.2], jnp.float32), jnp.array([0.0, 0.2], jnp.float32)

        def draw(drawn: tuple[Key, Array]) -> tuple[Key, Array]:
            next_key, place_key = jax.random.split(drawn[0])
            return next_key, jax.random.uniform(place_key, (2,), jnp.float32, low, high)

        def is_too_near(drawn: tuple[Key, Array]) -> Array:
            return jnp.linalg.norm(drawn[1]) <= 0.17

        _, place = jax.lax.while_loop(is_too_near, draw, (object_key, jnp.zeros(2, jnp.float32)))
        qpos = jnp.asarray(model.qpos0, jnp.float32).at[-4:-2].set(place).at[-2:].set(0.0)
        return qpos, symmetric_uniform(qvel_key, (model.nv,), 0.005).at[-4:].set(0.0)

    def distance(data: Data, other: str) -> Array:
        return jnp.linalg.norm(data.body("object").xpos - data.body(other).xpos)

    def observe(data: Data) -> Array:
        places = [data.body(name).xpos for name in ("tips_arm", "object", "goal")]
        return jnp.concatenate([data.qpos[:7], data.qvel[:7], *places])

    return {
        "start": start,
        "observe": observe,
        "reward": {
            "reward_near": (-s["reward_near_weight"], lambda data: distance(data, "tips_arm")),
            "reward_dist": (-s["reward_dist_weight"], lambda data: distance(data, "goal")),
            "reward_ctrl": (-s["reward_control_weight"], _effort),
        },
    }


def swimmer(s: Settings) -> Arguments:
    """A swimmer, whose first two joints are its place."""
    noise = s["reset_noise_scale"]
    return {
        "start": start_at(qpos=noise, qvel=noise),
        "observe": _observed(_joints(2, s), s),
        **_running(s),
    }


def half_cheetah(s: Settings) -> Arguments:
    """A runner that never falls."""
    noise = s["reset_noise_scale"]
    return {
        "start": start_at(qpos=noise, qvel=_normal(noise)),
        "observe": _observed(_joints(1, s), s),
        **_running(s),
    }


def hopper(s: Settings) -> Arguments:
    """A leg, high and upright enough, and with no extreme position or velocity."""

    def is_healthy(data: Data) -> Array:
        others = jnp.concatenate([data.qpos, data.qvel])[2:]
        return _inside(others, s["healthy_state_range"]).all() & _is_upright(data, s)

    return _planar_walker(s, is_healthy)


def walker(s: Settings) -> Arguments:
    """Two legs, high and upright enough."""
    return _planar_walker(s, lambda data: _is_upright(data, s))


def ant(s: Settings) -> Arguments:
    """Four legs, or the robot of another model, at an allowed height, the bounds included."""
    low, high = s["healthy_z_range"]

    def forces(data: Data) -> Array:
        return jnp.clip(data.cfrc_ext, *s["contact_force_range"])

    def parts(data: Data) -> Parts:
        return {**_joints(2, s)(data), "cfrc_ext": forces(data)[1:].reshape(-1)}

    noise = s["reset_noise_scale"]
    return {
        "start": start_at(qpos=noise, qvel=_normal(noise)),
        "observe": _observed(parts, s),
        **_walking(
            s,
            lambda data: (low <= data.qpos[2]) & (data.qpos[2] <= high),
            place=lambda data: data.body(s["main_body"]).xpos[:2],
            reward_contact=(
                -s["contact_cost_weight"],
                lambda data: jnp.sum(jnp.square(forces(data))),
            ),
        ),
    }


def humanoid(s: Settings) -> Arguments:
    """A humanoid that walks."""

    def mass_centre(data: Data) -> Array:
        mass = data.model.body_mass
        return (mass @ data.xipos)[:2] / mass.sum()

    return {
        **_humanoid(s),
        **_walking(
            s,
            lambda data: _inside(data.qpos[2], s["healthy_z_range"]),
            place=mass_centre,
            reward_contact=_impact(s["contact_cost_weight"], s["contact_cost_range"]),
        ),
    }


def humanoid_standup(s: Settings) -> Arguments:
    """A humanoid that gets up."""
    return {
        **_humanoid(s),
        "reward": {
            # The height of the root, over the seconds of one step of the simulation.
            "reward_linup": (1.0, lambda data: data.qpos[2] / data.model.opt.timestep),
            "reward_quadctrl": (-s["ctrl_cost_weight"], _effort),
            "reward_impact": _impact(s["impact_cost_weight"], s["impact_cost_range"]),
            "reward_constant": (1.0, lambda data: 1.0),
        },
    }


def _root(data: Data) -> Array:
    """The first two joints, which move the whole body."""
    return data.qpos[:2]


def _running(
    s: Settings, place: Callable[[Data], Array] = _root, **terms: tuple[float, Term]
) -> Arguments:
    """The reward of the velocity of a place f32[2] along x, over a whole step."""

    def velocity(data: Data) -> Array:
        return ((place(data) - data.memory) / data.control_dt)[0]

    return {
        "remember": lambda key, data: place(data),
        "reward": {
            "reward_forward": (s["forward_reward_weight"], velocity),
            "reward_ctrl": (-s["ctrl_cost_weight"], _effort),
            **terms,
        },
    }


def _walking(
    s: Settings,
    is_healthy: Callable[[Data], Array],
    place: Callable[[Data], Array] = _root,
    **terms: tuple[float, Term],
) -> Arguments:
    """The reward of a velocity, and of each step without a fall."""
    if not s["terminate_when_unhealthy"]:
        return _running(s, place, reward_survive=(s["healthy_reward"], is_healthy), **terms)
    survive = (s["healthy_reward"], _goes_on)
    return {**_running(s, place, reward_survive=survive, **terms), **_until(is_healthy)}


def _until(is_healthy: Callable[[Data], Array]) -> Arguments:
    return {"terminate": lambda data: ~is_healthy(data)}


def _goes_on(data: Data) -> Array:
    return ~data.terminated


def _planar_walker(s: Settings, is_healthy: Callable[[Data], Array]) -> Arguments:
    noise = s["reset_noise_scale"]
    return {
        "start": start_at(qpos=noise, qvel=noise),
        "observe": _observed(_joints(1, s, most_speed=10.0), s),
        **_walking(s, is_healthy),
    }


def _humanoid(s: Settings) -> Arguments:
    def parts(data: Data) -> Parts:
        return {
            **_joints(2, s)(data),
            "cinert": data.cinert[1:].reshape(-1),
            "cvel": data.cvel[1:].reshape(-1),
            "qfrc_actuator": data.qfrc_actuator[6:],
            "cfrc_ext": data.cfrc_ext[1:].reshape(-1),
        }

    noise = s["reset_noise_scale"]
    return {"start": start_at(qpos=noise, qvel=noise), "observe": _observed(parts, s)}


def _joints(hidden: int, s: Settings, most_speed: float | None = None) -> Callable[[Data], Parts]:
    """Positions and velocities of all joints.

    Args:
        hidden: how many of the first positions give the place of the body, and may be left out.
        s: the settings.
        most_speed: velocities are clipped to [-most_speed, most_speed]; None for no clipping.
    """
    first = hidden * s["exclude_current_positions_from_observation"]

    def parts(data: Data) -> Parts:
        qvel = data.qvel if most_speed is None else jnp.clip(data.qvel, -most_speed, most_speed)
        return {"qpos": data.qpos[first:], "qvel": qvel}

    return parts


def _observed(parts: Callable[[Data], Parts], s: Settings) -> Callable[[Data], Array]:
    """The observation, made of the parts that the settings include."""

    def observe(data: Data) -> Array:
        shown = [
            part
            for name, part in parts(data).items()
            if s.get(f"include_{name}_in_observation", True)
        ]
        return jnp.concatenate(shown)

    return observe


def _effort(data: Data) -> Array:
    return jnp.sum(jnp.square(data.action))


def _impact(weight: float, bounds: tuple[float, float]) -> tuple[float, Term]:
    """The clipped cost of contact forces."""
    return -1.0, lambda data: jnp.clip(weight * jnp.sum(jnp.square(data.cfrc_ext)), *bounds)


def _is_upright(data: Data, s: Settings) -> Array:
    height, angle = data.qpos[1], data.qpos[2]
    return _inside(height, s["healthy_z_range"]) & _inside(angle, s["healthy_angle_range"])


def _inside(value: Array, bounds: tuple[float, float]) -> Array:
    return (bounds[0] < value) & (value < bounds[1])


def _normal(scale: float) -> Noise:
    return lambda key, shape: scale * jax.random.normal(key, shape, jnp.float32)


_RUNNING: Settings = {
    "forward_reward_weight": 1.0,
    "exclude_current_positions_from_observation": True,
}
_WALKING: Settings = _RUNNING | {"healthy_reward": 1.0, "terminate_when_unhealthy": True}
_HUMANOID: Settings = {
    "ctrl_cost_weight": 0.1,
    "reset_noise_scale": 1e-2,
    "exclude_current_positions_from_observation": True,
    "include_cinert_in_observation": True,
    "include_cvel_in_observation": True,
    "include_qfrc_actuator_in_observation": True,
    "include_cfrc_ext_in_observation": True,
}

TASKS = {
    "InvertedPendulum-v5": Task(
        "inverted_pendulum.xml", 2, {"reset_noise_scale": 0.01}, inverted_pendulum
    ),
    "InvertedDoublePendulum-v5": Task(
        "inverted_double_pendulum.xml",
        5,
        {"healthy_reward": 10.0, "reset_noise_scale": 0.1},
        inverted_double_pendulum,
    ),
    "Reacher-v5": Task(
        "reacher.xml",
        2,
        {"reward_dist_weight": 1.0, "reward_control_weight": 1.0},
        reacher,
        max_episode_steps=50,
    ),
    "Pusher-v5": Task(
        "pusher_v5.xml",
        5,
        {"reward_near_weight": 0.5, "reward_dist_weight": 1.0, "reward_control_weight": 0.1},
        pusher,
        max_episode_steps=100,
    ),
    "Swimmer-v5": Task(
        "swimmer.xml",
        4,
        _RUNNING | {"ctrl_cost_weight": 1e-4, "reset_noise_scale": 0.1},
        swimmer,
    ),
    "HalfCheetah-v5": Task(
        "half_cheetah.xml",
        5,
        _RUNNING | {"ctrl_cost_weight": 0.1, "reset_noise_scale": 0.1},
        half_cheetah,
    ),
    "Hopper-v5": Task(
        "hopper.xml",
        4,
        _WALKING
        | {
            "ctrl_cost_weight": 1e-3,
            "healthy_state_range": (-100.0, 100.0),
            "healthy_z_range": (0.7, float("inf")),
            "healthy_angle_range": (-0.2, 0.2),
            "reset_noise_scale": 5e-3,
        },
        hopper,
    ),
    "Walker2d-v5": Task(
        "walker2d_v5.xml",
        4,
        _WALKING
        | {
            "ctrl_cost_weight": 1e-3,
            "healthy_z_range": (0.8, 2.0),
            "healthy_angle_range": (-1.0, 1.0),
            "reset_noise_scale": 5e-3,
        },
        walker,
    ),
    "Ant-v5": Task(
        "ant.xml",
        5,
        _WALKING
        | {
            "ctrl_cost_weight": 0.5,
            "contact_cost_weight": 5e-4,
            "main_body": 1,
            "healthy_z_range": (0.2, 1.0),
            "contact_force_range": (-1.0, 1.0),
            "reset_noise_scale": 0.1,
            "include_cfrc_ext_in_observation": True,
        },
        ant,
    ),
    "Humanoid-v5": Task(
        "humanoid.xml",
        5,
        _WALKING
        | _HUMANOID
        | {
            "forward_reward_weight": 1.25,
            "contact_cost_weight": 5e-7,
            "contact_cost_range": (-float("inf"), 10.0),
            "healthy_reward": 5.0,
            "healthy_z_range": (1.0, 2.0),
        },
        humanoid,
    ),
    "HumanoidStandup-v5": Task(
        "humanoidstandup.xml",
        5,
        _HUMANOID | {"impact_cost_weight": 0.5e-6, "impact_cost_range": (-float("inf"), 10.0)},
        humanoid_standup,
    ),
}
