"""The adapter for gymnax 1.x, and for any object with its interface."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Env, TimeStep, auto_reset
from rpojax.types import Array, Key, PyTree
from rpojax.validation import check_known

INTERFACE = ("reset_env", "step_env", "action_space", "default_params")

CONTINUOUS = (
    "Pendulum-v1",
    "MountainCarContinuous-v0",
    "PointRobot-misc",
    "Reacher-misc",
    "Swimmer-misc",
)
"""The environments of gymnax whose actions are continuous."""

DOWNLOADING = ("MNISTBandit-bsuite",)
"""Environments of gymnax (discrete ones) that fetch a data set as soon as they are made."""


def make(name: str, **params: Any) -> Env:
    """A registered gymnax environment by name.

    Args:
        name: such as "Pendulum-v1".
        params: fields of the environment's `EnvParams` to change, such as `g=9.81` or
            `max_steps_in_episode=500`.

    Raises:
        ValueError: an unknown name or parameter, with the nearest known one; discrete actions.
    """
    import gymnax

    check_known(name, gymnax.registered_envs, "environment")
    if name in DOWNLOADING:
        raise ValueError(_not_continuous(name, "Discrete"))
    env, env_params = gymnax.make(name)
    for field in params:
        check_known(field, list(vars(env_params)), f"parameter of {name}")
    return from_gymnax(env, env_params.replace(**params), name=name)


def from_gymnax(env: Any, params: Any = None, name: str | None = None) -> Env:
    """An `Env` from an object with gymnax's interface: reset_env, step_env, action_space.

    Both gymnax's present `step_env` (whose flag means termination alone, with `is_truncated`
    beside it) and plain objects without `is_truncated` (nothing is cut off) are understood.

    Args:
        env: the environment.
        params: its parameters; None for `env.default_params`.
        name: what to call it; None for `env.name`.

    Raises:
        ValueError: an action space other than a Box, or parts of the interface missing.
    """
    missing = [part for part in INTERFACE if not hasattr(env, part)]
    if missing:
        raise ValueError(
            f"env = {env!r} has no {', '.join(missing)}; give a name, an rpojax.envs.Env, or an "
            "object with gymnax's interface"
        )
    params = env.default_params if params is None else params
    name = name or str(getattr(env, "name", type(env).__name__))
    with jax.ensure_compile_time_eval():  # some make jax arrays of the bounds, also inside a jit
        space = env.action_space(params)
    if not _is_box(space):
        raise ValueError(_not_continuous(name, space))
    is_truncated = getattr(env, "is_truncated", None)

    def reset_one(key: Key) -> tuple[PyTree, PyTree]:
        with jax.numpy_rank_promotion("allow"):  # Swimmer needs it, whatever the user has set
            obs, state = env.reset_env(key, params)
        return _strong(state, state), _strong(obs, obs)

    state_like, obs_like = jax.eval_shape(lambda: reset_one(jax.random.key(0)))

    def step_one(key: Key, state: PyTree, action: Array) -> tuple[PyTree, TimeStep]:
        with jax.numpy_rank_promotion("allow"):
            obs, state, reward, terminated, *_ = env.step_env(
                key, state, action.reshape(space.shape), params
            )
        truncated = is_truncated(state, params) if is_truncated else jnp.array(False)
        terminated = jnp.asarray(terminated, bool).reshape(())
        obs = _strong(obs, obs_like)
        timestep = TimeStep(
            obs=obs,
            final_obs=obs,
            reward=jnp.asarray(reward, jnp.float32).reshape(()),
            terminated=terminated,
            truncated=jnp.asarray(truncated, bool).reshape(()) & ~terminated,
        )
        return _strong(state, state_like), timestep

    reset = jax.vmap(reset_one)
    limit = getattr(params, "max_steps_in_episode", None)
    bounds = np.broadcast_arrays(
        np.asarray(space.low, np.float32), np.asarray(space.high, np.float32), np.empty(space.shape)
    )
    return Env(
        name=name,
        reset=reset,
        step=auto_reset(reset, jax.vmap(step_one)),
        obs=obs_like,
        action_low=bounds[0].reshape(-1),
        action_high=bounds[1].reshape(-1),
        max_episode_steps=None if limit is None else int(limit),
    )


def _not_continuous(name: str, space: Any) -> str:
    return (
        f"env = {name!r} has the action space {space}, and RPO needs continuous actions; give "
        f"one with a Box, such as {', '.join(CONTINUOUS)}"
    )


def _is_box(space: Any) -> bool:
    """Box spaces have bounds; gymnax's own and Gymnasium's both."""
    return hasattr(space, "low") and hasattr(space, "high")


def _strong(tree: PyTree, like: PyTree) -> PyTree:
    """Leaves with the dtypes of `like` and no weak types, so that a scan can carry them."""
    return jax.tree.map(lambda leaf, model: jnp.asarray(leaf, jnp.result_type(model)), tree, like)
