"""The adapter for MuJoCo Playground."""

import math
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp

from rpojax.envs.base import Env, Params, require
from rpojax.envs.contexts import (
    MJX,
    concrete_values,
    levels_kept_apart,
    no_log_file,
    standard_numpy,
)
from rpojax.envs.physics.brax_interface import Physics, Tracing, from_brax_interface
from rpojax.envs.physics.engine_data import Engine, in_place_of_mjx
from rpojax.envs.physics.mjx_params import changed, traceable
from rpojax.envs.physics.rendering import render_with_mujoco
from rpojax.settings.sizes import MOST as MOST_STEPS
from rpojax.types import PyTree
from rpojax.validation import as_sequence, check_bool, check_choice, check_known, whole_number

PACKAGES = ("mujoco_playground",)
EXTRA = "playground"
SLOW_TO_MAKE = True

IMPL = "jax"
"""MJX in JAX runs on every device, and gives the same numbers each time. Playground's own default,
MuJoCo Warp, is faster on contact-rich tasks, needs an NVIDIA GPU, and is not deterministic."""
IMPLS = ("jax", "c", "warp")


def names() -> tuple[str, ...]:
    """The dm_control tasks; also locomotion and manipulation if their robots are installed."""
    from mujoco_playground import dm_control_suite, registry

    return tuple(registry.ALL_ENVS if _has_robots() else dm_control_suite.ALL_ENVS)


def is_known(name: str) -> bool:
    """Whether Playground has an environment of this name."""
    from mujoco_playground import dm_control_suite, locomotion, manipulation

    return any(name in suite.ALL_ENVS for suite in (dm_control_suite, locomotion, manipulation))


def make(name: str, **params: Any) -> Env:
    """One of MuJoCo Playground's environments by name, without its wrappers.

    Observations that are dictionaries stay so: with `state` and `privileged_state`, an asymmetric
    critic is `NetworkConfig(actor_keys=("state",), critic_keys=("privileged_state",))`.

    `Env.params` are those of its MuJoCo model; see `rpojax.envs.physics.mjx_params`.

    Training resets from a pool, unless `Config.resets` says otherwise: a reset computes the forward
    dynamics. One in each step takes CartpoleBalance from 638 to 240 thousand steps per second on
    two CPU cores.

    Args:
        name: such as "CartpoleBalance".
        params: entries of the task's configuration to change, such as `episode_length=500` or, of
            one inside of another, `**{"reward_config.scales.torques": 0.0}`. `impl` is "jax" unless
            it is given; "c" is MuJoCo's own engine, on a CPU; "warp" needs an NVIDIA GPU.

    Raises:
        ValueError: an unknown parameter, with the nearest known one; a value of another type than
            its default, or one that is not allowed; a task whose robots are not installed.
    """
    from mujoco_playground import dm_control_suite, registry

    require(
        name in dm_control_suite.ALL_ENVS or _has_robots(),
        "its robots are not installed: Playground downloads them with git when it loads a task of "
        "locomotion or manipulation, and rpojax does not. Where there is a network, run: "
        f"python -c \"from mujoco_playground import registry; registry.load('{name}', "
        "config_overrides={'impl': 'jax'})\"",
    )
    config = registry.get_default_config(name)
    changes = _checked(name, params, _flat(config.to_dict()))
    on_c = changes.get("impl") == "c"
    if on_c:
        changes["impl"] = IMPL  # what the task is made with; its functions are traced on C
    try:
        config.update_from_flattened_dict(changes)
        with no_log_file(), standard_numpy(), concrete_values():  # also in a jit
            env = registry.load(name, config=config)
    except (TypeError, ValueError) as error:
        raise ValueError(f"parameters {params} of {name} are refused: {error}") from error
    require(
        env.n_substeps >= 1 and math.isclose(env.n_substeps * env.sim_dt, env.dt, rel_tol=1e-6),
        f"ctrl_dt = {env.dt} is no multiple of sim_dt = {env.sim_dt}; give one",
    )
    return from_brax_interface(
        name,
        env,
        episode_length=config.episode_length,
        action_repeat=config.action_repeat,
        tracing=_on_engine(env) if on_c else lambda params: levels_kept_apart(MJX),
        physics=Physics("_mjx_model", traceable(env.mjx_model), changed),
        render=render_with_mujoco(name, env.mj_model, _place),
        seconds=env.dt,
        mj_model=env.mj_model,
    )


def _on_engine(env: Any) -> Tracing:
    """What traces a task on MuJoCo's C engine, with the fields that it reads."""
    from mujoco_playground._src import mjx_env

    def trace(engine: Engine) -> PyTree:
        with in_place_of_mjx(engine, mjx_env, {}):
            state = env.reset(jax.random.key(0))
            return env.step(state, jnp.zeros(env.action_size))

    def tracing(params: Params) -> AbstractContextManager[None]:
        return in_place_of_mjx(engine, mjx_env, params)

    with no_log_file(), standard_numpy():
        engine = Engine(env.mj_model, list(traceable(env.mj_model)), trace)
    return tracing


def _checked(name: str, params: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The configuration entries to change, with those that JAX needs."""
    changes = {"impl": IMPL} if "impl" in defaults else {}
    for field, value in params.items():
        check_known(field, defaults, f"parameter of {name}")
        default, parameter = defaults[field], f"parameter {field} of {name}"
        if field in ("episode_length", "action_repeat"):
            value = whole_number(parameter, value, most=MOST_STEPS)
        elif field == "impl":
            check_choice(parameter, value, IMPLS)
        elif isinstance(default, bool):
            value = check_bool(parameter, value)
        elif value is None or isinstance(value, bool):
            raise ValueError(f"{parameter} = {value} is not allowed; give one like {default!r}")
        elif isinstance(default, list | tuple):
            value = type(default)(as_sequence(value) or ())
            if len(value) != len(default):
                raise ValueError(
                    f"{parameter} = {params[field]!r} is not allowed; give {len(default)} values"
                )
        changes[field] = value
    require(
        not changes.get("vision", False),
        "vision = True needs a renderer on a GPU, which rpojax does not use; leave it False",
    )
    require(
        changes.get("impl") != "warp" or jax.default_backend() == "gpu",
        "impl = 'warp' needs an NVIDIA GPU, and JAX computes on a "
        f"{jax.default_backend().upper()} here; leave it 'jax'",
    )
    return changes


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Entries by dotted path, those for vision aside."""
    flat = {}
    for field, value in config.items():
        if isinstance(value, dict) and field != "vision_config":
            flat.update(_flat(value, f"{prefix}{field}."))
        elif not isinstance(value, dict):
            flat[f"{prefix}{field}"] = value
    return flat


def _place(data: Any, states: PyTree, index: int) -> None:
    data.qpos[:] = states.data.qpos[index]
    data.mocap_pos[:] = states.data.mocap_pos[index]
    data.mocap_quat[:] = states.data.mocap_quat[index]


def _has_robots() -> bool:
    """Whether the robot models that tasks of locomotion and manipulation need are installed."""
    from mujoco_playground._src import mjx_env

    return bool(mjx_env.MENAGERIE_PATH.exists())
