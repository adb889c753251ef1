"""One agent over several devices: what each computes, and where they communicate.

With `Config.devices_per_agent` = k the program of an agent runs on k devices. Each steps B / k of
the environments and computes their values and advantages. Parameters, statistics and keys are on
all of them, and stay equal to the last bit. The devices communicate

* once in a rollout: moments for the running statistics, sums for the metrics, and the batch, which
  each device then has as a whole (`make_batch`);
* in each epoch, where minibatches normalise advantages: these, so that the moments are those of
  whole minibatches (`gradient_steps`);
* in each gradient step: each device takes 1 / k of the samples of the minibatch that one device
  would take, and the gradient and the losses are the means over devices.

Random numbers are those of one device: each device draws all of them and takes its share. What is
learnt is therefore the same, apart from the order in which floats are added.

Each function of core/ computes on one device's share, and calls the methods of `DeviceAxis` where
it needs the other shares. With one device, these methods return their argument.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from rpojax.devices.sharding import ENVS_AXIS
from rpojax.settings.config import Config
from rpojax.types import Array, PyTree


class DeviceAxis(NamedTuple):
    """The devices of one agent, of which this program runs on one."""

    size: int  # k

    def share(self, tree: PyTree, axis: int = 0) -> PyTree:
        """The part of an axis that is this device's: [..., n, ...] becomes [..., n / k, ...]."""
        if self.size == 1:
            return tree
        index = jax.lax.axis_index(ENVS_AXIS)

        def one(leaf: Array) -> Array:
            count = leaf.shape[axis] // self.size
            part: Array = jax.lax.dynamic_slice_in_dim(leaf, index * count, count, axis)
            return part

        return jax.tree.map(one, tree)

    def whole(self, tree: PyTree, axis: int = 0) -> PyTree:
        """The parts of all devices, the inverse of `share`."""
        if self.size == 1:
            return tree
        return jax.lax.all_gather(tree, ENVS_AXIS, axis=axis, tiled=True)

    def mean(self, tree: PyTree) -> PyTree:
        """The mean over devices of each number, f32[...], in one message."""
        if self.size == 1:
            return tree
        vector, unravel = ravel_pytree(tree)
        return unravel(jax.lax.pmean(vector, ENVS_AXIS))

    def sum(self, tree: PyTree) -> PyTree:
        """The sum over devices of each number."""
        return tree if self.size == 1 else jax.lax.psum(tree, ENVS_AXIS)

    def any(self, flags: Array) -> Array:
        """Whether a flag is True on any device, bool[...]."""
        return flags if self.size == 1 else self.sum(flags.astype(jnp.int32)) > 0

    def moments(self, mean: Array, var: Array) -> tuple[Array, Array]:
        """Mean and population variance of all samples, from those of each device's.

        The parallel formula of Chan, Golub and LeVeque (1983) for k parts of one size.
        """
        if self.size == 1:
            return mean, var
        means, variances = jax.lax.all_gather(jnp.stack([mean, var]), ENVS_AXIS, axis=1)
        total = jnp.mean(means, axis=0)
        between = jnp.mean(jnp.square(means - total[None]), axis=0)
        return total, jnp.mean(variances, axis=0) + between


ONE_DEVICE = DeviceAxis(1)


def device_axis(cfg: Config) -> DeviceAxis:
    """The devices of an agent with these settings."""
    return DeviceAxis(cfg.devices_per_agent)
