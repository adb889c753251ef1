"""Steps that gave NaN, infinity or what overflows: they end their episode, and nothing else.

A simulation that diverges gives NaN once, and every statistic, gradient and parameter that it
reaches would stay NaN. A step before that, it gives numbers like 1e25, whose squares are infinite
in float32. Such a step counts as a termination: no value is bootstrapped
from it, its reward is 0, and its observation is the one before it, the last that was valid.

Observations and rewards are checked, since learning uses nothing else. States are not: they may
hold infinity on purpose, such as the best distance so far. An invalid number in a state either
appears in a later observation or never matters, and it is dropped where the episode ends.
"""

import jax
import jax.numpy as jnp

from rpojax.envs.base import TimeStep, is_valid
from rpojax.trees import select
from rpojax.types import Array, PyTree


def end_where_invalid(obs: PyTree, timestep: TimeStep) -> tuple[TimeStep, Array]:
    """The time step with invalid results replaced, and which were invalid, bool[B].

    Args:
        obs: [B, ...] that was acted on.
        timestep: of `Env.step`.
    """
    parts = [timestep.reward, *jax.tree.leaves(timestep.obs)]
    valid = jnp.concatenate([is_valid(part).reshape(len(part), -1) for part in parts], axis=1)
    invalid = ~jnp.all(valid, axis=1)
    ended = TimeStep(
        obs=select(invalid, obs, timestep.obs),
        reward=jnp.where(invalid, 0.0, timestep.reward),
        terminated=timestep.terminated | invalid,
        truncated=timestep.truncated & ~invalid,
        metrics=jax.tree.map(lambda values: jnp.where(invalid, 0.0, values), timestep.metrics),
    )
    return ended, invalid
