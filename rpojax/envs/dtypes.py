"""One dtype per leaf for `reset` and `step`, so that a scan can carry it without narrowing."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rpojax.envs.base import Problem, require
from rpojax.envs.checks.contract import describe, same_structure
from rpojax.trees import same_avals
from rpojax.types import Array, PyTree


def as_arrays(part: str, tree: PyTree) -> PyTree:
    """Leaves as JAX arrays of their own dtypes, without weak types.

    Args:
        part: "state" or "obs", for errors.
        tree: of arrays and Python numbers.

    Raises:
        ValueError: a leaf is something else, such as a string.
    """

    def one(path: tuple, leaf: object) -> Array:
        try:
            array = jnp.asarray(leaf)
        except TypeError:
            where = part + jax.tree_util.keystr(path)
            raise Problem(
                f"{where} = {leaf!r} is neither an array nor a number; "
                "keep it outside of the environment's arrays"
            ) from None
        return _cast(array, array.dtype)

    return jax.tree_util.tree_map_with_path(one, tree)


def cast(tree: PyTree, like: PyTree) -> PyTree:
    """Leaves with the dtypes of `like`, which can represent all values of the leaves."""
    return jax.tree.map(lambda leaf, spec: _cast(leaf, spec.dtype), tree, like)


def fixed_point(
    start: dict[str, PyTree], advance: Callable[[dict[str, PyTree]], dict[str, PyTree]]
) -> dict[str, PyTree]:
    """The narrowest specs that hold what `reset` returns and that `step` maps into themselves.

    A counter that starts as `0` and grows by 0.1 is int32 from `reset` and float32 from `step`:
    float32 holds both. The wider state may widen the next result, until nothing changes.

    Args:
        start: specs of what `reset` returns, by part ("state", "obs").
        advance: from specs of what `step` is given to specs of what it returns.

    Raises:
        ValueError: a leaf changes its shape, or has no dtype that holds the values of both.
    """
    specs = start
    while True:  # dtypes only widen, so this ends
        following = advance(specs)
        wider = {part: _common(part, specs[part], following[part]) for part in specs}
        if same_avals(wider, specs):
            return specs
        specs = wider


def _common(part: str, first: PyTree, later: PyTree) -> PyTree:
    """Specs that hold the leaves of both trees."""
    require(
        same_structure(first, later),
        f"{part} is {describe(first)} in reset and {describe(later)} in step; give both the same "
        "structure",
    )

    def one(path: tuple, a: jax.ShapeDtypeStruct, b: jax.ShapeDtypeStruct) -> PyTree:
        where = part + jax.tree_util.keystr(path)
        require(
            a.shape == b.shape,
            f"{where} has the shape {a.shape} in reset and {b.shape} in step; give both the same",
        )
        dtype = _wider(a.dtype, b.dtype)
        require(
            dtype is not None,
            f"{where} is {a.dtype} in reset and {b.dtype} in step, and neither holds the other's "
            "values; give both the same dtype",
        )
        return jax.ShapeDtypeStruct(a.shape, dtype)

    return jax.tree_util.tree_map_with_path(one, first, later)


def _wider(a: jnp.dtype, b: jnp.dtype) -> jnp.dtype | None:
    """The dtype to which JAX promotes both, None where it does not hold the values of both."""
    if a == b:
        return a
    if any(jnp.issubdtype(dtype, jax.dtypes.extended) for dtype in (a, b)):  # PRNG keys
        return None
    try:
        with jax.numpy_dtype_promotion("standard"):
            joined = jnp.promote_types(a, b)
    except ValueError:  # such as two kinds of float8
        return None
    return joined if _holds(joined, a) and _holds(joined, b) else None


def _holds(joined: jnp.dtype, dtype: jnp.dtype) -> bool:
    """Whether integers fit; floats always hold what JAX promotes to them (rounding integers)."""
    both_integers = all(jnp.issubdtype(each, jnp.integer) for each in (joined, dtype))
    if not both_integers:
        return True
    outer, inner = jnp.iinfo(joined), jnp.iinfo(dtype)
    return bool(outer.min <= inner.min and inner.max <= outer.max)


def _cast(array: Array, dtype: jnp.dtype) -> Array:
    if jnp.issubdtype(dtype, jax.dtypes.extended):  # a typed PRNG key
        return array
    return jnp.asarray(array, dtype)  # an explicit dtype removes a weak type
