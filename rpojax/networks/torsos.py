"""The torsos of the built-in network: the observations that each reads, and its layers."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rpojax.envs.base import Env
from rpojax.networks import cells
from rpojax.settings.network_config import NetworkConfig
from rpojax.trees import leading_axes
from rpojax.types import Array, PyTree
from rpojax.validation import check_known


class Torso(NamedTuple):
    """Hidden layers, and what they read."""

    name: str
    keys: tuple[str, ...] | None  # of a Dict observation; None: all of it
    hidden_sizes: tuple[int, ...]


def torsos_of(config: NetworkConfig) -> tuple[Torso, ...]:
    """The shared torso alone, or the actor's and the critic's."""
    sizes, critic_sizes = config.hidden_sizes, config.critic_hidden_sizes
    if config.shared_torso:
        return (Torso("torso", config.actor_keys, sizes),)
    actor = Torso("actor", config.actor_keys, sizes)
    return actor, Torso(
        "critic", config.critic_keys, sizes if critic_sizes is None else critic_sizes
    )


def recurrent_layers(config: NetworkConfig, torso: str) -> list[tuple[str, int]]:
    """Name and size of each recurrent layer of a torso."""
    if config.cell is None:
        return []
    return [
        (f"{torso}_{config.cell}_{index}", size) for index, size in enumerate(config.cell_sizes)
    ]


def cell_of(config: NetworkConfig) -> cells.Cell:
    """The equations of the recurrent layers; only for networks that have some."""
    assert config.cell is not None
    return cells.CELLS[config.cell]


def flatten(obs: PyTree, spec: PyTree, keys: tuple[str, ...] | None) -> Array:
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


def check_keys(config: NetworkConfig, env: Env) -> None:
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
