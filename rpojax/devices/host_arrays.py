"""Arrays on the host: what this process can read, and what it must fetch from other processes."""

from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from rpojax.devices.processes import wait_for
from rpojax.devices.sharding import reshard
from rpojax.trees import is_key, is_whole_here
from rpojax.types import PyTree


def to_host(tree: PyTree) -> PyTree:
    """Arrays as NumPy arrays, whole in every process; typed PRNG keys stay JAX arrays.

    With several processes, all of them must call it.

    Raises:
        ProcessError: another process failed.
    """
    leaves, structure = jax.tree.flatten(tree)
    plain = [jax.random.key_data(leaf) if is_key(leaf) else leaf for leaf in leaves]
    far: list[Any] = [leaf for leaf in plain if not is_whole_here(leaf)]
    if far:
        far = reshard(far, NamedSharding(far[0].sharding.mesh, PartitionSpec()))
        wait_for(far)
        near = iter(far)
        plain = [leaf if is_whole_here(leaf) else next(near) for leaf in plain]
    return jax.tree.unflatten(structure, map(_like, plain, leaves))


def _like(plain: Any, leaf: Any) -> Any:
    """`plain` as a NumPy array, or as a typed key if `leaf` is one."""
    if not is_key(leaf):
        return np.asarray(plain)
    data = jax.numpy.asarray(np.asarray(plain))
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
