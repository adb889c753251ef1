"""The check of callable schedules, before they become part of a compiled program."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.settings.config import Config
from rpojax.validation import first_line

_LEAST_PEAK = 0.05
"""A schedule that never exceeds this was probably written as the rate, not as a factor on it."""
_COUNTS_TRIED = 9


def check_schedules(cfg: Config) -> None:
    """Raise ValueError unless callable schedules can be traced and return factors."""
    factors = _checked_factors(cfg, "lr_schedule")
    _checked_factors(cfg, "alpha_schedule")
    if factors is not None and factors.max() <= _LEAST_PEAK:
        raise ValueError(
            f"lr_schedule is a factor on learning_rate = {cfg.learning_rate:g}, and yours is "
            f"never above {factors.max():g}; start it from 1, as in "
            "optax.cosine_decay_schedule(1.0, decay_steps=cfg.num_updates)"
        )


def _checked_factors(cfg: Config, name: str) -> np.ndarray | None:
    """Some of the factors that a setting gives, f64[n]; None where it is a named schedule."""
    schedule = getattr(cfg, name)
    if not callable(schedule):
        return None
    counts = np.linspace(0, cfg.num_updates - 1, _COUNTS_TRIED).astype(np.int32)
    try:
        with jax.ensure_compile_time_eval():  # also where a caller is being traced
            return _factors(schedule, counts)
    except Exception as error:  # of the user's function
        raise ValueError(
            f"{name} = {schedule!r} is not a schedule: {first_line(error)}; give a function of the "
            "number of updates done, i32[], to a finite factor of at least 0, which JAX can trace: "
            "jnp.where in place of a Python if"
        ) from error


def _factors(schedule: Any, counts: np.ndarray) -> np.ndarray:
    """The factor at each count, f64[len(counts)]; an error where it is not a factor."""
    out = jax.eval_shape(schedule, jax.ShapeDtypeStruct((), jnp.int32))
    if not isinstance(out, jax.ShapeDtypeStruct) or out.shape != ():
        raise ValueError(f"it returns {out} instead of one number")
    if not (jnp.issubdtype(out.dtype, np.floating) or jnp.issubdtype(out.dtype, np.integer)):
        raise ValueError(f"it returns a {out.dtype} instead of a number")
    factors = np.asarray([schedule(jnp.asarray(count)) for count in counts], np.float64)
    if not (np.isfinite(factors) & (factors >= 0)).all():
        raise ValueError(f"it gives {factors}")
    return factors
