"""From the network of a config to an `ActorCritic`."""

from typing import Any

import flax.linen as nn

from rpojax.envs.base import Env
from rpojax.networks.base import ActorCritic
from rpojax.networks.builtin import builtin_network
from rpojax.networks.modules import from_linen, from_nnx, is_nnx_module
from rpojax.settings.network_config import NetworkConfig
from rpojax.types import PyTree


def make_network(network: Any, env: Env, obs: PyTree | None = None) -> ActorCritic:
    """The network for an environment.

    Args:
        network: a `NetworkConfig`; a flax.linen module; or a function that takes `nnx.Rngs` and
            returns an nnx module. A module is called with obs [..., *obs.shape] and returns
            (mean [..., A], log_std [..., A] or [A], value [...] or [..., 1]). One that has a
            method `initial_carry(batch_shape)` is recurrent: it is called with (carry, obs), each
            with one leading axis, and returns (carry, (mean, log_std, value)). Its policy is
            Gaussian unless it has an attribute `distribution`, such as "tanh_gaussian".
        env: gives the shapes.
        obs: pytree of `jax.ShapeDtypeStruct`, one observation as the network is called with it: in
            float32 where observations are normalised. None for `env.obs`.

    Raises:
        ValueError: not a network, one with state besides its parameters, wrong output shapes, or
            keys that the observations do not have.
    """
    obs = env.obs if obs is None else obs
    if isinstance(network, NetworkConfig):
        return builtin_network(network, env)
    if isinstance(network, nn.Module):
        return from_linen(network, env, obs)
    if callable(network) and not is_nnx_module(network):
        return from_nnx(network, env, obs)
    raise ValueError(
        f"network = {network!r} is not a NetworkConfig or a flax.linen module; for an nnx module, "
        "give a function that builds it, such as lambda rngs: MyModule(rngs=rngs), so that each "
        "seed has its own initial parameters"
    )
