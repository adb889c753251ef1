"""Bounds that an untrained policy cannot reach, and those that mean none."""

import warnings

import numpy as np
import pytest
from toys import make_counter

import rpojax
from rpojax.envs.spaces import warn_unreachable_actions


def cfg(low, high, **changes):
    env = make_counter(action_low=low, action_high=high)
    sizes = {"num_envs": 2, "num_steps": 4, "num_minibatches": 1, "total_timesteps": 8}
    return rpojax.Config(env=env, **sizes, **changes)


@pytest.mark.parametrize(
    ("low", "high"), [([-1.0, 300.0], [1.0, 500.0]), ([-1.0, -9.0], [1.0, -4.0])]
)
def test_bounds_far_from_0_are_warned_of_once(low, high):
    with pytest.warns(UserWarning, match=r"'Counter-v0': .* dimensions \[1\], .*'rescale'") as got:
        rpojax.make_train(cfg(low, high))
    assert len(got) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rpojax.make_train(cfg(low, high, action_transform="rescale"))


@pytest.mark.parametrize(
    ("low", "high"), [([-1.0] * 2, [1.0] * 2), ([2.0] * 2, [9.0] * 2), ([-np.inf] * 2, [0.0] * 2)]
)
def test_bounds_within_reach_are_not_warned_of(low, high):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_unreachable_actions(make_counter(action_low=low, action_high=high), "clip")


def test_bounds_that_a_squashed_policy_cannot_reach_are_warned_of():
    squashed = rpojax.NetworkConfig(distribution="tanh_gaussian")
    low, high = [-np.inf, -2.0], [1.0, 1.0]
    with pytest.warns(UserWarning, match=r"tanh stays within \[-1, 1\] .* dimensions \[1\]"):
        rpojax.make_train(cfg(low, high, network=squashed))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rpojax.make_train(cfg([-1.0, -0.5], [1.0, 0.5], network=squashed))
        rpojax.make_train(cfg([-9.0] * 2, [9.0] * 2, network=squashed, action_transform="rescale"))


def test_rescaling_onto_the_largest_floats_is_refused():
    largest = [np.finfo(np.float32).max] * 2
    settings = cfg([-3.4e38] * 2, largest, action_transform="rescale")
    with pytest.raises(ValueError, match="'rescale' needs finite action bounds"):
        rpojax.make_train(settings)
