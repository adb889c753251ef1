"""Pictures of states, drawn with matplotlib: a renderer made of a function that draws one state."""

from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np

from rpojax.envs.base import Render
from rpojax.types import PyTree

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes

PIXELS = 320  # width and height of a picture


class Draw(Protocol):
    """Draws one state of an environment."""

    def __call__(self, axes: "Axes", env_state: Any, /) -> Any:
        """Draw into empty square matplotlib axes.

        `env_state` is one state without the batch axis; its leaves are NumPy arrays, except for
        typed PRNG keys, which stay JAX arrays. The result is ignored.
        """


def render_with(draw: Draw) -> Render:
    """A renderer, for `Env.render`, of a function that draws one state.

    It does not use pyplot.
    """

    def render(states: PyTree) -> np.ndarray:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.0, 4.0), dpi=PIXELS / 4.0)
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_axes((0.02, 0.02, 0.96, 0.96))
        axes.set(aspect="equal")
        axes.set_axis_off()
        blank = set(axes.get_children())
        frames = np.empty((len(jax.tree.leaves(states)[0]), PIXELS, PIXELS, 3), np.uint8)
        for index, frame in enumerate(frames):
            # Much faster than axes.clear(), which makes all ticks again.
            for drawn in set(axes.get_children()) - blank:
                drawn.remove()
            axes.relim()
            axes.autoscale()
            axes.set_prop_cycle(None)
            draw(axes, jax.tree.map(lambda leaf, index=index: leaf[index], states))
            canvas.draw()
            frame[...] = np.asarray(canvas.buffer_rgba())[..., :3]
        return frames

    return render
