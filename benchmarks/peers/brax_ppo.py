"""Brax's own PPO, on Brax's environments.

Brax 0.14.2 calls `jax.device_put_replicated`, which JAX 0.10 no longer has, once, before its first
update. This worker defines a stand-in for it, `_replicated`; all else is Brax as it was released.
"""

import functools
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
from brax import envs
from brax.training.agents.ppo import networks, train
from flax import linen

from benchmarks.peers.common import Work, serve

DIFFERENCES = (
    "PPO: no perturbation",
    "a Gaussian squashed by tanh, whose standard deviation depends on the observation",
    "rewards are not normalised, observations and values not clipped",
    "minibatches of whole rollouts, not of single steps",
    "Adam's eps is fixed at 1e-8",
    "its wrappers start every episode of an environment in the same state, and reset none",
)
MANY = 1_000_000  # chunks: it is ended by the end of its process


def _replicated(tree: Any, devices: Sequence[jax.Device]) -> Any:
    """What `jax.device_put_replicated` returned: a leading axis of devices."""
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * len(devices)), tree)


def build(work: Work) -> Callable[[], None]:
    """Starts Brax's loop in a thread, which waits before each chunk until it is asked for."""
    jax.device_put_replicated = _replicated
    asked, done = threading.Semaphore(0), threading.Semaphore(0)
    failures: list[BaseException] = []

    def after_chunk(*_: Any) -> None:  # also called before the first
        done.release()
        asked.acquire()

    def loop() -> None:
        try:
            train_all(work, after_chunk)
        except BaseException as error:
            failures.append(error)
            done.release()
            raise

    def wait() -> None:
        done.acquire()
        if failures:
            raise failures[0]

    def train_chunk() -> None:
        asked.release()
        wait()

    threading.Thread(target=loop, daemon=True).start()
    wait()
    return train_chunk


def train_all(work: Work, after_chunk: Callable[..., None]) -> None:
    """Trains for many chunks; Brax waits for the device at the end of each."""
    network = functools.partial(
        networks.make_ppo_networks,
        policy_hidden_layer_sizes=work.hidden_sizes,
        value_hidden_layer_sizes=work.hidden_sizes,
        activation=linen.tanh,
    )
    train.train(
        envs.get_environment(work.env.removeprefix("brax/")),
        num_timesteps=MANY * work.chunk_steps,
        num_evals=MANY + 1,
        run_evals=False,
        episode_length=1000,
        num_envs=work.num_envs,
        unroll_length=work.num_steps,
        batch_size=work.num_envs // work.num_minibatches,
        num_minibatches=work.num_minibatches,
        num_updates_per_batch=work.update_epochs,
        learning_rate=work.learning_rate,
        discounting=work.gamma,
        gae_lambda=work.gae_lambda,
        clipping_epsilon=work.clip_eps,
        vf_loss_coefficient=work.vf_coef,
        entropy_cost=0.0,
        max_grad_norm=work.max_grad_norm,
        normalize_observations=True,
        network_factory=network,
        policy_params_fn=after_chunk,
    )


if __name__ == "__main__":
    packages = ("jax", "jaxlib", "flax", "optax", "brax")
    serve("Brax PPO", version("brax"), build, differences=DIFFERENCES, packages=packages)
