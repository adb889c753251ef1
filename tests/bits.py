"""Trees compared bit by bit, typed PRNG keys among their leaves."""

from typing import Any

import jax
import numpy as np

from rpojax.trees import is_key


def leaves(tree: Any) -> list[np.ndarray]:
    """The arrays of a tree, typed keys as integers."""
    return [
        np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
        for leaf in map(jax.numpy.asarray, jax.tree.leaves(tree))
    ]


def assert_same_bits(a: Any, b: Any) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(leaves(a), leaves(b), strict=True):
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        assert x.tobytes() == y.tobytes()
