"""The checkpoints in a run's directory: which are kept, and from which one a run resumes.

orbax's `CheckpointManager` would rotate them too, but takes the newest as it is, where a damaged
one must be skipped, and knows no run that another one is about to replace.
"""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rpojax.devices.processes import in_first, is_first, several
from rpojax.envs.base import Env
from rpojax.files import clear_remains
from rpojax.runs import storage
from rpojax.runs.checkpoint import PREFIX, Checkpoint, read, save
from rpojax.runs.run_state import RunState
from rpojax.runs.settings import RunSettings, settings_from_record
from rpojax.runs.storage import DamagedCheckpointError
from rpojax.settings.config import Config
from rpojax.validation import first_line

T = TypeVar("T")

_COMPLETE = re.compile(PREFIX + r"\d{9}")
SUBDIRECTORY = "checkpoints"  # of a run's directory
ATTEMPTS = 20  # to read a checkpoint, while a training process may remove those listed


def checkpoint_directory(directory: str | Path) -> Path:
    """Where the checkpoints of a run are: given its directory, or that of the checkpoints."""
    path = Path(directory)
    inner = path / SUBDIRECTORY
    return inner if inner.is_dir() and not checkpoint_paths(path) else path


def run_directory(directory: Path) -> Path:
    """The directory of the run whose checkpoints are there; its lock is in it."""
    return directory.parent if directory.name == SUBDIRECTORY else directory


def checkpoint_paths(directory: Path) -> list[Path]:
    """The checkpoints in a directory, oldest first."""
    return sorted(
        entry for entry in directory.glob(f"{PREFIX}*") if _COMPLETE.fullmatch(entry.name)
    )


def newest(directory: Path, cfg: Config | None = None) -> Checkpoint:
    """The newest undamaged checkpoint in a directory, read whole; see `first_read`."""
    return first_read(directory, lambda path: read(path, cfg))


def first_read(directory: Path, read_one: Callable[[Path], T]) -> T:
    """What is read of the newest checkpoint of which that is undamaged.

    Warns of each damaged one that it skips.

    Raises:
        ValueError: there is no checkpoint, all are damaged, or `read_one` raises it.
        OSError: a checkpoint may not be read.
    """
    for _ in range(ATTEMPTS):
        paths = checkpoint_paths(directory)[::-1]
        if not paths:
            kind = "holds no checkpoint" if directory.is_dir() else "is not a directory"
            raise ValueError(
                f"{str(directory)!r} {kind}; give the checkpoint_dir of rpojax.fit, or the "
                "directory of a run of `rpojax train`"
            )
        damaged = []
        for path in paths:
            try:
                found = read_one(path)
            except DamagedCheckpointError as error:
                damaged.append(error)
                continue
            except (LookupError, TypeError, AttributeError) as error:
                raise ValueError(
                    f"{path} is not a checkpoint that rpojax wrote ({type(error).__name__}: "
                    f"{first_line(error)})"
                ) from error
            for skipped in damaged:
                warnings.warn(f"{skipped}; trying the one before", RuntimeWarning, stacklevel=3)
            return found
        if all(path.exists() for path in paths):
            break  # none was removed by the process that trains: they are damaged
    raise ValueError(
        f"all {len(paths)} checkpoints in {str(directory)!r} are damaged; start a new run (of the "
        f"newest: {damaged[0]})"
    )


def recorded_settings(directory: Path) -> RunSettings:
    """A run's settings; reads no arrays. Errors as `first_read`, and as `settings_from_record`."""
    return first_read(
        directory, lambda path: settings_from_record(storage.opened(path).record["settings"])
    )


def updates_saved(directory: Path) -> int | None:
    """The updates that the newest checkpoint holds; None if there is none."""
    paths = checkpoint_paths(directory)
    return int(paths[-1].name.removeprefix(PREFIX)) if paths else None


class CheckpointWriter:
    """Saves a run into a directory and keeps the newest checkpoints."""

    def __init__(
        self, directory: Path, env: Env, last_saved: int | None = None, changed: bool = False
    ) -> None:
        """The writer of a run.

        Args:
            directory: of the checkpoints.
            env: what the agents act in.
            last_saved: the update of the newest checkpoint; None for a run that `begin` starts.
            changed: whether that checkpoint has other settings.
        """
        self.directory, self.last_saved = directory, last_saved
        self._env, self._changed = env, changed

    @property
    def how_to_resume(self) -> str:
        """A sentence with the call that resumes the run."""
        again = " with the arguments of this call again" if self._changed else ""
        return f"rpojax.resume({str(self.directory)!r}) resumes it{again}"

    def begin(self, run: RunState) -> None:
        """Remove the checkpoints of another run, and save the first one; OSError if it fails."""
        in_first(lambda: clear(self.directory))
        self.save(run)

    def save_if_due(self, run: RunState) -> None:
        """Save a run after an update that a checkpoint follows; see `try_to_save`."""
        every = run.settings.checkpoint_interval
        if every and run.updates % every == 0:
            self.try_to_save(run)

    def save(self, run: RunState) -> None:
        """Save, then remove the checkpoints that need not be kept; OSError if it fails."""
        if not self.directory.is_dir():
            raise OSError(f"{str(self.directory)!r} was removed while the run trained")
        save(self.directory, self._env, run)
        self.last_saved, self._changed = run.updates, False
        if is_first():
            for old in checkpoint_paths(self.directory)[: -run.settings.keep_checkpoints]:
                storage.discard(old)

    def try_to_save(self, run: RunState) -> None:
        """Save; where that fails, warn and let the training continue, unless others save too."""
        try:
            self.save(run)
        except OSError as error:
            if several():
                raise
            warnings.warn(
                f"{error}; the training continues, and the last checkpoint is that of update "
                f"{self.last_saved}",
                RuntimeWarning,
                stacklevel=2,
            )


def require_free(directory: Path, overwrite: bool) -> None:
    """Raise ValueError if the directory holds a run that must not be overwritten."""
    if checkpoint_paths(directory / SUBDIRECTORY):  # its other files would not be of the new run
        raise ValueError(
            f"checkpoint_dir = {str(directory)!r} is the directory of a run of `rpojax train`; "
            f"resume it with rpojax.resume({str(directory)!r}), or give another directory"
        )
    if checkpoint_paths(directory) and not overwrite:
        raise ValueError(
            f"checkpoint_dir = {str(directory)!r} holds a run already; resume it with "
            f"rpojax.resume({str(directory)!r}), give another directory, or set overwrite=True to "
            "remove its checkpoints"
        )


def clear(directory: Path) -> None:
    """Prepare a directory for a new run: checkpoints are removed, other files stay."""
    directory.mkdir(parents=True, exist_ok=True)
    clear_remains(directory)
    for path in checkpoint_paths(directory):
        storage.discard(path)


def set_newer_aside(found: Checkpoint) -> None:
    """Rename the checkpoints that are newer than the one a run resumes from: they are damaged."""
    clear_remains(found.path.parent)
    for path in checkpoint_paths(found.path.parent):
        if path.name > found.path.name:
            storage.set_aside(path)
