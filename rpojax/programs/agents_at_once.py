"""How many agents of a mapped axis to compute at a time: the rule behind `agents_at_once`.

On a CPU, agents that are computed together share the overhead of each operation, about a
microsecond, and lose more than that once their working set exceeds a core's cache. Physics in JAX
is hundreds of small operations a step, so that agents are computed together until they have as many
environments as that computes at a time (`Env.most_at_once`): eight agents on MJX's InvertedPendulum
with 64 environments each are 1.6 times as fast so. MuJoCo's C engine steps all environments in one
operation, and its agents follow the size of their gradient steps like others.
On a GPU or TPU, as many agents are computed together as have rollouts that fit into its memory.
The constants are measured; benchmarks/README.md has the figures.
"""

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rpojax.core.keys import update_keys
from rpojax.core.model import Model, seen_obs
from rpojax.core.optimizer import make_optimizer
from rpojax.core.train import collect_batch, init_agent, make_parts
from rpojax.core.update import rpo_loss
from rpojax.devices.memory import bytes_available
from rpojax.devices.start import usable_cores
from rpojax.programs.blocks import in_blocks
from rpojax.programs.precision import warn_of_tf32
from rpojax.types import Batch, PyTree

USUAL_CACHE = 2**20
"""Bytes of a core's second-level cache, assumed where the system does not report it."""

CACHE_SHARE = 0.6
"""Share of a core's second-level cache for the gradient steps that are computed together."""

CACHES_OF_A_THREAD = 6.0
"""Second-level caches to fill for each thread, if several threads share the work of one device."""

MOST_LARGE_AGENTS = 4
"""The most agents at a time if two do not fit into the cache. The number is then the ratio of an
agent's vectors of parameters to its activations: activations must stay in the cache until the
backward pass, while parameters leave it before the next step in any case."""

ONE_THREAD_BYTES = 96 * 2**10
"""Size of all agents' parameters together from which XLA spreads their operations over threads,
which for small agents costs more than it gains."""

MEMORY_SHARE = 0.5
"""Share of an accelerator's memory for the rollouts of the agents that are computed together."""

MODELS_KEPT = 4  # whose sizes are known: each evaluation traces a loss or a rollout


def agents_mapped(model: Model, function: Callable[..., PyTree]) -> Any:
    """`function` of one agent, with a `vmap` that computes `cfg.agents_at_once` at a time."""
    mapped = in_blocks(function, lambda: agents_at_once(model, _devices_at_work(model)))

    @functools.wraps(mapped)
    def call(*args: PyTree) -> PyTree:
        warn_of_tf32()
        return mapped(*args)

    return call


def agents_at_once(model: Model, num_devices: int) -> int | None:
    """How many agents of this model each device computes at a time; None for all.

    `num_devices` compute side by side, and share the cores of a CPU.
    """
    wanted: Any = model.cfg.agents_at_once
    if wanted == "all":
        return None
    if wanted != "auto":
        return int(wanted)
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return most_on_cpu(model, second_level_cache(), usable_cores() // num_devices)
    memory = bytes_available(device)
    return None if memory is None else max(1, int(MEMORY_SHARE * memory) // rollout_bytes(model))


def most_on_cpu(model: Model, cache: int, threads: int) -> int:
    """As many agents as one CPU device computes fastest.

    `cache` is the bytes of a core's second-level cache, `threads` the cores for each device.
    """
    by_physics = (model.env.most_at_once or 0) // model.cfg.envs_per_device
    return max(by_physics, _most_gradient_steps(model, cache, threads))


def _most_gradient_steps(model: Model, cache: int, threads: int) -> int:
    step = gradient_step_bytes(model)
    fitting = int(CACHE_SHARE * cache) // step.total
    if threads > 1:
        on_one_thread = min(fitting, ONE_THREAD_BYTES // max(1, step.parameters))
        shared = int(CACHES_OF_A_THREAD * threads * cache) // step.total
        return max(1, on_one_thread or shared)
    if fitting > 1:
        return fitting
    return min(max(1, round(step.vectors / step.activations)), MOST_LARGE_AGENTS)


def _devices_at_work(model: Model) -> int:
    """Devices that compute side by side: those of `sharded_vmap`, or those of one agent."""
    return max(devices_in_use(), model.cfg.devices_per_agent)


def devices_in_use() -> int:
    """Over how many devices of this process a `shard_map` maps the function that is traced."""
    mesh = jax.sharding.get_abstract_mesh()
    return max(1, mesh.size // jax.process_count()) if mesh.manual_axes else 1


def second_level_cache() -> int:
    """Bytes of a core's second-level cache, as Linux reports it."""
    path = Path("/sys/devices/system/cpu/cpu0/cache/index2")
    try:
        if (path / "level").read_text().strip() != "2":
            return USUAL_CACHE
        size = (path / "size").read_text().strip()  # such as 2048K
        return int(size.removesuffix("K")) * 2**10
    except (OSError, ValueError):
        return USUAL_CACHE


class StepBytes(NamedTuple):
    """Bytes that one gradient step of one agent passes over."""

    parameters: int
    vectors: int  # parameters, gradient, the optimiser's moments (two of Adam) and the new moments
    activations: int  # what the backward pass needs of the forward pass on a minibatch

    @property
    def total(self) -> int:
        """Bytes that should stay in a cache from one step to the next."""
        return self.vectors + self.activations


@functools.lru_cache(MODELS_KEPT)
def gradient_step_bytes(model: Model) -> StepBytes:
    """What a gradient step passes over, for this model."""
    cfg, _, network = model.on_one_device
    params = jax.eval_shape(network.init, _key())
    minibatch, noise = _minibatch(model)

    def residuals(params: PyTree, batch: Batch, noise: Any) -> PyTree:
        def loss(params: PyTree) -> Any:
            return rpo_loss(cfg, network, params, batch, noise, cfg.hyperparams())[0]

        return jax.vjp(loss, params)[1]

    saved = jax.eval_shape(residuals, params, minibatch, noise)
    size = _bytes(params)
    moments = _bytes(jax.eval_shape(make_optimizer(cfg).init, params)) // max(1, size)
    return StepBytes(size, (2 + 2 * moments) * size, max(1, _bytes(saved) - size))


@functools.lru_cache(MODELS_KEPT)
def rollout_bytes(model: Model) -> int:
    """Bytes that one agent keeps of a rollout: transitions, advantages and shuffled samples.

    Devices that share an agent divide all of them, except for the samples before the shuffle.
    """
    num_devices, model = model.cfg.devices_per_agent, model.on_one_device

    def collected(key: Any, hyperparams: Any) -> PyTree:
        state = init_agent(make_parts(model), key, hyperparams, {})
        keys = update_keys(model.cfg, state.key)
        found = collect_batch(model, state, hyperparams, {}, keys)
        return (state, found.transitions, found.batch), found.batch

    divided, whole = jax.eval_shape(collected, _key(), model.cfg.hyperparams())
    return _bytes(divided) // num_devices + _bytes(whole)


def _minibatch(model: Model) -> tuple[Batch, Any]:
    """Shapes of the arguments of `rpo_loss` on one device."""
    cfg, env, network = model
    steps = (cfg.steps_per_sequence,) if network.recurrent else ()
    count = cfg.minibatch_size // math.prod(steps) // cfg.devices_per_agent

    def leaf(*shape: int, dtype: Any = jnp.float32) -> Any:
        return jax.ShapeDtypeStruct((count, *steps, *shape), dtype)

    actions = leaf(env.action_dim)
    obs = jax.tree.map(lambda one: leaf(*one.shape, dtype=one.dtype), seen_obs(cfg, env))
    batch = Batch(
        obs=obs,
        action=actions,
        log_prob=leaf(),
        mean=actions,
        log_std=actions,
        advantage=leaf(),
        value=leaf(),
        target=leaf(),
        mirrored_obs=None if cfg.symmetry is None else obs,
    )
    if network.recurrent:
        reset = leaf(dtype=bool)
        batch = batch._replace(
            reset=reset,
            carry=jax.eval_shape(lambda: network.initial_carry((count,))),
        )
    return batch, actions


def _key() -> Any:
    return jax.eval_shape(lambda: jax.random.key(0))


def _bytes(tree: PyTree) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
