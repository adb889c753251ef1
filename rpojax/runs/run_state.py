"""A run between two updates: the one record that the host loop changes and checkpoints hold."""

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.devices.host_arrays import to_host
from rpojax.devices.processes import several
from rpojax.devices.sharding import unpad
from rpojax.programs.agent_states import AgentStates
from rpojax.runs.settings import RunSettings
from rpojax.types import Array, Evolution, Metrics, PyTree, TrainResult, TrainState


class Best(NamedTuple):
    """Each agent at its best evaluation so far."""

    state: TrainState  # [N, ...]; state.update_count tells after which update
    evaluation_return: Array  # f32[N] mean over the episodes


class Records(NamedTuple):
    """When the loggers of a run got records, and what is in these besides the metrics."""

    ended: np.ndarray  # bool[at least n] whether a record ended after the update
    steps_per_second: np.ndarray  # f64[at least n] of that record; NaN elsewhere
    evaluation_return: np.ndarray  # f32[N, at least n] of an evaluation after it; NaN elsewhere

    @classmethod
    def blank(cls, num_agents: int, num_updates: int) -> "Records":
        """No records and no evaluations."""
        evaluations = np.full((num_agents, num_updates), np.nan, np.float32)
        return cls(np.zeros(num_updates, bool), np.full(num_updates, np.nan), evaluations)

    def up_to(self, updates: int) -> "Records":
        """Copies of what belongs to the first updates."""
        return Records(*(values[..., :updates].copy() for values in self))

    def start_of(self, end: int) -> int:
        """The updates after which the record before the one that ends after `end` ended."""
        before = np.flatnonzero(self.ended[: end - 1])
        return int(before[-1]) + 1 if before.size else 0


@dataclasses.dataclass(kw_only=True)
class RunState:
    """A run of N agents after n updates.

    While it trains, `states` and `best` are on the devices, filled up with copies to a multiple of
    them, and the metrics have columns for the whole run.
    """

    settings: RunSettings
    states: AgentStates  # [at least N, ...]
    finite: np.ndarray  # bool[N] of the states, on the host
    metrics: Metrics  # of numpy arrays f32[N, at least n]
    evolution: Evolution | None = None  # of numpy arrays [N, generations]; None without `evolve`
    best: Best | None = None  # [at least N]; None: no agent was evaluated
    updates: int = 0  # n
    train_seconds: float = 0.0  # that the updates took
    records: Records = dataclasses.field(default_factory=lambda: Records.blank(0, 0))

    def metrics_between(self, start: int, end: int) -> Metrics:
        """Copies of the metrics of updates start to end, f32[N, end - start]."""
        return jax.tree.map(lambda values: values[:, start:end].copy(), self.metrics)

    def evolution_so_far(self) -> Evolution | None:
        """A copy of the history of a population; None without `evolve`."""
        if self.settings.evolve is None or self.evolution is None:
            return None
        generations = self.settings.evolve.generations(self.updates)
        return jax.tree.map(lambda values: values[:, :generations].copy(), self.evolution)

    def make_room(self) -> None:
        """Give the metrics and the evolution columns for all updates of the run."""
        settings, last = self.settings, self.settings.cfg.num_updates
        metrics = blank_metrics(len(settings.agents), last, self.metrics.environment)
        write_columns(metrics, slice(self.updates), self.metrics_between(0, self.updates))
        evolution = blank_evolution(settings, last)
        done = self.evolution_so_far()
        if done is not None:
            write_columns(evolution, slice(done.scores.shape[1]), done)
        records = Records.blank(len(settings.agents), last)
        if self.records.ended.size:
            for values, written in zip(records, self.records.up_to(self.updates), strict=True):
                values[..., : self.updates] = written
        self.metrics, self.evolution, self.records = metrics, evolution, records

    def result(self) -> TrainResult:
        """What was trained so far: copies, not the buffers that training reuses.

        The arrays are on JAX's devices; with several processes, each has the whole states on its
        host.
        """
        state = to_host(self.states.state) if several() else self.states.state
        state = unpad(state, len(self.finite))
        return TrainResult(
            state=state if several() else jax.tree.map(jnp.array, state),
            # NaN passes `device_put`, also under `jax_debug_nans`.
            metrics=jax.device_put(self.metrics_between(0, self.updates)),
            finite=jnp.array(self.finite),
            evolution=jax.tree.map(jnp.array, self.evolution_so_far()),
        )


def blank_metrics(num_agents: int, num_updates: int, environment: Iterable[str]) -> Metrics:
    """Metrics of numpy arrays f32[N, num_updates], all NaN, with these of the environment."""
    blank = np.full((num_agents, num_updates), np.nan, np.float32)
    return jax.tree.map(np.copy, Metrics.filled(blank, environment))


def blank_evolution(settings: RunSettings, num_updates: int) -> Evolution | None:
    """The history of a population, of numpy arrays [N, generations]; None without one."""
    if settings.evolve is None:
        return None
    shape = len(settings.agents), settings.evolve.generations(num_updates)
    return Evolution(
        hyperparams=jax.tree.map(
            lambda _: np.full(shape, np.nan, np.float32), settings.agents.hyperparams
        ),
        scores=np.full(shape, np.nan, np.float32),  # type: ignore[arg-type]
        parents=np.zeros(shape, np.int32),  # type: ignore[arg-type]
    )


def write_columns(history: PyTree, columns: slice, new: PyTree) -> None:
    """Write the columns of some updates or generations into the arrays of a run, [N, ...]."""
    for values, written in zip(jax.tree.leaves(history), jax.tree.leaves(new), strict=True):
        values[:, columns] = written
