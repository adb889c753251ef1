"""A batch of environments that a CPU computes in blocks."""

from collections.abc import Callable
from typing import Any

import jax

from rpojax.types import PyTree

MOST = 512
"""Environments of Brax and of MJX that a CPU computes at a time. Larger batches are slower there:
thousands of steps per second on two cores, 512 environments; 2048 together; 2048 in blocks of 512:
brax/inverted_pendulum 115, 35, 122; mjx/InvertedPendulum-v5 57, 41, 56; brax/ant 6.9, 6.3, 6.8. Not
so in MuJoCo Playground: CartpoleBalance 747 where 4096 are together, 608 in blocks of 256."""


def mapped_over_envs(function: Callable[..., PyTree], most: int | None) -> Callable[..., PyTree]:
    """`jax.vmap(function)` that, on a CPU, computes at most `most` environments at a time.

    Blocks are of one size, a divisor of the batch; where there is none of a fourth of `most` or
    more, all are computed together. Other devices always compute all together.

    Args:
        function: of one environment, pure.
        most: None for all together.
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
