"""The host loop under `fit` and `resume`: advance, evaluate, log, save, tell."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.loggers import Logger
from rpojax.runs.checkpoint import Keeper, Snapshot
from rpojax.runs.chunks import Agents, Chunks, take
from rpojax.runs.interrupt import TrainingInterrupted, first_interrupt_noted
from rpojax.runs.records import RecordWriter
from rpojax.runs.settings import RunSettings
from rpojax.types import Metrics, TrainResult

SECONDS_PER_CHUNK = 2.0  # aimed at; between chunks devices wait for each other and for the host


class Progress(NamedTuple):
    """What `on_chunk` is told; S seeds, n updates since the last call."""

    updates: int  # done so far, of cfg.num_updates
    steps: int  # environment steps done so far, by all seeds together
    metrics: Metrics  # of numpy arrays, f32[S, n]
    compile_seconds: float
    train_seconds: float  # of all updates so far; no compilation, evaluation, saving, on_chunk

    @property
    def steps_per_second(self) -> float:
        """Environment steps of all seeds together, per second of training."""
        return self.steps / self.train_seconds if self.steps else 0.0


OnChunk = Callable[[Progress], Any]


@dataclasses.dataclass(kw_only=True)
class Run:
    """A training on its way."""

    settings: RunSettings
    chunks: Chunks
    agents: Agents
    history: Metrics  # of numpy arrays f32[S, cfg.num_updates], NaN where nothing was yet
    compile_seconds: float
    updates: int = 0
    train_seconds: float = 0.0

    def advance(self, num_updates: int) -> float:
        """Train for so many updates; returns the seconds that they took."""
        start = time.perf_counter()
        self.agents, metrics = self.chunks.advance(self.agents, num_updates)
        seconds = time.perf_counter() - start
        done = slice(self.updates, self.updates + num_updates)
        for name, values in vars(metrics).items():
            getattr(self.history, name)[:, done] = values
        self.updates += num_updates
        self.train_seconds += seconds
        return seconds

    def next_chunk(self, wanted: int) -> int:
        """As many updates as wanted, but not past the next one after which something is due."""
        settings = self.settings
        ends = [self.chunks.longest, settings.cfg.num_updates - self.updates]
        for every in (settings.eval_every, settings.checkpoint_every):
            if every:
                ends.append(every - self.updates % every)
        return min(wanted, *ends)

    def evaluation_if_due(self) -> np.ndarray | None:
        """Mean returns f32[S] of the agents as they are, where it is time for them."""
        every, last = self.settings.eval_every, self.settings.cfg.num_updates
        due = every and (self.updates % every == 0 or self.updates == last)
        return self.chunks.evaluate(self.agents) if due else None

    def progress(self, since: int) -> Progress:
        """What is to be told after the updates since `since`."""
        settings = self.settings
        return Progress(
            updates=self.updates,
            steps=settings.num_seeds * self.updates * settings.cfg.batch_size,
            metrics=_part(self.history, since, self.updates),
            compile_seconds=self.compile_seconds,
            train_seconds=self.train_seconds,
        )

    def snapshot(self, evaluation_return: np.ndarray | None = None) -> Snapshot:
        """What a checkpoint is to hold."""
        agents = take(self.agents, self.settings.num_seeds)
        return Snapshot(
            updates=self.updates,
            state=agents.state,
            finite=np.asarray(agents.finite),
            metrics=_part(self.history, 0, self.updates),
            train_seconds=self.train_seconds,
            evaluation_return=evaluation_return,
        )


def train(
    run: Run, keeper: Keeper | None, loggers: Sequence[Logger], on_chunk: OnChunk | None
) -> TrainResult:
    """Train to the end, or until Ctrl-C; see `rpojax.fit` for the rest."""
    settings = run.settings
    records = RecordWriter(settings, loggers, run.updates)
    try:
        with first_interrupt_noted() as interrupted:
            if on_chunk is not None:
                on_chunk(run.progress(run.updates))
            wanted = 1
            while run.updates < settings.cfg.num_updates and not interrupted():
                before = run.updates
                seconds = run.advance(run.next_chunk(wanted))
                evaluation = run.evaluation_if_due()
                records.advance(run.history, run.updates, seconds, evaluation)
                if keeper is not None and keeper.is_due(run.updates, evaluation):
                    keeper.try_to_save(run.snapshot(evaluation))
                if on_chunk is not None:
                    on_chunk(run.progress(before))
                wanted = max(1, round((run.updates - before) * SECONDS_PER_CHUNK / seconds))
            if keeper is not None and keeper.last_saved != run.updates:
                keeper.try_to_save(run.snapshot())
            if interrupted():
                raise TrainingInterrupted(_how_to_go_on(run, keeper), result_of(run.snapshot()))
    finally:
        records.close()
    return result_of(run.snapshot())


def result_of(snapshot: Snapshot) -> TrainResult:
    """What was trained so far, on JAX's devices."""
    return TrainResult(
        state=jax.tree.map(jnp.asarray, snapshot.state),
        metrics=jax.tree.map(jnp.array, snapshot.metrics),
        finite=jnp.asarray(snapshot.finite),
    )


def _how_to_go_on(run: Run, keeper: Keeper | None) -> str:
    stopped = f"stopped after update {run.updates} of {run.settings.cfg.num_updates}"
    if keeper is None:
        return f"{stopped}; nothing is saved without a checkpoint_dir"
    if keeper.last_saved != run.updates:
        return f"{stopped}, saved up to update {keeper.last_saved}; {keeper.how_to_resume}"
    return f"{stopped}; {keeper.how_to_resume}"


def _part(history: Metrics, start: int, end: int) -> Metrics:
    """Copies of the metrics of updates start to end, [S, end - start]."""
    return jax.tree.map(lambda values: values[:, start:end].copy(), history)
