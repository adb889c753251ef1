"""Play whole episodes with a trained agent."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from rpojax import envs
from rpojax.config import Config
from rpojax.core import distribution
from rpojax.core.rollout import policy_obs, to_env_action
from rpojax.networks import make_network
from rpojax.types import Array, Key, PyTree, TrainState

DEFAULT_MAX_STEPS = 10_000


class Evaluation(struct.PyTreeNode):
    """Episodes played by one agent, N of them; undiscounted, the environment's own rewards."""

    episode_return: Array  # [N]
    episode_length: Array  # i32[N]
    finished: Array  # bool[N] False: still running when max_steps were over


class _Progress(NamedTuple):
    step: Array  # i32[]
    key: Key
    env_state: PyTree  # [N, ...]
    obs: PyTree  # [N, ...]
    reset: Array  # bool[N] an episode begins at obs
    carry: PyTree  # [N, ...] of the network
    evaluation: Evaluation


@functools.partial(jax.jit, static_argnames=("cfg", "num_episodes", "deterministic", "max_steps"))
def evaluate(
    cfg: Config,
    state: TrainState,
    key: Key,
    num_episodes: int = 128,
    deterministic: bool = True,
    max_steps: int | None = None,
) -> Evaluation:
    """Play `num_episodes` episodes side by side, each from its own start to its end.

    Pure and jitted; of several agents, `jax.vmap(lambda s: evaluate(cfg, s, key))(result.state)`.
    The policy is not perturbed.

    Args:
        cfg: what the agent was trained with.
        state: of one agent.
        key: for the starts, the environment and, if stochastic, the actions.
        num_episodes: N.
        deterministic: True for mean actions, False for samples of the policy.
        max_steps: where to stop an episode that goes on; None for the environment's own limit, or
            10000 if it has none.
    """
    env = envs.make(cfg.env)
    network = make_network(cfg.network, env)
    limit = max_steps or env.max_episode_steps or DEFAULT_MAX_STEPS

    def going(progress: _Progress) -> Array:
        return (progress.step < limit) & ~jnp.all(progress.evaluation.finished)

    def step(progress: _Progress) -> _Progress:
        key, action_key, env_key = jax.random.split(progress.key, 3)
        seen = policy_obs(cfg, state, progress.obs)
        outputs, carry = network.apply(state.params, seen, progress.carry, progress.reset)
        action = outputs.mean
        if not deterministic:
            noise = jax.random.normal(action_key, action.shape)
            action = distribution.sample(action, outputs.log_std, noise)
        env_state, timestep = env.step(
            jax.random.split(env_key, num_episodes),
            progress.env_state,
            to_env_action(action, env, cfg.action_transform),
        )
        done = timestep.terminated | timestep.truncated
        so_far = progress.evaluation
        evaluation = Evaluation(
            episode_return=so_far.episode_return + jnp.where(so_far.finished, 0.0, timestep.reward),
            episode_length=so_far.episode_length + jnp.where(so_far.finished, 0, 1),
            finished=so_far.finished | done,
        )
        return _Progress(progress.step + 1, key, env_state, timestep.obs, done, carry, evaluation)

    key, reset_key = jax.random.split(key)
    env_state, obs = env.reset(jax.random.split(reset_key, num_episodes))
    nothing = Evaluation(
        episode_return=jnp.zeros(num_episodes),
        episode_length=jnp.zeros(num_episodes, jnp.int32),
        finished=jnp.zeros(num_episodes, bool),
    )
    start = _Progress(
        jnp.zeros((), jnp.int32),
        key,
        env_state,
        obs,
        jnp.ones(num_episodes, bool),
        network.initial_carry((num_episodes,)),
        nothing,
    )
    return jax.lax.while_loop(going, step, start).evaluation
