"""Trained policies in Gymnasium's environments, one step at a time on the host."""

from pathlib import Path
from typing import Any

from rpojax.agent.evaluation import Evaluation
from rpojax.agent.playing import play
from rpojax.agent.policy import Policy, RecurrentPolicy, trained_policy
from rpojax.runs.trained_run import TrainedRun


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
    acting = trained_policy(policy.policy(agent) if isinstance(policy, TrainedRun) else policy)
    given: Any = {"max_steps": max_steps, "video": video, "realtime": False}
    return play(acting, env, num_episodes, seed, **given).evaluation
