"""Learning curves: a metric over environment steps, from results or from the files of a run."""

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rpojax.files import require_regular
from rpojax.loggers.base import ENVIRONMENT, METRICS, environment_column, hyperparam_column
from rpojax.settings.agent_table import ENV_PARAMS, AgentTable, in_words
from rpojax.settings.config import Config
from rpojax.settings.declared import settings_of
from rpojax.settings.hyperparams import HyperParams
from rpojax.types import Metrics
from rpojax.validation import check_known, show


class Curve(NamedTuple):
    """A metric of agents that share their hyperparameters, N of them."""

    steps: np.ndarray  # i64[n] environment steps of each agent
    values: np.ndarray  # f32[N, n] NaN where there is none


def learning_curve(cfg: Config, metrics: Metrics, metric: str = "episode_return") -> Curve:
    """A metric of what was trained with `cfg`, which gives the environment steps of an update.

    Args:
        cfg: settings of the training.
        metrics: of one agent, [num_updates], or of N agents, [N, num_updates]; an interrupted
            training has fewer updates.
        metric: a field of `Metrics`, or one of the environment's own, such as
            "environment/success".

    Raises:
        ValueError: no metrics, an unknown metric, other axes, no updates, or more than `cfg` has.
    """
    if not isinstance(metrics, Metrics):
        raise ValueError(
            f"metrics = {show(metrics)} is not a Metrics; give result.metrics of a training"
        )
    known = metrics_by_name(metrics)
    check_known(metric, known, "metric")
    values = np.asarray(known[metric], np.float32)
    if values.ndim not in (1, 2):
        raise ValueError(
            f"metrics.{metric} has shape {values.shape}; give [num_updates] or [agents, "
            "num_updates], and the curves of a sweep under a label each"
        )
    values = np.atleast_2d(values)
    updates = values.shape[1]
    if updates > cfg.num_updates:
        raise ValueError(
            f"metrics.{metric} has {updates} updates, and cfg has {cfg.num_updates}; give the "
            "Config that the metrics were trained with"
        )
    if not updates:
        raise ValueError(
            f"metrics.{metric} has no updates yet; wait for the first ones of the training, or for "
            "the next checkpoint of a run"
        )
    return Curve(cfg.batch_size * np.arange(1, updates + 1), values)


def metrics_by_name(metrics: Metrics) -> dict[str, Any]:
    """The fields of metrics, and those of the environment as "environment/success"."""
    own = {environment_column(name): values for name, values in metrics.environment.items()}
    return {name: getattr(metrics, name) for name in METRICS} | own


def group_curves(curve: Curve, agents: AgentTable) -> dict[str, Curve]:
    """The curve of a whole run, split by the hyperparameters of its agents.

    The labels are those of `AgentTable.groups`: "" where agents differ only in their seeds.

    Raises:
        ValueError: the curve is of another number of agents.
    """
    if len(curve.values) != len(agents):
        raise ValueError(
            f"the metrics are of {len(curve.values)} agents, and agents has {len(agents)}; give "
            "the AgentTable of the run"
        )
    return {
        label: Curve(curve.steps, curve.values[members]) for label, members in agents.groups.items()
    }


def read_curves(path: str | Path, metric: str) -> dict[str, Curve]:
    """A metric from the file of a `CSVLogger`, also while the run is still writing it.

    A file of another version may lack the metric, which is NaN then, and have columns that are not
    known here.

    Returns:
        One curve for each set of hyperparameters, by label, as `group_curves`.

    Raises:
        ValueError: an unknown metric, another kind of file, or a file without rows.
        OSError: the file cannot be read.
    """
    known = [*METRICS, "steps_per_second", "evaluation_return"]
    if not metric.startswith(ENVIRONMENT):
        check_known(metric, known, "metric")
    groups: dict[str, dict[tuple[int, int], float]] = defaultdict(dict)
    try:
        require_regular(Path(path).resolve())
        with Path(path).open(encoding="utf-8", newline="") as file:
            # A kill may have left the last line incomplete.
            reader = csv.DictReader(line for line in file if line.endswith("\n"))
            header = list(reader.fieldnames or ())  # a new file is empty until its first record
            if header and not {"agent", "steps"} <= {*header}:
                raise ValueError(f"its columns are {', '.join(header)}")
            numbers = {name: hyperparam_column(name) for name in settings_of(HyperParams)}
            numbers |= {name: name for name in header if name.startswith(ENV_PARAMS)}
            differing = {name: column for name, column in numbers.items() if column in header}
            for row in reader:
                label = in_words({name: float(row[column]) for name, column in differing.items()})
                position = int(row["agent"]), int(row["steps"])
                groups[label][position] = float(row.get(metric) or "nan")
    except (TypeError, ValueError, csv.Error) as error:  # a short row has None in the others
        raise ValueError(f"{str(path)!r} is not a file of a CSVLogger: {error}") from error
    if not groups:
        raise ValueError(f"{str(path)!r} holds no metrics yet; wait for the run's first record")
    check_known(metric, known + [name for name in header if name.startswith(ENVIRONMENT)], "metric")
    return {label: _curve(found) for label, found in groups.items()}


def _curve(found: dict[tuple[int, int], float]) -> Curve:
    """A curve from its values by agent and steps; NaN where there is none."""
    agents, steps = (np.unique(part) for part in zip(*found, strict=True))
    values = np.full((len(agents), len(steps)), np.nan, np.float32)
    for (agent, step), value in found.items():
        values[np.searchsorted(agents, agent), np.searchsorted(steps, step)] = value
    return Curve(steps, values)
