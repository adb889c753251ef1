"""Spaces of gymnax and Gymnasium: action bounds, and observations in the form a network takes."""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Env, Problem
from rpojax.types import Array, PyTree

INITIAL_REACH = 3.0
"""An untrained policy acts around 0 with a standard deviation of about 1: this is three of them."""


class Actions(NamedTuple):
    """A Box of actions."""

    shape: tuple[int, ...]  # A is the product
    low: np.ndarray  # [A]
    high: np.ndarray  # [A]


def box_actions(space: Any) -> Actions | None:
    """The bounds of a Box of floats; None for any other space.

    Raises:
        ValueError: the bounds do not have the shape of the space.
    """
    if not (hasattr(space, "low") and hasattr(space, "high")):
        return None
    shape = getattr(space, "shape", None)
    shape = np.shape(space.low) if shape is None else tuple(np.atleast_1d(shape).tolist())
    if not jnp.issubdtype(getattr(space, "dtype", None) or jnp.float32, jnp.floating):
        return None
    try:
        low, high = (
            np.broadcast_to(np.asarray(bound, np.float64), shape).reshape(-1)
            for bound in (space.low, space.high)
        )
    except ValueError:
        raise Problem(
            f"the bounds of the action space have the shapes "
            f"{np.shape(space.low)} and {np.shape(space.high)}, and the space has {shape}; give "
            "all the same"
        ) from None
    return Actions(shape, low, high)


def observation_space(env: Any, params: Any) -> Any:
    """The space of observations, or None where the environment has none."""
    if not hasattr(env, "observation_space"):
        return None
    try:
        return env.observation_space(params)
    except NotImplementedError:  # of gymnax's base class
        return None


def encode(space: Any, obs: PyTree, path: str = "obs") -> PyTree:
    """An observation in the form that a network takes; see `envs.from_gymnax`.

    Args:
        space: gymnax's or Gymnasium's; None or a Box leaves the observation as it is.
        obs: one observation.
        path: to `obs` from the top, for errors.
    """
    if hasattr(space, "n"):
        return _one_hot(space, obs, path)
    spaces = getattr(space, "spaces", None)
    if spaces is None:
        return obs
    named = isinstance(spaces, Mapping)
    spaces = dict(spaces) if named else dict(enumerate(spaces))
    parts = _parts(obs, named)
    if set(parts) != set(spaces):
        raise Problem(
            f"it has the observation space {space} at {path}, and its observation has "
            f"the parts {list(parts)}; give both the same"
        )
    encoded = {key: encode(spaces[key], parts[key], f"{path}[{key!r}]") for key in spaces}
    return encoded if named else tuple(encoded.values())


def _parts(obs: PyTree, named: bool) -> dict[Any, PyTree]:
    """The parts of an observation by name or by index; none if it has no parts."""
    if not named:
        return dict(enumerate(obs)) if isinstance(obs, tuple | list) else {}
    if isinstance(obs, Mapping):
        return dict(obs)
    if hasattr(obs, "_asdict"):  # a NamedTuple
        return obs._asdict()
    return dict(vars(obs)) if dataclasses.is_dataclass(obs) else {}


def _one_hot(space: Any, obs: Any, path: str) -> Array:
    obs = jnp.asarray(obs)
    if obs.shape or not jnp.issubdtype(obs.dtype, jnp.integer):
        raise Problem(
            f"it has the observation space {space} at {path}, and its observation is "
            f"{obs.dtype}{list(obs.shape)}; return one integer, or describe it by a Box"
        )
    return jax.nn.one_hot(obs - getattr(space, "start", 0), int(space.n), dtype=jnp.float32)


def warn_unreachable_actions(env: Env, transform: str, squashed: bool = False) -> None:
    """Warn where the policy cannot reach what lies within the bounds.

    With bounds such as [300, 500] and `action_transform = "clip"` each sampled action of an
    untrained policy is clipped to 300. The environment then sees one constant action, and there is
    nothing to learn from. Actions of a bounded distribution never leave [-1, 1].

    Args:
        env: with the bounds.
        transform: `Config.action_transform`; only "clip" can cause this.
        squashed: whether the distribution of actions is bounded to [-1, 1].
    """
    if squashed:
        policy = "the policy's distribution stays within [-1, 1] and cannot reach"
        out_of_reach = _beyond(env.action_low, 1.0) | _beyond(env.action_high, 1.0)
    else:
        policy = "an untrained policy samples actions around 0 and cannot reach"
        out_of_reach = (env.action_low > INITIAL_REACH) | (env.action_high < -INITIAL_REACH)
    if transform == "clip" and out_of_reach.any():
        dimensions = np.flatnonzero(out_of_reach).tolist()
        warnings.warn(
            f"environment {env.name!r}: {policy} the bounds of the action dimensions {dimensions}, "
            f"[{env.action_low[out_of_reach]}, {env.action_high[out_of_reach]}]; set "
            "action_transform = 'rescale', which maps [-1, 1] onto the bounds",
            stacklevel=2,
        )


def _beyond(bound: np.ndarray, reach: float) -> np.ndarray:
    """Where a bound is finite and out of reach, bool[A]."""
    return np.isfinite(bound) & (np.abs(bound) > reach)
