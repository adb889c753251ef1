"""Moving pictures of a trained agent: `render_episode` writes one episode as a GIF or an MP4.

An environment brings its own renderer, `Env.render`; a function of the user's can replace it.
"""

import importlib.util
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.agent.inputs import episode_limit
from rpojax.agent.policy import recurrent_policy_for
from rpojax.core.invalid import end_where_invalid
from rpojax.core.model import Model, make_model
from rpojax.envs import Draw, Env, Render, render_with
from rpojax.envs.base import MOST_FPS, Params
from rpojax.envs.params import resolve_params
from rpojax.files import replaced
from rpojax.programs.protocols import EnvParams
from rpojax.settings.config import Config
from rpojax.trees import is_key, select
from rpojax.types import Array, Key, PyTree, TrainState
from rpojax.validation import Interval, number_in

if TYPE_CHECKING:
    from PIL import Image

CAPTION_PIXELS = 20  # height of the line above each picture
FONT_PIXELS = 12
INK = "#22313f"
MOST_COLORS = 64
LEAST_FPS = 0.01  # a GIF has room for 655 seconds of a picture


def render_episode(
    cfg: Config,
    state: TrainState,
    path: str | Path,
    key: Key,
    *,
    max_steps: int | None = None,
    fps: float | None = None,
    draw: Draw | None = None,
    env_params: EnvParams | None = None,
) -> None:
    """Write one episode of the deterministic, unperturbed policy as an animated GIF or an MP4.

    There is a picture of the first state and of the state after each step, with the one that ends
    the episode.

    Args:
        cfg: what the agent was trained with.
        state: of one agent; take one of many with `TrainResult.select`.
        path: of the file, with the suffix ".gif" or, where ffmpeg or the package imageio-ffmpeg
            is installed, ".mp4"; one that exists is replaced.
        key: for the start and the environment.
        max_steps: after which to stop the episode; None for the environment's own limit, or 1000 if
            it has none.
        fps: frames per second, 0.01 to 50, which is what browsers show; None for `Env.render_fps`,
            or 50 if that is more.
        draw: called with empty square axes and one state of the environment; see
            `rpojax.envs.Draw`. None for the environment's own `Env.render`.
        env_params: parameters of the environment to change, as for `make_train`; pictures show
            states, and are drawn with the default ones.

    Raises:
        ValueError: `state` is not one that `make_policy` takes; the environment has no renderer and
            `draw` is None; another suffix, or ".mp4" without ffmpeg; `fps` or `max_steps` out of
            range.
        OSError: the file cannot be written.
    """
    model = make_model(cfg)
    env = model.env
    params = resolve_params(env, env_params)
    path = video_path(path)
    render = env.render if draw is None else render_with(draw)
    if render is None:
        raise ValueError(
            f"env = {env.name!r} has no renderer; give a function, "
            "draw=lambda axes, env_state: ..., or set the field render of the Env"
        )
    fps = min(env.render_fps, MOST_FPS) if fps is None else fps
    fps = number_in("fps", fps, Interval(LEAST_FPS, MOST_FPS))
    env_states, rewards = _play(model, state, key, params, episode_limit(env, max_steps))
    write_video(path, _frames(env, render, env_states), rewards, fps)


def _play(
    model: Model, state: TrainState, key: Key, params: Params, limit: int
) -> tuple[PyTree, np.ndarray]:
    """One episode of n steps, `limit` at most: all states [n + 1, ...], the rewards f32[n]."""
    env, network = model.env, model.network
    act = recurrent_policy_for(model, state)

    def step(
        playing: tuple[PyTree, PyTree, PyTree], key: Key
    ) -> tuple[tuple[PyTree, PyTree, PyTree], PyTree]:
        env_state, obs, carry = playing
        action, carry = act(obs, carry)
        next_state, timestep = env.step(key[None], env_state, action, params)
        timestep, invalid = end_where_invalid(obs, timestep)
        next_state = select(invalid, env_state, next_state)  # a renderer may fail on NaN
        done = timestep.terminated | timestep.truncated
        return (next_state, timestep.obs, carry), (next_state, timestep.reward, done)

    @jax.jit
    def play(key: Key) -> PyTree:
        reset_key, step_key = jax.random.split(key)
        first, obs = env.reset(reset_key[None], params)
        start = (first, obs, network.initial_carry((1,)))
        states, rewards, done = jax.lax.scan(step, start, jax.random.split(step_key, limit))[1]
        states = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, states)
        return states, rewards, done

    env_states, rewards, done = jax.tree.map(lambda leaf: _to_host(leaf[:, 0]), play(key))
    ends = np.flatnonzero(done)
    length = ends[0] + 1 if ends.size else limit
    return jax.tree.map(lambda leaf: leaf[: length + 1], env_states), rewards[:length]


def _to_host(leaf: Array) -> Any:
    """A NumPy array; typed PRNG keys, which NumPy cannot hold, stay as they are."""
    return leaf if is_key(leaf) else np.asarray(leaf)


def _frames(env: Env, render: Render, env_states: PyTree) -> np.ndarray:
    """Pictures uint8[n, height, width, 3] of states [n, ...]."""
    frames = np.asarray(render(env_states))
    count = len(jax.tree.leaves(env_states)[0])
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[::3] != (count, 3):
        raise ValueError(
            f"environment {env.name!r}: render returns {frames.dtype}{list(frames.shape)} for "
            f"{count} states; return RGB pictures, uint8[{count}, height, width, 3]"
        )
    return frames


def video_path(path: str | Path, name: str = "path") -> Path:
    """The path of a GIF or MP4 to write; ValueError for another suffix, or without ffmpeg."""
    path = Path(path)
    if path.suffix.lower() not in (".gif", ".mp4"):
        raise ValueError(
            f"{name} = {str(path)!r} ends in neither .gif nor .mp4; give a file name that does"
        )
    if path.suffix.lower() == ".mp4" and _ffmpeg() is None:
        raise ValueError(
            f"{name} = {str(path)!r} needs ffmpeg, which is not installed; run: "
            "pip install imageio-ffmpeg, or give a name that ends in .gif"
        )
    return path


def write_video(path: Path, frames: np.ndarray, rewards: np.ndarray, fps: float) -> None:
    """Write pictures [n + 1, ...] with a line above each: the step, and the return so far.

    Args:
        path: as `video_path` returned it.
        frames: uint8[n + 1, height, width, 3].
        rewards: f32[n].
        fps: pictures per second.

    Raises:
        OSError: the file cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(FONT_PIXELS)
    pictures = []
    for index, total in enumerate([0.0, *np.cumsum(rewards)]):
        picture = Image.new("RGB", (frames.shape[2], frames.shape[1] + CAPTION_PIXELS), "white")
        picture.paste(Image.fromarray(frames[index]), (0, CAPTION_PIXELS))
        caption = f"step {index}   return {total:.1f}"
        ImageDraw.Draw(picture).text((6, 3), caption, INK, font)
        pictures.append(picture)
    if path.suffix.lower() == ".mp4":
        with replaced(path) as draft:
            _write_mp4(draft, pictures, fps)
        return
    first, *rest = [picture.quantize(MOST_COLORS, dither=Image.Dither.NONE) for picture in pictures]
    with replaced(path) as draft:
        first.save(
            draft, "GIF", save_all=True, append_images=rest, duration=round(1000 / fps), loop=0
        )


def _write_mp4(path: Path, pictures: "Sequence[Image.Image]", fps: float) -> None:
    """Let ffmpeg encode pictures of one size, which H.264 needs even."""
    width, height = pictures[0].size
    source = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps} -i -"
    encoded = "-vf pad=ceil(iw/2)*2:ceil(ih/2)*2 -pix_fmt yuv420p -movflags +faststart"
    finished = subprocess.run(
        [str(_ffmpeg()), "-y", "-loglevel", "error", *source.split(), *encoded.split(),
         str(path.absolute())],
        input=b"".join(picture.tobytes() for picture in pictures),
        capture_output=True,
    )  # fmt: skip
    if finished.returncode:
        lines = finished.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise OSError(f"ffmpeg failed to write {str(path)!r}: {lines[-1]}")


def _ffmpeg() -> str | None:
    """The ffmpeg of the system or of the package imageio-ffmpeg; None without either."""
    found = shutil.which("ffmpeg")
    if found is None and importlib.util.find_spec("imageio_ffmpeg"):
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    return found
