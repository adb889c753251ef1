"""The check of the functions in a `Config`, before they become part of a compiled program."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rpojax.settings.config import Config
from rpojax.types import Array
from rpojax.validation import first_line, show

_LEAST_PEAK = 0.05
"""A schedule that never exceeds this was probably written as the rate, not as a factor on it."""
_COUNTS_TRIED = 9
_TRACEABLE = "which JAX can trace: jnp.where in place of a Python if"
_WANTED = {
    "surrogate": "(ratio f32[N], advantage f32[N], clip_eps f32[]) to a loss",
    "perturbation": "noise f32[...] from U(-1, 1) to noise",
    "reward_shaper": "(reward f32[num_envs], timestep i32[], timesteps) to rewards",
    "optimizer": "a learning rate f32[] to an optax optimiser, such as optax.lion, with steps",
}


def check_functions(cfg: Config) -> None:
    """Raise ValueError unless the functions can be traced and return what they should."""
    factors = _checked_factors(cfg, "lr_schedule")
    _checked_factors(cfg, "alpha_schedule")
    if factors is not None and factors.max() <= _LEAST_PEAK:
        raise ValueError(
            f"lr_schedule is a factor on learning_rate = {cfg.learning_rate:g}, and yours is "
            f"never above {factors.max():g}; start it from 1, as in "
            "optax.cosine_decay_schedule(1.0, decay_steps=cfg.num_updates)"
        )
    number, samples, reward = _f32(), _f32(cfg.minibatch_size), _f32(cfg.num_envs)
    timestep, timesteps = jax.ShapeDtypeStruct((), jnp.int32), cfg.num_updates * cfg.num_steps
    _check(cfg, "surrogate", (samples, samples, number), ())
    _check(cfg, "perturbation", (samples,), samples.shape)
    _check(cfg, "reward_shaper", (reward, timestep), reward.shape, lambda f, *xs: f(*xs, timesteps))
    _check(cfg, "optimizer", (number, _f32(2, 3)), (2, 3), _step_of)


def _step_of(make: Any, learning_rate: Array, matrix: Array) -> Any:
    """A step of a user's optimiser."""
    made = make(learning_rate)
    if not isinstance(made, optax.GradientTransformation):
        raise ValueError(f"it returns {made}")
    with jax.numpy_dtype_promotion("standard"):
        return made.update(matrix, made.init(matrix), matrix)[0]


def _f32(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _check(
    cfg: Config,
    name: str,
    arguments: tuple[Any, ...],
    shape: tuple[int, ...],
    call: Callable[..., Any] = lambda function, *arguments: function(*arguments),
) -> None:
    """Raise ValueError unless a setting that is a function returns real numbers of this shape."""
    function = getattr(cfg, name)
    if not callable(function):
        return
    try:
        returned = jax.eval_shape(functools.partial(call, function), *arguments)
        problem = None if _is_real(returned, shape) else f"it returns {returned}"
    except Exception as error:  # of the user's function
        problem = first_line(error)
    if problem is not None:
        raise ValueError(
            f"{name} = {show(function)} cannot be used: {problem}; give a function of "
            f"{_WANTED[name]}, {shape} here, {_TRACEABLE}"
        )


def _is_real(returned: Any, shape: tuple[int, ...]) -> bool:
    """Whether it is an array of this shape and not of complex numbers."""
    return (
        isinstance(returned, jax.ShapeDtypeStruct)
        and returned.shape == shape
        and not jnp.issubdtype(returned.dtype, jnp.complexfloating)
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
            f"number of updates done, i32[], to a finite factor of at least 0, {_TRACEABLE}"
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
