import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rpojax.agent.evaluation import Evaluation
from rpojax.settings.hyperparams import HyperParams
from rpojax.types import Metrics, RunningStats, Struct, TrainResult, TrainState

STRUCTS = (RunningStats, TrainState, Metrics, TrainResult, HyperParams, Evaluation)


class Point(Struct):
    """Two numbers."""

    x: jax.Array
    y: jax.Array


def test_struct_is_a_frozen_dataclass_of_keywords():
    point = Point(x=1, y=2)
    assert vars(point) == {"x": 1, "y": 2}
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 3
    with pytest.raises(TypeError, match="positional"):
        Point(1, 2)
    assert pickle.loads(pickle.dumps(point)) == point
    assert point.replace(y=5) == Point(x=1, y=5)
    assert point == Point(x=1, y=2)
    with pytest.raises(TypeError, match="z"):
        point.replace(z=1)


def test_struct_is_a_pytree_with_named_paths():
    point = Point(x=jnp.ones(3), y=jnp.zeros(()))
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(point)]
    assert paths == [".x", ".y"]
    doubled = jax.jit(lambda point: point.replace(x=2 * point.x))(point)
    assert isinstance(doubled, Point)
    np.testing.assert_array_equal(doubled.x, 2.0)


@pytest.mark.parametrize("kind", STRUCTS)
def test_what_users_hold_is_a_struct(kind):
    fields = dataclasses.fields(kind)
    whole = kind(**{field.name: index for index, field in enumerate(fields)})
    assert jax.tree.leaves(whole) == list(range(len(fields)))
    assert issubclass(kind, Struct)


def test_a_repr_is_a_few_lines_of_shapes_and_numbers():
    mean = {"a": jnp.ones((4, 3)), "b": jnp.ones(4)}
    stats = RunningStats(mean=mean, mean_rest=None, var=jnp.zeros((4, 5)), count=jnp.float32(7))
    assert repr(stats) == (
        "RunningStats(mean=dict of 2 arrays, 16 numbers, mean_rest=None, var=float32[4,5], count=7)"
    )
    assert repr(Metrics.filled(stats.var)).count("\n") == 4  # lines of 100 characters
    keys = jax.random.split(jax.random.key(0), 3)
    assert repr(Point(x=keys, y=0)) == "Point(x=key<fry>[3], y=0)"
    assert jax.jit(lambda x: repr(Point(x=x, y=x)) and x)(jnp.ones(2)).shape == (2,)


def test_the_repr_of_a_result_says_how_many_agents_and_how_good():
    metrics = Metrics.filled(np.float32([[1, 2, np.nan], [5, 6, 7], [np.nan] * 3]))
    result = TrainResult(state=jnp.ones(3), metrics=metrics, finite=np.array([True, True, False]))
    assert repr(result) == (
        "TrainResult: 3 agents, 3 updates, 1 diverged\n  last episode_return 4.5 (mean; 2 to 7)"
    )
    assert repr(result.select(1)) == (
        "TrainResult: 1 agent, 3 updates, all finite\n  last episode_return 7"
    )
    assert repr(result.select(2)).endswith("1 diverged; no episode has ended")


def test_select_takes_one_agent_along_the_leading_axes():
    result = TrainResult(state=jnp.arange(6).reshape(2, 3), metrics=None, finite=jnp.ones((2, 3)))
    assert result.select(1, 2).state == 5
    np.testing.assert_array_equal(result.select(1).state, [3, 4, 5])
