"""From a run's metrics to the records that loggers get."""

import contextlib
import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from rpojax.loggers import Logger, LogRecord
from rpojax.settings.agent_table import AgentTable
from rpojax.settings.config import Config
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
    Only a ValueError in its `start`, which means that its arguments are wrong, is raised.

    Args:
        cfg: settings of the run.
        agents: of the run, N of them.
        log_every: updates to a record; 0 for none.
        loggers: each is started here.
        updates: done before, in a resumed run; None in a new one.
        logged: where the last record ended; None: not known.
        evaluation_return: f32[N] of an evaluation since then, None if there was none. Both are
            attributes that change as the run goes on.
    """

    def __init__(
        self,
        cfg: Config,
        agents: AgentTable,
        log_every: int,
        loggers: Sequence[Logger],
        updates: int | None = None,
        logged: int | None = None,
        evaluation_return: np.ndarray | None = None,
    ) -> None:
        self._cfg, self._agents = cfg, agents
        self._every = log_every
        self._loggers = list(loggers) if log_every else []
        # A resumed run logs the window in which it was stopped as a whole.
        self._done = updates or 0
        if logged is None:
            logged = self._done // log_every * log_every if log_every else self._done
        self.logged, self.evaluation_return = logged, evaluation_return
        self._timed, self._seconds = 0, 0.0  # updates since the last record, and what they took
        self._call_each(lambda logger: logger.start(cfg, agents, updates), (ValueError,))

    def log_until(
        self,
        history: Metrics,
        updates: int,
        seconds: float,
        evaluation_return: np.ndarray | None = None,
    ) -> None:
        """Log the windows that are full now.

        Args:
            history: of numpy arrays f32[N, at least updates].
            updates: done so far.
            seconds: duration of the updates since the last call.
            evaluation_return: f32[N] of the agents as they are now, if they were evaluated.
        """
        if not self._every:
            self.logged = self._done = updates
            return
        share = seconds / (updates - self._done)
        while self.logged < updates:
            end = (self.logged // self._every + 1) * self._every
            # Of a resumed run with another log_every, the first record has what was not logged.
            end = min(max(end, self._done + 1), self._cfg.num_updates)
            reached = min(end, updates)
            self._timed += reached - self._done
            self._seconds += share * (reached - self._done)
            self._done = reached
            if reached == updates and evaluation_return is not None:
                self.evaluation_return = evaluation_return
            if reached < end:
                return
            self._log(history, end)

    def close(self) -> None:
        """Close the loggers."""
        self._call_each(_CLOSE)

    def _log(self, history: Metrics, end: int) -> None:
        if self._loggers:
            window = jax.tree.map(lambda values: values[:, self.logged : end], history)
            steps = self._timed * self._cfg.batch_size * len(self._agents)
            record = LogRecord(
                updates=end,
                steps=end * self._cfg.batch_size,
                metrics=means_over_updates(window),
                steps_per_second=steps / self._seconds,
                evaluation_return=self.evaluation_return,
            )
            self._call_each(lambda logger: logger.log(record))
        self.logged, self.evaluation_return = end, None
        self._timed, self._seconds = 0, 0.0

    def _call_each(
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
                    f"{type(logger).__name__} failed and is dropped: {type(error).__name__}: "
                    f"{error}",
                    RuntimeWarning,
                    stacklevel=2,
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
