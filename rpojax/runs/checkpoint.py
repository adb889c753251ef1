"""The checkpoints of a run: what they hold, which are kept, from which one a run resumes."""

import contextlib
import functools
import re
import warnings
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from rpojax.config import Config
from rpojax.core.model import Model, make_model
from rpojax.core.train import init_agent, make_parts
from rpojax.envs.params import params_of_agents
from rpojax.hyperparams import HyperParams
from rpojax.processes import is_first, several
from rpojax.runs import storage
from rpojax.runs.agents import Best
from rpojax.runs.settings import RunSettings, settings_from_record, settings_to_record
from rpojax.runs.storage import DamagedCheckpointError
from rpojax.types import Evolution, Metrics, PyTree, TrainState
from rpojax.version import __version__

_NAME = "update_{:09d}"
_COMPLETE = re.compile(r"update_\d{9}")
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint")
SUBDIRECTORY = "checkpoints"  # of a run's directory
ATTEMPTS = 20  # at a list of checkpoints that a training process may remove meanwhile


class Evolved(NamedTuple):
    """What a population is besides its agents' states."""

    hyperparams: HyperParams  # f32[at least N] of now
    evolution: Evolution  # of numpy arrays [N, generations so far]


class Snapshot(NamedTuple):
    """A run of N agents after n updates."""

    updates: int  # n
    state: TrainState  # [at least N, ...] last finite state of each agent
    finite: np.ndarray  # bool[N] False: the agent has stopped, NaN or infinity came next
    metrics: Metrics  # of numpy arrays f32[N, n]
    train_seconds: float  # that the updates took
    best: Best | None  # [at least N] each agent at its best evaluation; None: none was evaluated
    evolved: Evolved | None = None  # of a population; None without `evolve`


class Checkpoint(NamedTuple):
    """A checkpoint that was read and found undamaged."""

    path: Path
    settings: RunSettings
    model: Model
    snapshot: Snapshot
    versions: dict[str, str]  # of the packages and the devices it was written with


def checkpoint_directory(directory: str | Path) -> Path:
    """Where the checkpoints of a run are: given its directory, or that of the checkpoints."""
    path = Path(directory)
    inner = path / SUBDIRECTORY
    return inner if inner.is_dir() and not checkpoint_paths(path) else path


def checkpoint_paths(directory: Path) -> list[Path]:
    """The checkpoints in a directory, oldest first."""
    return sorted(entry for entry in directory.glob("update_*") if _COMPLETE.fullmatch(entry.name))


def save(directory: Path, settings: RunSettings, snapshot: Snapshot) -> Path:
    """Write a checkpoint and return its path; OSError if it cannot be written."""
    path = directory / _NAME.format(snapshot.updates)
    record = {
        "updates": snapshot.updates,
        "train_seconds": snapshot.train_seconds,
        "evaluated": snapshot.best is not None,
        "settings": settings_to_record(settings),
        "versions": versions(),
    }
    tree = {"state": snapshot.state, "finite": snapshot.finite, "metrics": snapshot.metrics}
    if snapshot.best is not None:
        tree["best"] = snapshot.best
    if snapshot.evolved is not None:
        tree["evolved"] = snapshot.evolved
    storage.write(path, tree, record, rows=len(settings.agents))
    return path


def read(path: Path, cfg: Config | None = None) -> Checkpoint:
    """The checkpoint at `path`.

    Args:
        path: of the checkpoint.
        cfg: the run's config; None for the recorded one.

    Raises:
        DamagedCheckpointError: something in it is missing or changed.
        ValueError: it is undamaged, and was written with another config or needs one to be passed
            in; or this version of the package makes another state of that config.
    """
    record = storage.read_record(path)
    settings = settings_from_record(record["settings"], cfg)
    model = make_model(settings.cfg)
    params_of_agents(model.env, settings.agents.env_params)  # another environment may have others
    tree = storage.read_tree(path, _expected(model, settings, record))
    snapshot = Snapshot(
        updates=record["updates"],
        train_seconds=record["train_seconds"],
        state=tree["state"],
        finite=tree["finite"],
        metrics=tree["metrics"],
        best=tree.get("best"),
        evolved=tree.get("evolved"),
    )
    return Checkpoint(path, settings, model, snapshot, record["versions"])


def newest(directory: Path, cfg: Config | None = None) -> Checkpoint:
    """The newest undamaged checkpoint in a directory. Warns of each damaged one that it skips.

    Raises:
        ValueError: there is no checkpoint, all are damaged, or `cfg` is not the run's.
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
                found = read(path, cfg)
            except DamagedCheckpointError as error:
                damaged.append(error)
                continue
            for skipped in damaged:
                warnings.warn(f"{skipped}; trying the one before", RuntimeWarning, stacklevel=2)
            return found
        if all(path.exists() for path in paths):
            break  # none was removed by the process that trains: they are damaged
    raise ValueError(
        f"all {len(paths)} checkpoints in {str(directory)!r} are damaged; start a new run"
    )


def recorded_settings(directory: Path) -> RunSettings:
    """A run's settings, from its newest checkpoint with an undamaged record; reads no arrays.

    Raises:
        ValueError: there is none, or the config holds objects that a file cannot hold.
    """
    for path in checkpoint_paths(directory)[::-1]:
        with contextlib.suppress(DamagedCheckpointError):
            return settings_from_record(storage.read_record(path)["settings"])
    raise ValueError(
        f"no checkpoint in {str(directory)!r} has an undamaged record; start a new run"
    )


def updates_saved(directory: Path) -> int | None:
    """The updates that the newest checkpoint holds; None if there is none."""
    paths = checkpoint_paths(directory)
    return int(paths[-1].name.removeprefix("update_")) if paths else None


def versions() -> dict[str, str]:
    """Versions and devices: results can differ in the last bits between them."""
    device = jax.local_devices()[0]
    return (
        {"rpojax": __version__}
        | {name: metadata.version(name) for name in _PACKAGES}
        | {"devices": f"{jax.device_count()} x {device.platform}, {device.device_kind}"}
    )


class CheckpointWriter:
    """Saves a run into a directory and keeps the newest checkpoints."""

    def __init__(self, directory: Path, settings: RunSettings, last_saved: int = 0) -> None:
        """For a run whose checkpoints up to update `last_saved` exist, if it is resumed."""
        self.directory, self.last_saved = directory, last_saved
        self._settings = settings

    @property
    def how_to_resume(self) -> str:
        """A sentence with the call that resumes the run."""
        return f"rpojax.resume({str(self.directory)!r}) resumes it"

    def is_due(self, updates: int) -> bool:
        """Whether a checkpoint follows this update."""
        every = self._settings.checkpoint_every
        return bool(every and updates % every == 0)

    def save(self, snapshot: Snapshot) -> None:
        """Save, then remove the checkpoints that need not be kept; OSError if it fails."""
        if not self.directory.is_dir():
            raise OSError(f"{str(self.directory)!r} was removed while the run trained")
        save(self.directory, self._settings, snapshot)
        self.last_saved = snapshot.updates
        if is_first():
            for old in checkpoint_paths(self.directory)[: -self._settings.keep_checkpoints]:
                storage.discard(old)

    def try_to_save(self, snapshot: Snapshot) -> None:
        """Save; where that fails, warn and let the training continue, unless others save too."""
        try:
            self.save(snapshot)
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
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"checkpoint_dir = {str(directory)!r} is a file; give a directory")
    if checkpoint_paths(directory) and not overwrite:
        raise ValueError(
            f"checkpoint_dir = {str(directory)!r} holds a run already; resume it with "
            f"rpojax.resume({str(directory)!r}), give another directory, or set overwrite=True to "
            "remove its checkpoints"
        )


def clear(directory: Path) -> None:
    """Prepare a directory for a new run: checkpoints are removed, other files stay."""
    directory.mkdir(parents=True, exist_ok=True)
    storage.clear_remains(directory)
    for path in checkpoint_paths(directory):
        storage.discard(path)


def set_newer_aside(found: Checkpoint) -> None:
    """Rename the checkpoints that are newer than the one a run resumes from: they are damaged."""
    storage.clear_remains(found.path.parent)
    for path in checkpoint_paths(found.path.parent):
        if path.name > found.path.name:
            storage.set_aside(path)


def warn_of_other_versions(found: Checkpoint) -> None:
    """Warn where a run was trained so far with other versions, or on other devices."""
    now = versions()

    def differs(name: str) -> bool:
        before, after = found.versions.get(name, ""), now[name]
        if name == "devices" and found.settings.cfg.agents_at_once == 1:  # any number will do
            before, after = before.partition(" x ")[2], after.partition(" x ")[2]
        return before != after

    changed = [
        f"{name} {found.versions.get(name)} is now {now[name]}" for name in now if differs(name)
    ]
    if changed:
        warnings.warn(
            f"{'; '.join(changed)}: the training resumes, and its last bits may differ",
            RuntimeWarning,
            stacklevel=3,
        )


def _expected(model: Model, settings: RunSettings, record: Mapping[str, Any]) -> dict[str, PyTree]:
    """Shapes and dtypes of what a run with these settings saves after some updates."""
    agents = settings.agents
    count = len(agents)
    init = jax.vmap(functools.partial(init_agent, make_parts(model.on_one_device)))
    state = jax.eval_shape(init, agents.keys(), agents.hyperparams)
    metrics: Any = jax.ShapeDtypeStruct((count, record["updates"]), np.float32)
    expected = {
        "state": state,
        "metrics": Metrics.filled(metrics, model.env.metrics),
        "finite": jax.ShapeDtypeStruct((count,), bool),
    }
    if record["evaluated"]:
        updates: Any = jax.ShapeDtypeStruct((count,), np.int32)
        returns: Any = jax.ShapeDtypeStruct((count,), np.float32)
        expected["best"] = Best(state=state, updates=updates, evaluation_return=returns)
    if settings.evolve is not None:
        generations = settings.evolve.generations(record["updates"])
        scores: Any = jax.ShapeDtypeStruct((count, generations), np.float32)
        parents: Any = jax.ShapeDtypeStruct((count, generations), np.int32)
        expected["evolved"] = Evolved(
            hyperparams=jax.eval_shape(lambda: agents.hyperparams),
            evolution=Evolution(
                hyperparams=jax.tree.map(lambda _: scores, agents.hyperparams),
                scores=scores,
                parents=parents,
            ),
        )
    return expected
