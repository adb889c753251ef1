"""The hyperparameters that may change without a new compilation."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from rpojax.types import Array, Struct
from rpojax.validation import Interval, check_known, numbers_in

HYPERPARAMETER_RANGES: dict[str, Interval] = {
    "learning_rate": Interval(0.0, low_allowed=False),
    "alpha": Interval(0.0),
    "gamma": Interval(0.0, 1.0),
    "gae_lambda": Interval(0.0, 1.0),
    "clip_eps": Interval(0.0, low_allowed=False),
    "value_clip": Interval(0.0, low_allowed=False),
    "vf_coef": Interval(0.0),
    "ent_coef": Interval(0.0),
    "max_grad_norm": Interval(0.0),
    "kl_threshold": Interval(0.0),
    "kl_target": Interval(0.0, low_allowed=False),
}


class HyperParams(Struct):
    """The numbers of the algorithm that may change without a new compilation, each f32[].

    Make one with `Config.hyperparams()`, change it with `replace`. Any leaf can be an array with a
    leading axis that `jax.vmap` maps, with `in_axes` from `axes`.
    """

    learning_rate: Array  # Adam's step size, the start of the schedule
    alpha: Array  # half-width of the uniform perturbation of the mean; 0 is PPO
    gamma: Array  # discount per step
    gae_lambda: Array  # 0: one-step TD, 1: Monte Carlo
    clip_eps: Array  # the ratio is clipped to [1 - clip_eps, 1 + clip_eps]
    value_clip: Array  # largest move of a value prediction, with Config.clip_value_loss
    vf_coef: Array  # weight of the value loss
    ent_coef: Array  # weight of the entropy bonus
    max_grad_norm: Array  # global norm of the gradient at most this; 0 = off
    kl_threshold: Array  # stop an update's minibatches above this unperturbed KL; 0 = off
    kl_target: Array  # what lr_schedule="kl_adaptive" aims at

    def replace(self, **changes: Any) -> "HyperParams":
        """A copy with some leaves changed; numbers and lists become float32 arrays.

        Raises:
            ValueError: an unknown name (with the nearest one), or a value that is NaN or out of
                range, where it is known at the time (not while tracing).
        """
        for name in changes:
            check_known(name, HYPERPARAMETER_RANGES, "hyperparameter")
        dataclasses.replace(self, **changes).check()
        arrays = {name: jnp.asarray(value, jnp.float32) for name, value in changes.items()}
        return dataclasses.replace(self, **arrays)

    def check(self) -> None:
        """Raise ValueError for a leaf that is NaN or out of range; traced leaves are not seen."""
        for name, allowed in HYPERPARAMETER_RANGES.items():
            value = getattr(self, name)
            if not isinstance(value, jax.core.Tracer):
                numbers_in(name, value, allowed)

    @staticmethod
    def axes(**mapped: int | None) -> "HyperParams":
        """`in_axes` for `jax.vmap`: the named leaves along their axis, None elsewhere.

        Example: `jax.vmap(train, in_axes=(None, HyperParams.axes(alpha=0)))`.
        """
        for name in mapped:
            check_known(name, HYPERPARAMETER_RANGES, "hyperparameter")
        unmapped: dict[str, Any] = dict.fromkeys(HYPERPARAMETER_RANGES)
        return HyperParams(**(unmapped | mapped))
