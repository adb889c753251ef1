"""The built-in actor-critic: perceptrons, recurrent layers after them if `cell` is set, and heads.

Parameters are {layer: {"kernel": [n, m], "bias": [m]}} with the layers "actor_0", "critic_0" or
"torso_0", ..., "mean" and "value"; {"scale": [m], "bias": [m]} with "actor_norm_0", ... if hidden
layers are normalised; recurrent layers "actor_gru_0", ... as in `cells`. "log_std" is [A], or a
layer where it depends on the observation. It holds the logarithm of the standard deviation or, with
`std_parameterization = "softplus"`, the argument of softplus.
"""

import functools
import math
from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp

from rpojax.envs.base import Env
from rpojax.networks import cells
from rpojax.networks.base import ActorCritic, Outputs, reset_carry
from rpojax.networks.bounds import bounded
from rpojax.networks.initialization import init_params
from rpojax.networks.torsos import (
    Torso,
    cell_of,
    check_keys,
    flatten,
    recurrent_layers,
    torsos_of,
)
from rpojax.ops.matmul import matmul
from rpojax.settings.network_config import NetworkConfig
from rpojax.types import Array, PyTree

LAYER_NORM_EPSILON = 1e-6  # as in flax


# (parameters, inputs [..., D], carry) -> (outputs [..., H], carry)
RecurrentLayer: TypeAlias = Callable[[PyTree, Array, PyTree], tuple[Array, PyTree]]


def builtin_network(config: NetworkConfig, env: Env) -> ActorCritic:
    """The network that a `NetworkConfig` describes.

    Raises:
        ValueError: `actor_keys` or `critic_keys` that the observations do not have.
    """
    check_keys(config, env)
    init = functools.partial(init_params, config, env)
    apply = functools.partial(_apply, config, env)
    if config.cell is None:
        return ActorCritic(init, apply, distribution=config.distribution)
    return ActorCritic(
        init,
        apply,
        unroll=functools.partial(_unroll, config, env),
        initial_carry=functools.partial(_initial_carry, config),
        distribution=config.distribution,
    )


def _apply(
    config: NetworkConfig,
    env: Env,
    params: PyTree,
    obs: PyTree,
    carry: PyTree = (),
    reset: Array | None = None,
) -> tuple[Outputs, PyTree]:
    def layer(params: PyTree, inputs: Array, carry: PyTree) -> tuple[Array, PyTree]:
        cell = cell_of(config)
        carry = cells.step(cell, params, inputs, carry, config.dtype)
        return cell.hidden(carry), carry

    carry = reset_carry(carry, jax.tree.map(jnp.zeros_like, carry), reset)
    return _forward(config, env, params, obs, carry, layer)


def _unroll(
    config: NetworkConfig, env: Env, params: PyTree, obs: PyTree, carry: PyTree, reset: Array
) -> Outputs:
    def layer(params: PyTree, inputs: Array, carry: PyTree) -> tuple[Array, PyTree]:
        cell = cell_of(config)
        return cells.unroll(cell, params, inputs, carry, reset, config.dtype), ()

    return _forward(config, env, params, obs, carry, layer)[0]


def _initial_carry(config: NetworkConfig, batch_shape: tuple[int, ...]) -> PyTree:
    """Zeros: for each torso, the carry of each of its recurrent layers, [*batch_shape, H]."""
    cell = cell_of(config)
    return {
        torso.name: tuple(cell.initial((*batch_shape, size)) for size in config.cell_sizes)
        for torso in torsos_of(config)
    }


def _forward(
    config: NetworkConfig,
    env: Env,
    params: PyTree,
    obs: PyTree,
    carry: PyTree,
    recurrent_layer: RecurrentLayer,
) -> tuple[Outputs, PyTree]:
    hidden: list[Array] = []
    carry_after: dict[str, PyTree] = {}
    for torso in torsos_of(config):
        layer = _perceptron(config, params, torso, flatten(obs, env.obs, torso.keys))
        carries = []
        for index, (name, _) in enumerate(recurrent_layers(config, torso.name)):
            layer, last = recurrent_layer(params[name], layer, carry[torso.name][index])
            carries.append(last)
        hidden.append(layer)
        carry_after[torso.name] = tuple(carries)
    actor, critic = hidden[0], hidden[-1]  # the same if the torso is shared
    raw_std = (
        _dense(params["log_std"], actor) if config.state_dependent_log_std else params["log_std"]
    )
    mean = _dense(params["mean"], actor)
    outputs = Outputs(
        mean,
        jnp.broadcast_to(_log_std(config, raw_std), mean.shape),
        _dense(params["value"], critic)[..., 0],
    )
    return outputs, carry_after if config.cell else ()


def _log_std(config: NetworkConfig, raw: Array) -> Array:
    """The logarithm of the standard deviation within its bounds, from the unbounded parameter."""
    if config.std_parameterization == "softplus":
        raw = jnp.log(jax.nn.softplus(raw) + math.exp(config.log_std_min))
    return bounded(raw, config.log_std_min, config.log_std_max)


def _perceptron(config: NetworkConfig, params: PyTree, torso: Torso, inputs: Array) -> Array:
    """Hidden layers in `config.dtype`, their outputs [..., H] in float32, as the heads take them.

    Heads in bfloat16 would round the mean by a hundredth of it, far more than an update moves it.
    """
    activation = getattr(jax.nn, config.activation)
    layer = inputs.astype(config.dtype)
    for index in range(len(torso.hidden_sizes)):
        layer = _dense(params[f"{torso.name}_{index}"], layer, matmul)
        if config.layer_norm:
            layer = _layer_norm(params[f"{torso.name}_norm_{index}"], layer)
        layer = activation(layer)
    return layer.astype(jnp.float32)


def _layer_norm(params: PyTree, inputs: Array) -> Array:
    """Ba et al. (2016), arXiv 1607.06450, of inputs [..., H]; in float32, as the inputs' dtype."""

    def along(leaf: Array) -> Array:
        return leaf.reshape((1,) * (inputs.ndim - 1) + (-1,))

    exact = inputs.astype(jnp.float32)
    centred = exact - jnp.mean(exact, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
    normalized = centred * jax.lax.rsqrt(variance + LAYER_NORM_EPSILON)
    return (normalized * along(params["scale"]) + along(params["bias"])).astype(inputs.dtype)


def _dense(
    params: PyTree, inputs: Array, product: Callable[[Array, Array], Array] = jnp.matmul
) -> Array:
    """Inputs [..., n] @ kernel + bias, in the dtype of the inputs."""
    bias = params["bias"].astype(inputs.dtype).reshape((1,) * (inputs.ndim - 1) + (-1,))
    return product(inputs, params["kernel"].astype(inputs.dtype)) + bias
