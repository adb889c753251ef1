"""Loggers that feed charts: TensorBoard, Weights & Biases. Their x-axis is an agent's steps."""

import importlib
import time
from pathlib import Path
from typing import Any

from rpojax.loggers.base import LogRecord, scalars, series
from rpojax.settings.agent_table import AgentTable, shortest
from rpojax.settings.config import Config
from rpojax.settings.plain import fields_to_plain

EVENT_FILES = "events.out.tfevents.*"


class TensorBoardLogger:
    """Scalars for TensorBoard, under the names of `TAGS`; NaN is left out.

    The mean over agents that share their hyperparameters is the run in `directory` itself, and each
    agent is a run below it, such as `seed=0`. Where the agents differ in hyperparameters, there is
    a run for each agent, such as `alpha=0.1,seed=0`, and one for the mean of each group of several
    agents, such as `alpha=0.1`; the run in `directory` then holds the speed only. TensorBoard draws
    all runs into one chart for each metric.

    A new run needs a directory without event files. A resumed one adds a file to each run, which
    makes TensorBoard drop the steps past the resumed update.

    Args:
        directory: of the run; made if missing.

    Raises:
        ValueError: tensorboardX is not installed.
    """

    def __init__(self, directory: str | Path) -> None:
        _import_extra("tensorboardX", extra="tensorboard")
        self._directory = Path(directory)
        self._series: dict[str, list[int]] = {}
        self._writers: dict[str, Any] = {}  # for each of the series

    def start(self, cfg: Config, agents: AgentTable, updates: int | None) -> None:
        """Make the event files.

        Raises:
            ValueError: a new run, and the directory holds event files.
        """
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        if updates is None and any(self._directory.rglob(EVENT_FILES)):
            raise ValueError(
                f"directory = {str(self._directory)!r} holds the event files of another run; give "
                "another directory, or remove it"
            )
        self._series = series(agents)
        for label in self._series:
            directory = self._directory / label
            directory.mkdir(parents=True, exist_ok=True)
            # The suffix keeps files of the same second apart and in order.
            writer = EventsWriter(str(directory / "events"), f".{updates or 0:09d}")
            self._writers[label] = writer
            if updates is not None:
                writer.write_event(
                    Event(
                        wall_time=time.time(),
                        step=updates * cfg.batch_size + 1,
                        session_log=SessionLog(status=SessionLog.START),
                    )
                )
            writer.flush()

    def log(self, record: LogRecord) -> None:
        """Write one event into each file, and flush it."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        for label, values in scalars(record, self._series).items():
            # Not by tensorboardX's add_scalar: it puts "_" for the spaces in a name.
            summary = Summary(
                value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
            )
            writer = self._writers[label]
            writer.write_event(Event(wall_time=time.time(), step=record.steps, summary=summary))
            writer.flush()

    def close(self) -> None:
        """Close the files."""
        while self._writers:
            self._writers.popitem()[1].close()


class WandbLogger:
    """One run of Weights & Biases, under the names of `TAGS`; NaN is left out.

    Each of several agents has a section of its own, such as `seed=0/...` beside the mean over all
    agents. Where the agents differ in hyperparameters, there is a section for each agent, such as
    `alpha=0.1,seed=0/...`, and one for the mean of each group of several agents, such as
    `alpha=0.1/...`. The run's config holds the settings, the seeds, and the hyperparameters that
    the agents have; one in which they differ is a list.

    A resumed training continues the same run if you give an `id`; W&B keeps the steps it has.

    Args:
        project: name of the project.
        kwargs: of `wandb.init`, such as `name`, `id`, `dir`, or `mode="offline"`.

    Raises:
        ValueError: wandb is not installed.
    """

    def __init__(self, project: str = "rpojax", **kwargs: Any) -> None:
        self._wandb = _import_extra("wandb", extra="wandb")
        self._kwargs = {"project": project, **kwargs}
        self._run: Any = None
        self._series: dict[str, list[int]] = {}

    def start(self, cfg: Config, agents: AgentTable, updates: int | None) -> None:
        """Start the run, with all settings as its config."""
        self._series = series(agents)
        config = {**fields_to_plain(cfg), **_numbers(agents), "seeds": list(agents.seeds)}
        settings: dict[str, Any] = {"config": {**config, "num_agents": len(agents)}}
        if "id" in self._kwargs:
            settings["resume"] = "never" if updates is None else "allow"
        self._run = self._wandb.init(**(settings | self._kwargs))

    def log(self, record: LogRecord) -> None:
        """Send one record."""
        self._run.log(
            {
                f"{label}/{tag}" if label else tag: value
                for label, values in scalars(record, self._series).items()
                for tag, value in values.items()
            },
            step=record.steps,
        )

    def close(self) -> None:
        """Finish the run."""
        if self._run is not None:
            self._run.finish()
            self._run = None


def _numbers(agents: AgentTable) -> dict[str, float | list[float]]:
    """Each number of the agents by name: its value, or a list where the agents differ in it."""
    differing = agents.differing
    return {
        name: [*map(shortest, values)] if name in differing else shortest(values[0])
        for name, values in agents.numbers.items()
    }


def _import_extra(module: str, extra: str) -> Any:
    """The module of an extra; ValueError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{module} is not installed; get it with pip install 'rpojax[{extra}]'"
        ) from error
