"""Initial parameters of the built-in network: orthogonal kernels, biases of 0."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Env
from rpojax.networks.torsos import cell_of, flatten, recurrent_layers, torsos_of
from rpojax.ops.orthogonal import orthogonal
from rpojax.settings.network_config import NetworkConfig
from rpojax.types import Key, PyTree

HEAD_SCALES = {"mean": 0.01, "log_std": 0.01, "value": 1.0}
HIDDEN_SCALE, CELL_SCALE = math.sqrt(2.0), 1.0
LARGEST_DRAWN_TOGETHER = 128  # longer side of a kernel; see `init_params`


class Kernel(NamedTuple):
    """A kernel: `blocks` orthogonal matrices side by side."""

    layer: str
    leaf: str
    rows: int
    columns: int  # of each block
    blocks: int  # one for each gate of a recurrent cell, else 1
    scale: float

    @property
    def longer(self) -> int:
        """Its longer side."""
        return max(self.rows, self.columns)

    @property
    def shorter(self) -> int:
        """Its shorter side."""
        return min(self.rows, self.columns)


def init_params(config: NetworkConfig, env: Env, key: Key) -> PyTree:
    """Orthogonal kernels, biases 0.

    Each draw and each orthogonalisation is a loop to compile. All kernels therefore share one draw,
    and small kernels with the same longer side share one orthogonalisation: a subset of the columns
    of a uniformly distributed orthogonal matrix is uniformly distributed too. A narrow kernel then
    takes as long as the widest of its group, so large kernels share one with those of their own
    shape only.
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
        for torso in torsos_of(config):
            for index, size in enumerate(torso.hidden_sizes):
                params[f"{torso.name}_norm_{index}"] = {
                    "scale": jnp.ones(size, jnp.float32),
                    "bias": jnp.zeros(size, jnp.float32),
                }
    if config.cell == "gru":
        for torso in torsos_of(config):
            for name, size in recurrent_layers(config, torso.name):
                params[name]["hidden_bias"] = jnp.zeros(size, jnp.float32)
    raw_std = jnp.full(env.action_dim, _raw_std_init(config), jnp.float32)
    if config.state_dependent_log_std:
        params["log_std"]["bias"] = raw_std
    else:
        params["log_std"] = raw_std
    return params


def _kernels(config: NetworkConfig, env: Env) -> list[Kernel]:
    kernels, widths = [], []
    for torso in torsos_of(config):
        zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape), env.obs)
        width = jax.eval_shape(lambda obs, keys=torso.keys: flatten(obs, env.obs, keys), zeros).size
        for index, size in enumerate(torso.hidden_sizes):
            kernels.append(Kernel(f"{torso.name}_{index}", "kernel", width, size, 1, HIDDEN_SCALE))
            width = size
        for name, size in recurrent_layers(config, torso.name):
            gates = cell_of(config).gates
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


def _raw_std_init(config: NetworkConfig) -> float:
    """The unbounded parameter for a standard deviation of exp(`log_std_init`)."""
    if config.std_parameterization == "exp":
        return config.log_std_init
    above_floor = math.exp(config.log_std_init) - math.exp(config.log_std_min)
    return above_floor + math.log(-math.expm1(-above_floor))  # the inverse of softplus
