"""Drawings of gymnax's environments, made with matplotlib and the environment's own parameters.

gymnax's own visualiser needs pygame for some of them, and pyplot; it draws neither Reacher nor
Swimmer.
"""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from rpojax.envs.base import MOST_FPS, Env
from rpojax.envs.drawing import Draw

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes

INK, RAIL, ACCENT, GOAL, DANGER = "#22313f", "#c9d1d6", "#2a6fbb", "#3a9d5d", "#c8553d"


def find_drawing(state: Any, params: Any) -> Draw | None:
    """What draws a state of one of gymnax's environments; None for any other.

    Args:
        state: any state of the environment, or its specs: the type alone counts.
        params: the environment's parameters, which the pictures show.
    """
    module = type(state).__module__
    module_of_params = type(params).__module__
    if module not in DRAWINGS or module_of_params != module:
        return None
    draw_with = DRAWINGS[module]

    def draw(axes: "Axes", env_state: Any) -> None:
        draw_with(axes, env_state, params)

    return draw


def frames_per_second(params: Any) -> float:
    """Frames per second of the environment's own time, by `params.dt`; the default without it."""
    dt = getattr(params, "dt", None)
    if dt is None or isinstance(dt, jax.core.Tracer):
        return Env.render_fps
    return float(np.clip(1.0 / max(float(dt), 1e-3), 1.0, MOST_FPS))


def _draw_pendulum(axes: "Axes", env_state: Any, params: Any) -> None:
    """A rod on a pivot; 0 is upright, angles grow anticlockwise. The arc is the torque."""
    from matplotlib.patches import Arc, Circle

    tip = np.array([-np.sin(env_state.theta), np.cos(env_state.theta)])
    axes.set(xlim=(-1.35, 1.35), ylim=(-1.35, 1.35))
    axes.add_patch(Circle((0.0, 0.0), 1.0, fill=False, edgecolor=RAIL, linestyle=":"))
    axes.plot([0.0, tip[0]], [0.0, tip[1]], color=ACCENT, linewidth=12, solid_capstyle="round")
    axes.add_patch(Circle((0.0, 0.0), 0.05, color=INK, zorder=3))
    share = float(env_state.last_u) / max(float(params.max_torque), 1e-6)
    start, stop = sorted((90.0, 90.0 + 120.0 * share))
    axes.add_patch(Arc((0, 0), 0.5, 0.5, theta1=start, theta2=stop, color=DANGER, linewidth=3))


def _draw_mountain_car(axes: "Axes", env_state: Any, params: Any) -> None:
    """A car in a valley, the flag at the goal; heights as Gymnasium draws them."""
    from matplotlib.patches import Circle, Polygon

    def height(position: Any) -> Any:
        return 0.45 * np.sin(3.0 * position) + 0.55

    left, right = float(params.min_position), float(params.max_position)
    ground = np.linspace(left, right, 100)
    axes.set(xlim=(left - 0.05, right + 0.05), ylim=(-0.4, 1.5))
    axes.fill_between(ground, height(ground), -0.4, color=RAIL, linewidth=0)
    axes.plot(ground, height(ground), color=INK, linewidth=1.5)
    pole = float(params.goal_position)
    top = float(height(pole)) + 0.25
    axes.plot([pole, pole], [top - 0.25, top], color=INK, linewidth=1.5)
    flag = [(pole, top), (pole, top - 0.1), (pole + 0.12, top - 0.05)]
    axes.add_patch(Polygon(flag, color=GOAL))

    slope = np.arctan(3.0 * 0.45 * np.cos(3.0 * env_state.position))
    forward = np.array([np.cos(slope), np.sin(slope)])
    upward = np.array([-np.sin(slope), np.cos(slope)])
    place = np.array([env_state.position, height(env_state.position)])

    def point(along: float, above: float) -> tuple[float, float]:
        return tuple(place + along * forward + above * upward)

    corners = [point(-0.09, 0.03), point(0.09, 0.03), point(0.07, 0.1), point(-0.07, 0.1)]
    axes.add_patch(Polygon(corners, color=ACCENT, zorder=3))
    for wheel in (-0.05, 0.05):
        axes.add_patch(Circle(point(wheel, 0.03), 0.028, color=INK, zorder=4))


def _draw_point_robot(axes: "Axes", env_state: Any, params: Any) -> None:
    """A point on the plane, the goal on a half circle, with the radius in which it counts."""
    from matplotlib.patches import Arc, Circle

    radius = float(params.circle_radius)
    centre = np.array([0.0, 0.5 * radius])
    # Nothing keeps the point near the circle.
    reach = max(1.5 * radius, 1.1 * np.abs(env_state.pos - centre).max())
    axes.set(xlim=(-reach, reach), ylim=(centre[1] - reach, centre[1] + reach))
    circle = Arc((0.0, 0.0), 2 * radius, 2 * radius, theta1=0, theta2=180, color=RAIL, linewidth=2)
    axes.add_patch(circle)
    goal_radius = float(params.goal_radius)
    axes.add_patch(Circle(env_state.goal, goal_radius, color=GOAL, alpha=0.35, linewidth=0))
    axes.add_patch(Circle(env_state.goal, 0.03 * radius, color=GOAL))
    axes.add_patch(Circle(env_state.pos, 0.06 * radius, color=ACCENT, zorder=3))


def _draw_reacher(axes: "Axes", env_state: Any, params: Any) -> None:
    """An arm on a table; the angle of each link, of length 1, is its own, not the joint's."""
    from matplotlib.patches import Circle

    links = np.stack([np.cos(env_state.angles), np.sin(env_state.angles)], axis=1)
    joints = np.concatenate([np.zeros((1, 2)), np.cumsum(links, axis=0)])
    reach = len(links) + 0.35
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
    axes.add_patch(Circle((0.0, 0.0), len(links), fill=False, edgecolor=RAIL, linestyle=":"))
    axes.add_patch(Circle(env_state.goal_xy, 0.12, color=GOAL, zorder=2.5))
    axes.plot(*joints.T, color=ACCENT, linewidth=8, solid_capstyle="round")
    for joint in joints[:-1]:
        axes.add_patch(Circle(joint, 0.07, color=INK, zorder=3))
    axes.add_patch(Circle(joints[-1], 0.09, color=DANGER, zorder=3))


def _draw_swimmer(axes: "Axes", env_state: Any, params: Any) -> None:
    """A swimmer, its goal, and the urchins to keep clear of."""
    from matplotlib.patches import Circle

    reach = max(1.5, 1.1 * np.abs(env_state.xy).max())  # nothing keeps the swimmer near
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
    axes.add_patch(Circle(env_state.goal_xy, 0.08, color=GOAL))
    for urchin in env_state.urchin_xys:
        axes.add_patch(Circle(urchin, 0.25, color=DANGER, alpha=0.2, linewidth=0))
        axes.plot(*urchin, marker=(12, 1, 0), markersize=14, color=DANGER, linewidth=0)
    axes.add_patch(Circle(env_state.xy, 0.06, color=ACCENT, zorder=3))
    tail = np.stack([env_state.xy, env_state.xy - 0.2 * env_state.xy_vel])
    axes.plot(*tail.T, color=ACCENT, linewidth=3, solid_capstyle="round")


DRAWINGS = {
    "gymnax.environments.classic_control.pendulum": _draw_pendulum,
    "gymnax.environments.classic_control.continuous_mountain_car": _draw_mountain_car,
    "gymnax.environments.misc.point_robot": _draw_point_robot,
    "gymnax.environments.misc.reacher": _draw_reacher,
    "gymnax.environments.misc.swimmer": _draw_swimmer,
}
"""By the module that defines the environment's state and parameters."""
