"""Helpers for pytrees: compare shapes; find, add and merge leading axes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.types import Array, PyTree


def same_avals(a: PyTree, b: PyTree) -> bool:
    """Whether two trees have one structure, and leaf by leaf one shape and dtype."""
    leaves_and_structures: Any = [jax.tree.flatten(tree) for tree in (a, b)]
    (leaves, structure), (others, other_structure) = leaves_and_structures
    return structure == other_structure and all(
        x.shape == y.shape and x.dtype == y.dtype for x, y in zip(leaves, others, strict=True)
    )


def batched(spec: PyTree, batch: Any) -> PyTree:
    """Shapes of a batch of what `spec` describes; `batch` may be a symbol of `jax.export`."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((batch, *leaf.shape), leaf.dtype), spec)


def leading_axes(tree: PyTree, spec: PyTree) -> tuple[int, ...]:
    """The axes that a tree's leaves have in front of those of `spec`, from its first leaf."""
    leaf, like = jax.tree.leaves(tree)[0], jax.tree.leaves(spec)[0]
    return np.shape(leaf)[: np.ndim(leaf) - len(like.shape)]


def leaves_by_path(
    tree: PyTree, simple: bool = False, is_leaf: Callable[[Any], bool] | None = None
) -> dict[str, Any]:
    """Leaves by path, in their order: "['mean']['kernel']" or, if simple, "mean/kernel"."""
    style: dict[str, Any] = {"simple": True, "separator": "/"} if simple else {}
    return {
        jax.tree_util.keystr(path, **style): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree, is_leaf)
    }


def is_key(leaf: Any) -> bool:
    """Whether an array, or its shape and dtype, is one of typed PRNG keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def is_whole_here(leaf: Any) -> bool:
    """Whether this process can read all of an array."""
    return not isinstance(leaf, jax.Array) or leaf.is_fully_addressable or leaf.is_fully_replicated


def select(flag: Array, chosen: PyTree, other: PyTree) -> PyTree:
    """`chosen` where the flag is True, `other` elsewhere: flag bool[...], leaves [..., *]."""

    def one(chosen: Array, other: Array) -> Array:
        if is_key(chosen):
            # On the data, since `jax_debug_key_reuse` takes a choice among keys for a use of both.
            data = one(jax.random.key_data(chosen), jax.random.key_data(other))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(chosen))
        ndim = max(chosen.ndim, other.ndim)
        return jnp.where(flag.reshape(flag.shape + (1,) * (ndim - flag.ndim)), chosen, other)

    return jax.tree.map(one, chosen, other)


def merge_axes(tree: PyTree) -> PyTree:
    """The first two axes of every leaf as one: [A, B, ...] becomes [A * B, ...]."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tree)
