"""Checks of the values that users give for the parameters of an environment."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Env
from rpojax.envs.physics.elements import PREFIXES, rows_of
from rpojax.rounding import as_argument
from rpojax.types import Array
from rpojax.validation import as_mapping, check_known, show


def resolve_params(env: Env, env_params: Any) -> dict[str, Array]:
    """Changed parameters of an environment as float32, checked; {} for none.

    Args:
        env: the environment.
        env_params: some of `env.params`, by name; None for none.

    Raises:
        ValueError: it is no mapping; an unknown name, with the nearest known one; a leaf that is
            no array of numbers of the parameter's shape; an environment without parameters.
    """
    named = check_names(env, "env_params =", {} if env_params is None else env_params)
    for name, value in named.items():
        where = check_numbers(name, value)
        remedy = f"jax.vmap(train, in_axes=(0, None, {{{name!r}: 0}})) maps an axis of agents"
        check_shape(env, where, name, value, remedy)
    arrays = {name: jnp.asarray(value, jnp.float32) for name, value in named.items()}
    resolved: dict[str, Array] = as_argument(whole_fields(env, arrays))
    return resolved


def params_of_agents(env: Env, env_params: Any) -> dict[str, np.ndarray]:
    """Changed parameters of the environments of N agents, checked.

    Args:
        env: the environment.
        env_params: some of `env.params` by name: in its own shape, for all agents alike, or with a
            leading axis of N; None for none.

    Returns:
        f32[1, ...] where all agents are alike, f32[N, ...] otherwise.

    Raises:
        ValueError: as `resolve_params`; NaN or infinity.
    """
    given = {} if env_params is None else env_params
    found = {}
    for name, value in check_names(env, "env_params =", given).items():
        where = check_numbers(name, value)
        rows, shape = np.asarray(value, np.float32), default_of(env, name).shape
        if not np.isfinite(rows).all():
            raise ValueError(f"{where} = {show(value)} is not finite; give finite numbers")
        if rows.shape == shape:
            rows = rows[None]
        if rows.shape[1:] != shape or not len(rows):
            axes = ", ".join(["N", *map(str, shape)])
            check_shape(env, where, name, value, f"give that, or one for each agent, [{axes}]")
        found[name] = rows
    return {name: np.asarray(value) for name, value in whole_fields(env, found).items()}


def check_numbers(name: str, value: Any) -> str:
    """How errors name a parameter; ValueError unless it is an array of numbers."""
    where = f"env_params[{name!r}]"
    kind = value.dtype.kind if isinstance(value, jax.Array) else np.asarray(value).dtype.kind
    if kind not in "iuf":
        raise ValueError(f"{where} = {show(value)} is not an array of numbers; give one")
    return where


def check_names(env: Env, source: str, given: Any) -> dict[str, Any]:
    """Parameters by name as a dictionary; ValueError for all else, and for unknown names.

    Args:
        env: the environment.
        source: how an error begins, such as "env_params =".
        given: some of `env.params`, by name.
    """
    named = as_mapping(given)
    if named is None:
        name, value = next(iter(env.params.items()), ("g", np.float32(9.81)))
        raise ValueError(
            f"{source} {show(given)}, which is not a dictionary; give parameters of {env.name!r} "
            f"by name, such as {{{name!r}: {value.tolist()}}}"
        )
    if named and not env.params:
        raise ValueError(
            f"{source} {show(named)}, and environment {env.name!r} has no parameters that can be "
            "changed; leave them out, or declare some in Env.params, whose values reset and step "
            "take as their last argument"
        )
    for name in named:
        default_of(env, name)
    return named


def default_of(env: Env, name: str) -> np.ndarray:
    """The default value f32[...] of a parameter, or of a part such as "body_mass[torso]".

    Raises:
        ValueError: an unknown name, with the nearest known one.
    """
    field, rows = _place_of(env, name)
    value = env.params[field]
    return value if rows is None else value[rows]


def whole_fields(env: Env, named: dict[str, Any]) -> dict[str, Any]:
    """Parameters by the names of `Env.params`, with the parts that others name written into them.

    Args:
        env: the environment.
        named: f32[..., *shape] by name, such as {"body_mass[torso]": f32[...]}.
    """
    whole = {name: value for name, value in named.items() if name in env.params}
    for name, value in named.items():
        field, rows = _place_of(env, name)
        if rows is None:
            continue
        default = env.params[field]
        before = whole.get(field, default)
        extra = value.ndim - default[rows].ndim, before.ndim - default.ndim
        leading = np.broadcast_shapes(value.shape[: extra[0]], before.shape[: extra[1]])
        index = (..., rows, *[slice(None)] * (default.ndim - 1))
        wide = jnp.broadcast_to(before, (*leading, *default.shape))
        whole[field] = wide.at[index].set(value)
    return whole


def whole_names(env: Env, names: Iterable[str]) -> set[str]:
    """The parameters that names belong to, such as body_mass for "body_mass[torso]"."""
    return {_place_of(env, name)[0] for name in names}


def _place_of(env: Env, name: str) -> tuple[str, Any]:
    """The parameter that a name belongs to, and the rows that it names; None for all."""
    field, bracket, element = name.partition("[")
    if name in env.params or not bracket or not element.endswith("]") or env.model is None:
        check_known(name, env.params, f"parameter of {env.name}")
        return name, None
    check_known(field, env.params, f"parameter of {env.name}")
    kind = PREFIXES.get(field.partition("_")[0])
    if kind is None:
        raise ValueError(
            f"parameter {name!r} of {env.name}: {field} belongs to no body, joint, geom or actuator"
            "; give it as a whole"
        )
    return field, rows_of(env.model, kind, element[:-1], field)


def check_shape(env: Env, where: str, name: str, value: Any, remedy: str) -> None:
    """Raise ValueError, with the remedy, unless a parameter has its shape."""
    wanted = default_of(env, name).shape
    if np.shape(value) != wanted:
        raise ValueError(
            f"{where} has the shape {np.shape(value)}, and one environment {env.name!r} takes "
            f"{wanted}; {remedy}"
        )
