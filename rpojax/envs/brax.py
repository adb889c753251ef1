"""The adapter for Brax's environments."""

import inspect
from typing import Any

from rpojax.envs.base import Env
from rpojax.envs.brax_interface import from_brax_interface
from rpojax.envs.mujoco_rendering import render_with_mujoco
from rpojax.types import PyTree
from rpojax.validation import check_choice, check_known, whole_number

PACKAGES = ("brax",)
EXTRA = "brax"

BACKENDS = ("generalized", "mjx", "positional", "spring")
EPISODE_LENGTH = 1000  # Brax's default
OWN = ("episode_length", "action_repeat")  # of Brax's EpisodeWrapper, whose part rpojax takes


def names() -> tuple[str, ...]:
    """All environments that are registered in Brax."""
    return tuple(_classes())


def is_known(name: str) -> bool:
    """Whether Brax has an environment of this name."""
    return name in _classes()


def make(name: str, **params: Any) -> Env:
    """One of Brax's environments by name, without its wrappers.

    Args:
        name: such as "ant".
        params: arguments of the environment's class, such as `backend="spring"` or
            `ctrl_cost_weight=0.1`; `n_frames`; and `episode_length` and `action_repeat`, as of
            `brax.envs.create`.

    Raises:
        ValueError: an unknown parameter, with the nearest known one; a value that Brax refuses.
    """
    cls = _classes()[name]
    known = [*inspect.signature(cls).parameters, "n_frames", *OWN]
    known.remove("kwargs")
    for field in params:
        check_known(field, known, f"parameter of {name}")
    wrapper = {"episode_length": EPISODE_LENGTH, "action_repeat": 1}
    for field in OWN:
        value = params.pop(field, wrapper[field])
        wrapper[field] = whole_number(f"parameter {field} of {name}", value)
    if "backend" in params:
        check_choice(f"parameter backend of {name}", params["backend"], BACKENDS)
    if "n_frames" in params:
        params["n_frames"] = whole_number(f"parameter n_frames of {name}", params["n_frames"])
    env = cls(**params)
    system = getattr(env, "sys", None)
    return from_brax_interface(
        name,
        env,
        **wrapper,
        render=None if system is None else render_with_mujoco(name, system.mj_model, _place),
        seconds=float(env.dt) if system is not None else 0.02,
    )


def _place(data: Any, states: PyTree, index: int) -> None:
    data.qpos[:] = states.pipeline_state.q[index]


def _classes() -> dict[str, type]:
    from brax import envs

    return envs._envs
