"""Orthogonal initialisation in matrix-vector products."""

import jax
import jax.numpy as jnp

from rpojax.types import Array


def orthogonal(noise: Array) -> Array:
    """A matrix with orthonormal rows or columns (whichever are fewer) from a Gaussian one.

    It is Haar-distributed: the product of the Householder reflections of Gaussian vectors of
    decreasing length, Stewart (1980), https://doi.org/10.1137/0717034. It needs only matrix-vector
    products. The QR that jax.nn.initializers.orthogonal calls deadlocks XLA's CPU backend when it
    is batched.

    Args:
        noise: [rows, columns] from a standard normal.
    """
    rows, columns = noise.shape
    long, short = max(rows, columns), min(rows, columns)
    index = jnp.arange(long)
    vectors = noise.reshape(short, long)
    vectors = jnp.where(index[None] >= jnp.arange(short)[:, None], vectors, 0.0)
    signs = jnp.where(jnp.diagonal(vectors) < 0.0, -1.0, 1.0)

    def reflect(step: Array, matrix: Array) -> Array:
        """Reflect along vector + sign * |vector| e, which maps the vector onto the axis e."""
        column = short - 1 - step
        length = jnp.sqrt(jnp.sum(jnp.square(vectors[column])))
        normal = vectors[column] + jnp.where(index == column, signs[column] * length, 0.0)
        projection = (normal @ matrix) * (2.0 / jnp.sum(jnp.square(normal)))
        return matrix - normal[:, None] * projection[None]

    matrix = jax.lax.fori_loop(0, short, reflect, jnp.eye(long, short, dtype=noise.dtype))
    matrix = -matrix * signs[None]  # as if from a QR whose R has a positive diagonal
    return matrix if rows >= columns else matrix.T
