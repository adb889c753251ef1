"""The adapter for gymnax 1.x, and for any object with its interface."""

import dataclasses
from collections.abc import Mapping
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

    Observations may be any pytree. Where `observation_space` tells of a Dict or a Tuple, they
    become a dict or a tuple, nested as the spaces are, and the integers of Discrete(n) become
    one-hot vectors f32[n]; all other leaves stay as they are.

    Args:
        env: the environment.
        params: its parameters; None for `env.default_params`.
        name: what to call it; None for `env.name`.

    Raises:
        ValueError: an action space other than a Box, parts of the interface missing, or
            observations that are not what the observation space says.
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
    obs_space = _observation_space(env, params)
    is_truncated = getattr(env, "is_truncated", None)

    def reset_one(key: Key) -> tuple[PyTree, PyTree]:
        with jax.numpy_rank_promotion("allow"):  # Swimmer needs it, whatever the user has set
            obs, state = env.reset_env(key, params)
        obs = _encode(name, obs_space, obs)
        return _strong(state, state), _strong(obs, obs)

    state_like, obs_like = jax.eval_shape(lambda: reset_one(jax.random.key(0)))

    def step_one(key: Key, state: PyTree, action: Array) -> tuple[PyTree, TimeStep]:
        with jax.numpy_rank_promotion("allow"):
            obs, state, reward, terminated, *_ = env.step_env(
                key, state, action.reshape(space.shape), params
            )
        truncated = is_truncated(state, params) if is_truncated else jnp.array(False)
        terminated = jnp.asarray(terminated, bool).reshape(())
        obs = _strong(_encode(name, obs_space, obs), obs_like)
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


def _observation_space(env: Any, params: Any) -> Any:
    """The space of observations, or None where the environment does not tell."""
    if not hasattr(env, "observation_space"):
        return None
    try:
        return env.observation_space(params)
    except NotImplementedError:  # of gymnax's base class
        return None


def _encode(name: str, space: Any, obs: PyTree, path: str = "obs") -> PyTree:
    """An observation in the form that a network takes; see `from_gymnax`.

    Args:
        name: of the environment, for errors.
        space: gymnax's or Gymnasium's; None or a Box leaves the observation as it is.
        obs: one observation.
        path: to `obs` from the top, for errors.
    """
    if hasattr(space, "n"):
        return _one_hot(name, space, obs, path)
    spaces = getattr(space, "spaces", None)
    if spaces is None:
        return obs
    named = isinstance(spaces, Mapping)
    spaces = dict(spaces) if named else dict(enumerate(spaces))
    parts = _parts(obs, named)
    if set(parts) != set(spaces):
        raise ValueError(
            f"env = {name!r} has the observation space {space} at {path}, and its observation has "
            f"the parts {list(parts)}; give both the same"
        )
    encoded = {key: _encode(name, spaces[key], parts[key], f"{path}[{key!r}]") for key in spaces}
    return encoded if named else tuple(encoded.values())


def _parts(obs: PyTree, named: bool) -> dict[Any, PyTree]:
    """The parts of an observation by name or by place; none where it is not made of parts."""
    if not named:
        return dict(enumerate(obs)) if isinstance(obs, tuple | list) else {}
    if isinstance(obs, Mapping):
        return dict(obs)
    if hasattr(obs, "_asdict"):  # a NamedTuple
        return obs._asdict()
    return dict(vars(obs)) if dataclasses.is_dataclass(obs) else {}


def _one_hot(name: str, space: Any, obs: Any, path: str) -> Array:
    obs = jnp.asarray(obs)
    if obs.shape or not jnp.issubdtype(obs.dtype, jnp.integer):
        raise ValueError(
            f"env = {name!r} has the observation space {space} at {path}, and its observation is "
            f"{obs.dtype}{list(obs.shape)}; return one integer, or describe it by a Box"
        )
    return jax.nn.one_hot(obs - getattr(space, "start", 0), int(space.n), dtype=jnp.float32)


def _strong(tree: PyTree, like: PyTree) -> PyTree:
    """Leaves with the dtypes of `like` and no weak types, so that a scan can carry them."""
    return jax.tree.map(lambda leaf, model: jnp.asarray(leaf, jnp.result_type(model)), tree, like)
