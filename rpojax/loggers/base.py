"""What a logger is, what it is told, and how its metrics are called."""

import dataclasses
import math
from typing import Any, NamedTuple, Protocol

import numpy as np

from rpojax.config import Config
from rpojax.types import Metrics

TAGS = {
    "episode_return": "Reward / Total reward (mean)",
    "episode_length": "Episode / Total timesteps (mean)",
    "episode_count": "Episode / Episodes",
    "policy_loss": "Loss / Policy loss",
    "value_loss": "Loss / Value loss",
    "entropy": "Policy / Entropy",
    "kl": "Policy / KL divergence",
    "kl_perturbed": "Policy / KL divergence (perturbed)",
    "clip_fraction": "Policy / Clip fraction",
    "explained_variance": "Value / Explained variance",
    "grad_norm": "Learning / Gradient norm",
    "learning_rate": "Learning / Learning rate",
    "action_std": "Policy / Standard deviation",
    "evaluation_return": "Evaluation / Total reward (mean)",
    "steps_per_second": "Stats / Steps per second",
}
"""Family / name in a chart: skrl's own for what skrl has too, and in its families all else."""

METRICS = tuple(field.name for field in dataclasses.fields(Metrics))
COLUMNS = ("seed", "updates", "steps", *METRICS, "steps_per_second", "evaluation_return")
"""What a row of a file holds, in this order."""


class LogRecord(NamedTuple):
    """What a logger is told every `log_every` updates; S seeds."""

    updates: int  # done so far, of cfg.num_updates
    steps: int  # environment steps done so far, by each seed
    metrics: Metrics  # of numpy arrays f32[S]: means over the updates since the last record
    steps_per_second: float  # of all seeds together, since the last record
    evaluation_return: np.ndarray | None  # f32[S] mean over the episodes of an evaluation, if any


class Logger(Protocol):
    """A place for the metrics of a run."""

    def start(self, cfg: Config, num_seeds: int, updates: int) -> None:
        """Called once before training; `updates` are done already (0, or more when resumed)."""

    def log(self, record: LogRecord) -> None:
        """Take one record."""

    def close(self) -> None:
        """Called once after training, however it ended."""


class Scalars(NamedTuple):
    """What one record adds to charts: values by tag, NaN left out."""

    mean: dict[str, float]  # over the seeds that have a value
    seeds: list[dict[str, float]]  # of each seed; empty if there is but one


def scalars(record: LogRecord) -> Scalars:
    """A record under the names of `TAGS`."""
    by_metric = {name: getattr(record.metrics, name) for name in METRICS}
    if record.evaluation_return is not None:
        by_metric["evaluation_return"] = record.evaluation_return
    num_seeds = len(record.metrics.episode_return)
    mean = {TAGS[name]: mean_of_known(values) for name, values in by_metric.items()}
    mean[TAGS["steps_per_second"]] = record.steps_per_second
    seeds = [
        {TAGS[name]: float(values[seed]) for name, values in by_metric.items()}
        for seed in range(num_seeds if num_seeds > 1 else 0)
    ]
    return Scalars(_without_nan(mean), [_without_nan(values) for values in seeds])


def rows(record: LogRecord) -> list[dict[str, Any]]:
    """A record as one row of `COLUMNS` for each seed; None where there was no evaluation."""
    evaluation = record.evaluation_return
    return [
        {
            "seed": seed,
            "updates": record.updates,
            "steps": record.steps,
            **{name: _shortest(getattr(record.metrics, name)[seed]) for name in METRICS},
            "steps_per_second": _shortest(record.steps_per_second),
            "evaluation_return": None if evaluation is None else _shortest(evaluation[seed]),
        }
        for seed in range(len(record.metrics.episode_return))
    ]


def mean_of_known(values: np.ndarray) -> float:
    """Mean over the seeds that have a value, f32[S]; NaN where none has one."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


def _without_nan(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if not math.isnan(value)}


def _shortest(value: Any) -> float:
    """The number of the fewest digits that is this float32, so that files stay readable."""
    return float(str(np.float32(value)))
