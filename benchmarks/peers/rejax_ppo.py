"""rejax's PPO: all of the training in one XLA program, like ours."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
from gymnax.environments.classic_control.pendulum import Pendulum
from rejax import PPO

from benchmarks.peers.common import Work, serve

DIFFERENCES = (
    "PPO: no perturbation",
    "gradients clipped element by element, not by their global norm",
    "one Adam each for actor and critic, its eps fixed at 1e-8",
    "truncation treated as termination",
    "normalised observations and rewards are not clipped; statistics are updated every step",
    "gymnax's six values of `step` are given to it as the five it was written for",
)


class FiveValuePendulum(Pendulum):
    """Pendulum with the `step` of gymnax before 1.0: one `done`, whatever ended the episode."""

    def step(self, key: jax.Array, state: Any, action: Any, params: Any = None) -> Any:
        """Returns (obs, state, reward, done, info)."""
        obs, state, reward, terminated, truncated, info = super().step(key, state, action, params)
        return obs, state, reward, jnp.logical_or(terminated, truncated), info


def make_algorithm(work: Work) -> PPO:
    """The agent, for `updates_per_chunk` updates; its evaluations, no part of the work, are off."""
    env = FiveValuePendulum()
    assert env.name == work.env
    return PPO.create(
        env=env,
        env_params=env.default_params,
        agent_kwargs={"activation": "tanh", "hidden_layer_sizes": work.hidden_sizes},
        num_envs=work.num_envs,
        num_steps=work.num_steps,
        num_epochs=work.update_epochs,
        num_minibatches=work.num_minibatches,
        learning_rate=work.learning_rate,
        gamma=work.gamma,
        gae_lambda=work.gae_lambda,
        clip_eps=work.clip_eps,
        vf_coef=work.vf_coef,
        ent_coef=0.0,
        max_grad_norm=work.max_grad_norm,
        normalize_observations=True,
        normalize_rewards=True,
        reward_normalization_discount=work.gamma,
        total_timesteps=work.chunk_steps,
        eval_freq=work.chunk_steps,
        skip_initial_evaluation=True,
    ).replace(eval_callback=lambda algorithm, state, key: ())


def build(work: Work) -> Callable[[], None]:
    """Builds the worker."""
    algorithm = make_algorithm(work)
    # Its state is not donated: donation made this program a tenth slower on a CPU.
    train = jax.jit(lambda state: algorithm.train(train_state=state)[0])
    state = jax.jit(algorithm.init_state)(jax.random.key(0))

    def train_chunk() -> None:
        nonlocal state
        state = jax.block_until_ready(train(state))

    return train_chunk


if __name__ == "__main__":
    serve("rejax PPO", version("rejax"), build, differences=DIFFERENCES)
