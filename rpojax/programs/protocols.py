"""The types of the functions that `make_train` and `make_trainer` return."""

from collections.abc import Mapping
from typing import Protocol, TypeAlias

import jax

from rpojax.settings.hyperparams import HyperParams
from rpojax.types import Key, Metrics, TrainResult, TrainState

EnvParams: TypeAlias = Mapping[str, jax.typing.ArrayLike]
"""Some of the parameters of an environment, by their names in `Env.params`."""


class Train(Protocol):
    """Trains one agent from start to end."""

    def __call__(
        self,
        key: Key,
        hyperparams: HyperParams | None = None,
        env_params: EnvParams | None = None,
    ) -> TrainResult:
        """Train; `hyperparams=None` takes the config's own.

        `env_params` are parameters of the environment to change, such as `{"g": 9.81}`, each an
        array of the shape that it has in `Env.params`. `None` changes none.
        """


class Initialize(Protocol):
    """Makes the state before the first update."""

    def __call__(
        self,
        key: Key,
        hyperparams: HyperParams | None = None,
        env_params: EnvParams | None = None,
    ) -> TrainState:
        """Initialise the agent and reset its environments."""


class Iterate(Protocol):
    """Runs one update."""

    def __call__(
        self,
        state: TrainState,
        hyperparams: HyperParams | None = None,
        env_params: EnvParams | None = None,
    ) -> tuple[TrainState, Metrics]:
        """Return the next state, and the metrics of this update, each f32[]."""


class RunUpdates(Protocol):
    """Runs several updates in one scan."""

    def __call__(
        self,
        state: TrainState,
        hyperparams: HyperParams | None = None,
        num_updates: int | None = None,
        env_params: EnvParams | None = None,
    ) -> tuple[TrainState, Metrics]:
        """Return the last state, and the metrics of all updates, each f32[num_updates].

        `num_updates=None` takes `cfg.num_updates`; it is static under `jax.jit`.

        Raises:
            ValueError: `num_updates` is not a whole number of at least 0.
        """
