"""How much memory an agent needs on each device, by abstract evaluation: nothing is computed."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rpojax.core.keys import update_keys
from rpojax.core.model import Model, seen_obs
from rpojax.core.train import collect_batch, init_agent, make_parts
from rpojax.core.update import rpo_loss
from rpojax.types import Batch, PyTree

MODELS_KEPT = 4  # whose sizes are known: each evaluation traces a loss or a rollout

VECTORS_OF_A_STEP = 6
"""The parameters, their gradient, Adam's two moments, and the new moments."""


class StepBytes(NamedTuple):
    """Bytes that one gradient step of one agent passes over."""

    parameters: int
    vectors: int  # of the parameters' length
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
    return StepBytes(size, VECTORS_OF_A_STEP * size, max(1, _bytes(saved) - size))


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
    batch = Batch(
        obs=jax.tree.map(lambda one: leaf(*one.shape, dtype=one.dtype), seen_obs(cfg, env)),
        action=actions,
        log_prob=leaf(),
        mean=actions,
        log_std=actions,
        advantage=leaf(),
        value=leaf(),
        target=leaf(),
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
