"""Random numbers of two distributions in one draw, and uniform ones that are rounded alike."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.types import Array, Key

ABOVE_MINUS_ONE = np.nextafter(np.float32(-1.0), np.float32(0.0))  # its normal is finite


def normal_and_uniform(key: Key, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Independent noise from N(0, 1) and from U(-1, 1), each f32[shape].

    The bits of one draw become two arrays of uniform numbers, and one of these becomes normal
    through the inverse of the error function, as in `jax.random.normal`. No number is used twice.
    Two draws with keys of their own would each be a loop to compile, and that takes a fifth of a
    second.
    """
    uniform = jax.random.uniform(key, (2, *shape), jnp.float32, ABOVE_MINUS_ONE, 1.0)
    return math.sqrt(2.0) * jax.lax.erf_inv(uniform[0]), uniform[1]


def symmetric_uniform(key: Key, shape: tuple[int, ...], most: float | Array) -> Array:
    """Numbers from U(-most, most), f32[shape], with the same bits in every program.

    They are those of `jax.random.uniform(key, shape, minval=-most, maxval=most)` where XLA computes
    `random * (maxval - minval) + minval` with one rounding (a fused multiply-add). On a CPU some
    programs round twice: which ones depends on whether the bounds are constants there. Here each
    product is rounded once, and the maximum keeps it from being fused with what is added to it.
    """
    uniform = jax.random.uniform(key, shape, jnp.float32, -1.0, 1.0)
    return jnp.maximum(most * uniform, -most)
