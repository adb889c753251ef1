"""What a training reports between chunks, and when it ends early."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rpojax.settings.agent_table import AgentTable
from rpojax.settings.config import Config
from rpojax.settings.run_options import RunOptions
from rpojax.types import Metrics, TrainResult


class Progress(NamedTuple):
    """What `on_chunk` receives; N agents, n updates since the last call."""

    updates: int  # done so far, of cfg.num_updates
    steps: int  # environment steps done so far, by all agents together
    agents: AgentTable
    metrics: Metrics  # of numpy arrays, f32[N, n]
    evaluation_return: np.ndarray | None  # f32[N], if the agents were evaluated after this chunk
    device_bytes: int | None  # of training on each device; None if XLA does not report it
    compile_seconds: float
    train_seconds: float  # of all updates so far, without compilation, evaluation, saving, on_chunk
    result: Callable[[], TrainResult]  # copies what was trained so far; metrics [N, updates]

    @property
    def steps_per_second(self) -> float:
        """Environment steps of all agents together, per second of training."""
        return self.steps / self.train_seconds if self.steps else 0.0


OnChunk = Callable[[Progress], Any]


class StopRule(NamedTuple):
    """When a training ends before its last update; see `rpojax.fit`."""

    max_seconds: float | None = None
    episode_return: float | None = None
    updates: int | None = None

    @classmethod
    def of(cls, options: RunOptions) -> "StopRule":
        """The rule that the options of a run state."""
        return cls(options.max_seconds, options.stop_when_return)

    def last_update(self, cfg: Config) -> int:
        """The update after which the training ends, unless it ends earlier."""
        return cfg.num_updates if self.updates is None else min(self.updates, cfg.num_updates)

    def applies(self, returns: np.ndarray | None, elapsed: float, seconds: float) -> bool:
        """Whether to stop now.

        Args:
            returns: f32[N] to judge the agents by; None where there are no new ones.
            elapsed: seconds since the call of `fit`.
            seconds: that the last chunk took, with all that followed it.
        """
        if self.max_seconds is not None and elapsed + seconds > self.max_seconds:
            return True
        if self.episode_return is None or returns is None:
            return False
        return bool(np.mean(returns) >= self.episode_return)  # False while one is NaN
