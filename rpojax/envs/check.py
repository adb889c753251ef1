"""The conformance test that every environment must pass."""

import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Env, TimeStep, fail_unless
from rpojax.envs.contract import check_contract
from rpojax.types import Key, PyTree


class _Rollout(NamedTuple):
    """Random actions in B environments, T steps."""

    first_obs: PyTree  # [B, ...]
    steps: TimeStep  # [T, B, ...]
    other_final_obs: PyTree  # [T, B, ...] of the same steps, taken with other keys


def check_env(env: Env, num_envs: int = 3, num_steps: int = 1000) -> None:
    """Run an environment with random actions and raise ValueError where it breaks the contract.

    Beyond the shapes, dtypes and bounds that `make` checks on every environment, this checks:

    - `reset` and `step` can be jitted, scanned and vmapped;
    - observations and rewards are finite;
    - `obs` equals `final_obs` inside an episode;
    - no step both terminates and truncates, and no episode outlasts `max_episode_steps`;
    - the same keys give the same results;
    - `final_obs` comes from before the reset. A `step` that resets by itself is found where starts
      are random and the dynamics are not, and where all starts are equal.

    Warns where all episodes terminate exactly at `max_episode_steps`: a time limit should
    truncate.
    """
    check_contract(env)
    two = jax.eval_shape(lambda: jax.random.split(jax.random.key(0)))
    with jax.debug_key_reuse(False):  # JAX takes a scan over split keys under vmap for a reuse
        jax.eval_shape(jax.vmap(lambda key: _random_rollout(env, key, num_envs, 2)), two)
    # Traced twice, to find randomness that does not come from the keys.
    rollout, again = (
        jax.device_get(
            jax.jit(lambda key: _random_rollout(env, key, num_envs, num_steps))(jax.random.key(1))
        )
        for _ in range(2)
    )
    _check_values(env, rollout.steps)
    fail_unless(
        env.name,
        jax.tree.all(jax.tree.map(np.array_equal, rollout.steps, again.steps)),
        "the same keys gave different results; take all randomness from the keys",
    )
    _check_resets(env, rollout)
    _check_limit(env, rollout.steps)


def _random_rollout(env: Env, key: Key, num_envs: int, num_steps: int) -> _Rollout:
    reset_key, scan_key = jax.random.split(key)
    low, high = jnp.maximum(env.action_low, -10.0), jnp.minimum(env.action_high, 10.0)
    # Bounds that lie apart from [-10, 10] are taken whole.
    low = jnp.where(low < high, low, env.action_low)
    high = jnp.where(low < high, high, env.action_high)

    def body(state: PyTree, key: Key) -> tuple[PyTree, tuple[TimeStep, PyTree]]:
        action_key, step_key, other_key = jax.random.split(key, 3)
        uniform = jax.random.uniform(action_key, (num_envs, env.action_dim))
        action = low[None] + (high - low)[None] * uniform
        next_state, timestep = env.step(jax.random.split(step_key, num_envs), state, action)
        _, other = env.step(jax.random.split(other_key, num_envs), state, action)
        return next_state, (timestep, other.final_obs)

    state, first_obs = env.reset(jax.random.split(reset_key, num_envs))
    steps, other_final_obs = jax.lax.scan(body, state, jax.random.split(scan_key, num_steps))[1]
    return _Rollout(first_obs, steps, other_final_obs)


def _check_values(env: Env, steps: TimeStep) -> None:
    for name in ("obs", "final_obs", "reward"):
        for path, leaf in jax.tree_util.tree_leaves_with_path(getattr(steps, name)):
            fail_unless(
                env.name,
                bool(np.isfinite(leaf).all()),
                f"{name}{jax.tree_util.keystr(path)} holds NaN or infinity under random actions; "
                "terminate before the state diverges, and clean the last step with jnp.nan_to_num",
            )
    both = steps.terminated & steps.truncated
    fail_unless(
        env.name,
        not both.any(),
        "a step is both terminated and truncated; use truncated & ~terminated",
    )
    inside = ~(steps.terminated | steps.truncated)
    fail_unless(
        env.name,
        bool(_agree(steps.obs, steps.final_obs, 2)[inside].all()),
        "obs and final_obs differ where no episode ended",
    )


def _check_resets(env: Env, rollout: _Rollout) -> None:
    """Raise ValueError where `final_obs` is the first observation of the next episode."""
    steps = rollout.steps
    done = steps.terminated | steps.truncated
    if not done.any() or done.all():
        return
    repeated = _agree(steps.final_obs, rollout.other_final_obs, 2)
    random_at_ends_only = repeated[~done].all() and not repeated[done].any()

    start = jax.tree.map(lambda leaf: leaf[:1], rollout.first_obs)
    is_start = _agree(steps.final_obs, start, 2)
    one_start = _agree(rollout.first_obs, start, 1).all()
    starts_at_ends_only = one_start and is_start[done].all() and not is_start[~done].any()
    fail_unless(
        env.name,
        not (random_at_ends_only or starts_at_ends_only),
        "the final observation of each episode is the first of another: step resets by itself; "
        "return the observation that the action led to, and leave resets to rpojax",
    )


def _check_limit(env: Env, steps: TimeStep) -> None:
    limit = env.max_episode_steps
    if limit is None:
        return
    done = steps.terminated | steps.truncated
    lengths = [_episode_lengths(column) for column in done.T]
    ended = [length for column, _ in lengths for length in column]
    fail_unless(
        env.name,
        max(ended, default=0) <= limit and all(running < limit for _, running in lengths),
        f"an episode ran past max_episode_steps = {limit}",
    )
    if ended and min(ended) == limit > 1 and not steps.truncated.any():
        warnings.warn(
            f"environment {env.name!r}: every episode terminated at max_episode_steps = {limit}; "
            "if this is a time limit, report it as truncated, not as terminated",
            stacklevel=3,
        )


def _episode_lengths(done: np.ndarray) -> tuple[list[int], int]:
    """Lengths of the episodes that ended, and that of the one still running; done: bool[T]."""
    ends = np.flatnonzero(done)
    lengths = np.diff(ends, prepend=-1).tolist()
    return lengths, len(done) - sum(lengths)


def _agree(a: PyTree, b: PyTree, axes: int) -> np.ndarray:
    """Where two trees agree in every leaf, along the first axes of `a`; `b` may broadcast."""
    equal = jax.tree.map(lambda x, y: (x == y).all(axis=tuple(range(axes, x.ndim))), a, b)
    return np.logical_and.reduce(jax.tree.leaves(equal))
