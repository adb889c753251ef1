"""A checkpoint of a run: what it holds, how it is written and read."""

import functools
import warnings
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from rpojax.core.model import Model, make_model
from rpojax.core.train import init_agent, make_parts
from rpojax.envs.params import params_of_agents
from rpojax.runs import storage
from rpojax.runs.agents import Best
from rpojax.runs.settings import RunSettings, settings_from_record, settings_to_record
from rpojax.settings.config import Config
from rpojax.settings.hyperparams import HyperParams
from rpojax.types import Evolution, Metrics, PyTree, TrainState
from rpojax.version import __version__

PREFIX = "update_"  # of a checkpoint's name, before the updates as nine digits
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint")


class Evolved(NamedTuple):
    """What a population has besides its agents' states."""

    hyperparams: HyperParams  # f32[at least N] the current ones
    evolution: Evolution  # of numpy arrays [N, generations so far]


class Snapshot(NamedTuple):
    """A run of N agents after n updates."""

    updates: int  # n
    state: TrainState  # [at least N, ...] last finite state of each agent
    finite: np.ndarray  # bool[N] False: the agent has stopped before NaN or infinity
    metrics: Metrics  # of numpy arrays f32[N, n]
    train_seconds: float  # that the updates took
    best: Best | None  # [at least N] each agent at its best evaluation; None: none was evaluated
    evolved: Evolved | None = None  # of a population; None without `evolve`
    logged: int | None = None  # the update at which the last record ended; None: not known
    unlogged_evaluation: np.ndarray | None = None  # f32[N] returns of an evaluation since then


class Checkpoint(NamedTuple):
    """A checkpoint that was read and found undamaged."""

    path: Path
    settings: RunSettings
    model: Model
    snapshot: Snapshot
    versions: dict[str, str]  # of the packages and the devices it was written with
    changed: bool = False  # whether the settings are others than those that were read


def save(directory: Path, settings: RunSettings, snapshot: Snapshot) -> Path:
    """Write a checkpoint and return its path; OSError if it cannot be written."""
    path = directory / f"{PREFIX}{snapshot.updates:09d}"
    record = {
        "updates": snapshot.updates,
        "train_seconds": snapshot.train_seconds,
        "evaluated": snapshot.best is not None,
        "logged": snapshot.logged,
        "evaluation_is_unlogged": snapshot.unlogged_evaluation is not None,
        "settings": settings_to_record(settings),
        "versions": versions(),
    }
    tree = {"state": snapshot.state, "finite": snapshot.finite, "metrics": snapshot.metrics}
    if snapshot.best is not None:
        tree["best"] = snapshot.best
    if snapshot.evolved is not None:
        tree["evolved"] = snapshot.evolved
    if snapshot.unlogged_evaluation is not None:
        tree["unlogged_evaluation"] = snapshot.unlogged_evaluation
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
        logged=record.get("logged"),  # older versions did not record it
        unlogged_evaluation=tree.get("unlogged_evaluation"),
    )
    return Checkpoint(path, settings, model, snapshot, record["versions"])


def versions() -> dict[str, str]:
    """Versions and devices, on which the last bits of results depend."""
    device = jax.local_devices()[0]
    return (
        {"rpojax": __version__}
        | {name: metadata.version(name) for name in _PACKAGES}
        | {"devices": f"{jax.device_count()} x {device.platform}, {device.device_kind}"}
    )


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
    state = jax.eval_shape(init, agents.keys(), agents.hyperparams, dict(agents.env_params))
    metrics: Any = jax.ShapeDtypeStruct((count, record["updates"]), np.float32)
    expected = {
        "state": state,
        "metrics": Metrics.filled(metrics, model.env.metrics),
        "finite": jax.ShapeDtypeStruct((count,), bool),
    }
    returns: Any = jax.ShapeDtypeStruct((count,), np.float32)
    if record.get("evaluation_is_unlogged"):
        expected["unlogged_evaluation"] = returns
    if record["evaluated"]:
        updates: Any = jax.ShapeDtypeStruct((count,), np.int32)
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
