"""Where the time of an update goes, and how far it is from the matmuls and tanhs alone.

    python -m benchmarks.roofline

The roofline is a program that does nothing but the products and tanhs which the networks need:
forward and backward in every minibatch, the actor at every step, the critic over the rollout. It
is timed in the same rounds as the training iteration and each of its parts.
"""

import argparse
import functools
import statistics
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import rpojax
from benchmarks.reporting import RESULTS, bar_chart, environment_info, print_table, write_csv
from benchmarks.timing import interleaved, ratio
from rpojax.core import rollout as rollouts
from rpojax.core.batch import make_batch, scale_rewards
from rpojax.core.keys import update_keys
from rpojax.core.model import make_model
from rpojax.core.optimizer import Learner, make_optimizer
from rpojax.core.perturbation import perturbation_noise
from rpojax.core.update import rpo_loss, update
from rpojax.ops.shuffle import shuffled_minibatches
from rpojax.programs.trainer import trainer_for
from rpojax.types import TrainState

Weights = list[jax.Array]
PART_OF = "of which "  # begins the names of what a part consists of; not in CSV files


def kernels(params: Any) -> list[Weights]:
    """The weights of the built-in actor and critic, of two hidden layers each."""
    layers = (("actor_0", "actor_1", "mean"), ("critic_0", "critic_1", "value"))
    return [[params[name]["kernel"] for name in names] for names in layers]


def forward(weights: Weights, hidden: jax.Array) -> list[jax.Array]:
    """Products and tanhs of one network, no biases: the activations of each layer."""
    activations = [hidden]
    for weight in weights[:-1]:
        activations.append(jnp.tanh(activations[-1] @ weight))
    return [*activations, activations[-1] @ weights[-1]]


def backward(weights: Weights, activations: list[jax.Array]) -> Weights:
    """The products of a backward pass, one for each weight and each hidden layer.

    As the networks do it: hidden layers by way of a written-out transpose, the faster one here.
    """
    error = activations[-1]
    gradients = []
    for layer in reversed(range(len(weights))):
        transposed = activations[layer].T
        if layer < len(weights) - 1:
            transposed = jax.lax.optimization_barrier(transposed)
        gradients.append(transposed @ error)
        if layer:
            error = error @ weights[layer].T
    return gradients[::-1]


def minibatch_roofline(networks: list[Weights], batches: jax.Array) -> list[Weights]:
    """Forward and backward passes over [steps, N, obs]; each step's weights need the last's."""

    def step(networks: list[Weights], batch: jax.Array) -> tuple[list[Weights], None]:
        moved = []
        for weights in networks:
            gradients = backward(weights, forward(weights, batch))
            moved.append([w - 1e-6 * g for w, g in zip(weights, gradients, strict=True)])
        return moved, None

    return jax.lax.scan(step, networks, batches)[0]


def actor_roofline(weights: Weights, obs: jax.Array, num_steps: int) -> jax.Array:
    """The actor at each step, one after the other, as a rollout has to."""

    def step(obs: jax.Array, _: None) -> tuple[jax.Array, None]:
        return obs + 1e-6 * forward(weights, obs)[-1][:, :1], None

    return jax.lax.scan(step, obs, None, length=num_steps)[0]


def make_programs(cfg: rpojax.Config) -> dict[str, Callable[[], Any]]:
    """The iteration, its roofline, and the parts of both, compiled and with their inputs."""
    return {
        name: functools.partial(jax.jit(function), *arguments)
        for name, (function, arguments) in make_parts(cfg).items()
    }


def make_parts(cfg: rpojax.Config) -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    """The iteration, its roofline, and the parts of both: functions and their arguments."""
    model = make_model(cfg)
    trainer, network = trainer_for(model), model.network
    hyperparams = cfg.hyperparams()
    key = jax.random.key(1)
    state: TrainState = jax.jit(trainer.init)(jax.random.key(0))
    state, _ = jax.jit(trainer.run, static_argnums=2)(state, hyperparams, 3)

    @jax.jit
    def collect(state: TrainState, key: jax.Array) -> Any:
        return rollouts.collect(model, state, hyperparams, {}, update_keys(cfg, key))

    after, transitions = collect(state, key)
    done = transitions.terminated | transitions.truncated

    def advantages(state: TrainState, transitions: Any, done: jax.Array) -> Any:
        episode = rollouts.tally_episodes(state.episode, transitions)
        state, reward = scale_rewards(cfg, state, transitions, done, hyperparams)
        return episode, make_batch(cfg, network, state, transitions, reward, hyperparams)

    _, (_, batch, _) = jax.jit(advantages)(after, transitions, done)
    learner = Learner(state.params, state.opt_state, state.learning_rate)
    epoch_keys = jax.random.split(key, cfg.update_epochs)

    def shuffle(keys: jax.Array, batch: Any) -> Any:
        return jax.lax.map(lambda k: shuffled_minibatches(k, batch, cfg.num_minibatches), keys)

    minibatches = jax.tree.map(
        lambda leaf: leaf.reshape(-1, cfg.minibatch_size, *leaf.shape[3:]),
        jax.jit(shuffle)(epoch_keys, batch),
    )
    noise = perturbation_noise(cfg, key, minibatches.action.shape)

    def gradients(params: Any, minibatches: Any, noise: jax.Array) -> Any:
        def step(params: Any, inputs: Any) -> tuple[Any, None]:
            gradient = jax.grad(lambda p: rpo_loss(cfg, network, p, *inputs, hyperparams)[0])(
                params
            )
            return jax.tree.map(lambda p, g: p - 1e-6 * g, params, gradient), None

        return jax.lax.scan(step, params, (minibatches, noise))[0]

    params = state.params
    networks = kernels(params)
    obs_batches = minibatches.obs
    twice = jnp.concatenate([batch.obs, batch.obs])

    def roofline(networks: list[Weights], batches: jax.Array, obs: Any, critic_obs: Any) -> Any:
        return (
            minibatch_roofline(networks, batches),
            actor_roofline(networks[0], obs, cfg.num_steps),
            forward(networks[1], critic_obs)[-1],
        )

    def part(
        function: Callable[..., Any], *arguments: Any
    ) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return function, arguments

    return {
        "iteration": part(trainer.iterate, state, hyperparams),
        "roofline": part(roofline, networks, obs_batches, state.obs, twice),
        "rollout": part(collect, state, key),
        f"{PART_OF}the actor's products and tanhs": part(
            lambda weights, obs: actor_roofline(weights, obs, cfg.num_steps),
            networks[0],
            state.obs,
        ),
        "values, scaling, GAE": part(advantages, after, transitions, done),
        f"{PART_OF}the critic's products and tanhs": part(
            lambda weights, obs: forward(weights, obs)[-1], networks[1], twice
        ),
        "update": part(
            lambda *a: update(cfg, network, make_optimizer(cfg), *a),
            learner,
            batch,
            hyperparams,
            update_keys(cfg, key),
        ),
        f"{PART_OF}shuffle and gather": part(shuffle, epoch_keys, batch),
        f"{PART_OF}perturbation noise": part(
            lambda key: perturbation_noise(cfg, key, noise.shape), key
        ),
        f"{PART_OF}loss and gradient": part(gradients, params, minibatches, noise),
        f"{PART_OF}their products and tanhs": part(minibatch_roofline, networks, obs_batches),
    }


def main() -> None:
    """Time all programs, print the table and write CSV and PNG."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    info = environment_info()
    cfg = rpojax.Config(lr_schedule="constant")
    seconds = interleaved(make_programs(cfg), rounds)

    table = [
        {
            "part": name,
            "ms": f"{1e3 * statistics.median(times):.2f}",
            "of the iteration": f"{100 * ratio(seconds, name, 'iteration').median:.1f} %",
        }
        for name, times in seconds.items()
    ]
    whole = ratio(seconds, "iteration", "roofline")
    steps = ratio(seconds, "update", f"{PART_OF}their products and tanhs")
    rollout_speed = cfg.batch_size / statistics.median(seconds["rollout"])
    notes = [
        f"iteration / roofline: {whole}",
        f"update / its products and tanhs: {steps}",
        f"rollout alone: {rollout_speed:,.0f} steps/s",
        f"training: {cfg.batch_size / statistics.median(seconds['iteration']):,.0f} steps/s",
    ]
    title = (
        f"{cfg.env}, {cfg.num_envs} envs x {cfg.num_steps} steps, {cfg.update_epochs} epochs x "
        f"{cfg.num_minibatches} minibatches, one agent"
    )
    print_table(title, table, info, notes)
    rows = [
        {
            "part": name.removeprefix(PART_OF),
            "round": index,
            "milliseconds": round(1e3 * value, 4),
        }
        for name, times in seconds.items()
        for index, value in enumerate(times)
    ]
    write_csv(RESULTS / "roofline.csv", rows, info)
    bar_chart(
        RESULTS / "roofline.png",
        f"{title}: iteration / roofline {whole.median:.2f}",
        {name: 1e3 * statistics.median(times) for name, times in seconds.items()},
        info,
        xlabel="milliseconds for each update (median)",
        highlight="roofline",
        value_format="{:,.2f}",
    )


if __name__ == "__main__":
    main()
