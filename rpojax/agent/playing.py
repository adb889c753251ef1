"""Policies in simulators that step on the host, at the control period: sim-to-sim.

A simulator is one of Gymnasium's environments, such as its MuJoCo tasks in MuJoCo's own engine, or
an `Env`, of which one episode is stepped at a time.
"""

import contextlib
import importlib
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from rpojax import envs
from rpojax.agent.contract import named
from rpojax.agent.evaluation import Evaluation
from rpojax.agent.inputs import DEFAULT_EPISODE_LIMIT
from rpojax.agent.policy import Policy, RecurrentPolicy, trained_policy
from rpojax.agent.rendering import video_path, write_video
from rpojax.envs.base import MOST_FPS, Env, as_bounds, is_valid
from rpojax.envs.registry import family_and_name
from rpojax.settings.values import import_path
from rpojax.validation import show, whole_number

MOST_SEED = 2**31 - 1
IN_GYMNASIUM = ("mjx", "mujoco")
"""Families whose environments Gymnasium has under the same names, in MuJoCo's C simulator."""


class Acting(RecurrentPolicy, Protocol):
    """A policy on the host: an `ExportedPolicy`, or one of `make_recurrent_policy`."""

    @property
    def env(self) -> Env:
        """The environment that it was trained in, or a description of it."""


class Played(NamedTuple):
    """Episodes that were played on the host, N of them."""

    evaluation: Evaluation  # NumPy arrays [N], no metrics
    # f64[steps] seconds from the moment when a step was due until its action was there
    lateness: np.ndarray
    control_dt: float | None  # seconds from one step to the next; None: not known

    @property
    def missed(self) -> int:
        """Steps whose action came after the next step was due."""
        return 0 if self.control_dt is None else int(np.sum(self.lateness > self.control_dt))

    def report(self) -> dict[str, Any]:
        """Returns and lateness as plain values, for JSON."""
        p50, p99 = 1000.0 * np.percentile(self.lateness, [50, 99])
        return {
            "episode_return": self.evaluation.episode_return.tolist(),
            "episode_length": self.evaluation.episode_length.tolist(),
            "steps": len(self.lateness),
            "control_dt": self.control_dt,
            "lateness_ms": {"p50": float(p50), "p99": float(p99)},
            "missed_deadlines": self.missed,
        }


def play(
    policy: Acting | Policy | RecurrentPolicy,
    env: Any,
    num_episodes: int = 1,
    seed: int = 0,
    *,
    realtime: bool = True,
    max_steps: int | None = None,
    video: str | Path | None = None,
    viewer: bool = False,
) -> Played:
    """Let a policy drive a simulator on the host, one step every control period.

    Args:
        policy: what `load_policy`, `make_policy` or `make_recurrent_policy` returns.
        env: name of an environment of Gymnasium or, with the prefix of a family, of rpojax (where
            "mjx/Hopper-v5" stands for Gymnasium's Hopper-v5); the path module:object of your own;
            a `gymnasium.Env`, which stays open; or an `Env`, such as one of your own robot.
        num_episodes: N.
        seed: episode i begins with `env.reset(seed=seed + i)`.
        realtime: wait until each step is due; False to step as fast as possible.
        max_steps: after which to stop an episode; None for the environment's own limit, or 1000 if
            it has none.
        video: GIF or MP4 to write of the first episode.
        viewer: show a window; by default there is none.

    Raises:
        ValueError: no policy; other observations, actions or control period than the policy's; no
            such environment; one without pictures and a `video`; `realtime` without a control
            period; a package that is not installed.
    """
    acting: Any = policy if hasattr(policy, "env") else trained_policy(policy)
    num_episodes = whole_number("num_episodes", num_episodes)
    seed = whole_number("seed", seed, least=0, most=MOST_SEED)
    path = None if video is None else video_path(video, "video")
    if viewer and path is not None:
        raise ValueError("viewer = True and video need two ways of rendering; give one of them")
    mode = "human" if viewer else None if path is None else "rgb_array"
    with simulator(env, mode) as playing:
        _check_spaces(acting.env, playing)
        period = _period(acting.env, playing, realtime)
        clock = _Clock(period if realtime else None)
        limit = _limit(playing, max_steps)
        if path is not None and playing.render_mode != "rgb_array":
            raise ValueError(
                f"env = {_name(playing)!r} has render_mode = {playing.render_mode!r}, which gives "
                'no pictures for a video; make it with render_mode="rgb_array"'
            )
        episodes = [
            _episode(acting, playing, seed + index, limit, clock, path is not None and index == 0)
            for index in range(num_episodes)
        ]
    if path is not None:
        fps = min(playing.metadata.get("render_fps", Env.render_fps), MOST_FPS)
        write_video(path, np.stack(episodes[0].frames), np.array(episodes[0].rewards), fps)
    arrays: dict[str, Any] = {
        "episode_return": np.array([sum(each.rewards) for each in episodes], np.float32),
        "episode_length": np.array([len(each.rewards) for each in episodes], np.int32),
        "finished": np.array([each.finished for each in episodes]),
        "invalid": np.array([each.invalid for each in episodes]),
    }
    return Played(Evaluation(**arrays, metrics={}), np.array(clock.lateness), period)


def gymnasium_name(name: str) -> str | None:
    """What Gymnasium calls an environment; None for one that rpojax makes."""
    family, short = family_and_name(name)
    if family in IN_GYMNASIUM:
        return short
    # gymnax has tasks that Gymnasium lacks, such as Reacher-misc
    return None if family or import_path(name) or name.endswith("-misc") else name


@contextlib.contextmanager
def simulator(env: Any, render_mode: str | None) -> Any:
    """What `play` steps, with Gymnasium's interface; closed at the end if it was given by name."""
    if isinstance(env, str):
        env = gymnasium_name(env) or envs.make(env)
    if isinstance(env, Env):
        yield _OneEpisode(env, render_mode)
        return
    try:
        gymnasium = importlib.import_module("gymnasium")
    except ModuleNotFoundError as error:
        raise ValueError(
            "gymnasium is not installed; run: pip install 'rpojax[gymnasium]'"
        ) from error
    is_name = isinstance(env, str)
    if not is_name and not isinstance(env, gymnasium.Env):
        raise ValueError(
            f"env = {show(env)} is no environment to play in; give a name, a gymnasium.Env or an "
            "rpojax.envs.Env"
        )
    try:
        playing = gymnasium.make(env, render_mode=render_mode) if is_name else env
        with contextlib.closing(playing) if is_name else contextlib.nullcontext():
            yield playing
    except (gymnasium.error.Error, ModuleNotFoundError) as error:  # a name may be "module:Name-v0"
        name = env if is_name else _name(env)
        raise ValueError(f"gymnasium cannot play {name!r}: {error}") from error


class _OneEpisode:
    """An `Env` with Gymnasium's interface, of one episode at a time."""

    def __init__(self, env: Env, render_mode: str | None) -> None:
        if render_mode == "human" or (render_mode is not None and env.render is None):
            kind = "viewer" if render_mode == "human" else "renderer"
            raise ValueError(f"env = {env.name!r} has no {kind}; leave viewer and video out")
        self.env, self.render_mode, self.unwrapped = env, render_mode, self
        self.metadata = {"render_fps": env.render_fps}
        self.spec = SimpleNamespace(id=env.name, max_episode_steps=env.max_episode_steps)
        self.observation_space, self.dt = env.obs, env.control_dt
        self.action_space = SimpleNamespace(
            low=env.action_low, high=env.action_high, dtype=np.float32
        )
        self._reset = jax.jit(lambda keys: env.reset(keys, {}))
        self._step = jax.jit(lambda keys, state, action: env.step(keys, state, action, {}))
        self.reset(0)
        self.step(np.zeros(env.action_dim, np.float32))  # so that no step waits for XLA

    def reset(self, seed: int) -> tuple[Any, dict[str, Any]]:
        self._keys = jax.random.split(jax.random.key(seed), 2)
        self._state, obs = self._reset(self._keys[:1])
        return jax.tree.map(lambda leaf: np.asarray(leaf[0]), obs), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._keys = jax.random.split(self._keys[1], 2)
        self._state, led_to = self._step(self._keys[:1], self._state, np.asarray(action)[None])
        led_to = jax.tree.map(lambda leaf: np.asarray(leaf[0]), led_to)
        return led_to.obs, led_to.reward, led_to.terminated, led_to.truncated, {}

    def render(self) -> np.ndarray:
        assert self.env.render is not None
        return self.env.render(jax.tree.map(np.asarray, self._state))[0]


class _Clock:
    """When steps are due, and how late their actions came."""

    def __init__(self, period: float | None) -> None:
        self._period, self._due = period, -np.inf
        self.lateness: list[float] = []

    def wait(self) -> None:
        """Wait until the next step is due. After a stop of more than a period, that is now."""
        now = time.perf_counter()
        if self._period is None:
            self._due = now
            return
        self._due += self._period
        if now > self._due + self._period:
            self._due = now
        elif now < self._due:
            time.sleep(self._due - now)

    def acted(self) -> None:
        """The action of the step is there."""
        self.lateness.append(time.perf_counter() - self._due)


class _Episode(NamedTuple):
    """One episode of n steps."""

    rewards: list[float]  # n
    frames: list[np.ndarray]  # n + 1 pictures uint8[height, width, 3]; empty if not wanted
    finished: bool
    invalid: bool


def _episode(
    policy: Acting, env: Any, seed: int, limit: int, clock: _Clock, with_frames: bool
) -> _Episode:
    obs, _ = env.reset(seed=seed)
    carry, key = None, None
    stochastic = not getattr(policy, "deterministic", True)
    rewards: list[float] = []
    frames = [env.render()] if with_frames else []
    finished = invalid = False
    policy(_seen(policy.env, obs), key=jax.random.key(seed))  # compiles what has to be compiled
    while not finished and len(rewards) < limit:
        if stochastic:
            key = jax.random.fold_in(jax.random.key(seed), len(rewards))
        clock.wait()
        action, carry = policy(_seen(policy.env, obs), carry, key=key)
        clock.acted()
        obs, reward, terminated, truncated, _ = env.step(np.asarray(action, env.action_space.dtype))
        numbers = [reward, *jax.tree.leaves(obs)]
        invalid = not all(is_valid(np.asarray(each)).all() for each in numbers)
        finished = bool(terminated or truncated or invalid)
        rewards.append(0.0 if invalid else float(reward))
        if with_frames:
            frames.append(env.render())
    return _Episode(rewards, frames, finished, invalid)


def _seen(trained: Env, obs: Any) -> Any:
    """Of a Dict observation, the entries that the policy takes."""
    if not isinstance(obs, dict):
        return obs
    leaves = named(obs)
    wanted = [leaves[name] for name in named(trained.obs)]
    return jax.tree.unflatten(jax.tree.structure(trained.obs), wanted)


def _limit(env: Any, max_steps: int | None) -> int:
    if max_steps is not None:
        return whole_number("max_steps", max_steps)
    own = None if env.spec is None else env.spec.max_episode_steps
    return own or DEFAULT_EPISODE_LIMIT


def _period(trained: Env, env: Any, realtime: bool) -> float | None:
    """Seconds from one step to the next; ValueError where policy and environment disagree."""
    seconds = getattr(env.unwrapped, "dt", None)
    own = float(seconds) if isinstance(seconds, int | float) else None
    period = own or trained.control_dt
    if period is None and realtime:
        raise ValueError(
            f"env = {_name(env)!r} does not say how long a step lasts, and the policy does not "
            "either; give realtime = False"
        )
    if own and trained.control_dt and not np.isclose(own, trained.control_dt):
        raise ValueError(
            f"env = {_name(env)!r} has control_dt = {own:g}, and the policy was trained with "
            f"{trained.control_dt:g} in {trained.name!r}; give an environment with the same"
        )
    return period


def _check_spaces(trained: Env, env: Any) -> None:
    """Raise ValueError unless observations and actions are those of the training."""
    name, remedy = _name(env), "give an environment with the same"
    actions = env.action_space
    wanted, given = (_shapes(space) for space in (trained.obs, env.observation_space))
    bounds_given = as_bounds([getattr(actions, "low", np.nan), getattr(actions, "high", np.nan)])
    if {name: given[name] for name in wanted if name in given} != wanted:
        raise ValueError(
            f"env = {name!r} has observations {env.observation_space}, and the policy was trained "
            f"in {trained.name!r} with observations of shape "
            f"{jax.tree.map(lambda leaf: leaf.shape, trained.obs)}; {remedy}, or change it by one "
            "of gymnasium.wrappers"
        )
    bounds = np.stack([trained.action_low, trained.action_high])
    if bounds_given.shape != bounds.shape or not np.allclose(bounds_given, bounds):
        raise ValueError(
            f"env = {name!r} has actions {actions}, and the policy was trained in {trained.name!r} "
            f"with {trained.action_dim} in [{trained.action_low}, {trained.action_high}]; "
            f"{remedy}, or change it by gymnasium.wrappers.RescaleAction"
        )


def _name(env: Any) -> str:
    return str(env.spec.id) if env.spec is not None else type(env.unwrapped).__name__


def _shapes(space: Any) -> dict[str, Any]:
    """Shapes of the arrays in a specification or a space, by name; what is no array as it is."""
    leaves = named(_specification(space))
    return {
        name: leaf.shape if isinstance(leaf, jax.ShapeDtypeStruct) else leaf
        for name, leaf in leaves.items()
    }


def _specification(space: Any) -> Any:
    """The pytree of arrays that a space of Gymnasium stands for."""
    if isinstance(space, jax.ShapeDtypeStruct | dict | list | tuple):  # of an `Env`
        return space
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        return {name: _specification(part) for name, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_specification(part) for part in space)
    return (
        jax.ShapeDtypeStruct(space.shape, space.dtype) if isinstance(space, spaces.Box) else space
    )
