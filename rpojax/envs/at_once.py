"""A batch of environments that a CPU computes in blocks."""

from collections.abc import Callable
from typing import Any

import jax

from rpojax.types import PyTree

MOST = 512
"""Environments of Brax and of MJX that a CPU computes at a time, since larger batches are slower.
Thousands of steps per second on two cores, with 512 environments, 2048 together, and 2048 in blocks
of 512: brax/inverted_pendulum 115, 35, 122; mjx/InvertedPendulum-v5 57, 41, 56; brax/ant 6.9, 6.3,
6.8. MuJoCo Playground loses: CartpoleBalance 747 with 4096 together, 608 in blocks of 256."""


def mapped_over_envs(function: Callable[..., PyTree], most: int | None) -> Callable[..., PyTree]:
    """`jax.vmap(function)` that, on a CPU, computes at most `most` environments at a time.

    All blocks have the same size, a divisor of the batch. If no divisor is at least a fourth of
    `most`, all environments are computed together, as they always are on other devices.

    Args:
        function: of one environment, pure.
        most: the largest block; None for all together.
    """
    together = jax.vmap(function)

    def mapped(*args: PyTree) -> PyTree:
        count = len(jax.tree.leaves(args)[0])
        size = block_size(count, most)
        if size == count:
            return together(*args)

        def split(leaf: Any) -> Any:
            return leaf.reshape(count // size, size, *leaf.shape[1:])

        results = jax.lax.map(lambda block: together(*block), jax.tree.map(split, args))
        return jax.tree.map(lambda leaf: leaf.reshape(count, *leaf.shape[2:]), results)

    return mapped


def block_size(count: int, most: int | None) -> int:
    """Environments of each block, of `count` in all."""
    if most is None or count <= most or jax.default_backend() != "cpu":
        return count
    divisor = max(size for size in range(1, most + 1) if count % size == 0)
    return divisor if 4 * divisor >= most else count
