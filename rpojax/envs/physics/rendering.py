"""Pictures by MuJoCo's own renderer, for every family whose states are those of a MuJoCo model."""

from collections.abc import Callable
from typing import Any

import numpy as np

from rpojax.envs.base import Render
from rpojax.envs.contexts import no_log_file
from rpojax.types import PyTree
from rpojax.validation import first_line

WIDTH, HEIGHT = 320, 240


def render_with_mujoco(
    name: str, mj_model: Any, place: Callable[[Any, PyTree, int], None]
) -> Render:
    """A renderer, for `Env.render`, of states that a MuJoCo model can show.

    Pictures are taken from the model's first camera, or from outside if it has none.

    Args:
        name: of the environment, for errors.
        mj_model: a `mujoco.MjModel`.
        place: called with a `mujoco.MjData`, states [n, ...] and the index of one; it writes the
            positions of that state into the data.
    """

    @no_log_file()
    def render(states: PyTree) -> np.ndarray:
        import jax
        import mujoco

        renderer = _renderer(name, mj_model)
        try:
            data = mujoco.MjData(mj_model)
            frames = np.empty((len(jax.tree.leaves(states)[0]), HEIGHT, WIDTH, 3), np.uint8)
            for index, frame in enumerate(frames):
                place(data, states, index)
                mujoco.mj_forward(mj_model, data)
                renderer.update_scene(data, camera=0 if mj_model.ncam else -1)
                frame[...] = renderer.render()
        finally:
            renderer.close()
        return frames

    return render


def _renderer(name: str, mj_model: Any) -> Any:
    import mujoco

    try:
        return mujoco.Renderer(mj_model, height=HEIGHT, width=WIDTH)
    except Exception as error:  # each of MuJoCo's OpenGL back ends fails in its own way
        raise ValueError(
            f"environment {name!r}: MuJoCo cannot draw here ({first_line(error)}). Without a "
            "screen, start Python with the environment variable MUJOCO_GL=egl (or osmesa)"
        ) from error
