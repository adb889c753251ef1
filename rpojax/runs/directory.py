"""The directory of a run: where its files are, and when it may be made."""

import contextlib
import itertools
import json
import shlex
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from rpojax.loggers import CSVLogger, JSONLinesLogger, Logger, TensorBoardLogger, WandbLogger
from rpojax.runs.checkpoint_manager import SUBDIRECTORY, checkpoint_paths, updates_saved
from rpojax.runs.lock import require_unlocked
from rpojax.runs.settings import RunSettings
from rpojax.settings.declared import settings_of
from rpojax.settings.run_options import RunOptions

PREVIOUS = ".previous"  # an old run that a new one is about to replace
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
            if (self.path / PREVIOUS).is_dir() or (self.path / MOVING).is_dir():
                raise ValueError(
                    f"{str(self.path)!r} {what}: a new run is replacing the one in it, or was "
                    f"killed before it had saved; {self.resume_command()} then brings the old run "
                    "back"
                )
            raise ValueError(
                f"{str(self.path)!r} {what}; give the directory of a run, such as `rpojax train` "
                "makes in runs/"
            )

    def require_free(self, overwrite: bool) -> None:
        """Raise ValueError if there are files that a new run would mix with.

        What a killed run has left of an older one comes back first; see `recover`.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{str(self.path)!r} is a file; give another --run-name")
        if not self.path.is_dir():
            return
        self.recover_unlocked()
        if any(self.path.iterdir()) and not overwrite:
            resume = (
                "" if self.updates_saved is None else f"resume it with {self.resume_command()}, "
            )
            raise ValueError(
                f"{str(self.path)!r} exists already; {resume}give another --run-name, or "
                "--overwrite to remove the run in it"
            )

    @contextlib.contextmanager
    def made(self) -> Iterator[None]:
        """Make the directory for a new run, with an existing one set aside.

        That one is removed at the end if the new one has saved a checkpoint. Otherwise, such as
        after an error in between, the directory is left as it was.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self._move_files(self.path, self.path / MOVING)
        if (self.path / MOVING).is_dir():
            (self.path / MOVING).rename(self.path / PREVIOUS)
        try:
            yield
        finally:
            if self.updates_saved is None:
                self._clear()
            self.recover()
            if self.updates_saved is None:
                with contextlib.suppress(OSError):  # files of others stay
                    self.path.rmdir()

    def recover(self) -> None:
        """Bring back the run that `made` has set aside, or remove it if the new one has saved.

        This also finishes what a process that was killed has begun.
        """
        previous, moving = self.path / PREVIOUS, self.path / MOVING
        if previous.is_dir():
            if self.updates_saved is None:
                self._clear()
                previous.rename(moving)
            else:
                shutil.rmtree(previous, ignore_errors=True)
        if moving.is_dir():
            self._move_files(moving, self.path)
            shutil.rmtree(moving, ignore_errors=True)

    def recover_unlocked(self) -> None:
        """The same; raises DirectoryInUseError if a process trains here."""
        if self.path.is_dir():
            require_unlocked(self.checkpoints)
            self.recover()

    def write_settings(self, settings: RunSettings) -> None:
        """Write `settings`, for agents whose seeds count up and which share `cfg`."""
        import yaml

        seeds = settings.agents.seeds
        options = {name: getattr(settings, name) for name in settings_of(RunOptions)}
        plain = {**settings.cfg.to_dict(), "num_seeds": len(seeds), "seed": seeds[0], **options}
        self.settings.write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")

    def loggers(self, *, tensorboard: bool, wandb: str | None) -> list[Logger]:
        """Loggers of a new run; `wandb` is a project.

        Raises:
            ValueError: what they need is not installed.
        """
        chosen: list[Logger] = [CSVLogger(self.metrics_csv)]
        if tensorboard:
            chosen.append(TensorBoardLogger(self.tensorboard))
        if wandb is not None:
            arguments = {"project": wandb, "name": self.path.name, "id": uuid.uuid4().hex[:8]}
            chosen.append(WandbLogger(dir=str(self.path), **arguments))
            draft = self.wandb.with_suffix(".draft")
            draft.write_text(json.dumps(arguments))
            draft.replace(self.wandb)
        return chosen

    def loggers_again(self) -> list[Logger]:
        """The loggers of a run that is resumed, by the files that they have left.

        A run of `rpojax.fit` may have none: a file of its last part alone would pass for the whole.

        Raises:
            ValueError: as for `loggers`; or the file for Weights & Biases is another one.
        """
        logs = {self.metrics_csv: CSVLogger, self.metrics_jsonl: JSONLinesLogger}
        chosen: list[Logger] = [make(path) for path, make in logs.items() if path.exists()]
        if self.tensorboard.is_dir():
            chosen.append(TensorBoardLogger(self.tensorboard))
        if self.wandb.exists():
            chosen.append(WandbLogger(dir=str(self.path), **self._wandb_arguments()))
        return chosen

    def _wandb_arguments(self) -> dict[str, str]:
        """The arguments that `loggers` wrote; ValueError for a file that says anything else."""
        try:
            arguments = json.loads(self.wandb.read_text())
        except (ValueError, RecursionError):
            arguments = None
        if (
            not isinstance(arguments, dict)
            or set(arguments) != {"project", "name", "id"}
            or not all(isinstance(value, str) for value in arguments.values())
        ):
            raise ValueError(
                f"{str(self.wandb)!r} is not the file that `rpojax train --wandb` writes (project, "
                "name and id, as text); remove it to resume without Weights & Biases"
            )
        return arguments

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
            if path.exists():
                target.mkdir(exist_ok=True)
                path.rename(target / path.name)

    def _clear(self) -> None:
        """Remove the files of a run; other files stay."""
        for path in self._own:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
