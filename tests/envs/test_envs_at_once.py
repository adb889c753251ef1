"""Batches of environments in blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rpojax.envs.at_once import block_size, mapped_over_envs


def drawn(key, state, action=None, params=None):
    return {"sum": state["x"] + jax.random.normal(key, (2,)), "key": key}


def in_blocks(most):
    step = mapped_over_envs(drawn, drawn, most)[1]
    return lambda keys, state: step(keys, state, jnp.zeros(len(keys)), {})


def batch(count):
    keys = jax.random.split(jax.random.key(0), count)
    return keys, {"x": jnp.arange(2.0 * count).reshape(count, 2)}


def test_blocks_give_what_all_together_give():
    keys, state = batch(12)
    program = jax.jit(in_blocks(4))
    found, whole = program(keys, state), jax.vmap(drawn)(keys, state)
    np.testing.assert_allclose(found["sum"], whole["sum"], rtol=1e-6)
    assert (found["key"] == whole["key"]).all()
    assert "f32[3,4,2]" in str(jax.make_jaxpr(program)(keys, state))


def test_a_vmap_of_blocks_maps_each():
    keys, state = batch(12)
    nested = jax.tree.map(lambda leaf: leaf.reshape(2, 6, *leaf.shape[1:]), (keys, state))
    found = jax.vmap(in_blocks(3))(*nested)["sum"]
    whole = jax.vmap(drawn)(keys, state)["sum"]
    np.testing.assert_allclose(found.reshape(12, 2), whole, rtol=1e-6)


@pytest.mark.parametrize(
    ("count", "most", "size"),
    [(64, None, 64), (64, 512, 64), (2048, 512, 512), (1500, 512, 500), (1031, 512, 1031)],
)
def test_blocks_are_of_one_size_and_not_small(count, most, size):
    assert block_size(count, most) == size


def test_other_devices_compute_all_together(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert block_size(2048, 512) == 2048
