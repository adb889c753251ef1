"""Checks of the inputs of a policy: observations, carries and reset flags."""

from typing import Any

import jax
import numpy as np

from rpojax.types import PyTree


def as_observations(obs: Any, spec: PyTree) -> tuple[PyTree, tuple[int, ...]]:
    """Observations as a pytree of arrays, and their leading axes.

    Nested lists of numbers become NumPy arrays; arrays stay as they are.

    Args:
        obs: pytree of [..., *obs.shape], given by a user.
        spec: of one observation, `Env.obs`.

    Raises:
        ValueError: another structure; a shape that does not end in that of one observation;
            different leading axes in different leaves; or no real numbers.
    """
    try:
        obs = jax.tree.map(lambda _, leaf: _as_array(leaf), spec, obs)
    except (ValueError, TypeError) as error:
        raise ValueError(f"obs = {obs!r} is not {_wanted(spec)} ({error})") from error
    leaves, specs = jax.tree.leaves(obs), jax.tree.leaves(spec)
    leading = [_leading(leaf, like) for leaf, like in zip(leaves, specs, strict=True)]
    if leading[0] is None or any(axes != leading[0] for axes in leading):
        shapes = jax.tree.map(np.shape, obs)
        raise ValueError(f"obs has the shape {shapes}; give {_wanted(spec)}")
    return obs, leading[0]


def check_carry(carry: PyTree, leading: tuple[int, ...], one: PyTree) -> None:
    """Raise ValueError unless a carry is one for observations with these leading axes.

    Args:
        carry: given by a user, as a policy returned it.
        leading: the leading axes of the observations.
        one: `ShapeDtypeStruct`s of a carry with one leading axis of length 1.
    """
    wanted = jax.tree.map(lambda leaf: (*leading, *leaf.shape[1:]), one)
    try:
        given = jax.tree.map(lambda _, leaf: np.shape(leaf), one, carry)
    except (ValueError, TypeError) as error:
        raise ValueError(f"carry = {carry!r} has another structure than {wanted}") from error
    if given != wanted:
        raise ValueError(
            f"carry has the shape {given}, and observations with leading axes {leading} need "
            f"{wanted}; give the carry that the policy returned for the observations before, or "
            "None where all episodes begin"
        )


def check_reset(reset: Any, leading: tuple[int, ...]) -> None:
    """Raise ValueError unless `reset` has one flag for each observation."""
    if np.shape(reset) != leading:
        raise ValueError(
            f"reset has the shape {np.shape(reset)}; give one flag for each observation, "
            f"bool{list(leading)}, or None for nowhere"
        )


def _as_array(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array):
        return leaf
    array = np.asarray(leaf)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"an array of dtype {array.dtype} holds no real numbers")
    return array


def _leading(leaf: Any, like: jax.ShapeDtypeStruct) -> tuple[int, ...] | None:
    """The axes before those of one observation; None if the shape does not end in its shape."""
    shape, ndim = np.shape(leaf), len(like.shape)
    if len(shape) < ndim or shape[len(shape) - ndim :] != like.shape:
        return None
    return shape[: len(shape) - ndim]


def _wanted(spec: PyTree) -> str:
    def shape(leaf: jax.ShapeDtypeStruct) -> str:
        return f"[{', '.join(['...', *map(str, leaf.shape)])}]"

    leaves = jax.tree.leaves(spec)
    if len(leaves) == 1 and leaves[0] is spec:
        return f"observations of shape {shape(spec)}"
    return f"observations of shape {jax.tree.map(shape, spec)} with the same leading axes"
