"""The conformance test that every environment must pass."""

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Env, TimeStep
from rpojax.trees import batched, same_avals
from rpojax.types import Key, PyTree


def check_env(env: Env, num_envs: int = 3, num_steps: int = 1000) -> None:
    """Run an environment with random actions and raise ValueError where it breaks the contract.

    Checked: shapes and dtypes of all that `reset` and `step` return; that they can be jitted,
    scanned and vmapped; bounds; that nothing is NaN; that `obs` equals `final_obs` inside an
    episode; that no step both terminates and truncates; that episodes end by
    `max_episode_steps`; that the same keys give the same results.
    """
    _require(env, env.action_low.shape == env.action_high.shape, "action bounds differ in shape")
    _require(env, bool((env.action_low < env.action_high).all()), "action_low is not below high")
    keys = jax.random.split(jax.random.key(0), num_envs)
    state, obs = jax.eval_shape(env.reset, keys)
    _check_specs(env, "obs from reset", obs, env.obs, num_envs)

    action = jax.ShapeDtypeStruct((num_envs, env.action_dim), jnp.float32)
    next_state, timestep = jax.eval_shape(env.step, keys, state, action)
    _require(
        env,
        same_avals(state, next_state),
        f"the state changes its shapes or dtypes from {state} to {next_state}; a scan needs them "
        "to stay",
    )
    scalar = jax.ShapeDtypeStruct((), jnp.float32)
    flag = jax.ShapeDtypeStruct((), jnp.bool_)
    _check_specs(env, "obs from step", timestep.obs, env.obs, num_envs)
    _check_specs(env, "final_obs", timestep.final_obs, env.obs, num_envs)
    _check_specs(env, "reward", timestep.reward, scalar, num_envs)
    _check_specs(env, "terminated", timestep.terminated, flag, num_envs)
    _check_specs(env, "truncated", timestep.truncated, flag, num_envs)

    two = jax.random.split(jax.random.key(1))
    jax.eval_shape(jax.vmap(lambda key: _random_rollout(env, key, num_envs, 2)), two)
    # Traced twice, so that randomness which does not come from the keys shows.
    steps, again = (
        jax.device_get(jax.jit(lambda key: _random_rollout(env, key, num_envs, num_steps))(two[0]))
        for _ in range(2)
    )
    _check_values(env, steps)
    _require(env, _tree_equal(steps, again), "the same keys gave different results")
    if env.max_episode_steps is not None:
        done = steps.terminated | steps.truncated
        longest = max(_longest_run(~column) for column in done.T)
        _require(
            env,
            longest < env.max_episode_steps,
            f"an episode ran past max_episode_steps = {env.max_episode_steps}",
        )


def _random_rollout(env: Env, key: Key, num_envs: int, num_steps: int) -> TimeStep:
    reset_key, scan_key = jax.random.split(key)
    low = jnp.maximum(env.action_low, -10.0)
    high = jnp.minimum(env.action_high, 10.0)

    def body(state: PyTree, key: Key) -> tuple[PyTree, TimeStep]:
        action_key, step_key = jax.random.split(key)
        uniform = jax.random.uniform(action_key, (num_envs, env.action_dim))
        action = low[None] + (high - low)[None] * uniform
        return env.step(jax.random.split(step_key, num_envs), state, action)

    state, _ = env.reset(jax.random.split(reset_key, num_envs))
    return jax.lax.scan(body, state, jax.random.split(scan_key, num_steps))[1]


def _check_values(env: Env, steps: TimeStep) -> None:
    for name in ("obs", "final_obs", "reward"):
        leaves = jax.tree.leaves(getattr(steps, name))
        finite = all(np.isfinite(leaf).all() for leaf in leaves)
        _require(env, finite, f"{name} holds NaN or infinity under random actions")
    both = steps.terminated & steps.truncated
    _require(env, not both.any(), "a step is both terminated and truncated; give termination")
    inside = ~(steps.terminated | steps.truncated)
    same = all(
        np.array_equal(obs[inside], final[inside])
        for obs, final in zip(
            jax.tree.leaves(steps.obs), jax.tree.leaves(steps.final_obs), strict=True
        )
    )
    _require(env, same, "obs and final_obs differ where no episode ended")


def _check_specs(env: Env, what: str, got: PyTree, wanted: PyTree, num_envs: int) -> None:
    expected = batched(wanted, num_envs)
    _require(
        env,
        same_avals(got, expected),
        f"{what} is {got}, and should be {expected}",
    )


def _tree_equal(a: PyTree, b: PyTree) -> bool:
    return jax.tree.all(jax.tree.map(lambda x, y: np.array_equal(x, y), a, b))


def _longest_run(flags: np.ndarray) -> int:
    longest = current = 0
    for flag in flags:
        current = current + 1 if flag else 0
        longest = max(longest, current)
    return longest


def _require(env: Env, condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(f"environment {env.name!r}: {problem}")
