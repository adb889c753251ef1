"""The keys of a training: their shapes, and that no two are equal."""

import jax
import numpy as np
import pytest

from rpojax import Config
from rpojax.core.keys import InitialKeys, UpdateKeys, initial_keys, update_keys

CFG = Config(num_envs=4, num_steps=6, num_minibatches=2, update_epochs=3)
MAKE = {
    "typed": jax.random.key,
    "uint32[2]": jax.random.PRNGKey,
}


def rows(keys):
    """The words of all keys, [keys, 2]."""
    leaves = jax.tree.leaves(keys)
    if jax.dtypes.issubdtype(leaves[0].dtype, jax.dtypes.prng_key):
        leaves = [jax.random.key_data(leaf) for leaf in leaves]
    return np.concatenate([np.asarray(leaf).reshape(-1, 2) for leaf in leaves])


@pytest.mark.parametrize("kind", MAKE)
def test_keys_have_the_shapes_that_their_uses_need(kind):
    key = MAKE[kind](0)
    suffix = key.shape
    initial, update = initial_keys(CFG, key), update_keys(CFG, key)
    assert jax.tree.map(lambda leaf: leaf.shape, initial) == InitialKeys((), (), (4,))  # typed
    assert jax.tree.map(lambda leaf: leaf.shape, update) == UpdateKeys(
        next=suffix,
        noise=suffix,
        shuffle=(3, *suffix),
        perturbation=(3, *suffix),
        environment=(6, 4, *suffix),
        warm_up=suffix,
        pool=suffix,
        picks=suffix,
    )


@pytest.mark.parametrize("split", [initial_keys, update_keys])
def test_no_two_keys_are_equal(split):
    key = jax.random.key(3)
    keys = rows(split(CFG, key))
    assert len(np.unique(np.concatenate([keys, rows(key)]), axis=0)) == len(keys) + 1


def test_typed_keys_and_words_give_the_same():
    typed, words = (rows(update_keys(CFG, make(5))) for make in MAKE.values())
    np.testing.assert_array_equal(typed, words)


@pytest.mark.parametrize("split", [initial_keys, update_keys])
def test_all_keys_come_from_one_split(split):
    """Each split is a loop to compile."""
    jaxpr = jax.make_jaxpr(lambda key: split(CFG, key))(jax.random.key(0))
    assert str(jaxpr).count("random_split") == 1
