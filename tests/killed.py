"""What the tests run in a process that they kill; imports little, and nothing of pytest."""

import itertools
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rpojax import Config, Metrics, resume
from rpojax.runs import storage
from rpojax.runs.agents import Best
from rpojax.runs.checkpoint import Snapshot
from rpojax.runs.checkpoint_manager import CheckpointWriter
from rpojax.runs.settings import RunSettings
from rpojax.settings.agent_table import agent_table

SETTINGS = RunSettings(
    cfg=Config(),
    agents=agent_table(Config().hyperparams(), num_seeds=2),
    log_every=1,
    eval_every=1,
    eval_episodes=1,
    checkpoint_every=1,
    keep_checkpoints=3,
)


def snapshot(updates: int) -> Snapshot:
    """What could be a run after so many updates, made up from that number alone."""
    rng = np.random.default_rng(updates)
    state: Any = {"weights": rng.normal(size=(2, 64, 64)), "count": np.full(2, updates)}
    returns: Any = rng.normal(size=2).astype(np.float32)
    return Snapshot(
        updates=updates,
        state=state,
        finite=np.ones(2, bool),
        metrics=jax.tree.map(lambda _: rng.normal(size=(2, updates)), Metrics.filled(0.0)),
        train_seconds=float(updates),
        best=Best(state, state["count"], returns),
    )


def start(target: Callable[..., None], *args: Any) -> tuple[BaseProcess, Connection]:
    """A process that has imported the slow modules, and the end of a pipe to read from.

    It is forked from a process in which JAX is imported and has computed nothing: from one in
    which it has, and that importing gymnax is enough for, it would hang.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed", "orbax.checkpoint"])
    told, telling = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(*args, telling), daemon=True)
    process.start()
    telling.close()
    return process, told


def last_message(told: Connection) -> Any:
    """The last message of a process that has ended."""
    message = None
    try:
        while told.poll():
            message = told.recv()
    except EOFError:
        pass
    return message


def save_without_end(directory: str, first: int, done: Connection) -> None:
    """Save one snapshot after the other, and send the number of each that is saved."""
    path = Path(directory)
    storage.clear_remains(path)
    writer = CheckpointWriter(path, SETTINGS)
    for updates in itertools.count(first):
        writer.save(snapshot(updates))
        done.send(updates)


def resume_and_report(directory: str, done: Connection) -> None:
    """Resume a run, and send the number of updates after each chunk."""
    resume(directory, on_chunk=lambda progress: done.send(progress.updates))
