"""`in_blocks`: what a vmap computes, in which order, and how it is differentiated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rpojax.programs.blocks import _block_size, in_blocks


def counted(most, sizes):
    """A function of a vector and a scalar whose vmap notes how many are computed at a time."""

    def function(vector, scalar):
        sizes.append(jax.typeof(vector).shape)
        return {"sum": jnp.sum(vector) * scalar, "vector": jnp.sin(vector)}

    return in_blocks(function, lambda: most), function


def loops(function, *args):
    """Trip counts of the loops over blocks in a function's program, from the outside in."""
    found = []

    def walk(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name == "scan":
                found.append(equation.params["length"])
            for value in equation.params.values():
                if isinstance(value, jax.extend.core.ClosedJaxpr):
                    walk(value.jaxpr)
                elif isinstance(value, jax.extend.core.Jaxpr):
                    walk(value)

    walk(jax.make_jaxpr(function)(*args).jaxpr)
    return found


@pytest.mark.parametrize(
    ("most", "trip_counts"), [(1, [7]), (2, [4]), (3, [3]), (4, [2]), (7, []), (9, []), (None, [])]
)
def test_results_are_those_of_vmap_whatever_the_block(most, trip_counts):
    mapped, function = counted(most, [])
    vectors, scalars = jnp.arange(35.0).reshape(7, 5), jnp.arange(7.0)
    found = jax.jit(jax.vmap(mapped))(vectors, scalars)
    wanted = jax.jit(jax.vmap(function))(vectors, scalars)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, wanted)
    assert loops(jax.vmap(mapped), vectors, scalars) == trip_counts


def test_results_may_be_without_elements():
    """As parts of MuJoCo's states are, where a model has none of them."""
    mapped = in_blocks(lambda vector: (jnp.sum(vector), vector[:0]), lambda: 2)
    sums, nothing = jax.vmap(mapped)(jnp.arange(10.0).reshape(5, 2))
    np.testing.assert_allclose(sums, [1.0, 5.0, 9.0, 13.0, 17.0])
    assert nothing.shape == (5, 0)


@pytest.mark.parametrize("most", [1, 2, None])
def test_no_elements_give_results_without_elements(most):
    mapped, _ = counted(most, [])
    found = jax.vmap(mapped)(jnp.ones((0, 5)), jnp.ones(0))
    assert {name: leaf.shape for name, leaf in found.items()} == {"sum": (0,), "vector": (0, 5)}


def test_arguments_that_are_not_mapped_are_shared():
    mapped, _ = counted(2, [])
    vectors = jnp.arange(20.0).reshape(4, 5)
    found = jax.vmap(mapped, (0, None))(vectors, jnp.float32(2.0))
    np.testing.assert_allclose(found["sum"], 2.0 * vectors.sum(1))


@pytest.mark.parametrize(
    ("most", "trip_counts"), [(1, [3, 4]), (2, [3, 2]), (4, [3]), (8, [2]), (12, []), (None, [])]
)
def test_nested_vmaps_count_together(most, trip_counts):
    mapped, function = counted(most, [])
    vectors, scalars = jnp.arange(20.0).reshape(4, 5), jnp.arange(3.0)
    nested = jax.vmap(jax.vmap(mapped, (0, None)), (None, 0))
    plain = jax.vmap(jax.vmap(function, (0, None)), (None, 0))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        jax.jit(nested)(vectors, scalars),
        plain(vectors, scalars),
    )
    assert sorted(loops(nested, vectors, scalars)) == sorted(trip_counts)


def test_blocks_go_under_shard_map():
    mapped, _ = counted(1, [])
    mesh = jax.sharding.Mesh(np.asarray(jax.devices()[:1]), ("agents",))
    spec = jax.sharding.PartitionSpec("agents")
    spread = jax.shard_map(jax.vmap(mapped), mesh=mesh, in_specs=spec, out_specs=spec)
    vectors, scalars = jnp.arange(20.0).reshape(4, 5), jnp.arange(4.0)
    np.testing.assert_allclose(jax.jit(spread)(vectors, scalars)["sum"], vectors.sum(1) * scalars)


def test_function_is_traced_once_for_all_blocks():
    sizes = []
    mapped, _ = counted(2, sizes)
    jax.jit(jax.vmap(mapped)).lower(jnp.ones((7, 5)), jnp.ones(7))
    assert sizes == [(5,)]


@pytest.mark.parametrize("most", [1, None])
def test_reverse_mode_goes_through(most):
    mapped, _ = counted(most, [])
    vector = jnp.arange(5.0)

    def loss(function, scalar):
        return function(vector, scalar)["sum"]

    assert jax.grad(lambda scalar: loss(mapped, scalar))(2.0) == vector.sum()
    gradients = jax.vmap(jax.grad(lambda scalar: loss(mapped, scalar)))(jnp.ones(3))
    np.testing.assert_allclose(gradients, jnp.full(3, vector.sum()))


def test_disable_jit_calls_the_function_itself():
    mapped, _ = counted(1, sizes := [])
    with jax.disable_jit():
        jax.vmap(mapped)(jnp.ones((3, 5)), jnp.ones(3))
    assert sizes == [(5,)]


@pytest.mark.parametrize(
    ("count", "most", "size"),
    [(8, 8, 8), (8, 100, 8), (16, 7, 4), (64, 10, 8), (13, 7, 7), (9, 8, 5), (7, 1, 1), (6, 4, 3)],
)
def test_blocks_are_even_and_without_copies_where_that_costs_little(count, most, size):
    assert _block_size(count, most) == size
