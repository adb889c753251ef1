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

    `obs` is None where an observation is neither an array nor a dictionary of such.
    """
    return {
        "name": env.name,
        "obs": _spec_to_plain(env.obs),
        "action_low": env.action_low.tolist(),
        "action_high": env.action_high.tolist(),
        "max_episode_steps": env.max_episode_steps,
        "metrics": tuple(env.metrics),
        "control_dt": env.control_dt,
        "engine": env.engine,
        "actuators": tuple(env.actuators),
        "joints": tuple(env.joints),
    }


def described_env(description: Mapping[str, Any]) -> Env | None:
    """An environment to act in, without its dynamics; None if its observations are not known."""
    if description["obs"] is None:
        return None
    fields = {**description, "obs": _spec_from_plain(description["obs"])}
    for name in ("metrics", "actuators", "joints"):  # JSON has lists; older files lack some
        fields[name] = tuple(fields.get(name, ()))
    known = {field.name for field in dataclasses.fields(Env)}
    chosen = {name: value for name, value in fields.items() if name in known}
    return Env(reset=_no_dynamics, step=_no_dynamics, **chosen)


def robot_of(mj_model: Any) -> dict[str, Any]:
    """The fields `actuators` and `joints` of the `Env` of a MuJoCo model; "" for no name.

    An actuator without a name is called as its joint.
    """
    joints = tuple(mj_model.joint(index).name for index in range(mj_model.njnt))
    own = (mj_model.actuator(index).name for index in range(mj_model.nu))
    driven = zip(mj_model.actuator_trntype, mj_model.actuator_trnid[:, 0], strict=True)
    on_joint = 0  # mujoco.mjtTrn.mjTRN_JOINT
    return {
        "actuators": tuple(
            name or (joints[target] if kind == on_joint else "")
            for name, (kind, target) in zip(own, driven, strict=True)
        ),
        "joints": joints,
    }


def _no_dynamics(*_: Any) -> Any:
    raise ValueError(
        "this environment was read from a checkpoint, which describes its observations and actions "
        "only; make it with rpojax.envs.make(name)"
    )


def _spec_to_plain(spec: PyTree) -> Any:
    if isinstance(spec, jax.ShapeDtypeStruct):
        return [list(spec.shape), str(np.dtype(spec.dtype))]
    if type(spec) is not dict or not all(isinstance(name, str) for name in spec):
        return None
    parts = {name: _spec_to_plain(part) for name, part in spec.items()}
    return None if None in parts.values() else parts


def _spec_from_plain(plain: Any) -> PyTree:
    if isinstance(plain, dict):
        return {name: _spec_from_plain(part) for name, part in plain.items()}
    return jax.ShapeDtypeStruct(tuple(plain[0]), np.dtype(plain[1]))
