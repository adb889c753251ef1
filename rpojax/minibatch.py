"""Split a batch into shuffled minibatches."""

import jax
import jax.numpy as jnp

from rpojax.types import Key, PyTree


def shuffled_minibatches(key: Key, batch: PyTree, num_minibatches: int) -> PyTree:
    """Every sample exactly once, in random order: leaves [N, ...] become [M, N / M, ...].

    Args:
        key: of this epoch.
        batch: pytree of [N, ...].
        num_minibatches: M, which divides N.
    """
    size = jax.tree.leaves(batch)[0].shape[0]
    order = jnp.argsort(jax.random.bits(key, (size,)))
    order = order.reshape(num_minibatches, size // num_minibatches)
    return jax.tree.map(lambda leaf: leaf[order], batch)
