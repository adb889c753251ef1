"""The built-in actor-critic: perceptrons, recurrent layers behind them if asked for, and heads.

Parameters are {layer: {"kernel": [n, m], "bias": [m]}} with the layers "actor_0", "critic_0" or
"torso_0", ..., "mean" and "value"; {"scale": [m], "bias": [m]} with "actor_norm_0", ... if hidden
layers are normalised; recurrent layers "actor_gru_0", ... as in `cells`; and
"log_std", [A], or a layer of that name where it depends on the observation: the logarithm itself,
or what softplus makes a standard deviation of.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Env
from rpojax.network_config import NetworkConfig
from rpojax.networks import cells
from rpojax.networks.base import ActorCritic, Outputs, reset_carry
from rpojax.networks.bounds import bounded
from rpojax.ops.matmul import matmul
from rpojax.ops.orthogonal import orthogonal
from rpojax.trees import leading_axes
from rpojax.types import Array, Key, PyTree
from rpojax.validation import check_known

HEAD_SCALES = {"mean": 0.01, "log_std": 0.01, "value": 1.0}
HIDDEN_SCALE, CELL_SCALE = math.sqrt(2.0), 1.0
LAYER_NORM_EPSILON = 1e-6  # as in flax
LARGEST_DRAWN_TOGETHER = 128  # longer side of a kernel; see `_init`


class Torso(NamedTuple):
    """Hidden layers, and what they read."""

    name: str
    keys: tuple[str, ...] | None  # of a Dict observation; None: all of it
    hidden_sizes: tuple[int, ...]


# (parameters, inputs [..., D], carry) -> (outputs [..., H], carry)
RecurrentLayer: TypeAlias = Callable[[PyTree, Array, PyTree], tuple[Array, PyTree]]


def builtin_network(config: NetworkConfig, env: Env) -> ActorCritic:
    """The network that a `NetworkConfig` describes.

    Raises:
        ValueError: `actor_keys` or `critic_keys` that the observations do not have.
    """
    _check_keys(config, env)
    init = functools.partial(_init, config, env)
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
        cell = _cell(config)
        carry = cells.step(cell, params, inputs, carry, config.dtype)
        return cell.hidden(carry), carry

    carry = reset_carry(carry, jax.tree.map(jnp.zeros_like, carry), reset)
    return _forward(config, env, params, obs, carry, layer)


def _unroll(
    config: NetworkConfig, env: Env, params: PyTree, obs: PyTree, carry: PyTree, reset: Array
) -> Outputs:
    def layer(params: PyTree, inputs: Array, carry: PyTree) -> tuple[Array, PyTree]:
        cell = _cell(config)
        return cells.unroll(cell, params, inputs, carry, reset, config.dtype), ()

    return _forward(config, env, params, obs, carry, layer)[0]


def _initial_carry(config: NetworkConfig, batch_shape: tuple[int, ...]) -> PyTree:
    """Zeros: for each torso, the carry of each of its recurrent layers, [*batch_shape, H]."""
    cell = _cell(config)
    return {
        torso.name: tuple(cell.initial((*batch_shape, size)) for size in config.cell_sizes)
        for torso in _torsos(config)
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
    for torso in _torsos(config):
        layer = _perceptron(config, params, torso, _flatten(obs, env.obs, torso.keys))
        carries = []
        for index, (name, _) in enumerate(_cells(config, torso.name)):
            layer, last = recurrent_layer(params[name], layer, carry[torso.name][index])
            carries.append(last)
        hidden.append(layer)
        carry_after[torso.name] = tuple(carries)
    actor, critic = hidden[0], hidden[-1]  # one and the same if the torso is shared
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
    """The logarithm of the standard deviation within its bounds, for the free number behind it."""
    if config.std_parameterization == "softplus":
        raw = jnp.log(jax.nn.softplus(raw) + math.exp(config.log_std_min))
    return bounded(raw, config.log_std_min, config.log_std_max)


def _raw_std_init(config: NetworkConfig) -> float:
    """The number for which `_log_std` is `log_std_init`."""
    if config.std_parameterization == "exp":
        return config.log_std_init
    above_floor = math.exp(config.log_std_init) - math.exp(config.log_std_min)
    return above_floor + math.log(-math.expm1(-above_floor))  # the inverse of softplus


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


def _flatten(obs: PyTree, spec: PyTree, keys: tuple[str, ...] | None) -> Array:
    """Observations as vectors, [..., D]: leaves of any rank, one after the other.

    Args:
        obs: pytree of [..., *leaf.shape]; spec: of one observation.
        keys: which entries of a Dict observation; None for all.
    """
    if keys is not None:
        obs, spec = ({key: tree[key] for key in keys} for tree in (obs, spec))

    def vector(leaf: Array, like: jax.ShapeDtypeStruct) -> Array:
        return leaf.astype(jnp.float32).reshape(*leading_axes(leaf, like), -1)

    leaves = jax.tree.leaves(jax.tree.map(vector, obs, spec))
    return leaves[0] if len(leaves) == 1 else jnp.concatenate(leaves, axis=-1)


class Kernel(NamedTuple):
    """A matrix of `blocks` orthogonal ones side by side."""

    layer: str
    leaf: str
    rows: int
    columns: int
    blocks: int
    scale: float

    @property
    def longer(self) -> int:
        """Its longer side."""
        return max(self.rows, self.columns)

    @property
    def shorter(self) -> int:
        """Its shorter side."""
        return min(self.rows, self.columns)


def _init(config: NetworkConfig, env: Env, key: Key) -> PyTree:
    """Orthogonal kernels, biases 0.

    One draw for all kernels, and one orthogonalisation for small ones whose longer side is the
    same, since each of either is a loop to compile: some of the columns of a uniformly distributed
    orthogonal matrix are uniformly distributed, too. But a narrow kernel then takes as long as the
    widest of its group, so that large ones are drawn with those of their own shape alone.
    """
    groups: dict[tuple[int, int], list[Kernel]] = {}
    for kernel in sorted(_kernels(config, env)):
        own_shape = kernel.shorter if kernel.longer > LARGEST_DRAWN_TOGETHER else 0
        groups.setdefault((kernel.longer, own_shape), []).append(kernel)
    shapes = [
        (sum(kernel.blocks for kernel in alike), longer, max(kernel.shorter for kernel in alike))
        for (longer, _), alike in groups.items()
    ]
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    draws = jnp.split(jax.random.normal(key, (ends[-1],), jnp.float32), ends[:-1])
    params: dict[str, Any] = {}
    for shape, alike, noise in zip(shapes, groups.values(), draws, strict=True):
        matrices = iter(jax.vmap(orthogonal)(noise.reshape(shape)))
        for kernel in alike:
            blocks = [next(matrices)[:, : kernel.shorter] for _ in range(kernel.blocks)]
            if kernel.rows < kernel.columns:
                blocks = [block.T for block in blocks]
            layer = params.setdefault(
                kernel.layer, {"bias": jnp.zeros(kernel.columns * kernel.blocks, jnp.float32)}
            )
            layer[kernel.leaf] = kernel.scale * jnp.concatenate(blocks, axis=-1)
    if config.layer_norm:
        for torso in _torsos(config):
            for index, size in enumerate(torso.hidden_sizes):
                params[f"{torso.name}_norm_{index}"] = {
                    "scale": jnp.ones(size, jnp.float32),
                    "bias": jnp.zeros(size, jnp.float32),
                }
    if config.cell == "gru":
        for torso in _torsos(config):
            for name, size in _cells(config, torso.name):
                params[name]["hidden_bias"] = jnp.zeros(size, jnp.float32)
    raw_std = jnp.full(env.action_dim, _raw_std_init(config), jnp.float32)
    if config.state_dependent_log_std:
        params["log_std"]["bias"] = raw_std
    else:
        params["log_std"] = raw_std
    return params


def _kernels(config: NetworkConfig, env: Env) -> list[Kernel]:
    kernels, widths = [], []
    for torso in _torsos(config):
        zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape), env.obs)
        width = jax.eval_shape(
            lambda obs, keys=torso.keys: _flatten(obs, env.obs, keys), zeros
        ).size
        for index, size in enumerate(torso.hidden_sizes):
            kernels.append(Kernel(f"{torso.name}_{index}", "kernel", width, size, 1, HIDDEN_SCALE))
            width = size
        for name, size in _cells(config, torso.name):
            gates = _cell(config).gates
            kernels.append(Kernel(name, "input", width, size, gates, CELL_SCALE))
            kernels.append(Kernel(name, "hidden", size, size, gates, CELL_SCALE))
            width = size
        widths.append(width)
    actor, critic = widths[0], widths[-1]
    heads = {"mean": (actor, env.action_dim), "value": (critic, 1)}
    if config.state_dependent_log_std:
        heads["log_std"] = (actor, env.action_dim)
    for name, (width, size) in heads.items():
        kernels.append(Kernel(name, "kernel", width, size, 1, HEAD_SCALES[name]))
    return kernels


def _torsos(config: NetworkConfig) -> tuple[Torso, ...]:
    """One for both, or the actor's and the critic's."""
    sizes, critic_sizes = config.hidden_sizes, config.critic_hidden_sizes
    if config.shared_torso:
        return (Torso("torso", config.actor_keys, sizes),)
    actor = Torso("actor", config.actor_keys, sizes)
    return actor, Torso(
        "critic", config.critic_keys, sizes if critic_sizes is None else critic_sizes
    )


def _cells(config: NetworkConfig, torso: str) -> list[tuple[str, int]]:
    """Name and size of each recurrent layer of a torso."""
    if config.cell is None:
        return []
    return [
        (f"{torso}_{config.cell}_{index}", size) for index, size in enumerate(config.cell_sizes)
    ]


def _cell(config: NetworkConfig) -> cells.Cell:
    """The equations of its recurrent layers, of a network that has some."""
    assert config.cell is not None
    return cells.CELLS[config.cell]


def _check_keys(config: NetworkConfig, env: Env) -> None:
    """Raise ValueError for keys that the observations do not have."""
    for name in ("actor_keys", "critic_keys"):
        keys = getattr(config, name)
        if keys is None:
            continue
        if not isinstance(env.obs, Mapping):
            raise ValueError(
                f"{name} = {keys!r} picks entries of a Dict observation, and those of "
                f"{env.name!r} are {env.obs}; leave it None"
            )
        for key in keys:
            check_known(key, list(env.obs), f"entry of {name}")
