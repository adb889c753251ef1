"""The type of the function that `make_train` returns."""

from collections.abc import Mapping
from typing import Protocol, TypeAlias

import jax

from rpojax.settings.hyperparams import HyperParams
from rpojax.types import Key, TrainResult

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
