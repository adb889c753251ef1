"""Which parameters of an object with gymnax's interface may be traced."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.concrete import concrete_values
from rpojax.types import Array


def traceable(env: Any, params: Any) -> dict[str, Any]:
    """The values of those fields of `params`, a dataclass, that may be traced, by name.

    They are the floats and arrays of floats. Integers, such as the time limit, fix shapes and
    lengths; so do the bounds of actions, and the fields that they depend on are left out.
    """
    if not dataclasses.is_dataclass(params):
        return {}
    found = {}
    for field in dataclasses.fields(params):
        value = getattr(params, field.name)
        if _is_float(value) and not _changes_bounds(env, params, field.name):
            found[field.name] = np.asarray(value)
    return found


def changed(params: Any, changes: Mapping[str, Array]) -> Any:
    """`params` with some fields changed; arrays keep their dtype."""
    if not changes:
        return params
    cast = {name: _as_before(getattr(params, name), value) for name, value in changes.items()}
    return dataclasses.replace(params, **cast)


def _is_float(value: Any) -> bool:
    if isinstance(value, jax.core.Tracer):
        return False  # its value is not known, and part of a program already
    dtype = getattr(value, "dtype", None)
    return isinstance(value, float) if dtype is None else bool(jnp.issubdtype(dtype, jnp.floating))


def _as_before(before: Any, value: Array) -> Array:
    dtype = getattr(before, "dtype", None)
    return value if dtype is None else value.astype(dtype)


def _changes_bounds(env: Any, params: Any, name: str) -> bool:
    """Whether the bounds of actions depend on a field."""
    value = getattr(params, name)
    try:
        with concrete_values():
            other = dataclasses.replace(params, **{name: value * 0.5 + 0.3})
            spaces = env.action_space(params), env.action_space(other)
    except (TypeError, ValueError):  # a field that refuses other values
        return True
    bounds = [(np.asarray(space.low), np.asarray(space.high)) for space in spaces]
    return not all(np.array_equal(a, b) for a, b in zip(*bounds, strict=True))
