"""A `vmap` that goes through its axis in blocks."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from rpojax.devices.sharding import name_of
from rpojax.types import Array, PyTree

Function = Callable[..., PyTree]


def in_blocks(function: Function, most: Callable[[], int | None]) -> Function:
    """`function` with a `vmap` that executes blocks of the mapped axis one after the other.

    With `most() = 1` each element of a mapped axis is computed by the program of a single element,
    so a result does not depend on what else is mapped. All blocks have the same size; where it does
    not divide the axis, the last block is padded with copies. In nested `vmap`s, a block is filled
    from the innermost axis first. Reverse-mode differentiation goes through
    `function` itself, as if it were not wrapped.

    Args:
        function: of arrays in positional arguments, pure.
        most: called when a `vmap` is traced; how many to compute at a time, None for all.
    """
    compiled = jax.jit(function)  # traced once, however often it is batched

    def mapped(*args: PyTree) -> PyTree:
        if jax.config.jax_disable_jit:  # type: ignore[attr-defined]
            return function(*args)
        return _differentiable(compiled, _mappable(compiled, most, 1))(*args)

    mapped.__name__ = name_of(function)
    return mapped


def _mappable(function: Function, most: Callable[[], int | None], count: int) -> Function:
    """`function`, which computes `count` at a time already, with a `vmap` in blocks."""
    mappable = jax.custom_batching.custom_vmap(function)

    @mappable.def_vmap
    def rule(axis_size: int, is_mapped: list[PyTree], *args: PyTree) -> tuple[PyTree, PyTree]:
        limit = most()
        size = axis_size if limit is None else _block_size(axis_size, max(1, limit // count))
        size = max(1, size)  # also of no agents
        num_blocks = -(-axis_size // size)
        flags = tuple(is_mapped)
        axes = jax.tree.map(lambda flag: 0 if flag else None, flags)
        if size == 1:
            inner = _mappable(function, most, count)
        else:
            inner = _mappable(jax.vmap(function, axes), most, size * count)
        if num_blocks == 1 and size > 1:
            results = inner(*args)
        else:
            results = _one_after_another(inner, args, flags, num_blocks, size)
        return results, jax.tree.map(lambda _: True, results)

    return mappable


def _block_size(count: int, most: int) -> int:
    """Elements of each block, at most `most`: a divisor of `count`, or blocks of similar size."""
    if count <= most:
        return count
    divisor = max(size for size in range(1, most + 1) if count % size == 0)
    return divisor if 2 * divisor > most else -(-count // -(-count // most))


def _one_after_another(
    function: Function, args: tuple[PyTree, ...], is_mapped: PyTree, num_blocks: int, size: int
) -> PyTree:
    """`function` of `size` rows at a time of the mapped leaves [N, ...]; of one, without an axis.

    Only mapped leaves go through the loop; the others are constants of it.
    """
    leaves, structure = jax.tree.flatten(args)
    flags = jax.tree.leaves(is_mapped)
    rows = [leaf for leaf, flag in zip(leaves, flags, strict=True) if flag]
    count = len(rows[0])
    if size > 1:
        if num_blocks * size != count:
            order = np.arange(num_blocks * size) % count
            rows = [leaf[order] for leaf in rows]
        rows = [leaf.reshape(num_blocks, size, *leaf.shape[1:]) for leaf in rows]

    def one(rows: list[Array]) -> PyTree:
        given = iter(rows)
        filled = [next(given) if flag else leaf for leaf, flag in zip(leaves, flags, strict=True)]
        return function(*jax.tree.unflatten(structure, filled))

    results = jax.lax.map(one, rows)
    if size > 1:
        total = num_blocks * size  # -1 would be ambiguous for a leaf without elements
        results = jax.tree.map(lambda leaf: leaf.reshape(total, *leaf.shape[2:])[:count], results)
    return results


def _differentiable(function: Function, mappable: Function) -> Function:
    """`mappable`, differentiated by way of `function`: `custom_vmap` has no reverse mode."""
    computed = jax.custom_jvp(mappable)

    @computed.defjvp
    def jvp(primals: Any, tangents: Any) -> Any:
        return jax.jvp(function, primals, tangents)

    return computed
