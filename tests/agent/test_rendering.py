"""Moving pictures: the file, what it shows, and that the episode is the policy's."""

import dataclasses
import itertools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from matplotlib.colors import same_color
from matplotlib.patches import Circle
from PIL import Image, ImageSequence

import rpojax
from rpojax import Config, NetworkConfig, render_episode
from rpojax.agent import rendering
from rpojax.envs.gymnax.family import NAMES

CFG = Config(
    num_envs=4,
    num_steps=8,
    num_minibatches=1,
    total_timesteps=32,
    network=NetworkConfig(hidden_sizes=(8,)),
)
KEY = jax.random.key(3)


class Homing:
    """A point on a line; an episode ends after 3 steps, and is cut off after 5."""

    name = "Homing"
    default_params = None

    def __init__(self, ends=True):
        self.ends = ends

    def action_space(self, params):
        return spaces.Box(-1.0, 1.0, (1,))

    def reset_env(self, key, params):
        state = {"position": jax.random.uniform(key), "time": jnp.array(0)}
        return state["position"][None], state

    def step_env(self, key, state, action, params):
        position = state["position"] + 0.1 * action[0]
        state = {"position": position, "time": state["time"] + 1}
        return position[None], state, -1.0, self.ends & (state["time"] >= 3), {}

    def is_truncated(self, state, params):
        return state["time"] >= 5


HOMING = CFG.replace(env=rpojax.envs.from_gymnax(Homing()))


def agent(cfg: Config) -> rpojax.TrainState:
    return jax.jit(rpojax.make_trainer(cfg).init)(jax.random.key(0))


@pytest.fixture(scope="module")
def state():
    return agent(CFG)


@pytest.fixture(scope="module")
def homing_state():
    return agent(HOMING)


def frames(path) -> list[np.ndarray]:
    with Image.open(path) as image:
        assert image.format == "GIF"
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_continuous_environment_of_gymnax_has_a_moving_picture(name, tmp_path):
    cfg = CFG.replace(env=name)
    path = tmp_path / "episode.gif"
    render_episode(cfg, agent(cfg), path, KEY, max_steps=6)
    pictures = frames(path)
    assert len(pictures) == 7
    assert all(picture.shape == (340, 320, 3) for picture in pictures)
    below_the_caption = [picture[20:] for picture in pictures]
    assert all(np.any(a != b) for a, b in itertools.pairwise(below_the_caption))
    for picture in below_the_caption:
        assert 0.003 < np.mean(np.any(picture != picture[-1, -1], axis=-1)) < 0.9


def test_the_episode_is_the_policys_own(state, tmp_path):
    """Each state drawn follows from the one before by the mean action."""
    drawn = []

    def draw(axes, env_state):
        drawn.append(env_state)
        axes.plot([0.0, env_state.theta])

    render_episode(CFG, state, tmp_path / "episode.gif", KEY, draw=draw)
    assert [int(each.time) for each in drawn] == list(range(201))
    assert all(type(each.theta) is np.float32 for each in drawn)  # out of the device and its batch
    theta = np.array([each.theta for each in drawn])
    velocity = np.array([each.theta_dot for each in drawn])
    torque = np.array([each.last_u for each in drawn])
    obs = np.stack([np.cos(theta), np.sin(theta), velocity], axis=1)
    act = rpojax.make_policy(CFG, state)
    np.testing.assert_allclose(torque[1:], act(obs[:-1])[:, 0], atol=1e-5)
    np.testing.assert_allclose(theta[1:], theta[:-1] + 0.05 * velocity[1:], atol=1e-5)


def test_the_episode_ends_where_it_ends(homing_state, tmp_path):
    def draw(axes, env_state):
        axes.plot(env_state["position"], env_state["time"], "o")

    path = tmp_path / "episode.gif"
    render_episode(HOMING, homing_state, path, KEY, draw=draw)
    assert len(frames(path)) == 4  # with the state that ends the episode
    endless = CFG.replace(env=rpojax.envs.from_gymnax(Homing(ends=False)))
    render_episode(endless, homing_state, path, KEY, draw=draw)
    assert len(frames(path)) == 6  # cut off, by a limit that the environment does not tell
    render_episode(endless, homing_state, path, KEY, draw=draw, max_steps=2)
    assert len(frames(path)) == 3


def test_each_picture_starts_empty(homing_state, tmp_path):
    seen = []

    def draw(axes, env_state):
        nothing = not (axes.lines or axes.patches or axes.texts)
        (line,) = axes.plot([0, 3 - env_state["time"]])
        blue = same_color(line.get_color(), "C0")
        seen.append((nothing, blue, round(float(axes.get_ylim()[1]), 2)))
        axes.add_patch(Circle((0.0, 0.0), 1.0))
        axes.set_ylim(-9, 9)

    render_episode(HOMING, homing_state, tmp_path / "episode.gif", KEY, draw=draw)
    assert seen == [(True, True, top) for top in (3.15, 2.1, 1.05, 0.06)]


@pytest.mark.parametrize(("fps", "milliseconds"), [(None, 50), (10, 100), (50, 20)])
def test_frames_per_second(state, fps, milliseconds, tmp_path):
    render_episode(CFG, state, tmp_path / "episode.gif", KEY, max_steps=2, fps=fps)
    with Image.open(tmp_path / "episode.gif") as image:
        assert image.info["duration"] == milliseconds
        assert image.info["loop"] == 0  # for ever


def test_pictures_of_a_faster_environment_are_as_fast_as_browsers_show(state, tmp_path):
    cfg = CFG.replace(env=dataclasses.replace(rpojax.envs.make(CFG.env), render_fps=60))
    render_episode(cfg, state, tmp_path / "episode.gif", KEY, max_steps=2)
    with Image.open(tmp_path / "episode.gif") as image:
        assert image.info["duration"] == 20


def test_pyplot_is_left_alone(tmp_path):
    program = f"""
import sys, jax, rpojax
assert "matplotlib" not in sys.modules and "PIL" not in sys.modules

class Still:
    name, default_params = "Still", None
    def action_space(self, params):
        class Box: low, high, shape = -1.0, 1.0, (1,)
        return Box
    def reset_env(self, key, params):
        return jax.numpy.zeros(1), jax.numpy.zeros(1)
    def step_env(self, key, state, action, params):
        return state, state, 0.0, False, {{}}

cfg = rpojax.Config(
    env=Still(), num_envs=2, num_steps=2, num_minibatches=1, total_timesteps=4,
    network=rpojax.NetworkConfig(hidden_sizes=(4,)),
)
sys.modules["gymnax"] = None  # it would bring pyplot itself
state = jax.jit(rpojax.make_trainer(cfg).init)(jax.random.key(0))
rpojax.render_episode(
    cfg, state, {str(tmp_path / "episode.gif")!r}, jax.random.key(0), max_steps=2,
    draw=lambda axes, env_state: axes.plot(env_state),
)
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def with_render(render):
    return HOMING.replace(env=dataclasses.replace(HOMING.env, render=render, render_fps=10))


def test_the_environments_own_renderer_is_used_unless_a_drawing_is_given(homing_state, tmp_path):
    seen, drawn = [], []

    def render(states):
        seen.append(states)
        shades = 50 * states["time"].astype(np.uint8)
        return np.broadcast_to(shades[:, None, None, None], (len(shades), 60, 160, 3))

    path = tmp_path / "episode.gif"
    cfg = with_render(render)
    render_episode(cfg, homing_state, path, KEY)
    (states,) = seen  # of the whole episode in one call, on the host
    assert type(states["position"]) is np.ndarray
    np.testing.assert_array_equal(states["time"], [0, 1, 2, 3])
    pictures = frames(path)
    assert [picture.shape for picture in pictures] == [(80, 160, 3)] * 4
    for picture, shade in zip(pictures, [0, 50, 100, 150], strict=True):
        np.testing.assert_allclose(picture[20:], shade, atol=2)
        assert picture[:20].min() < 100 < picture[:20].mean()  # the caption, on white
    with Image.open(path) as image:
        assert image.info["duration"] == 100
    render_episode(cfg, homing_state, path, KEY, draw=lambda axes, _: drawn.append("given"))
    assert drawn == ["given"] * 4
    assert len(seen) == 1


@pytest.mark.parametrize(
    "pictures",
    [
        np.zeros((4, 8, 8, 3), np.float32),
        np.zeros((4, 8, 8, 4), np.uint8),
        np.zeros((3, 8, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.uint8),
    ],
    ids=["floats", "alpha", "one too few", "one"],
)
def test_what_a_renderer_returns_is_checked(pictures, homing_state, tmp_path):
    message = r"'Homing': render returns .* for 4 states; return RGB pictures, uint8\[4, height"
    with pytest.raises(ValueError, match=message):
        render_episode(with_render(lambda _: pictures), homing_state, tmp_path / "a.gif", KEY)


def test_states_with_typed_keys_are_drawn(tmp_path):
    class Keyed(Homing):
        def reset_env(self, key, params):
            obs, state = super().reset_env(key, params)
            return obs, state | {"key": key}

        def step_env(self, key, state, action, params):
            obs, following, *rest = super().step_env(key, state, action, params)
            return obs, following | {"key": jax.random.split(state["key"])[0]}, *rest

    keys = []
    cfg = CFG.replace(env=rpojax.envs.from_gymnax(Keyed()))
    path = tmp_path / "episode.gif"
    render_episode(cfg, agent(cfg), path, KEY, draw=lambda axes, state: keys.append(state["key"]))
    assert len({tuple(jax.random.key_data(key).tolist()) for key in keys}) == 4


def test_an_mp4_has_the_pictures_of_the_gif(homing_state, tmp_path):
    """One that has an odd number of pixels too."""
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="needs rpojax[video]")
    pictures = np.zeros((4, 65, 33, 3), np.uint8)
    pictures[:, :, :, 0] = np.array([40, 90, 140, 190], np.uint8)[:, None, None]
    cfg = with_render(lambda _: pictures)
    render_episode(cfg, homing_state, tmp_path / "episode.mp4", KEY, fps=10)
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "episode.mp4"))
    told = next(reader)
    assert (told["codec"], told["size"], told["fps"]) == ("h264", (34, 86), 10)
    shown = [np.frombuffer(frame, np.uint8).reshape(86, 34, 3) for frame in reader]
    reds = [int(frame[40, 16, 0]) for frame in shown]
    np.testing.assert_allclose(reds, [40, 90, 140, 190], atol=12)


def test_without_ffmpeg_an_mp4_is_refused_before_the_episode(state, tmp_path, monkeypatch):
    monkeypatch.setattr(rendering, "_ffmpeg", lambda: None)
    with pytest.raises(ValueError, match=r"a.mp4' needs ffmpeg.*pip install imageio-ffmpeg, or"):
        render_episode(CFG, state, tmp_path / "a.mp4", KEY)


def test_errors_say_what_to_do(state, homing_state, tmp_path):
    path = tmp_path / "episode.gif"
    with pytest.raises(ValueError, match=r"'Homing' has no renderer; .*draw=lambda"):
        render_episode(HOMING, homing_state, path, KEY)
    with pytest.raises(ValueError, match=r"a.avi' ends in neither .gif nor .mp4; give a file name"):
        render_episode(CFG, state, tmp_path / "a.avi", KEY)
    with pytest.raises(ValueError, match=r"fps = 60 is out of range; .* \[0.01, 50\]"):
        render_episode(CFG, state, path, KEY, fps=60)
    with pytest.raises(ValueError, match="max_steps = 0 is not allowed"):
        render_episode(CFG, state, path, KEY, max_steps=0)
    several = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), state)
    with pytest.raises(ValueError, match=r"agents of shape \(2,\); .*select"):
        render_episode(CFG, several, path, KEY)
    assert not path.exists()
