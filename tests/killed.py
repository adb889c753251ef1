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

from rpojax import Config, Metrics, TrainState, resume
from rpojax.envs import Env
from rpojax.files import clear_remains
from rpojax.programs.agent_states import AgentStates
from rpojax.runs.checkpoint_manager import CheckpointWriter
from rpojax.runs.run_state import Best, Records, RunState
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


ENV = Env(
    name="none",
    reset=None,  # type: ignore[arg-type]
    step=None,  # type: ignore[arg-type]
    obs=jax.ShapeDtypeStruct((3,), np.float32),
    action_low=np.full(1, -1.0),
    action_high=np.full(1, 1.0),
)


def made_up(updates: int, settings: RunSettings = SETTINGS) -> RunState:
    """What could be a run after so many updates, made up from that number alone."""
    rng = np.random.default_rng(updates)
    fields: Any = dict.fromkeys(TrainState.__dataclass_fields__)
    fields["params"], fields["update_count"] = rng.normal(size=(2, 64, 64)), np.full(2, updates)
    fields["opt_state"] = rng.normal(size=(2, 64, 64))
    state, finite = TrainState(**fields), np.ones(2, bool)
    returns: Any = rng.normal(size=2).astype(np.float32)
    return RunState(
        settings=settings,
        states=AgentStates(state, finite, None, {}),  # type: ignore[arg-type]
        finite=finite,
        metrics=jax.tree.map(lambda _: rng.normal(size=(2, updates)), Metrics.filled(0.0)),
        records=Records.blank(2, updates),
        updates=updates,
        train_seconds=float(updates),
        best=Best(state, returns),
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
    """Save one made-up run after the other, and send the number of each that is saved."""
    path = Path(directory)
    clear_remains(path)
    writer = CheckpointWriter(path, ENV)
    for updates in itertools.count(first):
        writer.save(made_up(updates))
        done.send(updates)


def resume_and_report(directory: str, quickly: bool, done: Connection) -> None:
    """Resume a run, compiled as it was, and send the number of updates after each chunk."""
    jax.config.update("jax_disable_most_optimizations", quickly)
    resume(directory, on_chunk=lambda progress: done.send(progress.updates))
