"""A trained agent as a function from observations to actions."""

from typing import Any, Protocol

import jax
import numpy as np

from rpojax import envs, gaussian
from rpojax.config import Config
from rpojax.networks import make_network
from rpojax.rollout import policy_obs, to_env_action
from rpojax.types import Array, Key, PyTree, TrainState


class Policy(Protocol):
    """From observations [..., *obs.shape] to actions [..., A] that the environment takes."""

    def __call__(self, obs: Any, key: Key | None = None) -> Any:
        """Act; `key` for a stochastic policy alone."""


def make_policy(cfg: Config, state: TrainState, deterministic: bool = True) -> Policy:
    """The policy of one trained agent, with its normalisation and action bounds built in.

    It is never perturbed: the perturbation belongs to training.

    Args:
        cfg: what the agent was trained with.
        state: of one agent; take one of many with `TrainResult.select`.
        deterministic: True for the mean action, False for a sample, which needs a `key` in each
            call.

    Returns:
        `act(obs, key=None)`: obs [..., *obs.shape] as the environment gives them, any number of
        leading axes, numpy or jax; float32 actions [..., A] of the same kind as the
        observations, within the environment's bounds. Can be called inside `jit` and `vmap`.

    Raises:
        ValueError: `state` holds several agents, or a stochastic policy is called without a key.
    """
    if state.update_count.ndim:
        raise ValueError(
            f"state holds agents of shape {state.update_count.shape}; give one of them, such as "
            "results.select(0).state"
        )
    env = envs.make(cfg.env)
    network = make_network(cfg.network, env)

    @jax.jit
    def mean_action(obs: PyTree) -> Array:
        mean = network.apply(state.params, policy_obs(cfg, state, obs)).mean
        return to_env_action(mean, env, cfg.action_transform)

    @jax.jit
    def sampled_action(obs: PyTree, key: Key) -> Array:
        outputs = network.apply(state.params, policy_obs(cfg, state, obs))
        noise = jax.random.normal(key, outputs.mean.shape)
        action = gaussian.sample(outputs.mean, outputs.log_std, noise)
        return to_env_action(action, env, cfg.action_transform)

    def act(obs: Any, key: Key | None = None) -> Any:
        if deterministic:
            action = mean_action(obs)
        elif key is None:
            raise ValueError(
                "key = None, but the policy is stochastic; give a new PRNG key "
                "in each call, or make it with deterministic=True"
            )
        else:
            action = sampled_action(obs, key)
        on_host = all(isinstance(leaf, np.ndarray | np.generic) for leaf in jax.tree.leaves(obs))
        return np.asarray(action) if on_host else action

    return act
