"""gymnax's interface: what an object must offer, and calls that check what it returns.

An object that deviates from this interface is refused; nothing is guessed.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Problem, require
from rpojax.envs.checks.contract import METRIC, describe, is_real
from rpojax.envs.contexts import standard_numpy
from rpojax.types import Array, Key, PyTree
from rpojax.validation import show, whole_number

METHODS = ("reset_env", "step_env", "action_space")
LIMIT = "max_steps_in_episode"
BASE_CLASS = ("gymnax.environments.environment", "Environment")


class RawStep(NamedTuple):
    """What one call of `step_env` and `is_truncated` gives."""

    obs: PyTree
    state: PyTree
    reward: Array  # []
    terminated: Array  # bool[]
    truncated: Array  # bool[]; False where `terminated`
    metrics: dict[str, Array]  # f32[] each, the entries of `info` that are single real numbers


class Interface(NamedTuple):
    """An object with gymnax's interface and its parameters."""

    env: Any
    params: Any

    def reset(self, key: Key) -> tuple[PyTree, PyTree]:
        """Call `reset_env`: (obs, state)."""
        with standard_numpy():
            result = self.env.reset_env(key, self.params)
        return _values("reset_env", result, ("obs", "state"))

    def step(self, key: Key, state: PyTree, action: Array) -> RawStep:
        """Call `step_env`, and `is_truncated` on the state that it returns."""
        with standard_numpy():
            result = self.env.step_env(key, state, action, self.params)
        wanted = ("obs", "state", "reward", "terminated", "info")
        obs, state, reward, terminated, info = _values("step_env", result, wanted)
        require(
            not isinstance(info, bool | np.ndarray | jax.Array),
            "the fifth value of step_env is an array; it should be info, a dict. Report time "
            "limits by is_truncated(state, params)",
        )
        number, reward = _array("terminated", terminated), _reward(reward)
        if jnp.issubdtype(number.dtype, jnp.inexact):  # NaN ends no task; see `core.invalid`
            reward = jnp.where(jnp.any(jnp.isnan(number)), jnp.nan, reward)
        terminated = _flag("terminated", number)
        return RawStep(
            obs=obs,
            state=state,
            reward=reward,
            terminated=terminated,
            truncated=self._truncated(state) & ~terminated,
            metrics=_metrics(info),
        )

    def _truncated(self, state: PyTree) -> Array:
        is_truncated = getattr(self.env, "is_truncated", None)
        if is_truncated is None:
            return jnp.array(False)
        try:
            with standard_numpy():
                truncated = is_truncated(state, self.params)
        except AttributeError as error:  # gymnax's own reads state.time and the limit
            raise Problem(
                f"is_truncated fails ({error}); define "
                "is_truncated(state, params) for the states and parameters of this environment"
            ) from error
        return _flag("is_truncated", truncated)


def check_object(env: Any) -> None:
    """Raise ValueError for methods that calls of `reset_env` and `step_env` would skip."""
    for wrapped in _wrapped(env):
        for method in ("step", "reset"):
            owner = _owner(wrapped, method)
            require(
                owner is None or (owner.__module__, owner.__name__) == BASE_CLASS,
                f"{type(wrapped).__name__} defines its own {method}, which would be ignored: "
                "rpojax calls reset_env and step_env and resets by itself. Override reset_env and "
                "step_env instead; leave out wrappers that only log or reset",
            )
    owner = _owner(env, "is_terminal")
    require(
        owner is None or (owner.__module__, owner.__name__) == BASE_CLASS,
        f"{type(env).__name__} defines is_terminal, which before gymnax 1.0 included the time "
        "limit; define is_terminated(state, params) without it, and is_truncated(state, params)",
    )


def episode_limit(name: str, env: Any, params: Any) -> int | None:
    """The time limit in `params`, None where there is none."""
    limit = getattr(params, LIMIT, None)
    if limit is None:
        return None
    try:
        limit = np.asarray(limit)
    except jax.errors.TracerArrayConversionError:
        raise Problem(
            f"params.{LIMIT} is traced; give a plain number, since it fixes "
            "the length of evaluations"
        ) from None
    if limit.size == 1 and np.isposinf(limit.astype(np.float64)):
        return None
    number = whole_number(
        f"environment {name!r}: params.{LIMIT}",
        limit.item() if limit.size == 1 else limit,
        most=np.iinfo(np.int32).max,
    )
    require(
        hasattr(env, "is_truncated"),
        f"params has {LIMIT} = {number}, but there is no is_truncated to tell a time limit from "
        "termination; define is_truncated(state, params), and leave the limit out of the flag that "
        f"step_env returns, or remove {LIMIT} from params",
    )
    return number


def check_termination(interface: Interface, state: PyTree, action: PyTree) -> None:
    """Raise ValueError where the flag that `step_env` returns depends on the time limit.

    Args:
        interface: the object and its parameters.
        state: specs of a state.
        action: spec of an action.
    """
    require(
        not _depends_on_limit(interface, state, action),
        f"the flag that step_env of {type(interface.env).__name__} returns depends on "
        f"params.{LIMIT}, and a time limit is no termination; leave it out of the flag and report "
        "it by is_truncated(state, params)",
    )


def _depends_on_limit(interface: Interface, state: PyTree, action: PyTree) -> bool:
    """Whether `terminated` depends on the limit: under a vmap over the limit alone it is mapped."""
    params: Any = interface.params
    if not (hasattr(params, LIMIT) and hasattr(params, "__dataclass_fields__")):
        return False

    def terminated(limit: Array, key: Key, state: PyTree, action: Array) -> Array:
        changed = dataclasses.replace(params, **{LIMIT: limit})
        return interface._replace(params=changed).step(key, state, action).terminated

    key = jax.eval_shape(lambda: jax.random.key(0))
    limits = jax.ShapeDtypeStruct((1,), jnp.int32)
    mapped = jax.vmap(terminated, in_axes=(0, None, None, None), out_axes=None)
    try:
        jax.eval_shape(mapped, limits, key, state, action)
    except TypeError:  # the limit cannot be traced; `check_env` looks at the episodes instead
        return False
    except ValueError as error:
        return "out_axes" in str(error)
    return False


def _values(method: str, result: Any, wanted: tuple[str, ...]) -> tuple[Any, ...]:
    count = len(result) if isinstance(result, tuple | list) else 1
    require(
        count == len(wanted),
        f"{method} returns {count} value{'s' * (count != 1)}, and gymnax's interface has "
        f"{len(wanted)}: ({', '.join(wanted)})",
    )
    return tuple(result)


def _metrics(info: Any) -> dict[str, Array]:
    """Single real numbers; gymnax's own "discount" repeats the flag."""
    arrays = {
        name: jnp.asarray(value)
        for name, value in (info.items() if isinstance(info, Mapping) else ())
        if isinstance(value, bool | int | float | np.generic | np.ndarray | jax.Array)
        and isinstance(name, str)
        and name != "discount"
    }
    return {
        name: value.astype(jnp.float32)
        for name, value in arrays.items()
        if value.shape == () and is_real(value.dtype) and METRIC.fullmatch(name)
    }


def _reward(reward: Any) -> Array:
    reward = _array("reward", reward)
    real = jnp.isrealobj(reward) and not jnp.issubdtype(reward.dtype, jax.dtypes.extended)
    require(
        reward.size == 1 and real,
        f"the reward of step_env is {describe(reward)}; return one real number",
    )
    return reward.astype(jnp.float32).reshape(())


def _array(part: str, value: Any) -> Array:
    try:
        return jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise Problem(
            f"the {part} of step_env is {show(value)}; return one number or truth value"
        ) from error


def _flag(part: str, flag: Any) -> Array:
    flag = _array(part, flag)
    require(flag.size == 1, f"{part} is {describe(flag)}; return one truth value for one state")
    return flag.astype(bool).reshape(())


def _wrapped(env: Any) -> Iterator[Any]:
    """The object and the gymnax environments that it wraps, from the outside in."""
    while env is not None:
        yield env
        attributes = getattr(env, "__dict__", {})
        inner = attributes.get("_env", attributes.get("env"))
        env = inner if hasattr(inner, "step_env") else None


def _owner(env: Any, method: str) -> type | None:
    """The class that defines a method of an object; what `__getattr__` finds does not count."""
    if method in getattr(env, "__dict__", {}):
        return type(env)
    return next((cls for cls in type(env).__mro__ if method in vars(cls)), None)
