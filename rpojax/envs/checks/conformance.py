"""The conformance test that every environment must pass."""

import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import INVALID, Env, TimeStep, is_valid, naming, require
from rpojax.envs.checks.contract import check_contract, check_traced_params
from rpojax.trees import is_key, select
from rpojax.types import Array, Key, PyTree


class _Led(NamedTuple):
    """What a step or a reset led to."""

    state: PyTree  # [B, ...]
    observation: PyTree  # [B, ...]


class _Rollout(NamedTuple):
    """Random actions in B environments, T steps, with resets between episodes."""

    steps: TimeStep  # [T, B, ...]
    repeated: _Led  # bool[T, B] where the same step with another key led to the same
    at_start: _Led  # bool[T, B] where it led to the start of its own episode
    valid_start: Array  # bool[T, B] where a reset gave an observation of valid numbers


def check_env(env: Env, num_envs: int = 3, num_steps: int = 1000) -> str:
    """Run an environment with random actions and raise ValueError where it breaks the contract.

    Beyond the shapes, dtypes and bounds that `make` checks on every environment, this checks:

    - `reset` and `step` can be jitted, scanned and vmapped;
    - observations of `reset` are finite, and so are those of `step`, its rewards and metrics,
      unless the step terminates;
    - no step both terminates and truncates, and no episode outlasts `max_episode_steps`;
    - the same keys give the same results;
    - `step` does not reset by itself. One that does is found where starts are random and the
      dynamics are not, and where it returns to the start of the episode;
    - `rekey`, if there is one, gives other states for other keys;
    - `reset` and `step` take `Env.params` as traced arguments, which change no shape or dtype.

    Warns where all episodes terminate exactly at `max_episode_steps`, since a time limit should
    truncate; and where a step that terminates gives NaN, infinity or a number beyond 1e15, in whose
    place training counts a reward of 0 and the observation before.

    Two resets and two steps are compiled, twice. Where XLA takes long for that, set
    `JAX_DISABLE_MOST_OPTIMIZATIONS=1`: the check of `mjx/Humanoid-v5`, with 100 steps, takes two
    minutes instead of more than ten.

    Returns:
        What has been run, as a line to print: the environment, the engine that simulated it where
        there is a choice of one, and how many steps and ends of episodes there were.
    """
    check_contract(env)
    check_traced_params(env)
    two = jax.eval_shape(lambda: jax.random.split(jax.random.key(0)))
    with jax.debug_key_reuse(False):  # JAX takes a scan over split keys under vmap for a reuse
        jax.eval_shape(jax.vmap(lambda key: _random_rollout(env, key, num_envs, 2)), two)
    # Traced twice, to find randomness that does not come from the keys. Unchecked for reuse, since
    # each state, with the keys that it may hold, is stepped from twice.
    with jax.debug_key_reuse(False):
        rollout, again = (
            jax.device_get(
                jax.jit(lambda key: _random_rollout(env, key, num_envs, num_steps))(
                    jax.random.key(1)
                )
            )
            for _ in range(2)
        )
    with naming(env.name):
        require(
            rollout.valid_start.all(), f"obs of reset holds {INVALID}; training cannot start there"
        )
        _check_values(env, rollout.steps)
        require(
            jax.tree.all(jax.tree.map(_same_numbers, rollout.steps, again.steps)),
            "the same keys gave different results; take all randomness from the keys",
        )
        _check_resets(rollout)
        _check_limit(env, rollout.steps)
        _check_rekey(env, num_envs)
    simulated = f", simulated by {env.engine}" if env.engine else ""
    ended = np.count_nonzero(rollout.steps.terminated | rollout.steps.truncated)
    return f"{env.name}{simulated}: {num_envs * num_steps} random steps, {ended} episodes ended"


def _random_rollout(env: Env, key: Key, num_envs: int, num_steps: int) -> _Rollout:
    reset_key, scan_key = jax.random.split(key)
    low, high = _action_range(env)

    def body(carry: tuple[_Led, _Led], key: Key) -> tuple[tuple[_Led, _Led], _Rollout]:
        before, start = carry
        action_key, step_key, other_key, reset_key = jax.random.split(key, 4)
        uniform = jax.random.uniform(action_key, (num_envs, env.action_dim))
        action = low[None] + (high - low)[None] * uniform

        def step(key: Key) -> tuple[TimeStep, _Led]:
            state, timestep = env.step(jax.random.split(key, num_envs), before.state, action, {})
            return timestep, _Led(state, timestep.obs)

        timestep, after = step(step_key)
        _, other = step(other_key)
        fresh = _Led(*env.reset(jax.random.split(reset_key, num_envs), {}))
        done = timestep.terminated | timestep.truncated
        valid = jax.tree.map(is_valid, fresh.observation)
        valid_start = _equal(valid, jax.tree.map(jnp.ones_like, valid))
        found = _Rollout(timestep, _agree(after, other), _agree(after, start), valid_start)
        return select(done, (fresh, fresh), (after, start)), found

    start = _Led(*env.reset(jax.random.split(reset_key, num_envs), {}))
    rollout: _Rollout = jax.lax.scan(body, (start, start), jax.random.split(scan_key, num_steps))[1]
    return rollout


def _action_range(env: Env) -> tuple[np.ndarray, np.ndarray]:
    """Finite bounds of random actions: at most 10 in magnitude, where the environment allows it.

    Bounds that lie apart from [-10, 10] are taken whole. Where one of them is infinite, actions
    reach to twice the other.
    """
    low, high = env.action_low, env.action_high
    near = np.maximum(low, -10.0), np.minimum(high, 10.0)
    finite = np.where(np.isinf(low), 2.0 * high, low), np.where(np.isinf(high), 2.0 * low, high)
    apart = near[0] >= near[1]
    return np.where(apart, finite[0], near[0]), np.where(apart, finite[1], near[1])


def _agree(a: _Led, b: _Led) -> _Led:
    """Where each part is equal, bool[B]."""
    return _Led(*map(_equal, a, b))


def _equal(a: PyTree, b: PyTree) -> Array:
    """Where two trees are equal in every leaf [B, ...], typed PRNG keys aside: bool[B]."""

    def equal(x: Array, y: Array) -> Array:
        if is_key(x):
            return jnp.ones(x.shape[0], bool)
        both_nan = (x != x) & (y != y)
        return jnp.all(((x == y) | both_nan).reshape(x.shape[0], -1), axis=1)

    return jnp.all(jnp.stack(jax.tree.leaves(jax.tree.map(equal, a, b))), axis=0)


def _check_values(env: Env, steps: TimeStep) -> None:
    invalid = np.zeros_like(steps.terminated)
    for name in ("obs", "reward", "metrics"):
        for path, leaf in jax.tree_util.tree_leaves_with_path(getattr(steps, name)):
            where = ~is_valid(leaf).all(axis=tuple(range(2, leaf.ndim)))
            invalid |= where
            require(
                not (where & ~steps.terminated).any(),
                f"{name}{jax.tree_util.keystr(path)} holds {INVALID} under random actions; "
                "terminate where the state diverges",
            )
    if invalid.any():
        warnings.warn(
            f"environment {env.name!r}: {np.count_nonzero(invalid)} of {invalid.size} steps under "
            f"random actions terminated with {INVALID}; training counts such a step as a "
            "termination with a reward of 0",
            stacklevel=3,
        )
    both = steps.terminated & steps.truncated
    require(not both.any(), "a step is both terminated and truncated; use truncated & ~terminated")


def _check_resets(rollout: _Rollout) -> None:
    """Raise ValueError where the steps that end episodes lead to the starts of others."""
    steps = rollout.steps
    done = steps.terminated | steps.truncated
    if not done.any() or done.all():
        return
    for part, repeated, at_start in zip(
        _Led._fields, rollout.repeated, rollout.at_start, strict=True
    ):
        random_at_ends_only = repeated[~done].all() and not repeated[done].any()
        starts_at_ends_only = at_start[done].all() and not at_start[~done].any()
        require(
            not (random_at_ends_only or starts_at_ends_only),
            f"the final {part} of each episode is the first of another: step resets by itself; "
            f"return the {part} that the action led to, and leave resets to rpojax",
        )


def _same_numbers(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a, b, equal_nan=True)


def _check_limit(env: Env, steps: TimeStep) -> None:
    limit = env.max_episode_steps
    if limit is None:
        return
    done = steps.terminated | steps.truncated
    lengths = [_episode_lengths(column) for column in done.T]
    ended = [length for column, _ in lengths for length in column]
    require(
        max(ended, default=0) <= limit and all(running < limit for _, running in lengths),
        f"an episode ran past max_episode_steps = {limit}",
    )
    if ended and min(ended) == limit > 1 and not steps.truncated.any():
        warnings.warn(
            f"environment {env.name!r}: every episode terminated at max_episode_steps = {limit}; "
            "if this is a time limit, report it as truncated, not as terminated",
            stacklevel=3,
        )


def _check_rekey(env: Env, num_envs: int) -> None:
    rekey = env.rekey
    if rekey is None:
        return

    @jax.jit
    def same(key: Key) -> Array:
        keys = jax.random.split(key, (3, num_envs))
        state, obs = env.reset(keys[0], {})
        return jnp.all(_agree(*(_Led(rekey(each, state), obs) for each in keys[1:])).state)

    require(
        not same(jax.random.key(1)),
        "rekey gives the same state for other keys; replace the PRNG keys in the state that are "
        "plain numbers, or leave rekey None where there are none",
    )


def _episode_lengths(done: np.ndarray) -> tuple[list[int], int]:
    """Lengths of the episodes that ended, and that of the one still running; done: bool[T]."""
    ends = np.flatnonzero(done)
    lengths = np.diff(ends, prepend=-1).tolist()
    return lengths, len(done) - sum(lengths)
