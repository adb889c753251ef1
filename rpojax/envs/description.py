"""What an agent has to know of its environment in order to act, as plain values for a file."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from rpojax.envs.base import Env
from rpojax.types import PyTree


def describe_env(env: Env) -> dict[str, Any]:
    """Name, observations, bounds of actions and metrics, for JSON.

    `obs` is None where observations are in a container that is no dict, list or tuple.
    """
    return {
        "name": env.name,
        "obs": _spec_to_plain(env.obs),
        "action_low": env.action_low.tolist(),
        "action_high": env.action_high.tolist(),
        "max_episode_steps": env.max_episode_steps,
        "metrics": list(env.metrics),
    }


def described_env(description: Mapping[str, Any]) -> Env | None:
    """An environment to act in, without its dynamics; None if its observations are not known."""
    if description["obs"] is None:
        return None
    fields = {**description, "obs": _spec_from_plain(description["obs"])}
    fields["metrics"] = tuple(fields["metrics"])
    known = {field.name for field in dataclasses.fields(Env)}
    chosen = {name: value for name, value in fields.items() if name in known}
    return Env(reset=_no_dynamics, step=_no_dynamics, **chosen)


def _no_dynamics(*_: Any) -> Any:
    raise ValueError(
        "this environment was read from a checkpoint, which describes its observations and actions "
        "only; make it with rpojax.envs.make(name)"
    )


def _spec_to_plain(spec: PyTree) -> Any:
    if isinstance(spec, jax.ShapeDtypeStruct):
        return {"shape": list(spec.shape), "dtype": str(np.dtype(spec.dtype))}
    if type(spec) is dict and all(isinstance(name, str) for name in spec):
        parts = {name: _spec_to_plain(part) for name, part in spec.items()}
        return None if None in parts.values() else {"dict": parts}
    if type(spec) in (list, tuple):
        items = [_spec_to_plain(part) for part in spec]
        return None if None in items else {type(spec).__name__: items}
    return None


def _spec_from_plain(plain: Mapping[str, Any]) -> PyTree:
    if "shape" in plain:
        return jax.ShapeDtypeStruct(tuple(plain["shape"]), np.dtype(plain["dtype"]))
    ((kind, parts),) = plain.items()
    if kind == "dict":
        return {name: _spec_from_plain(part) for name, part in parts.items()}
    items = [_spec_from_plain(part) for part in parts]
    return items if kind == "list" else tuple(items)
