"""Environments with the interface of Brax: Brax's own, and those of MuJoCo Playground.

`reset(key)` and `step(state, action)` are of one environment. A state holds the physics, the
observation, the reward, whether the episode is done, metrics, and `info`.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Env, Render, TimeStep
from rpojax.envs.dtypes import as_arrays, cast, fixed_point
from rpojax.envs.numpy_rules import standard_numpy
from rpojax.envs.time_limit import with_time_limit
from rpojax.trees import select
from rpojax.types import Array, Key, PyTree


def from_brax_interface(
    name: str,
    env: Any,
    *,
    episode_length: int,
    action_repeat: int = 1,
    render: Render | None = None,
    seconds: float,
) -> Env:
    """An `Env` with the time limit and the repeated actions of Brax's EpisodeWrapper.

    `env` has no wrappers: Brax's and Playground's overwrite the last observation of an episode, and
    their time limits do not tell a cut from an end. Actions are in [-1, 1]. `done` means
    terminated. Metrics of an environment are passed on, those that are single numbers.

    Args:
        name: of the environment.
        env: with the methods `reset` and `step` and the number `action_size`.
        episode_length: time limit, in steps of `env`.
        action_repeat: how many steps of `env` one action takes; their rewards are added, up to the
            end of the episode.
        render: of states as `env` has them.
        seconds: that a step of `env` stands for.
    """

    @standard_numpy()
    def start(key: Key) -> PyTree:
        if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
            key = jax.random.wrap_key_data(key)  # the trainer finds typed keys in a state
        return {"state": as_arrays(name, "state", env.reset(key))}

    @standard_numpy()
    def advance(state: PyTree, action: Array) -> PyTree:
        state = jax.tree.map(lambda leaf: leaf, state)  # some write into its dictionaries
        return {"state": as_arrays(name, "state", env.step(state, action))}

    key = jax.eval_shape(lambda: jax.random.key(0))
    action = jax.ShapeDtypeStruct((env.action_size,), jnp.float32)
    spec = fixed_point(
        name,
        jax.eval_shape(start, key),
        lambda specs: jax.eval_shape(advance, specs["state"], action),
    )

    def reset_one(key: Key) -> tuple[PyTree, PyTree]:
        state = cast(start(key), spec)["state"]
        return state, state.obs

    def step_one(key: Key, state: PyTree, action: Array) -> tuple[PyTree, TimeStep]:
        def once(before: tuple[PyTree, Array], _: None) -> tuple[tuple[PyTree, Array], Array]:
            state, ended = before
            following = cast(advance(state, action), spec)["state"]
            reward = jnp.where(ended, 0.0, following.reward.astype(jnp.float32))
            state = select(ended, state, following)
            return (state, ended | state.done.astype(bool)), reward

        begun = (state, jnp.array(False))
        (state, terminated), rewards = jax.lax.scan(once, begun, length=action_repeat)
        metrics = {
            name: value.astype(jnp.float32)
            for name, value in state.metrics.items()
            if value.shape == ()
        }
        truncated = jnp.array(False)
        return state, TimeStep(state.obs, rewards.sum(), terminated, truncated, metrics)

    bound = np.ones(env.action_size, np.float32)
    made = Env(
        name=name,
        reset=jax.vmap(reset_one),
        step=jax.vmap(step_one),
        obs=spec["state"].obs,
        action_low=-bound,
        action_high=bound,
        resets="pool",
        render=render,
        render_fps=min(1.0 / (seconds * action_repeat), 50.0),
    )
    return with_time_limit(made, -(-episode_length // action_repeat))
