"""Moving pictures of a trained agent: `render_episode` writes one episode as a GIF.

Each environment has a function that draws one of its states with matplotlib. gymnax's own
visualiser would need pygame for some of them, and pyplot; it draws neither Reacher nor Swimmer.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import jax
import numpy as np

from rpojax.agent.policy import recurrent_policy_for
from rpojax.config import Config
from rpojax.core.model import Model, make_model
from rpojax.types import Key, PyTree, TrainState
from rpojax.validation import Interval, number_in, whole_number

if TYPE_CHECKING:  # matplotlib takes its time to import
    from matplotlib.axes import Axes

Draw: TypeAlias = Callable[["Axes", Any], None]

DEFAULT_MAX_STEPS = 1000  # where an environment has no time limit of its own
DEFAULT_FPS = 30
PIXELS = 320  # width and height of a picture
MOST_COLORS = 64

INK, RAIL, ACCENT, GOAL, DANGER = "#22313f", "#c9d1d6", "#2a6fbb", "#3a9d5d", "#c8553d"


class Drawing(NamedTuple):
    """How an environment looks."""

    draw: Draw  # (axes, one state of the environment, of numpy arrays)
    fps: int  # frames per second of its own time, or what is good to look at


def render_episode(
    cfg: Config,
    state: TrainState,
    path: str | Path,
    key: Key,
    *,
    max_steps: int | None = None,
    fps: float | None = None,
    draw: Draw | None = None,
) -> None:
    """Write one episode of the deterministic, unperturbed policy as an animated GIF.

    There is a picture of each state in which the agent acts: the state that ends the episode has
    given way to the next episode's first, and is not shown.

    Args:
        cfg: what the agent was trained with.
        state: of one agent; take one of many with `TrainResult.select`.
        path: of the file, with the suffix ".gif"; one that exists is replaced.
        key: for the start and the environment.
        max_steps: where to stop an episode that goes on; None for the environment's own limit, or
            1000 if it has none.
        fps: frames per second, at most 50, as far as browsers follow; None for the environment's
            own time, or 30.
        draw: called with empty square axes and with what to draw in them, one state of the
            environment (the pytree that `Env.reset` makes, of numpy arrays without the batch
            axis). None for the drawing that comes with the environment of that name, which shows
            its default parameters.

    Raises:
        ValueError: `state` holds several agents; the environment has no drawing and none is
            given; another suffix; `fps` or `max_steps` out of range.
    """
    model = make_model(cfg)
    env = model.env
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise ValueError(f"path = {str(path)!r} is not the name of a GIF; let it end in .gif")
    if draw is None and env.name not in DRAWINGS:
        raise ValueError(
            f"env = {env.name!r} has no drawing; there are some for {', '.join(DRAWINGS)}; give "
            "a function of your own, draw=lambda axes, env_state: ..."
        )
    drawing = DRAWINGS[env.name] if draw is None else Drawing(draw, DEFAULT_FPS)
    fps = number_in("fps", drawing.fps if fps is None else fps, Interval(0.0, 50.0, False))
    limit = env.max_episode_steps or DEFAULT_MAX_STEPS
    limit = limit if max_steps is None else whole_number("max_steps", max_steps)
    env_states, rewards = _play(model, state, key, limit)
    _write_gif(path, drawing.draw, env_states, rewards, fps)


def _play(model: Model, state: TrainState, key: Key, limit: int) -> tuple[PyTree, np.ndarray]:
    """One episode of n steps, `limit` at most: the states acted in [n, ...], the rewards f32[n]."""
    env, network = model.env, model.network
    act = recurrent_policy_for(model, state)

    def step(
        playing: tuple[PyTree, PyTree, PyTree], key: Key
    ) -> tuple[tuple[PyTree, PyTree, PyTree], PyTree]:
        env_state, obs, carry = playing
        action, carry = act(obs, carry)
        next_state, timestep = env.step(key[None], env_state, action)
        done = timestep.terminated | timestep.truncated
        return (next_state, timestep.obs, carry), (env_state, timestep.reward, done)

    @jax.jit
    def play(key: Key) -> PyTree:
        reset_key, step_key = jax.random.split(key)
        start = (*env.reset(reset_key[None]), network.initial_carry((1,)))
        return jax.lax.scan(step, start, jax.random.split(step_key, limit))[1]

    env_states, rewards, done = jax.tree.map(lambda leaf: np.asarray(leaf)[:, 0], play(key))
    ends = np.flatnonzero(done)
    length = ends[0] + 1 if ends.size else limit
    return jax.tree.map(lambda leaf: leaf[:length], env_states), rewards[:length]


def _write_gif(path: Path, draw: Draw, env_states: PyTree, rewards: np.ndarray, fps: float) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(4.0, 4.0), dpi=PIXELS / 4.0)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.96))
    axes.set(aspect="equal")
    axes.set_axis_off()
    blank = set(axes.get_children())
    frames = []
    for index, total in enumerate(np.cumsum(rewards) - rewards):
        # Far quicker than axes.clear(), which makes all ticks anew.
        for drawn in set(axes.get_children()) - blank:
            drawn.remove()
        axes.relim()
        axes.autoscale()
        axes.set_prop_cycle(None)
        draw(axes, jax.tree.map(lambda leaf, index=index: leaf[index], env_states))
        caption = f"step {index}   return {total:.1f}"
        axes.text(0.02, 0.98, caption, transform=axes.transAxes, va="top", color=INK, fontsize=9)
        canvas.draw()
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        frames.append(picture.quantize(MOST_COLORS, dither=Image.Dither.NONE))
    first, *rest = frames
    first.save(path, "GIF", save_all=True, append_images=rest, duration=round(1000 / fps), loop=0)


def _draw_pendulum(axes: "Axes", env_state: Any) -> None:
    """A rod on a pivot; 0 is upright, angles grow anticlockwise. The bar is the torque."""
    from matplotlib.patches import Arc, Circle

    tip = np.array([-np.sin(env_state.theta), np.cos(env_state.theta)])
    axes.set(xlim=(-1.35, 1.35), ylim=(-1.35, 1.35))
    axes.add_patch(Circle((0.0, 0.0), 1.0, fill=False, edgecolor=RAIL, linestyle=":"))
    axes.plot([0.0, tip[0]], [0.0, tip[1]], color=ACCENT, linewidth=12, solid_capstyle="round")
    axes.add_patch(Circle((0.0, 0.0), 0.05, color=INK, zorder=3))
    torque = float(env_state.last_u)
    start, stop = sorted((90.0, 90.0 + 60.0 * torque))
    axes.add_patch(Arc((0, 0), 0.5, 0.5, theta1=start, theta2=stop, color=DANGER, linewidth=3))


def _draw_mountain_car(axes: "Axes", env_state: Any) -> None:
    """A car in a valley, the flag on the right hill; heights as Gymnasium draws them."""
    from matplotlib.patches import Circle, Polygon

    def height(position: Any) -> Any:
        return 0.45 * np.sin(3.0 * position) + 0.55

    ground = np.linspace(-1.2, 0.6, 100)
    axes.set(xlim=(-1.25, 0.65), ylim=(-0.4, 1.5))
    axes.fill_between(ground, height(ground), -0.4, color=RAIL, linewidth=0)
    axes.plot(ground, height(ground), color=INK, linewidth=1.5)
    pole, top = 0.45, float(height(0.45)) + 0.25
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


def _draw_point_robot(axes: "Axes", env_state: Any) -> None:
    """A point on the plane, the goal on a half circle, with the radius in which it counts."""
    from matplotlib.patches import Arc, Circle

    centre = np.array([0.0, 0.5])
    reach = max(1.5, 1.1 * np.abs(env_state.pos - centre).max())  # nothing keeps it near
    axes.set(xlim=(-reach, reach), ylim=(0.5 - reach, 0.5 + reach))
    axes.add_patch(Arc((0.0, 0.0), 2.0, 2.0, theta1=0, theta2=180, color=RAIL, linewidth=2))
    axes.add_patch(Circle(env_state.goal, 0.2, color=GOAL, alpha=0.35, linewidth=0))
    axes.add_patch(Circle(env_state.goal, 0.03, color=GOAL))
    axes.add_patch(Circle(env_state.pos, 0.06, color=ACCENT, zorder=3))


def _draw_reacher(axes: "Axes", env_state: Any) -> None:
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


def _draw_swimmer(axes: "Axes", env_state: Any) -> None:
    """A swimmer that is to come near the goal and keep clear of the urchins."""
    from matplotlib.patches import Circle

    reach = max(1.5, 1.1 * np.abs(env_state.xy).max())  # nothing keeps it near
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
    axes.add_patch(Circle(env_state.goal_xy, 0.08, color=GOAL))
    for urchin in env_state.urchin_xys:
        axes.add_patch(Circle(urchin, 0.25, color=DANGER, alpha=0.2, linewidth=0))
        axes.plot(*urchin, marker=(12, 1, 0), markersize=14, color=DANGER, linewidth=0)
    axes.add_patch(Circle(env_state.xy, 0.06, color=ACCENT, zorder=3))
    tail = np.stack([env_state.xy, env_state.xy - 0.2 * env_state.xy_vel])
    axes.plot(*tail.T, color=ACCENT, linewidth=3, solid_capstyle="round")


DRAWINGS = {
    "Pendulum-v1": Drawing(_draw_pendulum, fps=20),
    "MountainCarContinuous-v0": Drawing(_draw_mountain_car, fps=30),
    "PointRobot-misc": Drawing(_draw_point_robot, fps=20),
    "Reacher-misc": Drawing(_draw_reacher, fps=20),
    "Swimmer-misc": Drawing(_draw_swimmer, fps=20),
}
"""By the name of the environment."""
