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


def test_select_takes_one_agent_along_the_leading_axes():
    result = TrainResult(state=jnp.arange(6).reshape(2, 3), metrics=None, finite=jnp.ones((2, 3)))
    assert result.select(1, 2).state == 5
    np.testing.assert_array_equal(result.select(1).state, [3, 4, 5])
