"""Orthogonal matrices: against a plain product of reflections, and against Haar measure."""

import math

import jax
import numpy as np
import pytest

from rpojax.ops.orthogonal import orthogonal


def drawn_orthogonal(key, shape, scale):
    return scale * orthogonal(jax.random.normal(key, shape))


def draw(num, shape, scale=1.0, seed=0):
    keys = jax.random.split(jax.random.key(seed), num)
    return np.asarray(jax.jit(jax.vmap(lambda key: drawn_orthogonal(key, shape, scale)))(keys))


@pytest.mark.parametrize("shape", [(9, 4), (4, 9), (5, 5), (7, 1), (1, 1)])
def test_it_is_the_plain_product_of_householder_reflections(shape):
    noise = np.asarray(jax.random.normal(jax.random.key(6), shape))
    long, short = max(shape), min(shape)
    vectors = noise.astype(np.float64).reshape(short, long)
    product, signs = np.eye(long), []
    for column in range(short):
        normal = np.where(np.arange(long) >= column, vectors[column], 0.0)
        signs.append(-1.0 if normal[column] < 0.0 else 1.0)
        normal[column] += signs[-1] * np.linalg.norm(normal)
        product = product @ (np.eye(long) - 2.0 * np.outer(normal, normal) / (normal @ normal))
    expected = -product[:, :short] * signs
    expected = expected if shape[0] >= shape[1] else expected.T
    np.testing.assert_allclose(jax.jit(orthogonal)(noise), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(9, 4), (4, 9), (64, 64), (7, 1), (1, 7), (1, 1)])
def test_orthogonal_rows_or_columns_are_orthonormal_times_scale(shape):
    scales = np.array([1.0, 0.01, math.sqrt(2.0)], np.float32)
    keys = jax.random.split(jax.random.key(0), 3)
    drawn = jax.jit(jax.vmap(lambda key, scale: drawn_orthogonal(key, shape, scale)))(keys, scales)
    assert drawn.shape == (3, *shape)
    for matrix, scale in zip(np.asarray(drawn, np.float64), scales, strict=True):
        gram = matrix.T @ matrix if shape[0] >= shape[1] else matrix @ matrix.T
        np.testing.assert_allclose(gram, scale**2 * np.eye(min(shape)), atol=2e-6 * scale**2)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5)])
def test_orthogonal_under_vmap_gives_what_each_key_gives_alone(shape):
    batched = draw(4, shape, seed=1)
    alone = jax.jit(lambda key: drawn_orthogonal(key, shape, 1.0))
    for key, matrix in zip(jax.random.split(jax.random.key(1), 4), batched, strict=True):
        np.testing.assert_allclose(matrix, alone(key), atol=1e-6)


def test_orthogonal_differs_between_keys():
    drawn = draw(20, (3, 3), seed=2)
    distance = np.abs(drawn[:, None] - drawn[None]).max((-1, -2))
    assert distance[~np.eye(20, dtype=bool)].min() > 1e-3


@pytest.mark.parametrize("shape", [(4, 4), (6, 2), (2, 6)])
def test_orthogonal_entries_have_the_moments_of_haar_measure(shape):
    """Mean 0, variance 1/n, fourth moment 3 / (n (n + 2)), in every place alike."""
    drawn = draw(20_000, shape, seed=3).astype(np.float64)
    n = max(shape)
    for power, expected in [(1, 0.0), (2, 1 / n), (3, 0.0), (4, 3 / (n * (n + 2)))]:
        values = drawn**power
        error = np.abs(values.mean(0) - expected)
        assert (error < 5 * values.std(0) / math.sqrt(len(drawn))).all(), f"moment {power}"


@pytest.mark.parametrize("n", [1, 2, 5])
def test_orthogonal_square_matrices_have_the_traces_of_haar_measure(n):
    """E[tr Q] = 0, E[(tr Q)^2] = 1, E[tr Q^2] = 1; either sign of the determinant, unlike QR."""
    drawn = draw(20_000, (n, n), seed=4).astype(np.float64)
    trace = np.trace(drawn, axis1=1, axis2=2)
    trace_of_square = np.einsum("kij,kji->k", drawn, drawn)
    for values, expected in [
        (trace, 0.0),
        (trace**2, 1.0),
        (trace_of_square, 1.0),
        (np.sign(np.linalg.det(drawn)), 0.0),
    ]:
        error = abs(values.mean() - expected)
        assert error <= 5 * values.std() / math.sqrt(len(drawn)) + 1e-6


def test_orthogonal_calls_no_lapack():
    keys = jax.random.split(jax.random.key(0), 3)
    program = jax.jit(jax.vmap(lambda key: drawn_orthogonal(key, (6, 4), 1.0))).lower(keys)
    assert "custom_call" not in program.as_text()
