"""A bound on a number that a parameter can come back from."""

import functools

import jax
import jax.numpy as jnp

from rpojax.types import Array


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def bounded(value: Array, low: float, high: float) -> Array:
    """`value` clipped to [low, high], with a gradient that leads back inside.

    `jnp.clip` has no gradient outside its bounds: a log standard deviation that a step of Adam
    has carried past one stays there for good, whatever the loss asks for. Here gradient descent
    feels the gradient outside too, but only where it moves the value back towards the bounds; one
    that pushes further out is 0, so that the value does not drift away while the loss keeps
    pushing. This is the one-sided case of the inverting gradients of Hausknecht & Stone (2016),
    arXiv 1511.04143. A squashing function such as tanh would bound the value too, but its slope
    near the bounds is so small that a value takes as long to return as it took to get there.

    Inside the bounds, value and gradient are those of the identity.

    Args:
        value: [...]; low, high: the bounds.
    """
    return jnp.clip(value, low, high)


def _forward(value: Array, low: float, high: float) -> tuple[Array, Array]:
    return bounded(value, low, high), value


def _backward(low: float, high: float, value: Array, gradient: Array) -> tuple[Array]:
    """Descent moves against the gradient: up from below for a negative one, and vice versa."""
    pushes_out = ((value > high) & (gradient < 0.0)) | ((value < low) & (gradient > 0.0))
    return (jnp.where(pushes_out, 0.0, gradient),)


bounded.defvjp(_forward, _backward)
