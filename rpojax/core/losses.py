"""The terms of PPO's loss, each a mean over N samples.

Schulman et al. (2017), Proximal Policy Optimization Algorithms, arXiv 1707.06347.
"""

import chex
import jax.numpy as jnp
from jax import Array

MAX_LOG_RATIO = 20.0
"""Bound on the logarithm of a probability ratio; see `probability_ratio`."""


def clipped_surrogate(ratio: Array, advantage: Array, clip_eps: Array) -> Array:
    """-E[min(ratio * A, clip(ratio, 1 - eps, 1 + eps) * A)], []; to be minimised.

    Args:
        ratio: [N] probability of the action, new over old; advantage: [N]; clip_eps: [].
    """
    chex.assert_rank([ratio, advantage], 1)
    clipped = jnp.clip(ratio, 1.0 - clip_eps, 1.0 + clip_eps)
    return -jnp.mean(jnp.minimum(ratio * advantage, clipped * advantage))


def spo_surrogate(ratio: Array, advantage: Array, clip_eps: Array) -> Array:
    """-E[ratio * A - |A| (ratio - 1)^2 / (2 eps)], []; to be minimised.

    The surrogate of Simple Policy Optimization, Xie et al. (2024), arXiv 2401.16025: in place of
    the clip, a penalty that puts the optimum of each sample at a ratio of 1 + eps (A > 0) or
    1 - eps (A < 0). A ratio beyond it has a gradient that leads back.

    Args:
        ratio: [N] probability of the action, new over old; advantage: [N]; clip_eps: [].
    """
    chex.assert_rank([ratio, advantage], 1)
    penalty = jnp.abs(advantage) * jnp.square(ratio - 1.0) / (2.0 * clip_eps)
    return -jnp.mean(ratio * advantage - penalty)


SURROGATES = {"clip": clipped_surrogate, "spo": spo_surrogate}
"""By the names of `Config.surrogate`."""


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
    """(A - mean) / (std + 1e-8) over all samples given, [N] or [T, B]; 0 where all are equal.

    The std is that of the population, sqrt(mean((A - mean)^2)). CleanRL divides by the sample's,
    which is sqrt(N / (N - 1)) larger. Equal advantages are detected by comparison, since rounding
    their mean would leave noise in both numerator and denominator.
    """
    equal = jnp.all(advantage == jnp.ravel(advantage)[0])
    normalized = (advantage - jnp.mean(advantage)) / (jnp.std(advantage) + 1e-8)
    return jnp.where(equal, 0.0, normalized)


def probability_ratio(log_prob: Array, old_log_prob: Array) -> tuple[Array, Array]:
    """Probability of an action under the new over the old policy, [N], and its logarithm, [N].

    The logarithm is bounded from above by `MAX_LOG_RATIO`. `exp` overflows at 88, and the gradient
    of an infinite ratio is NaN even where `clipped_surrogate` takes the clipped one. Beyond the
    bound, where an action has become 5e8 times as likely, a sample has no gradient.
    """
    log_ratio = jnp.minimum(log_prob - old_log_prob, MAX_LOG_RATIO)
    return jnp.exp(log_ratio), log_ratio


def explained_variance(value: Array, target: Array) -> Array:
    """1 - Var(target - value) / Var(target), []: 1 is perfect, 0 no better than a constant."""
    return 1.0 - jnp.var(target - value) / (jnp.var(target) + 1e-8)
