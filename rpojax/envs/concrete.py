"""Values that are computed while an environment is made, also where that happens during a trace."""

import contextlib

import jax
import jax.numpy as jnp


def concrete_values() -> contextlib.AbstractContextManager[None]:
    """A context in which JAX computes values at once, even while a caller is being traced.

    Outside of a trace JAX does so anyway. There, `jax.ensure_compile_time_eval` would also evaluate
    functions under `jit` operation by operation: MJX then compiles 650 tiny programs for a model.
    """
    if isinstance(jnp.zeros(()), jax.core.Tracer):
        return jax.ensure_compile_time_eval()
    return contextlib.nullcontext()
