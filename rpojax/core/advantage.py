"""Generalised advantage estimation."""

import chex
import jax
import jax.numpy as jnp
from jax import Array


def generalized_advantage(
    reward: Array,
    value: Array,
    next_value: Array,
    terminated: Array,
    done: Array,
    gamma: Array,
    gae_lambda: Array,
) -> Array:
    """Advantages by GAE(gamma, lambda), [T, B].

    Schulman et al. (2016), arXiv 1506.02438, with the two ends of an episode kept apart:

        delta_t = r_t + gamma * V(s'_t) * (1 - terminated_t) - V(s_t)
        A_t     = delta_t + gamma * lambda * (1 - done_t) * A_{t+1}

    so an episode that was cut off bootstraps from the value of its last observation, and no
    advantage flows from one episode into the one before it. (`Config.advantage_horizon` cuts at
    other steps too, which count as done.)

    Args:
        reward: [T, B].
        value: [T, B] of the observation acted on.
        next_value: [T, B] of what the action led to, before any reset.
        terminated: bool[T, B], nothing follows.
        done: bool[T, B], terminated, truncated, or cut off by the horizon.
        gamma: []; gae_lambda: [].
    """
    chex.assert_rank(reward, 2)
    chex.assert_equal_shape([reward, value, next_value, terminated, done])
    chex.assert_type([terminated, done], bool)

    delta = reward + gamma * jnp.where(terminated, 0.0, next_value) - value
    decay = jnp.where(done, 0.0, gamma * gae_lambda)

    def step(advantage: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        delta_t, decay_t = inputs
        advantage = delta_t + decay_t * advantage
        return advantage, advantage

    _, advantages = jax.lax.scan(step, jnp.zeros_like(delta[0]), (delta, decay), reverse=True)
    return advantages
