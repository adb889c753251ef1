"""Which parameters of an object with gymnax's interface may be traced."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Params
from rpojax.envs.contexts import concrete_values
from rpojax.envs.gymnax.interface import LIMIT
from rpojax.types import Array


def as_defaults(env: Any, params: Any) -> Any:
    """`params`, a dataclass, with numbers of the kind that `env.default_params` has in their place.

    A whole number given for a float becomes a float, so that it may be traced as the default may;
    a float that is whole, given for an integer, becomes an integer. Nothing else is changed.
    """
    if not dataclasses.is_dataclass(params) or isinstance(params, type):
        return params
    defaults: Any = getattr(env, "default_params", None)
    changes = {}
    for field in dataclasses.fields(params):
        value = getattr(params, field.name)
        alike = _as_default(getattr(defaults, field.name, None), value)
        if alike is not value:
            changes[field.name] = alike
    return dataclasses.replace(params, **changes) if changes else params


def traceable(env: Any, params: Any) -> dict[str, Any]:
    """The values of those fields of `params`, a dataclass, that may be traced, by name.

    They are the floats and arrays of floats. Integers fix shapes and lengths; so do the time limit,
    whatever its type, and the bounds of actions: the fields that these depend on are left out.
    """
    if not dataclasses.is_dataclass(params):
        return {}
    fields = [field.name for field in dataclasses.fields(params) if field.name != LIMIT]
    values = {name: getattr(params, name) for name in fields}
    return {
        name: np.asarray(value)
        for name, value in values.items()
        if _is_float(value) and not _changes_bounds(env, params, name)
    }


def changed(params: Any, changes: Params) -> Any:
    """`params` with some fields changed; arrays keep their dtype."""
    if not changes:
        return params
    cast = {name: _as_before(getattr(params, name), value) for name, value in changes.items()}
    return dataclasses.replace(params, **cast)


def _is_float(value: Any) -> bool:
    return _is_of_kind(value, float, jnp.floating)


def _is_integer(value: Any) -> bool:
    return _is_of_kind(value, int, jnp.integer) and not isinstance(value, bool)


def _is_of_kind(value: Any, kind: type, kind_of_array: Any) -> bool:
    if isinstance(value, jax.core.Tracer):
        return False  # its value is not known, and part of a program already
    dtype = getattr(value, "dtype", None)
    return isinstance(value, kind) if dtype is None else bool(jnp.issubdtype(dtype, kind_of_array))


def _as_default(default: Any, value: Any) -> Any:
    if _is_integer(value) and _is_float(default):
        return value.astype(np.float32) if np.ndim(value) else float(value)
    single_float = _is_float(value) and np.ndim(value) == 0
    if single_float and float(value).is_integer() and _is_integer(default):
        return int(value)
    return value


def _as_before(before: Any, value: Array) -> Array:
    dtype = getattr(before, "dtype", None)
    return value if dtype is None else value.astype(dtype)


def _changes_bounds(env: Any, params: Any, name: str) -> bool:
    """Whether the bounds of actions depend on a field.

    They are compared with those of two other values, which cannot both be the field's own.
    """
    value = getattr(params, name)
    where = jnp.where if isinstance(value, jax.Array) else np.where
    try:
        with concrete_values():
            half = 0.5 * where(np.isfinite(value), value, 0)
            others = [dataclasses.replace(params, **{name: half + more}) for more in (0.3, 0.4)]
            own, *bounds = [_bounds(env.action_space(each)) for each in (params, *others)]
    except (TypeError, ValueError):  # a field that refuses other values
        return True
    return not all(np.array_equal(a, b) for each in bounds for a, b in zip(own, each, strict=True))


def _bounds(space: Any) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(space.low), np.asarray(space.high)
