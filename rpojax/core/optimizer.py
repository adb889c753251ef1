"""The optimiser after a global-norm clip, and how its step size changes over a run."""

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
    """What an update changes. Between gradient steps, `params` are what `Optimizer.pack` gives."""

    params: PyTree
    opt_state: optax.OptState  # of the packed parameters
    learning_rate: Array  # []


class Optimizer(NamedTuple):
    """How a gradient becomes a step."""

    # (learning_rate [], weight_decay []) -> a transformation of gradients to steps; both traced
    make: Callable[[Array, Array], optax.GradientTransformation]
    # params -> (packed, the function back). An element-wise optimiser takes all parameters as one
    # vector [P]: the clip, the step and the early stop pass over memory once, not once a layer.
    pack: Callable[[PyTree], tuple[PyTree, Callable[[PyTree], PyTree]]]

    def init(self, params: PyTree) -> optax.OptState:
        """The optimiser's state before the first gradient step."""
        nothing = jnp.zeros((), jnp.float32)
        return self.make(nothing, nothing).init(self.pack(params)[0])


def make_optimizer(cfg: Config) -> Optimizer:
    """The optimiser of a config."""
    if callable(cfg.optimizer):
        make = cfg.optimizer
        return Optimizer(lambda learning_rate, weight_decay: make(learning_rate), _as_it_is)
    if cfg.optimizer == "muon":
        return Optimizer(lambda rate, decay: _muon(cfg.adam_eps, rate, decay), _as_it_is)
    decays = cfg.optimizer == "adamw"
    return Optimizer(
        lambda rate, decay: _adam(cfg.adam_eps, rate, decay if decays else None), ravel_pytree
    )


def _as_it_is(params: PyTree) -> tuple[PyTree, Callable[[PyTree], PyTree]]:
    return params, lambda packed: packed


def _adam(eps: float, learning_rate: Array, decay: Array | None) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015, arXiv 1412.6980), or AdamW (Loshchilov & Hutter 2019, 1711.05101).

    Without optax's chains, so that the state is the moments alone.
    """
    adam = optax.scale_by_adam(eps=eps)

    def update(gradient: PyTree, state: optax.OptState, params: PyTree) -> tuple[PyTree, PyTree]:
        direction, state = adam.update(gradient, state, params)
        if decay is not None:
            direction = jax.tree.map(lambda step, leaf: step + decay * leaf, direction, params)
        return jax.tree.map(lambda step: -learning_rate * step, direction), state

    return optax.GradientTransformation(adam.init, update)


def _muon(eps: float, learning_rate: Array, decay: Array) -> optax.GradientTransformation:
    """Muon for kernels, AdamW for all else (Jordan 2024, https://kellerjordan.github.io/posts/muon)."""
    return optax.contrib.muon(learning_rate, eps=eps, weight_decay=decay, adam_weight_decay=decay)


def gradient_step(
    optimizer: Optimizer, learner: Learner, gradient: PyTree, hyperparams: HyperParams
) -> tuple[Learner, Array]:
    """One step against a gradient, clipped to a global norm of `hyperparams.max_grad_norm`.

    Args:
        optimizer: makes the step.
        learner: takes it, with packed parameters.
        gradient: pytree like the parameters, not packed.
        hyperparams: the limit of the norm, 0 = off, and the weight decay.

    Returns:
        The learner after the step, and the gradient's global norm before the clip, [].
    """
    clipped, norm = clip_by_global_norm(optimizer.pack(gradient)[0], hyperparams.max_grad_norm)
    transformation = optimizer.make(learner.learning_rate, hyperparams.weight_decay)
    with jax.numpy_dtype_promotion("standard"):  # optax raises floats to the power of an i32 count
        step, opt_state = transformation.update(clipped, learner.opt_state, learner.params)
    params = jax.tree.map(jnp.add, learner.params, step)
    return learner._replace(params=params, opt_state=opt_state), norm


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
    """The learning rate at the start of an update, []; `current` is that of the last epoch."""
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
