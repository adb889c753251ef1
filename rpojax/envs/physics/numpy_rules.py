"""JAX's default promotion rules for third-party environments, whatever the user has set."""

import contextlib
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def standard_numpy() -> Iterator[None]:
    """JAX's default rank and dtype promotion, on which environments rely; also a decorator."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield
