"""Where the random numbers come from: each key of a training by name.

The tree of keys. Each line is one `jax.random.split`, and no key is used twice:

    key of the agent -> next, params, environment[B]                          (`initial_keys`)
    state.key        -> next, noise, shuffle[E], perturbation[E],
                        environment[T, B], warm_up, pool, picks               (`update_keys`)

`next` is the `state.key` of the update that follows. E = update_epochs, T = num_steps,
B = num_envs. All keys of an update come from one split, since each split is a loop to compile.
"""

import itertools
import math
from typing import Any, NamedTuple, TypeAlias, TypeVar

import jax
import numpy as np

from rpojax.settings.config import Config
from rpojax.trees import is_key
from rpojax.types import Key
from rpojax.validation import show


class InitialKeys(NamedTuple):
    """What a training begins with."""

    next: Key  # []
    params: Key  # [] initial parameters
    environment: Key  # [B] first episodes


class UpdateKeys(NamedTuple):
    """What one update uses: a rollout and the gradient steps on it."""

    next: Key  # []
    noise: Key  # [] of the rollout: noise of the actions and the perturbation, in one draw
    shuffle: Key  # [E] the order of the samples
    perturbation: Key  # [E] of the means in the gradient steps
    environment: Key  # [T, B] steps and resets
    warm_up: Key  # [] uniform actions, while `random_timesteps` last
    pool: Key  # [] initial states, if resets take them from a pool
    picks: Key  # [] which of them


Keys = TypeVar("Keys", InitialKeys, UpdateKeys)
Shape: TypeAlias = tuple[int, ...]


def check_key(key: Any) -> None:
    """ValueError unless it is a PRNG key of one agent, typed or u32[2]."""
    is_raw = getattr(key, "dtype", None) == np.uint32 and np.ndim(key) == 1
    if not is_raw and (not isinstance(key, jax.Array) or not is_key(key) or key.ndim):
        shape = f" of the shape {np.shape(key)}" if np.ndim(key) else ""
        raise ValueError(
            f"key = {show(key)}{shape} is not a PRNG key of one agent; give one, such as "
            "jax.random.key(0), and map many with jax.vmap"
        )


def initial_keys(cfg: Config, key: Key) -> InitialKeys:
    """Split the key of an agent. The parts of a uint32[2] are typed too: `rekey` must see them."""
    if not is_key(key):
        key = jax.random.wrap_key_data(key)
    return _split(key, InitialKeys, {"next": (), "params": (), "environment": (cfg.num_envs,)})


def update_keys(cfg: Config, key: Key) -> UpdateKeys:
    """Split `state.key` at the start of an update."""
    shapes: dict[str, Shape] = {
        "next": (),
        "noise": (),
        "shuffle": (cfg.update_epochs,),
        "perturbation": (cfg.update_epochs,),
        "environment": (cfg.num_steps, cfg.num_envs),
        "warm_up": (),
        "pool": (),
        "picks": (),
    }
    return _split(key, UpdateKeys, shapes)


def _split(key: Key, kind: type[Keys], shapes: dict[str, Shape]) -> Keys:
    """Keys of these shapes, by name, from one split."""
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    ends = dict(zip(sizes, itertools.accumulate(sizes.values()), strict=True))
    keys = jax.random.split(key, sum(sizes.values()))
    # Slices, because `jax_debug_key_reuse` takes `jnp.split` for a use of the keys.
    parts = {name: keys[ends[name] - size : ends[name]] for name, size in sizes.items()}
    return kind(
        **{name: part.reshape(*shapes[name], *keys.shape[1:]) for name, part in parts.items()}
    )
