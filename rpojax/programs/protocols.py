"""The types of the functions that `make_train` and `make_trainer` return."""

from typing import Protocol

from rpojax.hyperparams import HyperParams
from rpojax.types import Key, Metrics, TrainResult, TrainState


class Train(Protocol):
    """Trains one agent from start to end."""

    def __call__(self, key: Key, hyperparams: HyperParams | None = None) -> TrainResult:
        """Train; `hyperparams=None` takes the config's own."""


class Initialize(Protocol):
    """Makes the state before the first update."""

    def __call__(self, key: Key, hyperparams: HyperParams | None = None) -> TrainState:
        """Initialise the agent and reset its environments."""


class Iterate(Protocol):
    """Runs one update."""

    def __call__(
        self, state: TrainState, hyperparams: HyperParams | None = None
    ) -> tuple[TrainState, Metrics]:
        """Return the next state, and the metrics of this update, each f32[]."""


class RunUpdates(Protocol):
    """Runs several updates in one scan."""

    def __call__(
        self,
        state: TrainState,
        hyperparams: HyperParams | None = None,
        num_updates: int | None = None,
    ) -> tuple[TrainState, Metrics]:
        """Return the last state, and the metrics of all updates, each f32[num_updates].

        `num_updates=None` takes `cfg.num_updates`; it is static under `jax.jit`.
        """
