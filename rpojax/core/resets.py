"""Start a new episode in the step in which one ends.

`Env.step` is a step of one episode; training alone adds resets to it. Evaluation and rendering
play one episode, and compile none.

"exact" computes `Env.reset` in each step, for all environments, and uses it where an episode has
ended. This costs up to two thirds of the speed where a reset is a simulation of its own.

"pool" computes `Env.reset` K times for each rollout, K = `Config.reset_pool`, and starts each new
episode in one of these states, chosen uniformly. Each start has the distribution of `Env.reset`.
Those of one rollout are not independent, however: two are equal with probability 1/K, so that they
spread less, their variance being 1 - 1/K of the true one on average. PRNG keys in a state that was
picked are replaced, so that the noise of two episodes from the same start differs.

What outlives an episode, such as the level of a curriculum, is handed on by `Env.continuation`:
with "exact", starts may depend on it; those of a pool are made before it is known.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rpojax.core.invalid import end_where_invalid
from rpojax.core.keys import UpdateKeys
from rpojax.envs.base import Env, Params, Resets, TimeStep
from rpojax.settings.config import Config
from rpojax.trees import is_key, select
from rpojax.types import Array, Key, PyTree


class Starts(NamedTuple):
    """Where the new episodes of a rollout start."""

    pool: PyTree  # (state, obs) [K, ...]; None: by exact resets
    picks: Array | None  # i32[T, B] the states to start in; None likewise


def draw_starts(cfg: Config, env: Env, env_params: Params, keys: UpdateKeys) -> Starts:
    """Draw the pool of a rollout, if resets take from one."""
    if reset_mode(cfg, env) == "exact":
        return Starts(None, None)
    pool = env.reset(jax.random.split(keys.pool, cfg.reset_pool), env_params)
    shape = (cfg.num_steps, cfg.num_envs)
    return Starts(pool, jax.random.randint(keys.picks, shape, 0, cfg.reset_pool, jnp.int32))


def reset_mode(cfg: Config, env: Env) -> Resets:
    """The config's choice or, if that is "auto", the environment's."""
    return env.resets if cfg.resets == "auto" else cfg.resets


class Stepped(NamedTuple):
    """B environments after a step, with new episodes where theirs ended."""

    state: PyTree  # [B, ...]
    obs: PyTree  # [B, ...] to act on next
    timestep: TimeStep  # what the step led to; `obs` is the last one of an episode that has ended
    invalid: Array  # bool[B] the step gave NaN or infinity, which ended the episode


def step_and_reset(
    env: Env,
    env_params: Params,
    starts: Starts,
    keys: Key,
    state: PyTree,
    obs: PyTree,
    action: Array,
) -> Stepped:
    """Advance B environments by one step, and start new episodes where theirs ended.

    Args:
        env, env_params: the environment and its changed parameters.
        starts: of this step: the pool, and picks i32[B].
        keys: [B] for the steps and the resets, which use independent halves.
        state, obs: [B, ...]; action: f32[B, A].
    """
    pairs = jax.vmap(jax.random.split)(keys)
    step_keys, reset_keys = pairs[:, 0], pairs[:, 1]
    stepped, timestep = env.step(step_keys, state, action, env_params)
    timestep, invalid = end_where_invalid(obs, timestep)
    if starts.picks is None:
        fresh = env.restart(reset_keys, stepped, env_params)
    else:
        picked, first_obs = jax.tree.map(lambda leaf: leaf[starts.picks], starts.pool)
        picked = rekey(env, reset_keys, picked)
        if env.continuation is not None:
            picked = env.continuation.inherit(stepped, picked, env_params)
        fresh = picked, first_obs
    done = timestep.terminated | timestep.truncated
    next_state, next_obs = select(done, fresh, (stepped, timestep.obs))
    return Stepped(next_state, next_obs, timestep, invalid)


def rekey(env: Env, keys: Key, state: PyTree) -> PyTree:
    """States [B, ...] with new PRNG keys, by keys [B].

    Each typed key in a state has the same fresh number folded in, so that keys which were equal or
    different stay so. `Env.rekey` replaces keys that are plain numbers.
    """
    pairs = jax.vmap(jax.random.split)(keys)
    bits = jax.vmap(jax.random.bits)(pairs[:, 0])

    def one(leaf: Array) -> Array:
        if not is_key(leaf):
            return leaf
        fold = jax.random.fold_in
        for _ in leaf.shape[1:]:
            fold = jax.vmap(fold, (0, None))
        return jax.vmap(fold)(leaf, bits)

    state = jax.tree.map(one, state)
    return state if env.rekey is None else env.rekey(pairs[:, 1], state)
