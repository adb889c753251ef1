"""How two programs of one training are kept alike to the last bit.

`fit` promises the bits of `jax.jit(jax.vmap(make_train(cfg)))`, and `Trainer.run` those of both.
These are different programs: a number that is a constant in one is an argument in another, with or
without an axis of agents. XLA computes with constants while it compiles, and vectorises along the
axes that it sees, so that the programs would round differently. The two functions here hide from it
that a value is constant. They compute nothing.

They do not reach into an environment. On a CPU, XLA rounds `x * a + b` once or twice (a fused
multiply-add), and in `jax.random.uniform(key, shape, minval=-a, maxval=a)` that has depended on
whether the bounds are constants. `rpojax.ops.noise.symmetric_uniform` has the same bits either way;
starts of MuJoCo's tasks use it.
"""

import jax
import jax.numpy as jnp

from rpojax.trees import is_key
from rpojax.types import Array, PyTree


def as_argument(tree: PyTree, update_count: Array | None = None) -> PyTree:
    """Numbers, which XLA treats as an argument of the program even where they are constants.

    Args:
        tree: of floats.
        update_count: of a state that is an argument; None where a loop surrounds all uses. Without
            a loop, as in a single update, XLA folds constants despite the barrier.
    """
    tree = jax.lax.optimization_barrier(tree)
    if update_count is None:
        return tree
    begun = update_count >= 0
    return jax.tree.map(lambda leaf: jnp.where(begun, leaf, 0.0), tree)


def mapped_with(key: Array, tree: PyTree) -> PyTree:
    """A tree whose leaves all have the mapped axes of a key.

    `update_count`, for example, starts as a constant, and has no axis under a `vmap` over keys. In
    a program that takes the state as an argument it has one.
    """
    either = jnp.ravel(jax.random.key_data(key))[0] == 0

    def same(leaf: Array) -> Array:
        if is_key(leaf):
            return leaf  # depends on the key already; `jax_debug_key_reuse` allows one use
        return jnp.where(either, leaf, leaf)  # the compiler removes it

    return jax.tree.map(same, tree)
