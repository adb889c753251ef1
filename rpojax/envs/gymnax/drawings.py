"""Drawings of gymnax's environments, made with matplotlib and the environment's own parameters.

gymnax's own visualiser draws with pyplot, needs pygame for some of them, and knows neither Reacher
nor Swimmer.
"""

import functools
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
    if module not in DRAWINGS or type(params).__module__ != module:
        return None
    return functools.partial(_draw_with, DRAWINGS[module], params)


def frames_per_second(params: Any) -> float:
    """Frames per second of the environment's own time, by `params.dt`; the default without it."""
    dt = getattr(params, "dt", None)
    if dt is None or isinstance(dt, jax.core.Tracer):
        return Env.render_fps
    return float(np.clip(1.0 / max(float(dt), 1e-3), 1.0, MOST_FPS))


def _draw_with(draw: Any, params: Any, axes: "Axes", env_state: Any) -> None:
    draw(axes, env_state, params)


def _view(axes: "Axes", centre: Any, reach: float) -> None:
    x, y = centre
    axes.set(xlim=(x - reach, x + reach), ylim=(y - reach, y + reach))


def _disc(axes: "Axes", centre: Any, radius: float, color: str, **style: Any) -> None:
    from matplotlib.patches import Circle

    axes.add_patch(Circle(tuple(centre), radius, color=color, **style))


def _rail(axes: "Axes", radius: float, degrees: float = 360.0) -> None:
    from matplotlib.patches import Arc

    axes.add_patch(Arc((0, 0), 2 * radius, 2 * radius, theta2=degrees, color=RAIL, linewidth=2))


def _draw_pendulum(axes: "Axes", env_state: Any, params: Any) -> None:
    """A rod on a pivot; 0 is upright, angles grow anticlockwise. The arc is the torque."""
    from matplotlib.patches import Arc

    _view(axes, (0.0, 0.0), 1.35)
    tip = -np.sin(env_state.theta), np.cos(env_state.theta)
    axes.plot([0.0, tip[0]], [0.0, tip[1]], color=ACCENT, linewidth=12, solid_capstyle="round")
    _disc(axes, (0.0, 0.0), 0.05, INK, zorder=3)
    share = float(env_state.last_u) / max(float(params.max_torque), 1e-6)
    start, stop = sorted((90.0, 90.0 + 120.0 * share))
    axes.add_patch(Arc((0, 0), 0.5, 0.5, theta1=start, theta2=stop, color=DANGER, linewidth=3))


def _draw_mountain_car(axes: "Axes", env_state: Any, params: Any) -> None:
    """A car in a valley, the flag at the goal; heights as Gymnasium draws them."""

    def height(position: Any) -> Any:
        return 0.45 * np.sin(3.0 * position) + 0.55

    left, right = float(params.min_position), float(params.max_position)
    ground, pole = np.linspace(left, right, 100), float(params.goal_position)
    axes.set(xlim=(left - 0.05, right + 0.05), ylim=(-0.4, 1.5))
    axes.fill_between(ground, height(ground), -0.4, color=RAIL, linewidth=0)
    axes.plot(ground, height(ground), color=INK, linewidth=1.5)
    axes.plot([pole, pole], [height(pole), height(pole) + 0.25], color=GOAL, linewidth=3)
    _disc(axes, (env_state.position, height(env_state.position) + 0.06), 0.06, ACCENT)


def _draw_point_robot(axes: "Axes", env_state: Any, params: Any) -> None:
    """A point on the plane, the goal on a half circle, with the radius in which it counts."""
    radius = float(params.circle_radius)
    centre = np.array([0.0, 0.5 * radius])
    # Nothing keeps the point near the circle.
    _view(axes, centre, max(1.5 * radius, 1.1 * np.abs(env_state.pos - centre).max()))
    _rail(axes, radius, 180.0)
    _disc(axes, env_state.goal, float(params.goal_radius), GOAL, alpha=0.35, linewidth=0)
    _disc(axes, env_state.goal, 0.03 * radius, GOAL)
    _disc(axes, env_state.pos, 0.06 * radius, ACCENT, zorder=3)


def _draw_reacher(axes: "Axes", env_state: Any, params: Any) -> None:
    """An arm on a table; the angle of each link, of length 1, is its own, not the joint's."""
    links = np.stack([np.cos(env_state.angles), np.sin(env_state.angles)], axis=1)
    joints = np.concatenate([np.zeros((1, 2)), np.cumsum(links, axis=0)])
    _view(axes, (0.0, 0.0), len(links) + 0.35)
    _rail(axes, len(links))
    _disc(axes, env_state.goal_xy, 0.12, GOAL, zorder=2.5)
    axes.plot(*joints.T, color=ACCENT, linewidth=8, solid_capstyle="round")
    _disc(axes, joints[-1], 0.09, DANGER, zorder=3)


def _draw_swimmer(axes: "Axes", env_state: Any, params: Any) -> None:
    """A swimmer, its goal, and the urchins to keep clear of."""
    _view(axes, (0.0, 0.0), max(1.5, 1.1 * np.abs(env_state.xy).max()))  # it may swim away
    _disc(axes, env_state.goal_xy, 0.08, GOAL)
    for urchin in env_state.urchin_xys:
        _disc(axes, urchin, 0.25, DANGER, alpha=0.2, linewidth=0)
    _disc(axes, env_state.xy, 0.06, ACCENT, zorder=3)
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
