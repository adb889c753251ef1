"""Steps that gave NaN or infinity: they end their episode, and nothing else.

A simulation that diverges gives NaN once, and every statistic, gradient and parameter that it
reaches would stay NaN. Such a step counts as a termination: no value is bootstrapped
from it, its reward is 0, and its observation is the one before it, the last that was finite.

Observations and rewards are checked, since learning uses nothing else. States are not: they may
hold infinity on purpose, such as the best distance so far. An invalid number in a state either
appears in a later observation or never matters, and it is dropped where the episode ends.
"""

import jax
import jax.numpy as jnp

from rpojax.envs.base import TimeStep
from rpojax.trees import select
from rpojax.types import Array, PyTree


def end_where_invalid(obs: PyTree, timestep: TimeStep) -> tuple[TimeStep, Array]:
    """The time step with invalid results replaced, and which were invalid, bool[B].

    Args:
        obs: [B, ...] that was acted on.
        timestep: of `Env.step`.
    """
    invalid = ~(jnp.isfinite(timestep.reward) & _all_finite(timestep.obs))
    ended = TimeStep(
        obs=select(invalid, obs, timestep.obs),
        reward=jnp.where(invalid, 0.0, timestep.reward),
        terminated=timestep.terminated | invalid,
        truncated=timestep.truncated & ~invalid,
        metrics=jax.tree.map(lambda values: jnp.where(invalid, 0.0, values), timestep.metrics),
    )
    return ended, invalid


def _all_finite(obs: PyTree) -> Array:
    """Where all numbers of an observation [B, ...] are finite, bool[B]."""
    leaves = [jnp.isfinite(leaf.reshape(len(leaf), -1)) for leaf in jax.tree.leaves(obs)]
    return jnp.all(jnp.concatenate(leaves, axis=1), axis=1)
