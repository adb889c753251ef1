"""The directory of a run: where its files are, and when it may be made."""

import contextlib
import getpass
import itertools
import json
import os
import shlex
import socket
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from rpojax.files import clear_remains, read_text, remove, write_text
from rpojax.loggers import CSVLogger, JSONLinesLogger, Logger, TensorBoardLogger, WandbLogger
from rpojax.runs.checkpoint_manager import (
    SUBDIRECTORY,
    checkpoint_paths,
    run_directory,
    updates_saved,
)
from rpojax.runs.lock import NAME, Lease, exclusive
from rpojax.runs.settings import RunSettings
from rpojax.settings.declared import settings_of
from rpojax.settings.run_options import RunOptions

PREVIOUS = ".previous"  # what a new run is about to replace; there until that has saved
MOVING = ".previous.moving"  # the same, while its files are moved to or fro
_LOGS = ("metrics_csv", "metrics_jsonl", "tensorboard")


class RunDirectory:
    """A run's own directory, with the places of its files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = path / "settings.yaml"  # as `rpojax train --config` reads it
        self.metrics_csv = path / "metrics.csv"  # a row for each agent of each record
        self.metrics_jsonl = path / "metrics.jsonl"  # the same, in runs of older versions
        self.learning_curve = path / "learning_curve.png"  # drawn at the end
        self.tensorboard = path / "tensorboard"  # event files, if TensorBoard was chosen
        self.wandb = path / "wandb.json"  # arguments of the run's `WandbLogger`, if it was chosen

    @classmethod
    def reserve(cls, parent: Path, name: str) -> Self:
        """Make a new directory in one step; a number is appended to a name that is taken."""
        if parent.exists() and not parent.is_dir():
            raise ValueError(f"output_dir = {str(parent)!r} is a file; give a directory")
        parent.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            path = parent / (name if number == 1 else f"{name}-{number}")
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                return cls(path)
        raise AssertionError("unreachable")

    @property
    def checkpoints(self) -> Path:
        """Directory of the checkpoints; the run's own where `rpojax.fit` was given that."""
        return self.path if checkpoint_paths(self.path) else self.path / SUBDIRECTORY

    def resume_command(self, flags: str = "") -> str:
        """The command that resumes the run."""
        return f"`{' '.join(filter(None, ('rpojax resume', shlex.quote(str(self.path)), flags)))}`"

    @property
    def updates_saved(self) -> int | None:
        """Updates of the newest checkpoint; None if there is none."""
        return updates_saved(self.checkpoints)

    def require_run(self) -> None:
        """Raise ValueError if there is no run to use."""
        if self.updates_saved is None:
            what = "holds no checkpoint" if self.path.is_dir() else "is not a directory"
            aside = [self.path / name for name in (PREVIOUS, MOVING)]
            if any(
                checkpoint_paths(each) + checkpoint_paths(each / SUBDIRECTORY) for each in aside
            ):
                raise ValueError(
                    f"{str(self.path)!r} {what}: a new run is replacing the one in it, or was "
                    f"killed before it had saved; {self.resume_command()} then brings the old run "
                    "back"
                )
            if any(each.is_dir() for each in aside):
                raise ValueError(
                    f"{str(self.path)!r} {what}: a run is starting in it, or was killed before it "
                    "had saved; start it again with the same command"
                )
            raise ValueError(
                f"{str(self.path)!r} {what}; give the directory of a run, such as `rpojax train` "
                "makes in runs/"
            )

    def require_free(self, overwrite: bool) -> None:
        """Raise ValueError if there are files that a new run would mix with."""
        if any(entry.name != NAME for entry in self.path.iterdir()) and not overwrite:
            resume = (
                "" if self.updates_saved is None else f"resume it with {self.resume_command()}, "
            )
            raise ValueError(
                f"{str(self.path)!r} exists already; {resume}give another --run-name, or "
                "--overwrite to remove the run in it"
            )

    @contextlib.contextmanager
    def locked(self, force: bool = False, *, remove_empty: bool = False) -> Iterator[Lease]:
        """Hold the run's lock; see `exclusive`. What a killed start has left is cleared up."""
        with exclusive(run_directory(self.path), force, remove_empty=remove_empty) as lease:
            self.recover()
            yield lease

    @contextlib.contextmanager
    def made(self) -> Iterator[None]:
        """Make the directory for a new run, with an existing one set aside; the lock is held.

        That one is removed at the end if the new one has saved a checkpoint. Otherwise, such as
        after an error in between, the directory is left as it was. What is set aside may be
        nothing: its directory tells the files of a killed start from those of the user.
        """
        moving = self.path / MOVING
        moving.mkdir(parents=True)
        self._move_files(self.path, moving)
        moving.rename(self.path / PREVIOUS)
        try:
            yield
        finally:
            self.recover()

    def recover(self) -> None:
        """Bring back the run that `made` has set aside, or remove it if the new one has saved.

        This also finishes what a process that was killed has begun.
        """
        clear_remains(self.path)
        previous, moving = self.path / PREVIOUS, self.path / MOVING
        if _is_directory(previous):
            if self.updates_saved is None:
                self._clear()
                previous.rename(moving)
            else:
                remove(previous)
        if _is_directory(moving):
            self._move_files(moving, self.path)
            remove(moving)

    def write_settings(self, settings: RunSettings) -> None:
        """Write `settings`, for agents whose seeds count up and which share `cfg`."""
        import yaml

        seeds = settings.agents.seeds
        options = {name: getattr(settings, name) for name in settings_of(RunOptions)}
        plain = {**settings.cfg.to_dict(), "num_seeds": len(seeds), "seed": seeds[0], **options}
        write_text(self.settings, yaml.safe_dump(plain, sort_keys=False))

    def loggers(self, *, tensorboard: bool, wandb: str | None) -> list[Logger]:
        """Loggers of a new run; `wandb` is a project.

        Raises:
            ValueError: what they need is not installed.
        """
        chosen: list[Logger] = [CSVLogger(self.metrics_csv)]
        if tensorboard:
            chosen.append(TensorBoardLogger(self.tensorboard))
        if wandb is not None:
            run = {"project": wandb, "name": self.path.name, "id": uuid.uuid4().hex[:8]}
            chosen.append(self._wandb_logger(run))
        return chosen

    def loggers_again(self, *, tensorboard: bool = False, wandb: str | None = None) -> list[Logger]:
        """The loggers of a run that is resumed: by the files that they have left, and those asked.

        A run that was started by another user or on another host is sent to Weights & Biases only
        if a project is named again, since its directory may be of unknown origin.

        Raises:
            ValueError: as for `loggers`; or the file for Weights & Biases is another one.
        """
        logs = {self.metrics_csv: CSVLogger, self.metrics_jsonl: JSONLinesLogger}
        chosen: list[Logger] = [
            make(path)
            for path, make in logs.items()
            if os.path.lexists(path) or (path == self.metrics_csv and self.settings.exists())
        ]
        if tensorboard or os.path.lexists(self.tensorboard):
            for path in (self.tensorboard, *self.tensorboard.rglob("*")):
                if path.is_symlink():
                    raise ValueError(f"{str(path)!r} is a link; remove it to resume the run")
            chosen.append(TensorBoardLogger(self.tensorboard))
        if os.path.lexists(self.wandb):
            run = self._wandb_run()
            project, name, number = (run[key] for key in ("project", "name", "id"))
            here = _owner().items() <= run.items()
            if here or wandb is not None:
                project = project if wandb is None else wandb
                chosen.append(self._wandb_logger({"project": project, "name": name, "id": number}))
            else:
                warnings.warn(
                    f"{str(self.path)!r} was started by another user or on another host, and is "
                    f"not sent to Weights & Biases; give --wandb {shlex.quote(project)} to send it",
                    RuntimeWarning,
                    stacklevel=2,
                )
        elif wandb is not None:
            chosen += self.loggers(tensorboard=False, wandb=wandb)[1:]
        return chosen

    def _wandb_logger(self, run: dict[str, str]) -> Logger:
        """The logger of a run of Weights & Biases, which is recorded."""
        logger = WandbLogger(dir=str(self.path), **run)
        write_text(self.wandb, json.dumps(run | _owner()))
        return logger

    def _wandb_run(self) -> dict[str, str]:
        """What `_wandb_logger` recorded; ValueError for a file that says anything else."""
        try:
            recorded = json.loads(read_text(self.wandb))
        except (ValueError, RecursionError):
            recorded = None
        if (
            not isinstance(recorded, dict)
            or not set(recorded) - set(_owner()) == {"project", "name", "id"}
            or not all(isinstance(value, str) for value in recorded.values())
        ):
            raise ValueError(
                f"{str(self.wandb)!r} is not the file that `rpojax train --wandb` writes (project, "
                "name and id, as text); remove it to resume without Weights & Biases"
            )
        return recorded

    def files(self) -> dict[str, str]:
        """Paths of the existing files, by kind."""
        kinds = ("settings", "checkpoints", *_LOGS, "learning_curve")
        paths = {kind: getattr(self, kind) for kind in kinds}
        return {kind: str(path) for kind, path in paths.items() if path.exists()}

    @property
    def _own(self) -> tuple[Path, ...]:
        """What `rpojax train` makes here, and the checkpoints of `rpojax.fit`."""
        names = ("settings", *_LOGS, "learning_curve", "wandb")
        inner = (self.path / SUBDIRECTORY, self.path / "wandb")
        return (*checkpoint_paths(self.path), *inner, *(getattr(self, name) for name in names))

    def _move_files(self, source: Path, target: Path) -> None:
        """Move the files of a run from one directory to another; other files stay."""
        for path in RunDirectory(source)._own:
            if os.path.lexists(path):
                path.rename(target / path.name)

    def _clear(self) -> None:
        """Remove the files of a run; other files stay."""
        for path in self._own:
            remove(path)


def _owner() -> dict[str, str]:
    """Who runs this process, and where."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in containers
        user = str(os.getuid()) if hasattr(os, "getuid") else ""
    return {"user": user, "host": socket.gethostname()}


def _is_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
