"""Loggers that feed charts: TensorBoard, Weights & Biases. Their x-axis is a seed's steps."""

import dataclasses
import importlib
import time
from pathlib import Path
from typing import Any

from rpojax.config import Config
from rpojax.loggers.base import LogRecord, scalars
from rpojax.network_config import NetworkConfig

EVENT_FILES = "events.out.tfevents.*"


class TensorBoardLogger:
    """Scalars for TensorBoard, under the names of `TAGS`; NaN is left out.

    The mean over the seeds is the run in `directory` itself. Of several seeds, each is a run below
    it, `seed_0` and so on: TensorBoard draws runs into one chart for each metric, with a switch
    for each run, where names of their own would give each seed charts of its own.

    A new run wants a directory without event files. A resumed one adds a file to each run, which
    makes TensorBoard forget the steps past the update from which training goes on.

    Args:
        directory: of the run; made if missing.

    Raises:
        ValueError: tensorboardX is not installed.
    """

    def __init__(self, directory: str | Path) -> None:
        _require("tensorboardX", extra="tensorboard")
        self._directory = Path(directory)
        self._writers: list[Any] = []  # of the mean, then of each seed

    def start(self, cfg: Config, num_seeds: int, updates: int) -> None:
        """Make the event files.

        Raises:
            ValueError: a new run, and the directory holds event files.
        """
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        if not updates and any(self._directory.rglob(EVENT_FILES)):
            raise ValueError(
                f"directory = {str(self._directory)!r} holds the event files of another run; give "
                "another directory, or remove it"
            )
        seeds = [f"seed_{seed}" for seed in range(num_seeds)] if num_seeds > 1 else []
        for directory in (self._directory, *(self._directory / seed for seed in seeds)):
            directory.mkdir(parents=True, exist_ok=True)
            # The suffix keeps files of the same second apart and in order.
            writer = EventsWriter(str(directory / "events"), f".{updates:09d}")
            self._writers.append(writer)
            if updates:
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

        mean, seeds = scalars(record)
        for writer, values in zip(self._writers, (mean, *seeds), strict=True):
            # Not by tensorboardX's add_scalar: it puts "_" for the spaces in a name.
            summary = Summary(
                value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
            )
            writer.write_event(Event(wall_time=time.time(), step=record.steps, summary=summary))
            writer.flush()

    def close(self) -> None:
        """Close the files."""
        while self._writers:
            self._writers.pop().close()


class WandbLogger:
    """One run of Weights & Biases, under the names of `TAGS`; NaN is left out.

    Of several seeds, each has a section of its own besides the mean, `seed_0/...` and so on.
    A resumed training goes on in the same run if you give an `id`; W&B keeps the steps it has.

    Args:
        project: name of the project.
        kwargs: of `wandb.init`, such as `name`, `id`, `dir`, or `mode="offline"`.

    Raises:
        ValueError: wandb is not installed.
    """

    def __init__(self, project: str = "rpojax", **kwargs: Any) -> None:
        self._wandb = _require("wandb", extra="wandb")
        self._kwargs = {"project": project, **kwargs}
        self._run: Any = None

    def start(self, cfg: Config, num_seeds: int, updates: int) -> None:
        """Start the run, with all settings as its config."""
        settings: dict[str, Any] = {"config": {**_plain(cfg), "num_seeds": num_seeds}}
        if "id" in self._kwargs:
            settings["resume"] = "allow" if updates else "never"
        self._run = self._wandb.init(**(settings | self._kwargs))

    def log(self, record: LogRecord) -> None:
        """Send one record."""
        mean, seeds = scalars(record)
        for seed, values in enumerate(seeds):
            mean |= {f"seed_{seed}/{tag}": value for tag, value in values.items()}
        self._run.log(mean, step=record.steps)

    def close(self) -> None:
        """Finish the run."""
        if self._run is not None:
            self._run.finish()
            self._run = None


def _require(module: str, extra: str) -> Any:
    """The module of an extra; ValueError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{module} is not installed; get it with pip install 'rpojax[{extra}]'"
        ) from error


def _plain(settings: Config | NetworkConfig) -> dict[str, Any]:
    """The fields of `Config` as JSON knows them; a function or an object in words."""
    plain: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, NetworkConfig):
            value = _plain(value)
        elif not isinstance(value, str | int | float | tuple | None):
            value = repr(value)
        plain[field.name] = value
    return plain
