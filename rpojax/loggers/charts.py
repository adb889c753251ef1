"""Loggers that feed charts: TensorBoard, Weights & Biases. Their x-axis is an agent's steps."""

import importlib
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rpojax.files import require_regular
from rpojax.loggers.base import LogRecord, scalars, series
from rpojax.settings.agent_table import AgentTable, shortest
from rpojax.settings.config import Config
from rpojax.settings.plain import fields_to_plain

EVENT_FILES = "events.out.tfevents.*"
LONGEST_EVENT = 2**24  # bytes


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
            writer.flush()
        if updates is not None:
            self._forget_from(updates * cfg.batch_size + 1)

    def complete(self, ends: Sequence[int], record_at: Callable[[int], LogRecord]) -> int:
        """Write the records from the first that any file lacks on; see `Logger`."""
        held = set.intersection(*(_steps_in(self._directory / label) for label in self._series))
        records = iter(map(record_at, ends))
        first = next((record for record in records if record.steps not in held), None)
        if first is None:
            return 0
        self._forget_from(first.steps)  # TensorBoard draws points in the order of the file
        count = 0
        for record in (first, *records):
            self.log(record)
            count += record.steps not in held
        return count

    def _forget_from(self, step: int) -> None:
        """Let TensorBoard drop what the files have of this step and later ones."""
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        start = SessionLog(status=SessionLog.START)
        for writer in self._writers.values():
            writer.write_event(Event(wall_time=time.time(), step=step, session_log=start))
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

    def complete(self, ends: Sequence[int], record_at: Callable[[int], LogRecord]) -> int:
        """Send the records after the last one that W&B has; without a connection it cannot tell."""
        if self._run.offline and "id" in self._kwargs:
            return 0
        missing = [record for record in map(record_at, ends) if record.steps >= self._run.step]
        for record in missing:
            self.log(record)
        return len(missing)

    def close(self) -> None:
        """Finish the run."""
        if self._run is not None:
            self._run.finish()
            self._run = None


def _steps_in(directory: Path) -> set[int]:
    """The steps that TensorBoard shows of the event files in a directory."""
    from tensorboardX.proto.event_pb2 import Event

    steps: set[int] = set()
    for path in sorted(directory.glob(EVENT_FILES)):
        require_regular(path)
        with path.open("rb") as file:
            # Each event has its length, and a checksum of four bytes after each of the two.
            while len(head := file.read(12)) == 12:
                (length,) = struct.unpack("<Q", head[:8])
                data = file.read(min(length, LONGEST_EVENT))
                if len(data) < length or len(file.read(4)) < 4:
                    break  # a process was killed here
                event = Event.FromString(data)
                if event.HasField("session_log"):
                    steps = {step for step in steps if step < event.step}
                elif event.HasField("summary"):
                    steps.add(event.step)
    return steps


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
