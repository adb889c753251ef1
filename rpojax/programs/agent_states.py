"""The agents of a run between two updates: the pytree that its programs take and return."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from rpojax.settings.hyperparams import HyperParams
from rpojax.types import Array, PyTree, TrainState


class AgentStates(NamedTuple):
    """N agents between two updates; `fit` pads them with copies to a multiple of the devices."""

    state: TrainState  # [N, ...] the last finite one
    finite: Array  # bool[N] False: its next update gave NaN or infinity, and it has stopped
    hyperparams: HyperParams  # f32[N]
    env_params: Mapping[str, Array]  # f32[N, ...] changed parameters of the environments


def rows_of(tree: PyTree, rows: Any) -> PyTree:
    """These rows of every leaf [N, ...]."""
    return jax.tree.map(lambda leaf: leaf[rows], tree)
