"""The protocol of loggers, their records, and the names of the metrics."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from rpojax.settings.agent_table import AgentTable, shortest
from rpojax.settings.config import Config
from rpojax.statistics.nan import mean_ignoring_nan
from rpojax.types import Metrics
from rpojax.validation import as_sequence, show

TAGS = {
    "episode_return": "Reward / Total reward (mean)",
    "episode_length": "Episode / Total timesteps (mean)",
    "episode_count": "Episode / Episodes",
    "invalid_steps": "Episode / Invalid steps",
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
"""Names in charts, "family / name": skrl's names for its metrics, and its families for all others.

The environment's own metrics are named `ENVIRONMENT` + name.
"""

ENVIRONMENT = "environment/"
"""Prefix of the names of an environment's own metrics, in columns and in charts."""

METRICS = tuple(field.name for field in dataclasses.fields(Metrics) if field.name != "environment")


class LogRecord(NamedTuple):
    """What a logger gets every `log_every` updates; N agents, in the order of the AgentTable.

    Metrics are means over the updates since the last record. `episode_return`, `episode_length` and
    `environment` are means over the episodes that ended in these updates; `episode_count` and
    `invalid_steps` are sums.
    """

    updates: int  # done so far, of cfg.num_updates
    steps: int  # environment steps done so far, by each agent
    metrics: Metrics  # of numpy arrays f32[N]; NaN where there is no value
    steps_per_second: float  # of all agents together, since the last record
    evaluation_return: np.ndarray | None  # f32[N] mean over the episodes of an evaluation, if any


class Logger(Protocol):
    """Receives the records of a run.

    A logger may have a method `complete(ends, record_at)`, which is called after `start` in a
    resumed run, and at the end if it had failed. `ends` are the updates after which records ended,
    and `record_at(end)` makes one of these records again, from the run's checkpoint. The method
    logs those that the logger lacks, and returns how many.
    """

    def start(self, cfg: Config, agents: AgentTable, updates: int | None) -> None:
        """Called once before training.

        Args:
            cfg: settings of the run.
            agents: seed and hyperparameters of each agent, in the order of a record's values.
            updates: done before, in a resumed run; None in a new one.
        """

    def log(self, record: LogRecord) -> None:
        """Log one record."""

    def close(self) -> None:
        """Called once after training, however it ended."""


def check_loggers(loggers: Any) -> list[Logger]:
    """The loggers of a run as a list; ValueError for what is no logger."""
    items = as_sequence(loggers)
    if items is None:
        raise ValueError(
            f"loggers = {show(loggers)} is not a list of loggers; give one, such as "
            'loggers=[rpojax.loggers.CSVLogger("metrics.csv")]'
        )
    for index, logger in enumerate(items):
        name = f"loggers[{index}] = {show(logger)}"
        if isinstance(logger, type):
            raise ValueError(f"{name} is a class; give an object of it, {logger.__name__}(...)")
        for method in ("start", "log", "close"):
            if not callable(getattr(logger, method, None)):
                raise ValueError(
                    f"{name} has no method {method}; give an object with the methods of "
                    "rpojax.loggers.Logger"
                )
    return items


def columns(agents: AgentTable, environment: Iterable[str] = ()) -> tuple[str, ...]:
    """Names of the values in a row of a file: an agent, what identifies it, and its metrics.

    Args:
        agents: of the run.
        environment: names of the environment's own metrics, which come last.
    """
    return (*columns_of(agents.differing), *map(environment_column, environment))


def environment_column(name: str) -> str:
    """Column and tag of a metric of the environment: "environment/success"."""
    return ENVIRONMENT + name


def columns_of(differing: Iterable[str]) -> tuple[str, ...]:
    """`columns` where the agents differ in what is named (`AgentTable.differing`)."""
    return (
        "agent",
        "seed",
        *map(hyperparam_column, differing),
        "updates",
        "steps",
        *METRICS,
        "steps_per_second",
        "evaluation_return",
    )


def hyperparam_column(name: str) -> str:
    """Column of a number: its name, or "hyperparams.learning_rate", as that is a metric."""
    return f"hyperparams.{name}" if name in METRICS else name


def identities(agents: AgentTable) -> list[dict[str, float]]:
    """The columns that identify each agent: index, seed, and the numbers in which they differ."""
    found = []
    for index in range(len(agents)):
        values = agents.identity(index)
        seed = values.pop("seed")
        named = {hyperparam_column(name): value for name, value in values.items()}
        found.append({"agent": index, "seed": seed, **named})
    return found


def rows(record: LogRecord, identities: Sequence[dict[str, float]]) -> list[dict[str, Any]]:
    """A record as a row of `columns` for each agent; None where there was no evaluation."""
    evaluation = record.evaluation_return
    return [
        {
            **identity,
            "updates": record.updates,
            "steps": record.steps,
            **{name: shortest(getattr(record.metrics, name)[agent]) for name in METRICS},
            "steps_per_second": shortest(record.steps_per_second),
            "evaluation_return": None if evaluation is None else shortest(evaluation[agent]),
            **{
                environment_column(name): shortest(values[agent])
                for name, values in record.metrics.environment.items()
            },
        }
        for agent, identity in enumerate(identities)
    ]


def series(agents: AgentTable) -> dict[str, list[int]]:
    """The agents whose mean makes a series of a chart, by its label.

    There is a series for each agent and for the mean of each group of several agents; agents with
    different hyperparameters are never averaged. The label "" stands for the run as a whole: the
    mean where all agents share their hyperparameters, and no agents otherwise.
    """
    if len(agents) == 1:
        return {"": [0]}
    groups = agents.groups
    means = {label: members for label, members in groups.items() if len(members) > 1}
    return {"": [], **means} | {agents.label(agent): [agent] for agent in range(len(agents))}


def scalars(record: LogRecord, members: dict[str, list[int]]) -> dict[str, dict[str, float]]:
    """The values of a record for each of the `series`, by tag; NaN is left out.

    The speed is that of all agents together, and belongs to the whole run, "".
    """
    by_tag = {TAGS[name]: getattr(record.metrics, name) for name in METRICS}
    for name, values in record.metrics.environment.items():
        by_tag[environment_column(name)] = np.asarray(values)
    if record.evaluation_return is not None:
        by_tag[TAGS["evaluation_return"]] = record.evaluation_return
    means = {
        label: {tag: float(mean_ignoring_nan(values[agents])) for tag, values in by_tag.items()}
        for label, agents in members.items()
    }
    means[""][TAGS["steps_per_second"]] = record.steps_per_second
    return {
        label: {tag: value for tag, value in values.items() if not math.isnan(value)}
        for label, values in means.items()
    }
