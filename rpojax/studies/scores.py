"""What settings are compared by: the scores of their agents, and those of the settings."""

import operator
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from rpojax.core.model import Model
from rpojax.devices.processes import is_first
from rpojax.files import DamagedFileError, read_signed, write_signed
from rpojax.loggers.base import ENVIRONMENT
from rpojax.runs.agents import evaluation_keys, play_with_agents
from rpojax.runs.records import means_over_updates
from rpojax.runs.settings import RunSettings
from rpojax.statistics import interquartile_mean
from rpojax.studies.plan import EVALUATION, StudyPlan
from rpojax.types import Metrics, TrainResult

LAST_PART = 0.1
"""The last share of the updates so far, from which a score by a metric of training is taken.

See `updates_at_end`."""


class RungResult(NamedTuple):
    """A setting as it was at a rung; S seeds."""

    setting: int
    rung: int
    result: TrainResult  # of S agents, in the memory of the host
    scores: np.ndarray  # f64[S] of the objective, as measured
    end: int  # the last updates, of which a score by a metric of training is
    train_seconds: float  # its share of those of a program

    @property
    def updates(self) -> int:
        """The updates done up to the rung."""
        return int(self.result.metrics.episode_return.shape[1])


def by_setting(
    members: Sequence[int], rung: int, result: TrainResult, scores: np.ndarray, seconds: float
) -> list[RungResult]:
    """The settings of a program, whose agents are the seeds of each in a row."""
    seeds, end = scores.size // len(members), updates_at_end(result.metrics)
    found = []
    for place, member in enumerate(members):
        rows = slice(seeds * place, seeds * (place + 1))
        own = jax.tree.map(operator.itemgetter(rows), result)
        share = seconds / len(members)
        found.append(RungResult(member, rung, own, scores[rows], end, share))
    return found


def agent_scores(
    plan: StudyPlan, model: Model, settings: RunSettings, result: TrainResult, place: Path | None
) -> np.ndarray:
    """The objective of each agent, f64[N]; evaluated once, and kept in the directory `place`."""
    agents = settings.agents
    file = place and scores_file(place, result.metrics.episode_return.shape[1])
    if file is not None and file.exists():
        try:
            return read_scores(file, len(agents))
        except DamagedFileError as error:
            warnings.warn(f"{error}; the agents are evaluated again", RuntimeWarning, stacklevel=2)
    if plan.objective == EVALUATION or plan.objective.startswith(ENVIRONMENT):
        played = play_with_agents(
            model, result.state, evaluation_keys(agents), agents.env_params, plan.eval_episodes
        )
        own = {**played.metrics, EVALUATION: played.episode_return}
        values = np.asarray(own[plan.objective.removeprefix(ENVIRONMENT)], np.float64)
        scores = values.mean(axis=1)
    else:
        scores = np.asarray(getattr(metrics_at_end(result.metrics), plan.objective), np.float64)
    if file is not None and is_first():
        write_signed(file, {"scores": scores.tolist()})
    return scores


def scores_file(place: Path, updates: int) -> Path:
    """Where the scores after so many updates of a run are kept."""
    return place / f"scores_{updates:09d}.json"


def read_scores(file: Path, count: int) -> np.ndarray:
    """The scores of so many agents; DamagedFileError for anything else."""
    values = read_signed(file)
    try:
        scores = np.asarray(values["scores"], np.float64)
    except (LookupError, TypeError, ValueError):
        scores = np.empty(())
    if scores.shape != (count,):
        raise DamagedFileError(f"{str(file)!r} does not hold the scores of {count} agents")
    return scores


def metrics_at_end(metrics: Metrics) -> Metrics:
    """Metrics f32[N] of the `updates_at_end` together, from those of each, [N, n]."""
    updates = metrics.episode_return.shape[1]
    first = updates - updates_at_end(metrics)
    return means_over_updates(metrics_between(metrics, first, updates))


def updates_at_end(metrics: Metrics) -> int:
    """How many of the last updates of metrics [N, n] count as the end of a training.

    A tenth or, so that an episode of each agent has ended in them, twice as many, and so on up to
    all. Agents that diverged, and those of which no episode ever ended, do not count in this.
    """
    ended = np.nan_to_num(np.asarray(metrics.episode_count)) > 0
    alive = ~np.isnan(np.asarray(metrics.learning_rate)[:, -1])
    ended = ended[alive & ended.any(axis=1)]
    updates = np.shape(metrics.episode_count)[1]
    number = max(1, round(LAST_PART * updates))
    while number < updates and not ended[:, -number:].any(axis=1).all():
        number = min(2 * number, updates)
    return number


def metrics_between(metrics: Metrics, start: int, end: int) -> Metrics:
    """Metrics [N, end - start] of some of the updates."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:, start:end], metrics)


def worst_of(plan: StudyPlan, scores: np.ndarray) -> float:
    """The worst of the finite scores, with the sign by which higher is better; inf without any."""
    return float((plan.sign * scores)[np.isfinite(scores)].min(initial=np.inf))


def filled(
    plan: StudyPlan, scores: np.ndarray, finite: np.ndarray, worst_before: float = np.inf
) -> np.ndarray:
    """Scores f64[...] in which the worst of all stands for agents that diverged or have none.

    An agent that diverged has the score of its last finite state. `worst_before`, as of `worst_of`,
    counts as the worst if it is worse. All are NaN if no agent has a score.
    """
    worst = min(worst_of(plan, scores), worst_before)
    if not np.isfinite(worst):
        return np.full(scores.shape, np.nan)
    return np.where(finite & np.isfinite(scores), scores, plan.sign * worst)


def setting_scores(
    plan: StudyPlan, compared: Sequence[RungResult], worst_before: float = np.inf
) -> dict[int, float]:
    """The interquartile mean over the seeds of each setting, from scores that are `filled`."""
    scores = np.stack([each.scores for each in compared])
    finite = np.stack([np.asarray(each.result.finite) for each in compared])
    rows = plan.sign * filled(plan, scores, finite, worst_before)
    known = not np.isnan(rows).any()
    return {
        each.setting: float(plan.sign * interquartile_mean(row)) if known else np.nan
        for each, row in zip(compared, rows, strict=True)
    }
