import contextlib

import jax
import jax.numpy as jnp

from rpojax.envs.contexts import concrete_values


def test_values_are_concrete_while_a_caller_is_traced():
    found = []

    @jax.jit
    def traced(x):
        with concrete_values():
            found.append(jnp.ones(3))
        return x

    traced(1.0)
    assert not isinstance(found[0], jax.core.Tracer)


def test_nothing_changes_outside_of_a_trace():
    assert isinstance(concrete_values(), contextlib.nullcontext)
