"""The host loop under `fit` and `resume`: train a chunk, evaluate, log, save, report."""

import contextlib
import time
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rpojax.core.model import Model
from rpojax.devices.host_arrays import to_host
from rpojax.devices.processes import exchanged, is_first
from rpojax.devices.sharding import shard
from rpojax.envs.base import INVALID
from rpojax.loggers import Logger
from rpojax.programs.spread import place
from rpojax.runs.agents import compile_programs
from rpojax.runs.checkpoint_manager import CheckpointWriter
from rpojax.runs.interrupt import TrainingInterrupted, first_signal_noted, noted_signal
from rpojax.runs.lock import Lease
from rpojax.runs.progress import OnChunk, Progress, StopRule
from rpojax.runs.records import RecordWriter
from rpojax.runs.run_state import RunState, write_columns
from rpojax.statistics.nan import last_ignoring_nan
from rpojax.types import Metrics, TrainResult

SECONDS_PER_CHUNK = 2.0  # aimed at; between chunks devices wait for each other and for the host


class Hooks(NamedTuple):
    """What the caller of a training adds to it, and when it called."""

    loggers: Sequence[Logger]
    on_chunk: OnChunk | None
    stop: StopRule
    started: float  # time.perf_counter() at the call of `fit` or `resume`
    lease: Lease | None = None  # of the directory; None where nothing is saved


def train(
    model: Model, run: RunState, writer: CheckpointWriter | None, hooks: Hooks
) -> TrainResult:
    """Train a run to its end, to a stop rule or to a signal; see `rpojax.fit`."""
    settings = run.settings
    last_update = hooks.stop.last_update(settings.cfg)
    resumed = writer is not None and writer.last_saved is not None

    def reported(progress: Progress) -> bool:
        return hooks.on_chunk is not None and hooks.on_chunk(progress) is True

    def stop_if_noted() -> None:
        number = agreed(Decision(0, False, noted_signal())).signal_number
        if number is not None:
            raise TrainingInterrupted(_how_to_resume(run, writer), run.result(), number)

    with first_signal_noted(), contextlib.ExitStack() as at_end:
        stop_if_noted()
        loop = HostLoop(model, run, hooks.started)
        records = RecordWriter(run, hooks.loggers if is_first() else (), resumed)
        at_end.callback(records.close)
        if writer is not None and not resumed:  # no old run is lost to a bad logger
            writer.begin(run)
        stopped = reported(loop.progress(run.updates))
        now = agreed(Decision(1, stopped, noted_signal()))
        while run.updates < last_update and not now.stopped and now.signal_number is None:
            before, chunk_start = run.updates, time.perf_counter()
            seconds = loop.train_chunk(loop.next_chunk(now.updates, last_update))
            evaluation = loop.evaluate_if_due()
            if hooks.lease is not None:
                hooks.lease.require_held()
            records.log_until(seconds, evaluation)
            if writer is not None:
                writer.save_if_due(run)
            progress = loop.progress(before, evaluation)
            stopped = reported(progress)
            clock = time.perf_counter()
            returns = evaluation
            if hooks.stop.episode_return is not None and not settings.eval_every:
                returns = last_ignoring_nan(run.metrics.episode_return[:, : run.updates])
            stopped |= hooks.stop.applies(
                returns,
                clock - hooks.started,
                clock - chunk_start,
            )
            wanted = max(1, round((run.updates - before) * SECONDS_PER_CHUNK / seconds))
            now = agreed(Decision(wanted, stopped, noted_signal()))
        if writer is not None and writer.last_saved != run.updates:
            writer.try_to_save(run)
        stop_if_noted()
    return run.result()


class HostLoop:
    """Moves a run on by chunks of updates."""

    def __init__(self, model: Model, run: RunState, started: float) -> None:
        """Place the run on the devices, and compile its programs; `started` as in `Hooks`."""
        run.states = place(model.cfg, run.states)
        if run.best is not None:
            run.best = shard(run.best, model.cfg.devices_per_agent)
        run.make_room()
        self.run, self.programs = run, compile_programs(model, run.settings, run.states)
        self._compile_seconds = time.perf_counter() - started

    def next_chunk(self, wanted: int, last_update: int) -> int:
        """As many updates as wanted, but none past an evaluation, a checkpoint or the last one."""
        settings, done = self.run.settings, self.run.updates
        ends = [self.programs.longest, last_update - done]
        for every in (settings.eval_every, settings.checkpoint_interval):
            if every:
                ends.append(every - done % every)
        if settings.evolve is not None:  # whole generations
            every = settings.evolve.every
            wanted = max(1, wanted // every) * every
        return min(wanted, *ends)

    def train_chunk(self, num_updates: int) -> float:
        """Train for `num_updates` updates; returns the seconds that they took."""
        run, start = self.run, time.perf_counter()
        done = slice(run.updates, run.updates + num_updates)
        run.states, finite, metrics, evolution = self.programs.train(
            run.states, done, run.evolution_so_far()
        )
        seconds = time.perf_counter() - start
        diverged = run.finite & ~finite
        run.finite = finite
        if diverged.any():
            self._warn_of_divergence(np.flatnonzero(diverged))
        if not np.nansum(run.metrics.invalid_steps):
            _warn_of_invalid_steps(metrics)
        write_columns(run.metrics, done, metrics)
        if evolution is not None:
            assert run.settings.evolve is not None
            generations = run.settings.evolve.generations
            columns = slice(generations(done.start), generations(done.stop))
            write_columns(run.evolution, columns, evolution)
        run.updates += num_updates
        run.train_seconds += seconds
        return seconds

    def evaluate_if_due(self) -> np.ndarray | None:
        """Mean returns f32[N] of the agents as they are, where an evaluation is due."""
        run = self.run
        every, last = run.settings.eval_every, run.settings.cfg.num_updates
        if not every or (run.updates % every and run.updates != last):
            return None
        returns, run.best = self.programs.evaluate(run.states, run.best)
        return returns

    def progress(self, since: int, evaluation_return: np.ndarray | None = None) -> Progress:
        """What `on_chunk` receives after the updates from `since` on."""
        run = self.run
        return Progress(
            updates=run.updates,
            steps=len(run.settings.agents) * run.updates * run.settings.cfg.batch_size,
            agents=run.settings.agents,
            metrics=run.metrics_between(since, run.updates),
            evaluation_return=evaluation_return,
            device_bytes=self.programs.device_bytes,
            compile_seconds=self._compile_seconds,
            train_seconds=run.train_seconds,
            result=run.result,
        )

    def _warn_of_divergence(self, agents: np.ndarray) -> None:
        """Warn which agents have diverged now, in which update, and in which quantity first."""
        states = self.run.states
        quantities, counts = self.programs.diagnose(states), to_host(states.state.update_count)
        for agent in agents:
            kept = int(counts[agent])
            warnings.warn(
                f"agent {agent} ({self.run.settings.agents.label(agent)}) diverged in update "
                f"{kept + 1}, where NaN or infinity appeared first in: {quantities[agent]}; it "
                f"keeps its state after update {kept}, and is trained no further",
                RuntimeWarning,
                stacklevel=2,
            )


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


def _how_to_resume(run: RunState, writer: CheckpointWriter | None) -> str:
    stopped = f"stopped after update {run.updates} of {run.settings.cfg.num_updates}"
    if writer is None:
        return f"{stopped}; nothing is saved without a checkpoint_dir"
    if writer.last_saved is None:
        return f"{stopped}; nothing is saved yet, and the same call starts it again"
    if writer.last_saved != run.updates:
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
