"""Adam after a global-norm clip, and how its step size changes over a run."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from rpojax.settings.config import Config
from rpojax.settings.hyperparams import HyperParams
from rpojax.types import Array, PyTree

ADAPT_FACTOR = 1.5  # schedule "kl_adaptive", as skrl's KLAdaptiveLR and rl_games
MIN_LEARNING_RATE, MAX_LEARNING_RATE = 1e-6, 1e-2


class Learner(NamedTuple):
    """What an update changes."""

    params: PyTree
    opt_state: optax.OptState  # of the parameters as one vector [P]
    learning_rate: Array  # []


class Packed(NamedTuple):
    """A learner between gradient steps, with its parameters as one vector.

    The clip, Adam and the early stop then pass over memory once, not once for each layer.
    """

    vector: Array  # [P]
    opt_state: optax.OptState  # of the vector
    learning_rate: Array  # []


def make_optimizer(cfg: Config) -> optax.GradientTransformation:
    """Adam's direction (Kingma & Ba 2015, arXiv 1412.6980), before the learning rate."""
    return optax.scale_by_adam(eps=cfg.adam_eps)


def init_opt_state(optimizer: optax.GradientTransformation, params: PyTree) -> optax.OptState:
    """The optimiser's state before the first gradient step."""
    return optimizer.init(ravel_pytree(params)[0])


def pack(learner: Learner) -> tuple[Packed, Callable[[Packed], Learner]]:
    """A learner for `gradient_step`, and the function that turns it back."""
    vector, unravel = ravel_pytree(learner.params)

    def unpack(packed: Packed) -> Learner:
        return Learner(unravel(packed.vector), packed.opt_state, packed.learning_rate)

    return Packed(vector, learner.opt_state, learner.learning_rate), unpack


def gradient_step(
    optimizer: optax.GradientTransformation, packed: Packed, gradient: PyTree, max_norm: Array
) -> tuple[Packed, Array]:
    """One step against a gradient, clipped to a global norm of `max_norm`.

    Args:
        optimizer: gives the direction; packed: what takes the step.
        gradient: pytree like the parameters.
        max_norm: [], 0 = off.

    Returns:
        The learner after the step, and the gradient's global norm before the clip, [].
    """
    flat_gradient, norm = clip_by_global_norm(ravel_pytree(gradient)[0], max_norm)
    with jax.numpy_dtype_promotion("standard"):  # optax raises floats to the power of an i32 count
        direction, opt_state = optimizer.update(flat_gradient, packed.opt_state, packed.vector)
    vector = packed.vector - packed.learning_rate * direction
    return packed._replace(vector=vector, opt_state=opt_state), norm


def clip_by_global_norm(gradient: PyTree, max_norm: Array) -> tuple[PyTree, Array]:
    """Scale a gradient to a global norm of at most `max_norm`, [] and traced; 0 = off.

    Returns:
        The gradient, and its global norm before, [].
    """
    norm = jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(gradient)))
    too_long = (max_norm > 0.0) & (norm > max_norm)
    scale = jnp.where(too_long, max_norm / norm, 1.0)
    return jax.tree.map(lambda leaf: leaf * scale, gradient), norm


def scheduled_learning_rate(
    cfg: Config, hyperparams: HyperParams, current: Array, update_count: Array
) -> Array:
    """The learning rate at the start of an update, [].

    Args:
        cfg: gives the schedule.
        hyperparams: give the rate that the schedule starts from.
        current: [] the rate of the last epoch, which "kl_adaptive" continues from.
        update_count: i32[] updates done.
    """
    if cfg.lr_schedule == "kl_adaptive":
        return current
    if cfg.lr_schedule == "constant":
        return hyperparams.learning_rate
    if cfg.lr_schedule == "linear":
        falling = hyperparams.learning_rate * (
            1.0 - update_count.astype(jnp.float32) / cfg.num_updates
        )
        return jnp.where(update_count < cfg.num_updates, falling, 0.0)
    factor = jnp.asarray(cfg.lr_schedule(update_count), jnp.float32)
    return hyperparams.learning_rate * factor


def adapt_learning_rate(learning_rate: Array, kl: Array, kl_target: Array) -> Array:
    """Divide the rate by 1.5 if KL > 2 * target, multiply it if KL < target / 2, [].

    A step ends at the bounds 1e-6 and 1e-2. A rate that starts beyond them stays where it is until
    a step leads towards them.

    `kl` is that of the unperturbed policies: the perturbation alone adds about
    alpha^2 / (6 sigma^2) per action dimension to any KL estimated from the ratio.
    """
    lowered = jnp.maximum(learning_rate / ADAPT_FACTOR, MIN_LEARNING_RATE)
    raised = jnp.minimum(learning_rate * ADAPT_FACTOR, MAX_LEARNING_RATE)
    lowered = jnp.minimum(learning_rate, lowered)
    raised = jnp.maximum(learning_rate, raised)
    return jnp.where(
        kl > 2.0 * kl_target, lowered, jnp.where(kl < 0.5 * kl_target, raised, learning_rate)
    )
