"""Start and continue trainings, for `fit`, `resume` and the command."""

import contextlib
import dataclasses
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from rpojax.core.model import Model
from rpojax.devices.host_arrays import to_host
from rpojax.devices.memory import out_of_memory_explained
from rpojax.devices.processes import in_first, is_first, only_in_first
from rpojax.devices.sharding import unpad
from rpojax.runs import checkpoint, checkpoint_manager
from rpojax.runs.agents import initial_states
from rpojax.runs.checkpoint import Checkpoint
from rpojax.runs.checkpoint_manager import CheckpointWriter
from rpojax.runs.lock import Lease, exclusive
from rpojax.runs.loop import Hooks, train
from rpojax.runs.records import RecordWriter
from rpojax.runs.run_state import RunState, blank_metrics
from rpojax.runs.settings import RECORDED, RunSettings
from rpojax.runs.trained_run import TrainedRun
from rpojax.runs.warm_start import InitialPart, warm_started
from rpojax.types import TrainResult


@out_of_memory_explained()
def start(
    model: Model,
    settings: RunSettings,
    checkpoint_dir: str | Path | None,
    hooks: Hooks,
    *,
    initial: tuple[TrainResult | TrainedRun, Collection[InitialPart]] | None = None,
    overwrite: bool = False,
) -> TrainResult:
    """`fit` with its settings and its model made, in a directory of which the lock is held."""
    if checkpoint_dir is None:  # chunks need not end where a checkpoint is due
        settings = dataclasses.replace(settings, checkpoint_every=0)
        return train(model, new_run(model, settings, initial), None, hooks)
    directory = Path(checkpoint_dir).absolute()
    in_first(lambda: checkpoint_manager.require_free(directory, overwrite))
    run = new_run(model, settings, initial)
    return train(model, run, CheckpointWriter(directory, model.env), hooks)


def new_run(
    model: Model,
    settings: RunSettings,
    initial: tuple[TrainResult | TrainedRun, Collection[InitialPart]] | None = None,
) -> RunState:
    """A run before its first update."""
    states, count = initial_states(model, settings.agents), len(settings.agents)
    if initial is not None:
        states = unpad(to_host(states), count)
        states = states._replace(state=warm_started(model.cfg, states.state, *initial, count))
    return RunState(
        settings=settings,
        states=states,
        finite=to_host(states.finite)[:count],
        metrics=blank_metrics(count, 0, model.env.metrics),
    )


@contextlib.contextmanager
def locked(directory: Path | None, force: bool) -> Iterator[Lease | None]:
    """Hold the lock of the run whose checkpoints are in a directory, in the first process."""
    if directory is None:
        yield None
        return
    with only_in_first(exclusive(checkpoint_manager.run_directory(directory), force)) as lease:
        yield lease


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
    before, done = found.run.settings, found.run.updates
    settings = dataclasses.replace(before, **changes)
    if total_timesteps is not None:
        cfg = settings.cfg.replace(total_timesteps=total_timesteps)
        if cfg.num_updates < done:
            raise ValueError(
                f"total_timesteps = {total_timesteps} is less than the {done * cfg.batch_size} "
                "steps that the run has done; give more, or leave it out"
            )
        if cfg.num_updates > done and settings.evolve and done % settings.evolve.every:
            raise ValueError(
                f"the run has ended after {done} updates, within a generation of "
                f"{settings.evolve.every}, and cannot be extended; start a new one from its agents "
                "with rpojax.fit(initial=...)"
            )
        settings = dataclasses.replace(settings, cfg=cfg)
    if devices_per_agent is not None:
        cfg = settings.cfg.replace(devices_per_agent=devices_per_agent)
        cfg.check_sequences(found.model.network.recurrent)
        settings = dataclasses.replace(settings, cfg=cfg)
    changed = any(getattr(settings, name) != getattr(before, name) for name in ("cfg", *RECORDED))
    run = dataclasses.replace(found.run, settings=settings)
    return found._replace(model=found.model._replace(cfg=settings.cfg), run=run, changed=changed)


@out_of_memory_explained()
def continue_from(found: Checkpoint, hooks: Hooks) -> TrainResult:
    """Train from a checkpoint to the end of its run; see `resume`."""
    run = found.run
    if run.updates >= hooks.stop.last_update(run.settings.cfg):
        RecordWriter(run, hooks.loggers if is_first() else (), resumed=True).close()
        return run.result()
    checkpoint.warn_of_other_versions(found)
    in_first(lambda: checkpoint_manager.set_newer_aside(found))
    writer = CheckpointWriter(found.path.parent, found.model.env, run.updates, found.changed)
    return train(found.model, run, writer, hooks)
