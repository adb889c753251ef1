"""The adapter for Brax's environments."""

import inspect
import operator
import warnings
from typing import Any

import numpy as np

from rpojax.envs.at_once import MOST
from rpojax.envs.base import Env, Params, naming
from rpojax.envs.contexts import (
    BRAX,
    MJX,
    concrete_values,
    levels_kept_apart,
    no_log_file,
    nothing_printed,
    standard_numpy,
)
from rpojax.envs.physics import mjx_params
from rpojax.envs.physics.brax_interface import (
    Physics,
    from_brax_interface,
    refuse_wrappers,
)
from rpojax.envs.physics.rendering import render_with_mujoco
from rpojax.settings.sizes import MOST as MOST_STEPS
from rpojax.types import PyTree
from rpojax.validation import check_choice, check_known, whole_number

PACKAGES = ("brax",)
EXTRA = "brax"
SLOW_TO_MAKE = True

BACKENDS = ("generalized", "mjx", "positional", "spring")
WRAPPER = {"episode_length": 1000, "action_repeat": 1}
"""What `brax.envs.create` gives its EpisodeWrapper."""

PARAMS = (
    "gravity",
    "link.inertia.mass",
    "link.inertia.i",
    "dof.armature",
    "dof.damping",
    "dof.stiffness",
    "actuator.gain",
    "actuator.gear",
)
"""Fields of `brax.System` that may be traced, for all backends but "mjx"."""


def names() -> tuple[str, ...]:
    """All environments that are registered in Brax."""
    return tuple(_classes())


def is_known(name: str) -> bool:
    """Whether Brax has an environment of this name."""
    return name in _classes()


def make(name: str, **params: Any) -> Env:
    """One of Brax's environments by name, without its wrappers.

    `Env.params` are `PARAMS`, fields of Brax's system by their paths, such as "link.inertia.mass";
    with the backend "mjx", those of its MuJoCo model (`rpojax.envs.physics.mjx_params`).

    Training resets from a pool, unless `Config.resets` says otherwise: on two CPU cores, a reset
    takes a fifth of a step in inverted_pendulum (3.3 of 16 us) and a tenth in ant (15 of 166 us).

    Args:
        name: such as "ant".
        params: arguments of the environment's class, such as `backend="spring"`, `n_frames=2` or
            `ctrl_cost_weight=0.1`; and `episode_length` and `action_repeat`, as of
            `brax.envs.create`.

    Raises:
        ValueError: an unknown parameter, with the nearest known one; a value that is not allowed.
    """
    cls = _classes()[name]
    known = [*WRAPPER, *_arguments(cls)]
    for field, value in params.items():
        check_known(field, known, f"parameter of {name}")
        if field == "backend":
            check_choice(f"parameter backend of {name}", value, BACKENDS)
        elif field in (*WRAPPER, "n_frames"):
            params[field] = whole_number(f"parameter {field} of {name}", value, most=MOST_STEPS)
    wrapper = {field: params.pop(field, default) for field, default in WRAPPER.items()}
    try:
        with no_log_file(), standard_numpy(), concrete_values():  # also in a jit
            env = cls(**params)
    except (TypeError, ValueError) as error:
        raise ValueError(f"parameters {params} of {name} are refused: {error}") from error
    return from_brax(env, name=name, **wrapper)


def from_brax(
    env: Any, *, name: str | None = None, episode_length: int = 1000, action_repeat: int = 1
) -> Env:
    """The `Env` of an instance of `brax.envs.Env`, such as one of your own subclass.

    Args:
        env: without the wrappers of `brax.envs.wrappers.training`, whose part rpojax takes.
        name: what to call it; None for the name of its class.
        episode_length, action_repeat: as of `brax.envs.create`.

    Raises:
        ValueError: a wrapper of Brax's training; a `reset` or `step` that fails, or whose states
            differ in structure.
    """
    name = name or type(env).__name__
    physics: dict[str, Any] = {}
    with naming(name):
        refuse_wrappers(env)
        with no_log_file(), standard_numpy(), concrete_values():
            if hasattr(env, "sys"):  # "fast" has no simulation
                physics["render"] = render_with_mujoco(name, env.sys.mj_model, _place)
                physics["seconds"] = float(env.dt)
                physics["mj_model"] = env.sys.mj_model
                physics["physics"] = _physics(env)
    return from_brax_interface(
        name,
        env,
        episode_length=episode_length,
        action_repeat=action_repeat,
        **physics,
        tracing=lambda params: levels_kept_apart(BRAX, MJX),
        most_at_once=MOST,
    )


def _arguments(cls: type) -> list[str]:
    """What may be given to a class by name, with what it passes on to Brax's simulation."""
    parameters = inspect.signature(cls).parameters.values()
    named = [
        each.name
        for each in parameters
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    ]
    passes_on = any(each.kind is each.VAR_KEYWORD for each in parameters)
    if passes_on and "backend" in named and "n_frames" not in named:
        named.append("n_frames")
    return named


def _physics(env: Any) -> Physics:
    if env.backend == "mjx":
        return Physics("sys", mjx_params.traceable(env.sys), mjx_params.changed)
    params = {path: np.asarray(operator.attrgetter(path)(env.sys)) for path in PARAMS}
    return Physics("sys", params, _changed)


def _changed(system: Any, params: Params) -> Any:
    return system.tree_replace(dict(params))


def _place(data: Any, states: PyTree, index: int) -> None:
    data.qpos[:] = states.pipeline_state.q[index]


def _classes() -> dict[str, type]:
    with nothing_printed(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "JAXopt is no longer maintained")
        from brax import envs

    return envs._envs
