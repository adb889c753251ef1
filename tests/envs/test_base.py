"""An environment as a bundle of functions."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from toys import make_counter

from rpojax.envs.base import with_outer_state


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


class Outer(NamedTuple):
    state: Any
    more: int


def test_a_wrapper_passes_its_inner_state_to_rekey_and_render():
    inner = make_counter(rekey=lambda keys, state: state + keys, render=lambda states: states * 2)
    env = with_outer_state(inner, inner.reset, inner.step, max_episode_steps=3)
    assert env.rekey(10, Outer(1, 5)) == Outer(11, 5)
    assert env.render(Outer(4, 5)) == 8
    assert (env.name, env.max_episode_steps) == (inner.name, 3)
    plain = with_outer_state(make_counter(), inner.reset, inner.step)
    assert plain.rekey is None
    assert plain.render is None
