"""Trained policies in Gymnasium's environments, one step at a time on the host."""

import contextlib
import importlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from rpojax.agent.evaluation import Evaluation
from rpojax.agent.inputs import DEFAULT_EPISODE_LIMIT
from rpojax.agent.policy import Policy, RecurrentPolicy, TrainedPolicy, trained_policy
from rpojax.agent.rendering import video_path, write_video
from rpojax.envs.base import MOST_FPS, Env, as_bounds, is_valid
from rpojax.runs.trained_run import TrainedRun
from rpojax.validation import whole_number

MOST_SEED = 2**31 - 1


def evaluate_gymnasium(
    policy: TrainedRun | Policy | RecurrentPolicy,
    env: Any,
    num_episodes: int = 10,
    seed: int = 0,
    *,
    agent: int = 0,
    max_steps: int | None = None,
    video: str | Path | None = None,
) -> Evaluation:
    """Play episodes of a Gymnasium environment with a trained policy.

    Agents are trained in environments written in JAX. This function evaluates them in the simulator
    for which results are usually published. It needs the package gymnasium. Recurrent policies keep
    their carry through an episode.

    Args:
        policy: a run, of which an agent acts with mean actions; or what `make_policy` or
            `make_recurrent_policy` returns.
        env: name of an environment, or a `gymnasium.Env`, which stays open. Its observation and
            action spaces must be those that the policy was trained with.
        num_episodes: N.
        seed: episode i begins with `env.reset(seed=seed + i)`; a stochastic policy samples by it.
        agent: which agent of a run.
        max_steps: after which to stop an episode; None for the environment's own limit, or 1000 if
            it has none.
        video: GIF or MP4 to write of the first episode, by the environment's
            `render_mode="rgb_array"`.

    Returns:
        Returns, lengths and whether episodes finished, NumPy arrays [N]; no metrics, and a reward
        or observation that is not finite marks the episode as `invalid` and ends it.

    Raises:
        ValueError: other observations or actions than the policy's; no such agent or environment;
            an environment without pictures and a `video`; gymnasium is not installed.
    """
    try:
        gymnasium = importlib.import_module("gymnasium")
    except ModuleNotFoundError as error:
        raise ValueError(
            "gymnasium is not installed; run: pip install 'rpojax[gymnasium]'"
        ) from error
    num_episodes = whole_number("num_episodes", num_episodes)
    seed = whole_number("seed", seed, least=0, most=MOST_SEED)
    acting = trained_policy(policy.policy(agent) if isinstance(policy, TrainedRun) else policy)
    path = None if video is None else video_path(video, "video")
    is_name = isinstance(env, str)
    try:
        mode = None if path is None else "rgb_array"
        playing = gymnasium.make(env, render_mode=mode) if is_name else env
        with contextlib.closing(playing) if is_name else contextlib.nullcontext():
            return _play(acting, playing, num_episodes, seed, max_steps, path)
    except (gymnasium.error.Error, ModuleNotFoundError) as error:  # a name may be "module:Name-v0"
        name = env if is_name else _name(env)
        raise ValueError(f"gymnasium cannot play {name!r}: {error}") from error


class _Played(NamedTuple):
    """One episode of n steps."""

    rewards: list[float]  # n
    frames: list[np.ndarray]  # n + 1 pictures uint8[height, width, 3]; empty if not wanted
    finished: bool
    invalid: bool


def _play(
    policy: TrainedPolicy,
    env: Any,
    num_episodes: int,
    seed: int,
    max_steps: int | None,
    video: Path | None,
) -> Evaluation:
    _check_spaces(policy.env, env)
    if video is not None and env.render_mode != "rgb_array":
        raise ValueError(
            f"env = {_name(env)!r} has render_mode = {env.render_mode!r}, which gives no pictures "
            'for a video; make it with render_mode="rgb_array"'
        )
    own_limit = env.spec.max_episode_steps if env.spec is not None else None
    limit = own_limit or DEFAULT_EPISODE_LIMIT
    if max_steps is not None:
        limit = whole_number("max_steps", max_steps)
    played = [
        _episode(policy, env, seed + index, limit, with_frames=video is not None and index == 0)
        for index in range(num_episodes)
    ]
    if video is not None:
        fps = min(env.metadata.get("render_fps", Env.render_fps), MOST_FPS)
        write_video(video, np.stack(played[0].frames), np.array(played[0].rewards), fps)
    arrays: dict[str, Any] = {
        "episode_return": np.array([sum(each.rewards) for each in played], np.float32),
        "episode_length": np.array([len(each.rewards) for each in played], np.int32),
        "finished": np.array([each.finished for each in played]),
        "invalid": np.array([each.invalid for each in played]),
    }
    return Evaluation(**arrays, metrics={})


def _episode(
    policy: TrainedPolicy, env: Any, seed: int, limit: int, *, with_frames: bool
) -> _Played:
    obs, _ = env.reset(seed=seed)
    carry, key = None, None
    sampling = jax.random.key(seed)
    rewards: list[float] = []
    frames = [env.render()] if with_frames else []
    finished = invalid = False
    while not finished and len(rewards) < limit:
        if not policy.deterministic:
            key = jax.random.fold_in(sampling, len(rewards))
        action, carry = policy(obs, carry, key=key)
        obs, reward, terminated, truncated, _ = env.step(np.asarray(action, env.action_space.dtype))
        numbers = [reward, *jax.tree.leaves(obs)]
        invalid = not all(is_valid(np.asarray(each)).all() for each in numbers)
        finished = bool(terminated or truncated or invalid)
        rewards.append(0.0 if invalid else float(reward))
        if with_frames:
            frames.append(env.render())
    return _Played(rewards, frames, finished, invalid)


def _check_spaces(trained: Env, env: Any) -> None:
    """Raise ValueError unless observations and actions are those of the training."""
    name = _name(env)
    given = _shapes(env.observation_space)
    wanted = jax.tree.map(lambda leaf: leaf.shape, trained.obs)
    if given != wanted:
        raise ValueError(
            f"env = {name!r} has observations {env.observation_space}, and the policy was trained "
            f"in {trained.name!r} with observations of shape {wanted}; give an environment with "
            "the same, or change it by one of gymnasium.wrappers"
        )
    space = env.action_space
    bounds = np.stack([trained.action_low, trained.action_high])
    given_bounds = as_bounds([getattr(space, "low", np.nan), getattr(space, "high", np.nan)])
    if given_bounds.shape != bounds.shape or not np.allclose(given_bounds, bounds):
        raise ValueError(
            f"env = {name!r} has actions {space}, and the policy was trained in {trained.name!r} "
            f"with {trained.action_dim} in [{trained.action_low}, {trained.action_high}]; give an "
            "environment with the same, or change it by gymnasium.wrappers.RescaleAction"
        )


def _name(env: Any) -> str:
    return str(env.spec.id) if env.spec is not None else type(env.unwrapped).__name__


def _shapes(space: Any) -> Any:
    """Shapes of the arrays in a space, as `jax.tree.map` gives those of a specification."""
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        return {name: _shapes(part) for name, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_shapes(part) for part in space)
    return space.shape if isinstance(space, spaces.Box) else space
