"""From a run's metrics to the records that loggers take."""

import contextlib
import operator
import warnings
from collections.abc import Callable, Sequence

import jax
import numpy as np

from rpojax.loggers import Logger, LogRecord
from rpojax.runs.settings import RunSettings
from rpojax.types import Metrics

_CLOSE: Callable[[Logger], None] = operator.methodcaller("close")


class RecordWriter:
    """Cuts the metrics of a run into windows of `log_every` updates and tells each to loggers.

    A logger that raises is dropped with a warning; the training and the others go on. Only a
    ValueError at its start, by which it refuses what it was given, is raised: nothing is lost yet.
    """

    def __init__(self, settings: RunSettings, loggers: Sequence[Logger], updates: int) -> None:
        """Start the loggers; `updates` are done already."""
        self._cfg, self._num_seeds = settings.cfg, settings.num_seeds
        self._every = settings.log_every
        self._loggers = list(loggers) if self._every else []
        # The window that a resumed run was stopped in is told of whole.
        self._told = updates // self._every * self._every if self._every else 0
        self._done = updates
        self._timed, self._seconds = 0, 0.0  # updates since the last record, and what they took
        self._evaluation: np.ndarray | None = None
        self._tell(lambda logger: logger.start(self._cfg, self._num_seeds, updates), (ValueError,))

    def advance(
        self,
        history: Metrics,
        updates: int,
        seconds: float,
        evaluation_return: np.ndarray | None = None,
    ) -> None:
        """Log the windows that are full now.

        Args:
            history: of numpy arrays [S, at least updates].
            updates: done so far.
            seconds: that those since the last call took.
            evaluation_return: f32[S] of the agents as they are now, if they were evaluated.
        """
        if not self._loggers:
            return
        share = seconds / (updates - self._done)
        while self._told < updates:
            end = min(self._told + self._every, self._cfg.num_updates)
            reached = min(end, updates)
            self._timed += reached - self._done
            self._seconds += share * (reached - self._done)
            self._done = reached
            if reached == updates and evaluation_return is not None:
                self._evaluation = evaluation_return
            if reached < end:
                return
            self._log(history, end)

    def close(self) -> None:
        """Close the loggers."""
        self._tell(_CLOSE)

    def _log(self, history: Metrics, end: int) -> None:
        window = jax.tree.map(
            lambda values: mean_ignoring_nan(values[:, self._told : end]), history
        )
        steps = self._timed * self._cfg.batch_size * self._num_seeds
        record = LogRecord(
            updates=end,
            steps=end * self._cfg.batch_size,
            metrics=window,
            steps_per_second=steps / self._seconds,
            evaluation_return=self._evaluation,
        )
        self._tell(lambda logger: logger.log(record))
        self._told, self._timed, self._seconds, self._evaluation = end, 0, 0.0, None

    def _tell(
        self, call: Callable[[Logger], None], raised: tuple[type[Exception], ...] = ()
    ) -> None:
        for logger in list(self._loggers):
            try:
                call(logger)
            except raised:
                self.close()
                raise
            except Exception as error:  # a logger may raise anything, and must not end a training
                self._loggers.remove(logger)
                if call is not _CLOSE:
                    with contextlib.suppress(Exception):
                        logger.close()
                warnings.warn(
                    f"{type(logger).__name__} failed and is told nothing more: "
                    f"{type(error).__name__}: {error}",
                    RuntimeWarning,
                    stacklevel=2,
                )


def mean_ignoring_nan(values: np.ndarray) -> np.ndarray:
    """Means f32[S] of values [S, n] that are not NaN; NaN where all of them are."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=1, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return (total / known.sum(axis=1)).astype(np.float32)
