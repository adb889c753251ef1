"""Observations: Dict and Tuple spaces, Discrete ones as one-hot vectors. Boxes of actions."""

import warnings
from typing import NamedTuple

import chex
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from toys import Plain, make_counter, run

import rpojax
from rpojax import envs
from rpojax.envs import check_env
from rpojax.envs.spaces import warn_unreachable_actions


class Maze(Plain):
    """Box leaves of rank 0, 1 and 2, Discrete ones, spaces inside of spaces."""

    def observation_space(self, params):
        return spaces.Dict(
            {
                "time": spaces.Box(0.0, 10.0, ()),
                "position": spaces.Box(-1.0, 1.0, (3,)),
                "image": spaces.Box(0, 255, (2, 4), jnp.uint8),
                "room": spaces.Discrete(5),
                "goal": spaces.Dict(
                    {"key": spaces.Discrete(2), "pair": spaces.Tuple((BOX, spaces.Discrete(3)))}
                ),
            }
        )

    def observe(self, time):
        return {
            "time": time.astype(jnp.float32),
            "position": jnp.full(3, 0.5 * time),
            "image": jnp.full((2, 4), time, jnp.uint8),
            "room": (time + 1) % 5,
            "goal": {"key": time % 2, "pair": (jnp.full(2, -1.0), time % 3)},
        }

    def reset_env(self, key, params):
        return self.observe(jnp.int32(0)), jnp.int32(0)

    def step_env(self, key, state, action, params):
        return self.observe(state + 1), state + 1, jnp.sum(action), state >= 6, {}


BOX = spaces.Box(-1.0, 1.0, (2,))
ONE_HOT = {n: jax.ShapeDtypeStruct((n,), jnp.float32) for n in (2, 3, 5)}


def test_dict_observations_keep_their_boxes_and_get_one_hot_leaves():
    env = envs.make(Maze())
    check_env(env, num_steps=20)
    assert env.obs == {
        "time": jax.ShapeDtypeStruct((), jnp.float32),
        "position": jax.ShapeDtypeStruct((3,), jnp.float32),
        "image": jax.ShapeDtypeStruct((2, 4), jnp.uint8),
        "room": ONE_HOT[5],
        "goal": {
            "key": ONE_HOT[2],
            "pair": (jax.ShapeDtypeStruct((2,), jnp.float32), ONE_HOT[3]),
        },
    }
    acted_on, _, timestep, _ = run(env, lambda obs: jnp.ones((3, 6)), 9)
    np.testing.assert_array_equal(acted_on["room"][0], np.eye(5)[[1, 1, 1]])
    times = np.array([1, 2, 3, 4, 5, 6, 7, 1, 2])  # the seventh ends the episode
    final = jax.tree.map(lambda leaf: np.asarray(leaf)[:, 0], timestep.obs)
    np.testing.assert_array_equal(final["time"], times)
    np.testing.assert_array_equal(final["room"], np.eye(5)[(times + 1) % 5])
    np.testing.assert_array_equal(final["goal"]["key"], np.eye(2)[times % 2])
    np.testing.assert_array_equal(final["goal"]["pair"][1], np.eye(3)[times % 3])
    np.testing.assert_array_equal(acted_on["room"][7, 0], np.eye(5)[1])


class Rooms(Maze):
    """One Discrete observation, without a Dict around it; `start` as in Gymnasium."""

    def __init__(self, space):
        self.space = space

    def observation_space(self, params):
        return self.space

    def observe(self, time):
        return time % 5 + getattr(self.space, "start", 0)


@pytest.mark.parametrize(
    "space", [spaces.Discrete(5), gymnasium.spaces.Discrete(5, start=-2)], ids=repr
)
def test_discrete_observations_become_one_hot(space):
    env = envs.make(Rooms(space))
    check_env(env, num_steps=20)
    assert env.obs == ONE_HOT[5]
    acted_on, _, timestep, _ = run(env, lambda obs: jnp.ones((3, 6)), 5)
    np.testing.assert_array_equal(acted_on[0], np.eye(5)[[0, 0, 0]])
    np.testing.assert_array_equal(timestep.obs[:, 0], np.eye(5)[[1, 2, 3, 4, 0]])


class Position(NamedTuple):
    x: jax.Array
    room: jax.Array


@chex.dataclass
class PositionObject:
    x: jax.Array
    room: jax.Array


@pytest.mark.parametrize("container", [Position, PositionObject, dict], ids=lambda c: c.__name__)
def test_parts_of_a_dict_space_may_be_those_of_an_object(container):
    class Named(Rooms):
        def observe(self, time):
            return container(x=time * 0.5, room=time % 3)

    space = spaces.Dict({"x": spaces.Box(0.0, 9.0, ()), "room": spaces.Discrete(3)})
    env = envs.make(Named(space))
    check_env(env, num_steps=20)
    assert env.obs == {"x": jax.ShapeDtypeStruct((), jnp.float32), "room": ONE_HOT[3]}


def test_space_that_is_not_told_leaves_observations_as_they_are():
    class Untold(Rooms):
        def observation_space(self, params):
            raise NotImplementedError

    assert envs.make(Untold(None)).obs == jax.ShapeDtypeStruct((), jnp.int32)


PART = spaces.Dict({"x": spaces.Discrete(5)})


@pytest.mark.parametrize(
    ("space", "obs", "message"),
    [
        (PART, {"y": 1}, r"at obs, and its observation has the parts \['y'\]; give both"),
        (PART, {"x": 1, "y": 1}, r"has the parts \['x', 'y'\]"),
        (PART, 1, r"has the parts \[\]"),
        (spaces.Tuple((BOX,)), jnp.zeros(1), r"has the parts \[\]"),
        (spaces.Tuple((PART, BOX)), ({"z": 1}, 0.0), r"at obs\[0\], .* the parts \['z'\]"),
        (PART, {"x": jnp.zeros(5)}, r"at obs\['x'\], .* float32\[5\]; return one integer"),
        (spaces.Discrete(5), jnp.zeros(2, jnp.int32), r"at obs, .* int32\[2\]"),
        (spaces.Discrete(5), 1.0, r"at obs, .* float32\[\]; return one integer"),
    ],
)
def test_observation_that_its_space_does_not_tell_of_is_refused(space, obs, message):
    class Wrong(Rooms):
        def observe(self, time):
            return obs

    with pytest.raises(ValueError, match=message):
        envs.make(Wrong(space))


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
    with pytest.warns(UserWarning, match=r"stays within \[-1, 1\] .* dimensions \[1\]"):
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
