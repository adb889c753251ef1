"""The adapter for MuJoCo Playground."""

from typing import Any

from rpojax.envs.base import Env, fail_unless
from rpojax.envs.brax_interface import from_brax_interface
from rpojax.envs.mujoco_rendering import render_with_mujoco
from rpojax.types import PyTree
from rpojax.validation import check_known

PACKAGES = ("mujoco_playground",)
EXTRA = "playground"

IMPL = "jax"
"""Playground's own default, MuJoCo Warp, needs an NVIDIA GPU and is not deterministic."""


def names() -> tuple[str, ...]:
    """The dm_control tasks; and locomotion and manipulation where their robots are there."""
    from mujoco_playground import dm_control_suite, registry

    return registry.ALL_ENVS if _has_robots() else tuple(dm_control_suite.ALL_ENVS)


def is_known(name: str) -> bool:
    """Whether Playground has an environment of this name."""
    from mujoco_playground import registry

    return name in registry.ALL_ENVS


def make(name: str, **params: Any) -> Env:
    """One of MuJoCo Playground's environments by name, without its wrappers.

    Observations that are dictionaries stay so: with `state` and `privileged_state`, an asymmetric
    critic is `NetworkConfig(actor_keys=("state",), critic_keys=("privileged_state",))`.

    Args:
        name: such as "CartpoleBalance".
        params: entries of the task's configuration to change, such as `episode_length=500` or, of
            one inside of another, `**{"reward_config.scales.torques": 0.0}`. `impl` is "jax" unless
            it is given.

    Raises:
        ValueError: an unknown parameter, with the nearest known one; a value of another type than
            its default; a task whose robots have not been downloaded.
    """
    from mujoco_playground import dm_control_suite, registry

    fail_unless(
        name,
        name in dm_control_suite.ALL_ENVS or _has_robots(),
        "its robots are not installed: Playground downloads them with git when it loads a task of "
        f"locomotion or manipulation. Run mujoco_playground.registry.load({name!r}) once where "
        "there is a network",
    )
    config = registry.get_default_config(name)
    known = _flat(config.to_dict())
    for field in params:
        check_known(field, list(known), f"parameter of {name}")
    fail_unless(
        name,
        not params.get("vision", False),
        "vision = True needs Playground's own renderer, which rpojax lacks; leave it False",
    )
    try:
        config.update_from_flattened_dict({"impl": IMPL, **params})
    except (TypeError, ValueError) as error:
        raise ValueError(f"parameters {params} of {name} are refused: {error}") from error
    env = registry.load(name, config=config)
    config = env._config
    return from_brax_interface(
        name,
        env,
        episode_length=config.episode_length,
        action_repeat=config.action_repeat,
        render=render_with_mujoco(name, env.mj_model, _place),
        seconds=env.dt,
    )


def _place(data: Any, states: PyTree, index: int) -> None:
    data.qpos[:] = states.data.qpos[index]
    data.mocap_pos[:] = states.data.mocap_pos[index]
    data.mocap_quat[:] = states.data.mocap_quat[index]


def _has_robots() -> bool:
    """Whether the models of robots that tasks of locomotion and manipulation need are there."""
    from mujoco_playground._src import mjx_env

    return bool(mjx_env.MENAGERIE_PATH.exists())


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Entries by dotted path."""
    flat = {}
    for field, value in config.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{field}."))
        else:
            flat[f"{prefix}{field}"] = value
    return flat
