"""The product with a fast gradient, against the plain product and its gradient by JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rpojax.ops.matmul import kernel_gradient, matmul


@pytest.mark.parametrize("leading", [(), (7,), (5, 7)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_value_and_gradients_are_those_of_the_plain_product(leading, dtype):
    keys = jax.random.split(jax.random.key(0), 3)
    inputs = jax.random.normal(keys[0], (*leading, 4), dtype)
    kernel = jax.random.normal(keys[1], (4, 3), dtype)
    error = jax.random.normal(keys[2], (*leading, 3), dtype)
    results = []
    for product in (matmul, jnp.matmul):
        value, pull_back = jax.vjp(product, inputs, kernel)
        results.append((value, *pull_back(error)))
    tolerance = 1e-5 if dtype == jnp.float32 else 5e-2
    for fast, plain in zip(*results, strict=True):
        assert fast.dtype == plain.dtype
        fast, plain = (np.asarray(x, np.float32) for x in (fast, plain))
        np.testing.assert_allclose(fast, plain, rtol=tolerance, atol=tolerance)


def test_kernel_gradient_sums_over_all_leading_axes():
    rng = np.random.default_rng(1)
    inputs, error = rng.normal(size=(5, 7, 4)), rng.normal(size=(5, 7, 3))
    got = jax.jit(kernel_gradient)(
        jnp.asarray(inputs, jnp.float32), jnp.asarray(error, jnp.float32)
    )
    np.testing.assert_allclose(got, np.einsum("abn,abm->nm", inputs, error), rtol=1e-4, atol=1e-5)
