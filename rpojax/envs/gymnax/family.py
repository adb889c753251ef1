"""The adapter for gymnax 1.x, and for any object with its interface."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.at_once import mapped_over_envs
from rpojax.envs.base import Env, Params, TimeStep, naming
from rpojax.envs.checks.contract import check_contract
from rpojax.envs.contexts import concrete_values
from rpojax.envs.drawing import render_with
from rpojax.envs.dtypes import as_arrays, cast, fixed_point
from rpojax.envs.gymnax.drawings import find_drawing, frames_per_second
from rpojax.envs.gymnax.interface import (
    METHODS,
    Interface,
    check_object,
    check_termination,
    episode_limit,
)
from rpojax.envs.gymnax.params import as_defaults, changed, traceable
from rpojax.envs.spaces import box_actions, encode, observation_space
from rpojax.types import Array, Key, PyTree
from rpojax.validation import check_known

PACKAGES = ("gymnax",)
EXTRA = None  # rpojax needs gymnax itself
SLOW_TO_MAKE = False

NAMES = (
    "Pendulum-v1",
    "MountainCarContinuous-v0",
    "PointRobot-misc",
    "Reacher-misc",
    "Swimmer-misc",
)
"""The environments of gymnax with continuous actions."""

DOWNLOADING = ("MNISTBandit-bsuite",)
"""Environments of gymnax (with discrete actions) that download a data set when they are made."""


def names() -> tuple[str, ...]:
    """`NAMES`."""
    return NAMES


def is_known(name: str) -> bool:
    """Whether gymnax has an environment of this name, with whatever actions."""
    import gymnax

    return name in gymnax.registered_envs


def make(name: str, **params: Any) -> Env:
    """A registered gymnax environment by name.

    Args:
        name: such as "Pendulum-v1".
        params: fields of the environment's `EnvParams` to change, such as `g=9.81` or
            `max_steps_in_episode=500`.

    Raises:
        ValueError: an unknown parameter, with the nearest known one; discrete actions.
    """
    import gymnax

    if name in DOWNLOADING:
        raise ValueError(_not_continuous(name, "Discrete"))
    env, env_params = gymnax.make(name)
    for field, value in params.items():
        check_known(field, list(vars(env_params)), f"parameter of {name}")
        like = getattr(env_params, field)
        if isinstance(value, jax.Array):  # may be traced
            suits = value.shape == np.shape(like)
        else:
            array = np.asarray(value)
            suits = array.dtype.kind in "biuf" and array.shape == np.shape(like)
            suits = suits and not np.isnan(array).any()
        if not suits:
            raise ValueError(
                f"parameter {field} = {value!r} of {name} is not allowed; give a number like "
                f"{like!r}"
            )
    return from_gymnax(env, env_params.replace(**params), name=name)


def from_gymnax(env: Any, params: Any = None, name: str | None = None) -> Env:
    """An `Env` from an object with gymnax's interface: reset_env, step_env, action_space.

    `step_env` returns five values, and its flag means termination only. Time limits are reported
    by `is_truncated(state, params)`; without that method, and without `max_steps_in_episode` in
    the parameters, episodes are never cut off.

    Observations may be any pytree. Where `observation_space` is a Dict or a Tuple, they become a
    dict or a tuple, nested as the spaces are, and the integers of Discrete(n) become one-hot
    vectors f32[n]; all other leaves stay as they are. Each leaf of the state and of the
    observation gets the dtype that holds what `reset_env` and `step_env` return for it. Rewards
    become float32, in which the agent learns, also under `jax_enable_x64`. Entries of `info` that
    are single real numbers are metrics, except for gymnax's "discount".

    `Env.params` are the fields of `params` that are floats or arrays of floats, where `params` is a
    dataclass, except for the time limit and what the bounds of actions depend on. A whole number
    counts as a float where `env.default_params` has a float, so that `l=2` may be traced too.

    Args:
        env: the environment.
        params: its parameters; None for `env.default_params`.
        name: what to call it; None for `env.name`.

    Raises:
        ValueError: an action space other than a Box of floats; missing methods; methods `step` or
            `reset` that would be ignored; a time limit that counts as termination; another number
            of values, shape or dtype than the interface allows; observations that contradict the
            observation space.
    """
    missing = [part for part in METHODS if not hasattr(env, part)]
    if params is None and not hasattr(env, "default_params"):
        missing.append("default_params")
    if missing:
        raise ValueError(
            f"env = {env!r} has no {', '.join(missing)}; give a name, an rpojax.envs.Env, or an "
            "object with gymnax's interface"
        )
    params = env.default_params if params is None else as_defaults(env, params)
    name = name or str(getattr(env, "name", type(env).__name__))
    with naming(name):
        made = _adapted(name, env, params)
    check_contract(made)
    return made


def _adapted(name: str, env: Any, params: Any) -> Env:
    check_object(env)
    limit = episode_limit(name, env, params)
    with concrete_values():  # some make jax arrays of the bounds, also inside a jit
        space = env.action_space(params)
        actions = box_actions(space)
    if actions is None:
        raise ValueError(_not_continuous(name, space))
    obs_space = observation_space(env, params)
    interface = Interface(env, params)

    def parts(obs: PyTree, state: PyTree) -> dict[str, PyTree]:
        obs = encode(obs_space, obs)
        return {"state": as_arrays("state", state), "obs": as_arrays("obs", obs)}

    def start(used: Interface, key: Key) -> dict[str, PyTree]:
        return parts(*used.reset(key))

    def advance(specs: dict[str, PyTree]) -> dict[str, PyTree]:
        raw = jax.eval_shape(interface.step, key, specs["state"], action)
        return jax.eval_shape(parts, raw.obs, raw.state)

    key = jax.eval_shape(lambda: jax.random.key(0))
    action = jax.ShapeDtypeStruct(actions.shape, jnp.float32)
    specs = fixed_point(jax.eval_shape(functools.partial(start, interface), key), advance)
    check_termination(interface, specs["state"], action)
    metrics = jax.eval_shape(interface.step, key, specs["state"], action).metrics

    def with_changes(changes: Params) -> Interface:
        return interface._replace(params=changed(params, changes))

    def reset_one(key: Key, changes: Params) -> tuple[PyTree, PyTree]:
        made = cast(start(with_changes(changes), key), specs)
        return made["state"], made["obs"]

    def step_one(
        key: Key, state: PyTree, action: Array, changes: Params
    ) -> tuple[PyTree, TimeStep]:
        raw = with_changes(changes).step(key, state, action.reshape(actions.shape))
        made = cast(parts(raw.obs, raw.state), specs)
        timestep = TimeStep(made["obs"], *raw[2:])
        return made["state"], timestep

    draw = find_drawing(specs["state"], params)
    reset, step = mapped_over_envs(reset_one, step_one)
    return Env(
        name=name,
        reset=reset,
        step=step,
        obs=specs["obs"],
        action_low=actions.low,
        action_high=actions.high,
        max_episode_steps=limit,
        metrics=tuple(metrics),
        render=None if draw is None else render_with(draw),
        render_fps=frames_per_second(params),
        params=traceable(env, params),
    )


def _not_continuous(name: str, space: Any) -> str:
    return (
        f"env = {name!r} has the action space {space}, and RPO needs continuous actions; give "
        f"one with a Box of floats, such as {', '.join(NAMES)}"
    )
