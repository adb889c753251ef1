"""The terms of PPO's loss, each a mean over N samples.

Schulman et al. (2017), Proximal Policy Optimization Algorithms, arXiv 1707.06347.
"""

import chex
import jax.numpy as jnp
from jax import Array


def clipped_surrogate(ratio: Array, advantage: Array, clip_eps: Array) -> Array:
    """-E[min(ratio * A, clip(ratio, 1 - eps, 1 + eps) * A)], []; to be minimised.

    Args:
        ratio: [N] probability of the action now over then; advantage: [N]; clip_eps: [].
    """
    chex.assert_rank([ratio, advantage], 1)
    clipped = jnp.clip(ratio, 1.0 - clip_eps, 1.0 + clip_eps)
    return -jnp.mean(jnp.minimum(ratio * advantage, clipped * advantage))


def squared_error(value: Array, target: Array) -> Array:
    """Value loss E[(V - target)^2] / 2, []."""
    chex.assert_rank([value, target], 1)
    return 0.5 * jnp.mean(jnp.square(value - target))


def clipped_squared_error(
    value: Array, target: Array, old_value: Array, value_clip: Array
) -> Array:
    """Value loss with each prediction kept within `value_clip` of the old one, [].

    E[max((V - target)^2, (V_clipped - target)^2)] / 2, as in OpenAI's baselines.
    """
    chex.assert_rank([value, target, old_value], 1)
    clipped = old_value + jnp.clip(value - old_value, -value_clip, value_clip)
    return 0.5 * jnp.mean(jnp.maximum(jnp.square(value - target), jnp.square(clipped - target)))


def normalize_advantage(advantage: Array) -> Array:
    """(A - mean) / std over all samples given, [N]."""
    return (advantage - jnp.mean(advantage)) / (jnp.std(advantage) + 1e-8)


def explained_variance(value: Array, target: Array) -> Array:
    """1 - Var(target - value) / Var(target), []: 1 is perfect, 0 no better than a constant."""
    return 1.0 - jnp.var(target - value) / (jnp.var(target) + 1e-8)
