"""Settings at a rung: their agents, their scores, and the state to continue from."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.programs.agent_states import AgentStates
from rpojax.runs.records import means_over_updates
from rpojax.runs.run_state import RunState
from rpojax.runs.settings import RunSettings
from rpojax.settings.config import Config
from rpojax.statistics import interquartile_mean
from rpojax.studies.plan import StudyPlan
from rpojax.trees import is_key
from rpojax.types import Metrics, TrainResult

LAST_PART = 0.1
"""The last share of the updates so far, from which a score by a metric of training is taken."""


class Trained(NamedTuple):
    """Some settings of a program at a rung, with the seeds of each in a row: N agents."""

    cfg: Config
    members: list[int]  # the settings
    rung: int
    result: TrainResult  # of N agents, in the memory of the host
    scores: np.ndarray  # f64[N] of the objective, as it is


def metrics_at_end(metrics: Metrics) -> Metrics:
    """Metrics f32[N] of the last tenth of the updates together, from those of each, [N, n]."""
    updates = metrics.episode_return.shape[1]
    first = updates - max(1, round(LAST_PART * updates))
    return means_over_updates(metrics_between(metrics, first, updates))


def metrics_between(metrics: Metrics, start: int, end: int) -> Metrics:
    """Metrics [N, end - start] of some of the updates."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:, start:end], metrics)


def worst_of(plan: StudyPlan, compared: Sequence[Trained]) -> float:
    """The worst finite score of all agents, where higher ones are better; inf without any."""
    signed = plan.sign * np.concatenate([each.scores for each in compared])
    return float(signed[np.isfinite(signed)].min(initial=np.inf))


def setting_scores(
    plan: StudyPlan, compared: Sequence[Trained], worst_before: float = np.inf
) -> dict[int, float]:
    """The interquartile mean over the seeds of each setting; NaN where no agent has a score.

    An agent that diverged counts with the worst score of all that are compared, or `worst_before`
    if that is worse, for its own is that of its last finite state. So does one whose score is not a
    finite number.
    """
    signed = [plan.sign * each.scores for each in compared]
    worst = min(worst_of(plan, compared), worst_before)
    scores = {}
    for each, values in zip(compared, signed, strict=True):
        counted = np.asarray(each.result.finite) & np.isfinite(values)
        rows = np.where(counted, values, worst).reshape(-1, plan.num_seeds)
        for member, row in zip(each.members, rows, strict=True):
            known = np.isfinite(worst)
            scores[member] = float(plan.sign * interquartile_mean(row)) if known else np.nan
    return scores


def rank(plan: StudyPlan, score: float) -> float:
    """A number that is higher for better scores; NaN is the worst."""
    return -np.inf if np.isnan(score) else plan.sign * score


def updates_done(before: Sequence[Trained]) -> int:
    """The updates that settings have done; 0 if there are none."""
    return before[0].result.metrics.episode_return.shape[1] if before else 0


def run_after(before: Sequence[Trained], settings: RunSettings) -> RunState:
    """The run that the next rung continues."""
    parts = [each.result for each in before]
    result = parts[0] if len(parts) == 1 else jax.tree.map(_joined, *parts)
    agents, finite = settings.agents, np.asarray(result.finite)
    env_params: Any = dict(agents.env_params)
    return RunState(
        settings=settings,
        states=AgentStates(result.state, jnp.asarray(finite), agents.hyperparams, env_params),
        finite=finite,
        metrics=jax.tree.map(np.asarray, result.metrics),
        updates=updates_done(before),
    )


def rows_of(plan: StudyPlan, parts: Sequence[Trained], members: list[int]) -> list[Trained]:
    """The parts, with these settings only."""
    chosen = []
    for part in parts:
        kept = [member for member in part.members if member in members]
        if kept == part.members:
            chosen.append(part)
        elif kept:
            places = [part.members.index(member) for member in kept]
            rows = (np.repeat(places, plan.num_seeds) * plan.num_seeds) + np.tile(
                np.arange(plan.num_seeds), len(kept)
            )
            result = jax.tree.map(lambda leaf, rows=rows: leaf[rows], part.result)
            chosen.append(part._replace(members=kept, result=result, scores=part.scores[rows]))
    return chosen


def _joined(*leaves: Any) -> Any:
    if is_key(leaves[0]):
        return jnp.concatenate(leaves)
    return np.concatenate(leaves)
