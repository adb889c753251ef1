"""Running mean and variance, and what is scaled with them: observations, rewards, values.

All in float32, accurate for runs of any length. The mean and the variance are stored directly, not
as sums that outgrow float32, and are merged batch by batch with the parallel
formula of Chan, Golub and LeVeque (1983), https://doi.org/10.1080/00031305.1983.10483115.
"""

import jax
import jax.numpy as jnp

from rpojax.core.device_axis import ONE_DEVICE, DeviceAxis
from rpojax.types import Array, PyTree, RunningStats

EPSILON = 1e-8  # added to a variance before its root, as in Gymnasium's and skrl's scalers

OUTLIER = 1000.0
"""Standard deviations, of at least 1 each: a sample further than that from the mean counts as that
far. Physics that diverges gives velocities of 1e8 before it gives NaN, and one of them among
millions would flatten all observations after it for good."""


def init_stats(sample: PyTree) -> RunningStats:
    """Statistics of no samples, mean 0 and variance 1; `sample` has the shape of one."""
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), sample)
    return RunningStats(
        mean=zeros,
        mean_rest=zeros,
        var=jax.tree.map(lambda leaf: jnp.ones(leaf.shape, jnp.float32), sample),
        count=jnp.zeros((), jnp.float32),
    )


def update_stats(
    stats: RunningStats, batch: PyTree, devices: DeviceAxis = ONE_DEVICE
) -> RunningStats:
    """Merge a batch: pytree of [..., *sample.shape], all leaves with the same number of samples.

    A batch weighs n_b / (n + n_b). Where that is so little that its step is lost in the rounding
    of a mean far from 0, the step is kept for the next merge (Kahan's summation). Samples count as
    within `OUTLIER` standard deviations of the mean so far.

    Args:
        stats: of one agent; batch: this device's samples.
        devices: of the agent, each with the same number of samples.
    """
    leaf, mean = jax.tree.leaves(batch)[0], jax.tree.leaves(stats.mean)[0]
    own_count = leaf.size // max(mean.size, 1)
    batch_count = own_count * devices.size
    count = stats.count + batch_count
    weight = batch_count / count

    def merge(leaf: Array, mean: Array, rest: Array, var: Array) -> tuple[Array, Array, Array]:
        samples = leaf.astype(jnp.float32).reshape(own_count, *mean.shape)
        known = stats.count > 0.0  # the first batch may have any scale
        reach = jnp.where(known, OUTLIER * jnp.sqrt(jnp.maximum(var, 1.0)), jnp.inf)
        samples = jnp.clip(samples, (mean - reach)[None], (mean + reach)[None])
        batch_mean = jnp.mean(samples, axis=0)
        batch_var = jnp.mean(jnp.square(samples - batch_mean[None]), axis=0)
        batch_mean, batch_var = devices.moments(batch_mean, batch_var)
        delta = batch_mean - mean
        step = weight * delta + rest
        moved = mean + step
        between = weight * (1.0 - weight) * jnp.square(delta)
        # The first batch (weight 1) replaces the initial variance of 1 altogether.
        return moved, step - (moved - mean), (1.0 - weight) * var + weight * batch_var + between

    merged = jax.tree.map(merge, batch, stats.mean, stats.mean_rest, stats.var)
    means, rests, variances = jax.tree.transpose(
        jax.tree.structure(batch), jax.tree.structure((0, 0, 0)), merged
    )
    return RunningStats(mean=means, mean_rest=rests, var=variances, count=count)


def normalize(stats: RunningStats, values: PyTree, clip: float) -> PyTree:
    """(values - mean) / std, clipped to [-clip, clip]; leaf by leaf, as float32.

    Args:
        values: pytree of [..., *sample.shape]; any number of leading axes.
    """

    def one(leaf: Array, mean: Array, var: Array) -> Array:
        leading = (1,) * (leaf.ndim - mean.ndim)
        scale = jax.lax.rsqrt(var + EPSILON).reshape(*leading, *var.shape)
        centred = leaf.astype(jnp.float32) - mean.reshape(*leading, *mean.shape)
        return jnp.clip(centred * scale, -clip, clip)

    return jax.tree.map(one, values, stats.mean, stats.var)


def standardize(stats: RunningStats, value: Array) -> Array:
    """Values to the critic's own scale; inverse of `unstandardize`. Scalar statistics."""
    return (value - stats.mean) * jax.lax.rsqrt(stats.var + EPSILON)


def unstandardize(stats: RunningStats, value: Array) -> Array:
    """The critic's output to the scale of the returns. Scalar statistics."""
    return value * jnp.sqrt(stats.var + EPSILON) + stats.mean


def discounted_returns(
    reward: Array, done: Array, gamma: Array, initial: Array
) -> tuple[Array, Array]:
    """Running discounted sums of rewards, R_t = gamma * R_{t-1} * (1 - done_{t-1}) + r_t.

    The scale of a reward is the standard deviation of these (Engstrom et al. 2020,
    arXiv 2005.12729). The sum restarts wherever an episode ends, terminated or truncated.
    Gymnasium's NormalizeReward, which CleanRL uses, clears it at terminations only, so that it
    continues over time limits: on Pendulum, where no episode terminates, rewards scaled by CleanRL
    are 1.5 times ours.

    Args:
        reward: [T, B]; done: bool[T, B]; gamma: []; initial: [B], gamma-free sum before t = 0.

    Returns:
        [T, B] the sums R_t, and [B] the running sum, 0 where an episode has just ended.
    """

    def step(carry: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        reward_t, done_t = inputs
        total = gamma * carry + reward_t
        return jnp.where(done_t, 0.0, total), total

    carry, totals = jax.lax.scan(step, initial, (reward, done))
    return totals, carry


def scale_reward(stats: RunningStats, reward: Array, clip: float) -> Array:
    """Rewards divided by the running std of the discounted return, clipped to [-clip, clip]."""
    return jnp.clip(reward * jax.lax.rsqrt(stats.var + EPSILON), -clip, clip)
