"""Where the metrics of a run go: one small protocol, and what it is implemented by."""

from typing import NamedTuple, Protocol

import numpy as np

from rpojax.config import Config
from rpojax.types import Metrics


class LogRecord(NamedTuple):
    """What a logger is told every `log_every` updates; S seeds."""

    updates: int  # done so far, of cfg.num_updates
    steps: int  # environment steps done so far, by each seed
    metrics: Metrics  # of numpy arrays f32[S]: means over the updates since the last record
    steps_per_second: float  # of all seeds together, since the last record
    evaluation_return: np.ndarray | None  # f32[S] mean over the episodes of an evaluation, if any


class Logger(Protocol):
    """A place for the metrics of a run."""

    def start(self, cfg: Config, num_seeds: int, updates: int) -> None:
        """Called once before training; `updates` are done already (0, or more when resumed)."""

    def log(self, record: LogRecord) -> None:
        """Take one record."""

    def close(self) -> None:
        """Called once after training, however it ended."""
