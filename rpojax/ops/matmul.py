"""Products of samples with kernels, with a gradient that is fast on a CPU."""

import jax

from rpojax.types import Array


@jax.custom_vjp
def matmul(inputs: Array, kernel: Array) -> Array:
    """Inputs [..., n] @ kernel [n, m]; see `kernel_gradient`."""
    return inputs @ kernel


def kernel_gradient(inputs: Array, error: Array) -> Array:
    """Inputs^T @ error, summed over all leading axes, [n, m].

    XLA:CPU multiplies rows by a matrix fast, but contracts over the samples slowly. Writing out the
    transpose first makes it use the fast path (measured: updates take 0.93x the time).

    Args:
        inputs: [..., n]; error: [..., m].
    """
    transposed = jax.lax.platform_dependent(
        inputs.reshape(-1, inputs.shape[-1]).T,
        cpu=jax.lax.optimization_barrier,
        default=lambda transposed: transposed,
    )
    return transposed @ error.reshape(-1, error.shape[-1])


def _forward(inputs: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return inputs @ kernel, (inputs, kernel)


def _backward(saved: tuple[Array, Array], error: Array) -> tuple[Array, Array]:
    inputs, kernel = saved
    return error @ kernel.T, kernel_gradient(inputs, error)


matmul.defvjp(_forward, _backward)
