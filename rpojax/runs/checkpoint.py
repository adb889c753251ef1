"""The checkpoints of a run: what they hold, which are kept, which one to go on from."""

import contextlib
import re
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from rpojax.config import Config
from rpojax.core.train import make_trainer
from rpojax.runs import storage
from rpojax.runs.serialization import settings_from_json, settings_to_json
from rpojax.runs.settings import RunSettings
from rpojax.runs.storage import DamagedCheckpointError
from rpojax.types import Metrics, PyTree, TrainState

_NAME = "update_{:09d}"
_WHOLE = re.compile(r"update_\d{9}")
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint")


class Snapshot(NamedTuple):
    """What a run is after some updates; S seeds, n updates."""

    updates: int  # n
    state: TrainState  # [S, ...] last finite state of each seed
    finite: np.ndarray  # bool[S] False: the seed has stopped, NaN or infinity came next
    metrics: Metrics  # of numpy arrays f32[S, n]
    train_seconds: float  # that the updates took
    evaluation_return: np.ndarray | None  # f32[S] of this very state, if it was evaluated


class Checkpoint(NamedTuple):
    """A checkpoint that was read and found whole."""

    path: Path
    settings: RunSettings
    snapshot: Snapshot
    versions: dict[str, str]  # of what it was written with, and on which devices


def checkpoint_paths(directory: str | Path) -> list[Path]:
    """The checkpoints in a run's directory, oldest first."""
    path = Path(directory)
    return sorted(entry for entry in path.glob("update_*") if _WHOLE.fullmatch(entry.name))


def save(directory: Path, settings: RunSettings, snapshot: Snapshot) -> Path:
    """Write a checkpoint and return its path; OSError if it cannot be written."""
    path = directory / _NAME.format(snapshot.updates)
    returns = snapshot.evaluation_return
    record = {
        "updates": snapshot.updates,
        "train_seconds": snapshot.train_seconds,
        "evaluation_return": None if returns is None else [float(value) for value in returns],
        "settings": settings_to_json(settings),
        "versions": versions(),
    }
    tree = {"state": snapshot.state, "finite": snapshot.finite, "metrics": snapshot.metrics}
    storage.write(path, tree, record)
    return path


def read(path: Path, cfg: Config | None = None) -> Checkpoint:
    """The checkpoint at `path`, of the run with `cfg` (None: as it was recorded).

    Raises:
        DamagedCheckpointError: something in it is missing or changed.
        ValueError: it is whole, and of another config, or of one that has to be passed in; or its
            state is not what this version of the package makes of that config.
    """
    record = storage.read_record(path)
    settings = settings_from_json(record["settings"], cfg)
    tree = storage.read_tree(path, _expected(settings, record["updates"]))
    snapshot = Snapshot(
        updates=record["updates"],
        train_seconds=record["train_seconds"],
        evaluation_return=_as_array(record["evaluation_return"]),
        **tree,
    )
    return Checkpoint(path, settings, snapshot, record["versions"])


def load(directory: str | Path, *, cfg: Config | None = None, best: bool = False) -> Checkpoint:
    """The newest whole checkpoint of a run, or the best: damaged ones are warned of and passed by.

    Args:
        directory: `checkpoint_dir` of `fit`.
        cfg: the run's config; needed where it holds what a file cannot, such as functions.
        best: the one whose evaluation had the highest mean return, over seeds.

    Raises:
        ValueError: there is no checkpoint, none is whole, none was evaluated, or `cfg` is not the
            run's.
    """
    paths = checkpoint_paths(directory)[::-1]
    if not paths:
        kind = "holds no checkpoint" if Path(directory).is_dir() else "is no directory"
        raise ValueError(f"{directory} {kind}; give the checkpoint_dir of a run of rpojax.fit")
    if best:
        paths = list(evaluated_paths(paths))
        if not paths:
            raise ValueError(f"no checkpoint in {directory} was evaluated; train with eval_every")
    for path in paths:
        try:
            return read(path, cfg)
        except DamagedCheckpointError as error:
            warnings.warn(f"{error}; trying the one before", RuntimeWarning, stacklevel=2)
    raise ValueError(f"none of the {len(paths)} checkpoints in {directory} is whole; start again")


def read_settings(directory: str | Path) -> RunSettings:
    """A run's settings, from its newest checkpoint whose record is whole; no arrays are read.

    Raises:
        ValueError: there is none, or the config holds what a file cannot.
    """
    for path in checkpoint_paths(directory)[::-1]:
        with contextlib.suppress(DamagedCheckpointError):
            return settings_from_json(storage.read_record(path)["settings"], None)
    raise ValueError(f"no checkpoint in {directory} has a whole record; start again")


def updates_saved(directory: str | Path) -> int | None:
    """The updates that the newest checkpoint of a run holds; None if it has none."""
    paths = checkpoint_paths(directory)
    return int(paths[-1].name.removeprefix("update_")) if paths else None


def evaluated_paths(paths: list[Path]) -> dict[Path, float]:
    """Mean return over seeds of those that were evaluated and whose record is whole, best first."""
    scores = {}
    for path in paths:
        try:
            returns = _as_array(storage.read_record(path)["evaluation_return"])
        except DamagedCheckpointError:
            continue
        if np.isfinite(_score(returns)):
            scores[path] = _score(returns)
    return dict(sorted(scores.items(), key=lambda item: item[1], reverse=True))


def versions() -> dict[str, str]:
    """What a run's last bits depend on beside its settings."""
    from rpojax.version import __version__

    device = jax.devices()[0]
    return (
        {"rpojax": __version__}
        | {name: metadata.version(name) for name in _PACKAGES}
        | {"devices": f"{jax.device_count()} x {device.platform}, {device.device_kind}"}
    )


class Keeper:
    """Saves a run in a directory, and keeps the newest checkpoints and the best."""

    def __init__(self, directory: Path, settings: RunSettings, last_saved: int = 0) -> None:
        """Of a run whose checkpoints up to update `last_saved` are there, if it is no new one."""
        self.directory, self.last_saved = directory, last_saved
        self._settings = settings
        evaluated = evaluated_paths(checkpoint_paths(directory))
        self._best = next(iter(evaluated.items()), None)  # (path, return)

    @property
    def how_to_resume(self) -> str:
        """What to call, in words."""
        return f"rpojax.resume({str(self.directory)!r}) goes on"

    def is_due(self, updates: int, evaluation_return: np.ndarray | None) -> bool:
        """Whether this is an update to save after: in its turn, or the best so far."""
        every = self._settings.checkpoint_every
        return self._is_best(evaluation_return) or bool(every and updates % every == 0)

    def save(self, snapshot: Snapshot) -> None:
        """Save, then remove what need not be kept; OSError if it cannot be written."""
        path = save(self.directory, self._settings, snapshot)
        self.last_saved = snapshot.updates
        if self._is_best(snapshot.evaluation_return):  # only now, that its very state is saved
            self._best = path, _score(snapshot.evaluation_return)
        for old in checkpoint_paths(self.directory)[: -self._settings.keep_checkpoints]:
            if self._best is None or old != self._best[0]:
                storage.discard(old)

    def try_to_save(self, snapshot: Snapshot) -> None:
        """Save; where that is not possible, warn and leave the training in peace."""
        try:
            self.save(snapshot)
        except OSError as error:
            warnings.warn(
                f"{error}; the training goes on, and the last checkpoint is that of update "
                f"{self.last_saved}",
                RuntimeWarning,
                stacklevel=2,
            )

    def _is_best(self, evaluation_return: np.ndarray | None) -> bool:
        score = _score(evaluation_return)
        return np.isfinite(score) and (self._best is None or score > self._best[1])


def require_free(directory: Path, overwrite: bool) -> None:
    """Raise ValueError if there is a run that must not be overwritten, or no room for a new one."""
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"checkpoint_dir = {str(directory)!r} is a file; give a directory")
    if checkpoint_paths(directory) and not overwrite:
        raise ValueError(
            f"checkpoint_dir = {str(directory)!r} holds a run already; go on with it by "
            f"rpojax.resume({str(directory)!r}), give another directory, or overwrite=True to "
            "remove its checkpoints"
        )


def clear(directory: Path) -> None:
    """Make the directory ready for a new run: checkpoints are removed, other files stay."""
    directory.mkdir(parents=True, exist_ok=True)
    storage.clear_remains(directory)
    for path in checkpoint_paths(directory):
        storage.discard(path)


def set_newer_aside(found: Checkpoint) -> None:
    """Rename what is newer than the checkpoint to go on from: it was damaged, or it had been it."""
    storage.clear_remains(found.path.parent)
    for path in checkpoint_paths(found.path.parent):
        if path.name > found.path.name:
            storage.set_aside(path)


def warn_of_other_versions(found: Checkpoint) -> None:
    """Warn where a run was trained so far by other versions, or on other devices."""
    now = versions()
    changed = [
        f"{name} {found.versions.get(name)} is now {now[name]}"
        for name in now
        if found.versions.get(name) != now[name]
    ]
    if changed:
        warnings.warn(
            f"{'; '.join(changed)}: the training goes on, and may round differently",
            RuntimeWarning,
            stacklevel=3,
        )


def _as_array(returns: list[float] | None) -> np.ndarray | None:
    return None if returns is None else np.asarray(returns, np.float32)


def _score(evaluation_return: np.ndarray | None) -> float:
    """Mean over seeds; NaN if there is none."""
    return float("nan") if evaluation_return is None else float(np.mean(evaluation_return))


def _expected(settings: RunSettings, updates: int) -> dict[str, PyTree]:
    """Shapes and dtypes of what a run with these settings keeps after some updates."""
    keys = jax.random.split(jax.random.key(0), settings.num_seeds)
    init = jax.vmap(make_trainer(settings.cfg).init, (0, None))
    metrics: Any = jax.ShapeDtypeStruct((settings.num_seeds, updates), np.float32)
    return {
        "state": jax.eval_shape(init, keys, settings.hyperparams),
        "metrics": Metrics(**dict.fromkeys(Metrics.__dataclass_fields__, metrics)),
        "finite": jax.ShapeDtypeStruct((settings.num_seeds,), bool),
    }
