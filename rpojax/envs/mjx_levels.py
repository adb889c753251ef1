"""A remedy for kinematic chains that XLA's CPU backend computes over and over."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax


@contextlib.contextmanager
def levels_kept_apart() -> Iterator[None]:
    """While it lasts, MJX is traced with a barrier between the levels of a tree of bodies.

    XLA fuses each level into those that follow it, and computes it anew for each of their elements:
    the cost grows exponentially with depth. The ten levels of Gymnasium's Pusher take 70 ms for one
    environment; with barriers, 7 us. Values are the same. Also a decorator.
    """
    from mujoco.mjx._src import scan

    body_tree = scan.body_tree

    def with_barriers(model: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        def of_level(*inputs: Any) -> Any:
            return jax.lax.optimization_barrier(function(*inputs))

        return body_tree(model, of_level, *args, **kwargs)

    scan.body_tree = with_barriers
    try:
        yield
    finally:
        scan.body_tree = body_tree
