"""From the network of a config to an `ActorCritic`."""

from typing import Any

import flax.linen as nn

from rpojax.envs.base import Env
from rpojax.network_config import NetworkConfig
from rpojax.networks.base import ActorCritic
from rpojax.networks.builtin import builtin_network
from rpojax.networks.modules import from_linen, from_nnx, is_nnx_module


def make_network(network: Any, env: Env) -> ActorCritic:
    """The network for an environment.

    Args:
        network: a `NetworkConfig`; a flax.linen module; or a function that takes `nnx.Rngs` and
            returns an nnx module. A module is called with obs [..., *obs.shape] and returns
            (mean [..., A], log_std [..., A] or [A], value [...] or [..., 1]). One that has a
            method `initial_carry(batch_shape)` is recurrent: it is called with (carry, obs), each
            with one leading axis, and returns (carry, (mean, log_std, value)). Its policy is
            Gaussian unless it has an attribute `distribution`, such as "tanh_gaussian".
        env: gives the shapes.

    Raises:
        ValueError: not a network, one with state besides its parameters, wrong output shapes, or
            keys that the observations do not have.
    """
    if isinstance(network, NetworkConfig):
        return builtin_network(network, env)
    if isinstance(network, nn.Module):
        return from_linen(network, env)
    if callable(network) and not is_nnx_module(network):
        return from_nnx(network, env)
    raise ValueError(
        f"network = {network!r} is not a NetworkConfig or a flax.linen module; of an nnx module, "
        "give a function that makes it, such as lambda rngs: MyModule(rngs=rngs), so that each "
        "seed starts anew"
    )
