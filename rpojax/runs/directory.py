"""The directory of a run: what is where in it, and when one may be made."""

import contextlib
import dataclasses
import json
import shlex
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rpojax.loggers import CSVLogger, JSONLinesLogger, Logger, TensorBoardLogger, WandbLogger
from rpojax.runs import checkpoint


@dataclasses.dataclass(frozen=True)
class RunDirectory:
    """A run's own directory, with the places of its files."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Directory of the checkpoints; the run's own where `rpojax.fit` was given that."""
        inner = self.path / "checkpoints"
        return self.path if checkpoint.checkpoint_paths(self.path) else inner

    @property
    def metrics_csv(self) -> Path:
        """A row for each seed of each record."""
        return self.path / "metrics.csv"

    @property
    def metrics_jsonl(self) -> Path:
        """An object for each seed of each record."""
        return self.path / "metrics.jsonl"

    @property
    def learning_curve(self) -> Path:
        """The picture that is drawn at the end."""
        return self.path / "learning_curve.png"

    @property
    def tensorboard(self) -> Path:
        """Event files, if they were asked for."""
        return self.path / "tensorboard"

    @property
    def wandb(self) -> Path:
        """Arguments of the run's `WandbLogger`, if one was asked for."""
        return self.path / "wandb.json"

    @property
    def how_to_resume(self) -> str:
        """The command that goes on with the run."""
        return f"`rpojax resume {shlex.quote(str(self.path))}`"

    @property
    def updates_saved(self) -> int | None:
        """Updates of the newest checkpoint; None if there is none."""
        return checkpoint.updates_saved(self.checkpoints)

    def require_run(self) -> None:
        """Raise ValueError if there is no run to use."""
        if self.updates_saved is None:
            what = "holds no checkpoint" if self.path.is_dir() else "is no directory"
            raise ValueError(
                f"{str(self.path)!r} {what}; give the directory of a run, as `rpojax train` makes "
                "them below runs/"
            )

    def require_free(self, overwrite: bool) -> None:
        """Raise ValueError if there is something that a new run would mix with."""
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{str(self.path)!r} is a file; give another --run-name")
        if self.path.is_dir() and any(self.path.iterdir()) and not overwrite:
            go_on = "" if self.updates_saved is None else f"go on with {self.how_to_resume}, "
            raise ValueError(
                f"{str(self.path)!r} is there already; {go_on}give another --run-name, or "
                "--overwrite to remove the run in it"
            )

    @contextlib.contextmanager
    def made(self) -> Iterator[None]:
        """Make the directory anew; on an error before the first checkpoint, leave no trace."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._clear()
        try:
            yield
        except BaseException:
            if self.updates_saved is None:
                self._clear()
                with contextlib.suppress(OSError):  # files of others stay
                    self.path.rmdir()
            raise

    def loggers(self, *, tensorboard: bool, wandb: str | None) -> list[Logger]:
        """Loggers of a new run; `wandb` is a project.

        Raises:
            ValueError: what they need is not installed.
        """
        chosen = self._text_loggers()
        if tensorboard:
            chosen.append(TensorBoardLogger(self.tensorboard))
        if wandb is not None:
            arguments = {"project": wandb, "name": self.path.name, "id": uuid.uuid4().hex[:8]}
            chosen.append(self._wandb_logger(arguments))
            self.wandb.write_text(json.dumps(arguments))
        return chosen

    def loggers_again(self) -> list[Logger]:
        """The loggers that the run had; ValueError as `loggers`."""
        chosen = self._text_loggers()
        if self.tensorboard.is_dir():
            chosen.append(TensorBoardLogger(self.tensorboard))
        if self.wandb.exists():
            chosen.append(self._wandb_logger(json.loads(self.wandb.read_text())))
        return chosen

    def files(self) -> dict[str, str]:
        """Paths of what is there, by kind."""
        paths = {
            "checkpoints": self.checkpoints,
            "metrics_csv": self.metrics_csv,
            "metrics_jsonl": self.metrics_jsonl,
            "learning_curve": self.learning_curve,
            "tensorboard": self.tensorboard,
        }
        return {kind: str(path) for kind, path in paths.items() if path.exists()}

    def _text_loggers(self) -> list[Logger]:
        return [CSVLogger(self.metrics_csv), JSONLinesLogger(self.metrics_jsonl)]

    def _wandb_logger(self, arguments: dict[str, Any]) -> Logger:
        return WandbLogger(dir=str(self.path), **arguments)

    def _clear(self) -> None:
        """Remove what `rpojax train` has made here before; other files stay."""
        for directory in (self.path / "checkpoints", self.tensorboard, self.path / "wandb"):
            if directory.exists():
                shutil.rmtree(directory)
        for file in (self.metrics_csv, self.metrics_jsonl, self.learning_curve, self.wandb):
            file.unlink(missing_ok=True)
