"""A batch of environments that a CPU computes in blocks."""

from collections.abc import Callable
from typing import Any

import jax

from rpojax.envs.base import Params, Reset, Step, TimeStep
from rpojax.types import Array, Key, PyTree

MOST = 512
"""Environments of Brax and of MJX that a CPU computes at a time, since larger batches are slower.
Thousands of steps per second on two cores, with 512 environments, 2048 together, and 2048 in blocks
of 512: brax/inverted_pendulum 115, 35, 122; mjx/InvertedPendulum-v5 57, 41, 56; brax/ant 6.9, 6.3,
6.8. MuJoCo Playground loses: CartpoleBalance 747 with 4096 together, 608 in blocks of 256."""


def mapped_over_envs(
    reset_one: Callable[[Key, Params], tuple[PyTree, PyTree]],
    step_one: Callable[[Key, PyTree, Array, Params], tuple[PyTree, TimeStep]],
    most: int | None = None,
) -> tuple[Reset, Step]:
    """`reset` and `step` of B environments that, on a CPU, compute at most `most` at a time.

    All blocks have the same size, a divisor of the batch. If no divisor is at least a fourth of
    `most`, all environments are computed together, as they always are on other devices.

    Args:
        reset_one, step_one: of one environment, pure.
        most: the largest block; None for all together.
    """

    def reset(keys: Key, params: Params) -> tuple[PyTree, PyTree]:
        return mapped_in_blocks(lambda key: reset_one(key, params), most)(keys)

    def step(keys: Key, state: PyTree, action: Array, params: Params) -> tuple[PyTree, TimeStep]:
        def one(key: Key, state: PyTree, action: Array) -> tuple[PyTree, TimeStep]:
            return step_one(key, state, action, params)

        return mapped_in_blocks(one, most)(keys, state, action)

    return reset, step


def mapped_in_blocks(function: Callable[..., Any], most: int | None) -> Callable[..., Any]:
    """`function`, of one environment, for B, of which a CPU computes at most `most` at a time."""
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
