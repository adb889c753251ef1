"""Start and continue trainings, for `fit`, `resume` and the command."""

import contextlib
import dataclasses
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from rpojax.core.model import Model
from rpojax.devices.host_arrays import to_host
from rpojax.devices.memory import out_of_memory_explained
from rpojax.devices.processes import in_first, only_in_first
from rpojax.devices.sharding import shard, unpad
from rpojax.programs.agent_states import AgentStates
from rpojax.programs.spread import place
from rpojax.runs import checkpoint, checkpoint_manager
from rpojax.runs.agents import (
    blank_evolution,
    blank_metrics,
    compile_programs,
    initial_states,
)
from rpojax.runs.checkpoint import Checkpoint, Snapshot
from rpojax.runs.checkpoint_manager import CheckpointWriter
from rpojax.runs.lock import exclusive
from rpojax.runs.loop import Loop, Training, result_of, train, write_columns
from rpojax.runs.settings import RECORDED, RunSettings
from rpojax.runs.trained_run import TrainedRun
from rpojax.runs.warm_start import InitialPart, warm_started
from rpojax.settings.config import Config
from rpojax.types import TrainResult


@out_of_memory_explained()
def start(
    model: Model,
    settings: RunSettings,
    checkpoint_dir: str | Path | None,
    loop: Loop,
    *,
    initial: tuple[TrainResult | TrainedRun, Collection[InitialPart]] | None = None,
    overwrite: bool = False,
) -> TrainResult:
    """`fit` with its settings and its model made; see there for arguments and errors."""
    if checkpoint_dir is None:  # chunks need not end where a checkpoint is due
        settings = dataclasses.replace(settings, checkpoint_every=0)
        return train(first_training(model, settings, initial, loop.started), None, loop)
    directory = Path(checkpoint_dir).absolute()
    in_first(lambda: checkpoint_manager.require_free(directory, overwrite))
    with only_in_first(exclusive(directory)):
        training = first_training(model, settings, initial, loop.started)
        return train(training, CheckpointWriter(directory, settings), loop)


def first_training(
    model: Model,
    settings: RunSettings,
    initial: tuple[TrainResult | TrainedRun, Collection[InitialPart]] | None,
    started: float,
) -> Training:
    """A training before its first update, compiled."""
    states = initial_states(model, settings.agents)
    count = len(settings.agents)
    if initial is not None:
        fresh = unpad(to_host(states), count)
        state = warm_started(fresh.state, *initial, count)
        states = place(model.cfg, fresh._replace(state=state))
    return Training(
        settings=settings,
        programs=compile_programs(model, settings, states),
        states=states,
        finite=to_host(states.finite)[:count],
        history=blank_metrics(count, settings.cfg.num_updates, model.env.metrics),
        evolution=blank_evolution(settings),
        compile_seconds=time.perf_counter() - started,
    )


@contextlib.contextmanager
def locked_checkpoint(
    directory: Path, cfg: Config | None = None, force: bool = False
) -> Iterator[Checkpoint]:
    """The checkpoint to resume from, with the lock of its directory held."""
    if not directory.is_dir():
        checkpoint_manager.newest(directory, cfg)  # raises, and makes no directory
    with only_in_first(exclusive(directory, force)):
        yield checkpoint_manager.newest(directory, cfg)


def prolonged(
    found: Checkpoint,
    total_timesteps: int | None,
    devices_per_agent: int | None = None,
    **changes: Any,
) -> Checkpoint:
    """A checkpoint with another end of its run, another number of devices, or other settings.

    Raises:
        ValueError: the end is before what is done; a later one for a population that has ended
            within a generation; a setting out of range.
    """
    settings, done = dataclasses.replace(found.settings, **changes), found.snapshot.updates
    if total_timesteps is not None:
        cfg = settings.cfg.replace(total_timesteps=total_timesteps)
        if cfg.num_updates < done:
            raise ValueError(
                f"total_timesteps = {total_timesteps} is less than the {done * cfg.batch_size} "
                "steps that the run has done; give more, or leave it out"
            )
        if cfg.num_updates > done:
            _require_whole_generations(settings, done)
        settings = dataclasses.replace(settings, cfg=cfg)
    if devices_per_agent is not None:
        cfg = settings.cfg.replace(devices_per_agent=devices_per_agent)
        cfg.check_sequences(found.model.network.recurrent)
        settings = dataclasses.replace(settings, cfg=cfg)
    changed = any(
        getattr(settings, name) != getattr(found.settings, name) for name in ("cfg", *RECORDED)
    )
    model = found.model._replace(cfg=settings.cfg)
    return found._replace(settings=settings, model=model, changed=changed)


def _require_whole_generations(settings: RunSettings, done: int) -> None:
    """Raise ValueError if a population has ended within a generation: it cannot go on."""
    evolve = settings.evolve
    if evolve is not None and done % evolve.every:
        raise ValueError(
            f"the run has ended after {done} updates, within a generation of {evolve.every}, and "
            "can have no later end; start a new one from its agents with rpojax.fit(initial=...)"
        )


@out_of_memory_explained()
def continue_from(found: Checkpoint, loop: Loop) -> TrainResult:
    """Train from a checkpoint to the end of its run; see `resume`."""
    settings, snapshot = found.settings, found.snapshot
    if snapshot.updates >= loop.stop.last_update(settings.cfg):
        return result_of(snapshot)
    checkpoint.warn_of_other_versions(found)
    in_first(lambda: checkpoint_manager.set_newer_aside(found))
    training = resumed_training(found.model, settings, snapshot, loop.started)
    writer = CheckpointWriter(found.path.parent, settings, snapshot.updates, found.changed)
    return train(training, writer, loop)


def resumed_training(
    model: Model, settings: RunSettings, snapshot: Snapshot, started: float
) -> Training:
    """A training after the updates of a snapshot, compiled."""
    evolved = snapshot.evolved
    hyperparams = settings.agents.hyperparams if evolved is None else evolved.hyperparams
    env_params: Any = dict(settings.agents.env_params)
    found = AgentStates(snapshot.state, jnp.asarray(snapshot.finite), hyperparams, env_params)
    states = place(model.cfg, found)
    history = blank_metrics(len(settings.agents), settings.cfg.num_updates, model.env.metrics)
    write_columns(history, slice(snapshot.updates), snapshot.metrics)
    evolution = blank_evolution(settings)
    if evolved is not None:
        write_columns(evolution, slice(evolved.evolution.scores.shape[1]), evolved.evolution)
    return Training(
        settings=settings,
        programs=compile_programs(model, settings, states),
        states=states,
        finite=np.asarray(snapshot.finite),
        history=history,
        compile_seconds=time.perf_counter() - started,
        evolution=evolution,
        best=None if snapshot.best is None else shard(snapshot.best, model.cfg.devices_per_agent),
        updates=snapshot.updates,
        train_seconds=snapshot.train_seconds,
        resumed=True,
        logged=snapshot.logged,
        unlogged_evaluation=snapshot.unlogged_evaluation,
    )
