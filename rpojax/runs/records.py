"""From a run's metrics to the records that loggers get."""

import contextlib
import functools
import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from rpojax.loggers import Logger, LogRecord
from rpojax.runs.run_state import RunState
from rpojax.statistics.nan import mean_ignoring_nan, sum_ignoring_nan
from rpojax.types import Metrics

EPISODE_MEANS = ("episode_return", "episode_length", "environment")
"""Metrics of an update that are means over the episodes which ended in it."""

COUNTS = ("episode_count", "invalid_steps")
"""Metrics of an update that are numbers of events in it."""

_CLOSE: Callable[[Logger], None] = operator.methodcaller("close")


class RecordWriter:
    """Splits the metrics of a run into windows of `log_every` updates and logs a record of each.

    A logger that raises is dropped with a warning; the training and the other loggers continue.
    Only a ValueError in its `start`, which means that its arguments are wrong, is raised. A logger
    with a method `complete` gets the records that it lacks: at the start of a resumed run, and at
    the end if it was dropped.

    Args:
        run: that is trained, with room for all of its updates; its `records` are kept here.
        loggers: each is started here.
        resumed: whether the run was saved before.
    """

    def __init__(self, run: RunState, loggers: Sequence[Logger], resumed: bool) -> None:
        self._run = run
        self._loggers = list(loggers) if run.settings.log_every else []
        self._dropped: list[Logger] = []
        self._done = run.updates
        self._timed, self._seconds = 0, 0.0  # updates since the last record, and what they took
        updates = run.updates if resumed else None
        self._call_each(lambda logger: self._start(logger, updates), (ValueError,))

    def log_until(self, seconds: float, evaluation_return: np.ndarray | None = None) -> None:
        """Log the windows that are full now.

        Args:
            seconds: duration of the updates since the last call.
            evaluation_return: f32[N] of the agents as they are now, if they were evaluated.
        """
        run, records = self._run, self._run.records
        updates, every = run.updates, run.settings.log_every
        if evaluation_return is not None:
            records.evaluation_return[:, updates - 1] = evaluation_return
        if not every:
            return
        share = seconds / (updates - self._done)
        logged = records.start_of(updates + 1)
        while logged < updates:
            # Of a resumed run with another log_every, the first record has what was not logged.
            end = max((logged // every + 1) * every, self._done + 1)
            end = min(end, run.settings.cfg.num_updates)
            reached = min(end, updates)
            self._timed += reached - self._done
            self._seconds += share * (reached - self._done)
            self._done = reached
            if reached < end:
                return
            steps = self._timed * run.settings.cfg.batch_size * len(run.settings.agents)
            records.ended[end - 1], records.steps_per_second[end - 1] = True, steps / self._seconds
            if self._loggers:
                record = record_at(run, end)
                self._call_each(lambda logger: logger.log(record))  # noqa: B023
            logged = end
            self._timed, self._seconds = 0, 0.0

    def close(self) -> None:
        """Let loggers that were dropped have what they lack, and close all."""
        self._call_each(_CLOSE)
        self._loggers, self._dropped = self._dropped, []
        self._call_each(lambda logger: self._start(logger, self._run.updates))
        self._call_each(_CLOSE)

    def _start(self, logger: Logger, updates: int | None) -> None:
        """Start a logger and, where updates were done before, complete it."""
        run = self._run
        logger.start(run.settings.cfg, run.settings.agents, updates)
        complete = getattr(logger, "complete", None)
        if updates is None or complete is None:
            return
        ends = (np.flatnonzero(run.records.ended[:updates]) + 1).tolist()
        count = complete(ends, functools.partial(record_at, run))
        if count:
            warnings.warn(
                f"{type(logger).__name__} lacked {count} of {len(ends)} records, which are written "
                "now",
                RuntimeWarning,
                stacklevel=2,
            )

    def _call_each(
        self, call: Callable[[Logger], None], raised: tuple[type[Exception], ...] = ()
    ) -> None:
        for logger in list(self._loggers):
            try:
                call(logger)
            except raised:
                self._dropped.clear()
                self.close()
                raise
            except Exception as error:  # a logger may raise anything, and must not end a training
                self._loggers.remove(logger)
                if call is not _CLOSE:
                    if hasattr(logger, "complete"):
                        self._dropped.append(logger)
                    with contextlib.suppress(Exception):
                        logger.close()
                warnings.warn(
                    f"{type(logger).__name__} failed and is dropped: {type(error).__name__}: "
                    f"{error}",
                    RuntimeWarning,
                    stacklevel=2,
                )


def record_at(run: RunState, end: int) -> LogRecord:
    """The record of a run that ended after so many updates."""
    records, cfg = run.records, run.settings.cfg
    start = records.start_of(end)
    evaluations = records.evaluation_return[:, start:end]
    known = np.flatnonzero(~np.isnan(evaluations).all(axis=0))
    return LogRecord(
        updates=end,
        steps=end * cfg.batch_size,
        metrics=means_over_updates(run.metrics_between(start, end)),
        steps_per_second=float(records.steps_per_second[end - 1]),
        evaluation_return=evaluations[:, known[-1]].copy() if known.size else None,
    )


def means_over_updates(metrics: Metrics) -> Metrics:
    """Metrics f32[N] of several updates together, from those of each, [N, n].

    Episodes count alike, in whichever update they ended: return, length and the environment's own
    are means over the episodes, not over the updates' own means. The numbers of episodes and of
    invalid steps are sums, and NaN for an agent that has diverged. All else is a mean over the
    updates. NaN is ignored.
    """

    def together(name: str, values: np.ndarray) -> np.ndarray:
        if name in COUNTS:
            return sum_ignoring_nan(values)
        return mean_ignoring_nan(values, metrics.episode_count if name in EPISODE_MEANS else 1.0)

    fields: dict[str, Any] = {
        name: jax.tree.map(lambda leaf, name=name: together(name, leaf).astype(np.float32), values)
        for name, values in vars(metrics).items()
    }
    return Metrics(**fields)
