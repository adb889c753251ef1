"""The host loop under `fit` and `resume`: advance, evaluate, log, save, report."""

import dataclasses
import time
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.devices.host_arrays import to_host
from rpojax.devices.processes import exchanged, is_first, several
from rpojax.devices.sharding import unpad
from rpojax.envs.base import INVALID
from rpojax.loggers import Logger
from rpojax.programs.agent_states import AgentStates
from rpojax.runs.agents import Best, Programs
from rpojax.runs.checkpoint import Evolved, Snapshot
from rpojax.runs.checkpoint_manager import CheckpointWriter
from rpojax.runs.interrupt import TrainingInterrupted, first_signal_noted
from rpojax.runs.progress import OnChunk, Progress, StopRule
from rpojax.runs.records import RecordWriter
from rpojax.runs.settings import RunSettings
from rpojax.types import Evolution, Metrics, PyTree, TrainResult

SECONDS_PER_CHUNK = 2.0  # aimed at; between chunks devices wait for each other and for the host


class Loop(NamedTuple):
    """What surrounds the chunks of a training."""

    loggers: Sequence[Logger]
    on_chunk: OnChunk | None
    stop: StopRule
    started: float  # time.perf_counter() at the call of `fit` or `resume`

    def report(self, progress: Progress) -> bool:
        """Call `on_chunk`; returns whether it asks to stop."""
        return self.on_chunk is not None and self.on_chunk(progress) is True


@dataclasses.dataclass(kw_only=True)
class Training:
    """A training between two chunks."""

    settings: RunSettings
    programs: Programs
    states: AgentStates
    finite: np.ndarray  # bool[N] of these states
    history: Metrics  # of numpy arrays f32[N, cfg.num_updates], NaN from `updates` on
    compile_seconds: float
    evolution: Evolution | None = None  # of numpy arrays [N, generations of the run]
    best: Best | None = None
    updates: int = 0
    train_seconds: float = 0.0
    resumed: bool = False
    logged: int | None = None  # the update at which the last record ended; None: not known
    unlogged_evaluation: np.ndarray | None = None  # f32[N] returns of an evaluation since then

    def advance(self, num_updates: int) -> float:
        """Train for `num_updates` updates; returns the seconds that they took."""
        start = time.perf_counter()
        done = slice(self.updates, self.updates + num_updates)
        self.states, finite, metrics, evolution = self.programs.advance(self.states, done)
        seconds = time.perf_counter() - start
        diverged = self.finite & ~finite
        self.finite = finite
        if diverged.any():
            self._warn_of_divergence(np.flatnonzero(diverged))
        if not np.nansum(self.history.invalid_steps):
            _warn_of_invalid_steps(metrics)
        write_columns(self.history, done, metrics)
        if evolution is not None:
            assert self.settings.evolve is not None
            generations = self.settings.evolve.generations
            columns = slice(generations(done.start), generations(done.stop))
            write_columns(self.evolution, columns, evolution)
        self.updates += num_updates
        self.train_seconds += seconds
        return seconds

    def _warn_of_divergence(self, agents: np.ndarray) -> None:
        """Warn which agents have diverged now, in which update, and in which quantity first."""
        quantities = self.programs.diagnose(self.states)
        counts = to_host(self.states.state.update_count)
        for agent in agents:
            kept = int(counts[agent])
            warnings.warn(
                f"agent {agent} ({self.settings.agents.label(agent)}) diverged in update "
                f"{kept + 1}, where NaN or infinity appeared first in: {quantities[agent]}; it "
                f"keeps its state after update {kept}, and is trained no further",
                RuntimeWarning,
                stacklevel=2,
            )

    def next_chunk(self, wanted: int, last_update: int) -> int:
        """As many updates as wanted, but none past an evaluation, a checkpoint or the last one."""
        settings = self.settings
        ends = [self.programs.longest, last_update - self.updates]
        for every in (settings.eval_every, settings.checkpoint_interval):
            if every:
                ends.append(every - self.updates % every)
        if settings.evolve is not None:  # whole generations
            every = settings.evolve.every
            wanted = max(1, wanted // every) * every
        return min(wanted, *ends)

    def evaluate_if_due(self) -> np.ndarray | None:
        """Mean returns f32[N] of the agents as they are, where an evaluation is due."""
        every, last = self.settings.eval_every, self.settings.cfg.num_updates
        if not every or (self.updates % every and self.updates != last):
            return None
        returns, self.best = self.programs.evaluate(self.states, self.best)
        return returns

    def progress(self, since: int, evaluation_return: np.ndarray | None = None) -> Progress:
        """What `on_chunk` receives after the updates from `since` on."""
        settings = self.settings
        return Progress(
            updates=self.updates,
            steps=len(settings.agents) * self.updates * settings.cfg.batch_size,
            agents=settings.agents,
            metrics=_part(self.history, since, self.updates),
            evaluation_return=evaluation_return,
            device_bytes=self.programs.device_bytes,
            compile_seconds=self.compile_seconds,
            train_seconds=self.train_seconds,
            result=lambda: result_of(self.snapshot()),
        )

    def snapshot(self) -> Snapshot:
        """What a checkpoint holds."""
        population = None
        if self.settings.evolve is not None:
            generations = slice(self.settings.evolve.generations(self.updates))
            history = jax.tree.map(lambda leaf: leaf[:, generations].copy(), self.evolution)
            population = Evolved(self.states.hyperparams, history)
        return Snapshot(
            updates=self.updates,
            state=self.states.state,
            finite=self.finite,
            metrics=_part(self.history, 0, self.updates),
            train_seconds=self.train_seconds,
            best=self.best,
            evolved=population,
            logged=self.logged,
            unlogged_evaluation=self.unlogged_evaluation,
        )


def train(training: Training, writer: CheckpointWriter | None, loop: Loop) -> TrainResult:
    """Train to the end, to a stop rule or to a signal; see `rpojax.fit`."""
    settings = training.settings
    last_update = loop.stop.last_update(settings.cfg)
    records = RecordWriter(
        settings.cfg,
        settings.agents,
        settings.log_every,
        loop.loggers if is_first() else (),
        training.updates if training.resumed else None,
        training.logged,
        training.unlogged_evaluation,
    )
    try:
        if writer is not None and writer.last_saved is None:  # no old run is lost to a bad logger
            writer.begin(training.snapshot())
        with first_signal_noted() as noted_signal:
            stopped = loop.report(training.progress(training.updates))
            now = agreed(Decision(1, stopped, noted_signal()))
            while training.updates < last_update and not now.stopped and now.signal_number is None:
                before, chunk_start = training.updates, time.perf_counter()
                seconds = training.advance(training.next_chunk(now.updates, last_update))
                evaluation = training.evaluate_if_due()
                records.advance(training.history, training.updates, seconds, evaluation)
                training.logged = records.logged
                training.unlogged_evaluation = records.evaluation_return
                if writer is not None and writer.is_due(training.updates):
                    writer.try_to_save(training.snapshot())
                progress = training.progress(before, evaluation)
                stopped = loop.report(progress)
                clock = time.perf_counter()
                returns = np.asarray(progress.metrics.episode_return[:, -1])
                stopped |= loop.stop.applies(
                    evaluation if settings.eval_every else returns,
                    clock - loop.started,
                    clock - chunk_start,
                )
                wanted = max(1, round((training.updates - before) * SECONDS_PER_CHUNK / seconds))
                now = agreed(Decision(wanted, stopped, noted_signal()))
            if writer is not None and writer.last_saved != training.updates:
                writer.try_to_save(training.snapshot())
            now = agreed(now._replace(signal_number=noted_signal()))
            if now.signal_number is not None:
                message, result = _how_to_resume(training, writer), result_of(training.snapshot())
                raise TrainingInterrupted(message, result, now.signal_number)
    finally:
        records.close()
    return result_of(training.snapshot())


class Decision(NamedTuple):
    """What to do next."""

    updates: int  # wanted in the next chunk
    stopped: bool
    signal_number: int | None  # that was noted


def agreed(own: Decision) -> Decision:
    """One decision for all processes: stop if any wants to, otherwise as the first decides."""

    def decide(values: list[Sequence[Any]]) -> Decision:
        each = [Decision(*one) for one in values]
        numbers = [one.signal_number for one in each if one.signal_number is not None]
        stopped = any(one.stopped for one in each)
        return Decision(each[0].updates, stopped, numbers[0] if numbers else None)

    return Decision(*exchanged(own, decide))


def result_of(snapshot: Snapshot) -> TrainResult:
    """What was trained so far: copies, not the buffers that training reuses.

    The arrays are on JAX's devices; with several processes, each has the whole states on its host.
    """
    state = to_host(snapshot.state) if several() else snapshot.state
    state = unpad(state, len(snapshot.finite))
    return TrainResult(
        state=state if several() else jax.tree.map(jnp.array, state),
        metrics=jax.device_put(snapshot.metrics),  # NaN passes, also under `jax_debug_nans`
        finite=jnp.array(snapshot.finite),
        evolution=None
        if snapshot.evolved is None
        else jax.tree.map(jnp.array, snapshot.evolved.evolution),
    )


def write_columns(history: PyTree, columns: slice, new: PyTree) -> None:
    """Write the columns of some updates or generations into the arrays of a run, [N, ...]."""
    for values, written in zip(jax.tree.leaves(history), jax.tree.leaves(new), strict=True):
        values[:, columns] = written


def _how_to_resume(training: Training, writer: CheckpointWriter | None) -> str:
    stopped = f"stopped after update {training.updates} of {training.settings.cfg.num_updates}"
    if writer is None:
        return f"{stopped}; nothing is saved without a checkpoint_dir"
    if writer.last_saved != training.updates:
        return f"{stopped}, saved up to update {writer.last_saved}; {writer.how_to_resume}"
    return f"{stopped}; {writer.how_to_resume}"


def _warn_of_invalid_steps(metrics: Metrics) -> None:
    """Warn how many steps were invalid, if any were."""
    count = np.nansum(metrics.invalid_steps)
    if count:
        warnings.warn(
            f"{count:.0f} steps of the environment gave {INVALID}; each ends its episode as a "
            "termination with a reward of 0. The metric invalid_steps counts them from here on",
            RuntimeWarning,
            stacklevel=2,
        )


def _part(history: Metrics, start: int, end: int) -> Metrics:
    """Copies of the metrics of updates start to end, [N, end - start]."""
    return jax.tree.map(lambda values: values[:, start:end].copy(), history)
