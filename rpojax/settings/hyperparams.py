"""The hyperparameters that may change without a new compilation."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from rpojax.settings.declared import Check, documented, metadata, number, setting, settings_of
from rpojax.types import Array, Struct
from rpojax.validation import Interval, check_known, numbers_in, show

_RANGE = "range"  # of the metadata of a field
_POSITIVE = Interval(0.0, low_allowed=False)
_NOT_NEGATIVE = Interval(0.0)
_FRACTION = Interval(0.0, 1.0)


def _hyperparam(help_text: str, interval: Interval) -> Any:
    """A field of `HyperParams`, without a default."""
    check = Check(lambda name, value: numbers_in(name, value, interval), f"In {interval}")
    return dataclasses.field(metadata={**metadata(help_text, check), _RANGE: interval})


@documented
class HyperParams(Struct):
    """The numbers of the algorithm that may change without a new compilation, each f32[].

    Make one with `Config.hyperparams()`, change it with `replace`. Any leaf can be an array with a
    leading axis that `jax.vmap` maps, with `in_axes` from `axes`.
    """

    learning_rate: Array = _hyperparam("Step size of the optimizer.", _POSITIVE)
    alpha: Array = _hyperparam(
        "Half-width of the perturbation of the policy's mean (of another than the uniform one, "
        "sqrt(3) standard deviations); 0 is PPO.",
        _NOT_NEGATIVE,
    )
    alpha_end: Array = _hyperparam(
        'Alpha at the end of the run, with alpha_schedule = "linear".', _NOT_NEGATIVE
    )
    gamma: Array = _hyperparam("Discount per step.", _FRACTION)
    gae_lambda: Array = _hyperparam("GAE's lambda; 0 is one-step TD, 1 is Monte Carlo.", _FRACTION)
    clip_eps: Array = _hyperparam(
        "The probability ratio is clipped to [1 - clip_eps, 1 + clip_eps], by default.", _POSITIVE
    )
    value_clip: Array = _hyperparam(
        "Largest move of a value prediction in one update, if clip_value_loss.", _POSITIVE
    )
    vf_coef: Array = _hyperparam("Weight of the value loss, E[(V - target)^2] / 2.", _NOT_NEGATIVE)
    ent_coef: Array = _hyperparam("Weight of the entropy bonus.", _NOT_NEGATIVE)
    mirror_coef: Array = _hyperparam(
        "Weight of the mirror loss of symmetry; see `rpojax.Symmetry`.", _NOT_NEGATIVE
    )
    weight_decay: Array = _hyperparam(
        'Share of each parameter that "adamw" and "muon" take off in a step, before the rate.',
        _NOT_NEGATIVE,
    )
    max_grad_norm: Array = _hyperparam(
        "The gradient is scaled to at most this global norm; 0 = off.", _NOT_NEGATIVE
    )
    kl_threshold: Array = _hyperparam(
        "An update stops once the unperturbed KL passes this; 0 = off.", _NOT_NEGATIVE
    )
    kl_target: Array = _hyperparam(
        'The unperturbed KL that lr_schedule = "kl_adaptive" aims at.', _POSITIVE
    )

    def replace(self, **changes: Any) -> "HyperParams":
        """A copy with some leaves changed; numbers and lists become float32 arrays.

        Raises:
            ValueError: an unknown name (with the nearest one), or a value that is NaN or out of
                range, where it is known at the time (not while tracing).
        """
        for name in changes:
            check_known(name, settings_of(HyperParams), "hyperparameter")
        dataclasses.replace(self, **changes).check()
        arrays = {name: jnp.asarray(value, jnp.float32) for name, value in changes.items()}
        return dataclasses.replace(self, **arrays)

    def check(self) -> None:
        """Raise ValueError for a leaf that is NaN or out of range; traced leaves are not seen."""
        for name, declared in settings_of(HyperParams).items():
            value = getattr(self, name)
            if not isinstance(value, jax.core.Tracer):
                declared.check.convert(name, value)

    @staticmethod
    def axes(**mapped: int | None) -> "HyperParams":
        """`in_axes` for `jax.vmap`: the named leaves along their axis, None elsewhere.

        Example: `jax.vmap(train, in_axes=(None, HyperParams.axes(alpha=0)))`.

        Raises:
            ValueError: an unknown name, or an axis that is neither an int nor None.
        """
        for name, axis in mapped.items():
            check_known(name, settings_of(HyperParams), "hyperparameter")
            if axis is not None and (isinstance(axis, bool) or not isinstance(axis, int)):
                raise ValueError(
                    f"axes({name}={show(axis)}) is not an axis; give the axis of {name} to map, "
                    "such as 0, or None; HyperParams.replace takes values"
                )
        unmapped: dict[str, Any] = dict.fromkeys(settings_of(HyperParams))
        return HyperParams(**(unmapped | mapped))


def hyperparameter(name: str, default: float) -> float:
    """A field of `Config` with the default of a hyperparameter, its help text and its range."""
    field = {field.name: field for field in dataclasses.fields(HyperParams)}[name]
    check = number(field.metadata[_RANGE], also="; HyperParams.replace takes arrays")
    return setting(default, settings_of(HyperParams)[name].help, check)
