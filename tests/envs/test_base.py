"""An environment as a bundle of functions."""

import jax.numpy as jnp
import numpy as np
import pytest
from toys import make_counter


def test_env_is_hashable_and_equal_only_to_itself():
    env = make_counter()
    assert hash(env) == hash(env)
    assert env == env
    assert env != make_counter()


@pytest.mark.parametrize("largest", [3.4e38, np.finfo(np.float32).max, 1e38, 1e300, np.inf])
def test_bounds_of_the_largest_float_mean_none(largest):
    env = make_counter(action_low=[-largest, -1.0], action_high=[9e37, largest])
    np.testing.assert_array_equal(env.action_low, [-np.inf, -1.0])
    np.testing.assert_array_equal(env.action_high, np.float32([9e37, np.inf]))
    assert env.action_low.dtype == env.action_high.dtype == np.float32


def test_bounds_of_any_sequence_become_arrays():
    env = make_counter(action_low=[-1, -2], action_high=jnp.array([1, 2]))
    assert env.action_dim == 2
    assert isinstance(env.action_high, np.ndarray)
