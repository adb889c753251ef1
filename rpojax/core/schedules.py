"""The check of a callable `lr_schedule`, before it becomes part of a compiled program."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.config import Config

_LEAST_PEAK = 0.05
"""A schedule that never passes this was written as the rate itself, not as a factor on it."""
_COUNTS_TRIED = 9


def check_schedule(cfg: Config) -> None:
    """Raise ValueError unless a callable `lr_schedule` can be traced and returns factors."""
    if not callable(cfg.lr_schedule):
        return
    counts = np.linspace(0, cfg.num_updates - 1, _COUNTS_TRIED).astype(np.int32)
    try:
        with jax.ensure_compile_time_eval():  # also where a caller is being traced
            factors = _factors(cfg.lr_schedule, counts)
    except Exception as error:  # of the user's function
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"lr_schedule = {cfg.lr_schedule!r} is not a schedule: {reason}; give a function of "
            "the number of updates done, i32[], to a finite factor of at least 0, which JAX can "
            "trace: jnp.where in place of a Python if"
        ) from error
    if factors.max() <= _LEAST_PEAK:
        raise ValueError(
            f"lr_schedule is a factor on learning_rate = {cfg.learning_rate:g}, and yours is "
            f"never above {factors.max():g}; start it from 1, as in "
            "optax.cosine_decay_schedule(1.0, decay_steps=cfg.num_updates)"
        )


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
