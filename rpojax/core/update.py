"""The update: several epochs of gradient steps on one batch."""

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from rpojax.core import losses
from rpojax.core.device_axis import device_axis
from rpojax.core.keys import UpdateKeys
from rpojax.core.model import DISTRIBUTIONS
from rpojax.core.optimizer import (
    Learner,
    Optimizer,
    adapt_learning_rate,
    gradient_step,
)
from rpojax.core.perturbation import perturb, perturbation_noise
from rpojax.core.symmetry import asymmetry, mirrored, symmetry_of
from rpojax.networks import ActorCritic, Outputs
from rpojax.ops.shuffle import shuffled_minibatches
from rpojax.settings.config import Config
from rpojax.settings.hyperparams import HyperParams
from rpojax.trees import merge_axes
from rpojax.types import Array, Batch, Key, PyTree


class StepMetrics(NamedTuple):
    """Metrics of one gradient step, each f32[]; the fields of `Metrics` with the same names."""

    policy_loss: Array
    value_loss: Array
    entropy: Array
    kl: Array
    kl_perturbed: Array
    clip_fraction: Array
    grad_norm: Array


Loss: TypeAlias = Callable[
    [Config, ActorCritic, PyTree, Batch, Array, HyperParams], tuple[Array, StepMetrics]
]
"""(cfg, network, params, batch, mean_noise, hyperparams) -> loss [], and its parts."""


def rpo_loss(
    cfg: Config,
    network: ActorCritic,
    params: PyTree,
    batch: Batch,
    mean_noise: Array,
    hyperparams: HyperParams,
) -> tuple[Array, StepMetrics]:
    """RPO's loss on one minibatch, [], and its parts (grad_norm still 0).

    surrogate + vf_coef * value loss - ent_coef * entropy, where the probability of an action is
    taken under a freshly perturbed mean; with a symmetry also mirror_coef * mirror loss.

    Args:
        cfg: settings; network: the network; params: where the loss is taken.
        batch: [N]; mean_noise: [N, A] of the perturbation; if recurrent [N, L] and [N, L, A]. Where
            devices share an agent, these are one device's part of a minibatch, with the advantages
            of all of it if they are normalised here.
        hyperparams: the coefficients.
    """
    distribution = DISTRIBUTIONS[network.distribution]
    outputs, batch, mean_noise = _samples(network, params, batch, mean_noise)
    if cfg.advantage_normalization == "minibatch":
        advantage = device_axis(cfg).share(losses.normalize_advantage(batch.advantage))
        batch = batch._replace(advantage=advantage)
    kl = distribution.kl_divergence(batch.mean, batch.log_std, outputs.mean, outputs.log_std)
    mirror_penalty = None
    symmetry = symmetry_of(cfg)
    if symmetry is not None:
        image = mirrored(symmetry, batch)
        image_outputs = replay(network, params, image)
        deviation = asymmetry(symmetry, distribution, outputs, image_outputs)
        mirror_penalty = hyperparams.mirror_coef * deviation
        if symmetry.augment:
            batch, outputs, mean_noise = jax.tree.map(
                lambda *halves: jnp.concatenate(halves),
                (batch, outputs, mean_noise),
                (image, image_outputs, mean_noise),
            )
    mean, log_std = outputs.mean, outputs.log_std
    perturbed_mean = perturb(distribution, mean, log_std, hyperparams.alpha, mean_noise)
    log_prob = distribution.log_prob(batch.action, perturbed_mean, log_std)
    ratio, log_ratio = losses.probability_ratio(log_prob, batch.log_prob)

    surrogate = cfg.surrogate if callable(cfg.surrogate) else losses.SURROGATES[cfg.surrogate]
    policy_loss = surrogate(ratio, batch.advantage, hyperparams.clip_eps)
    value_loss = _value_loss(cfg, outputs, batch, hyperparams)
    entropy = jnp.mean(distribution.entropy(mean, log_std))
    loss = policy_loss + hyperparams.vf_coef * value_loss - hyperparams.ent_coef * entropy
    if mirror_penalty is not None:
        loss += mirror_penalty

    return loss, StepMetrics(
        policy_loss=policy_loss,
        value_loss=value_loss,
        entropy=entropy,
        kl=jnp.mean(kl),
        kl_perturbed=jnp.mean(ratio - 1.0 - log_ratio),  # Schulman's low-variance estimator
        clip_fraction=jnp.mean((jnp.abs(ratio - 1.0) > hyperparams.clip_eps).astype(jnp.float32)),
        grad_norm=jnp.zeros((), jnp.float32),
    )


def imitation_loss(
    cfg: Config,
    network: ActorCritic,
    params: PyTree,
    batch: Batch,
    mean_noise: Array,
    hyperparams: HyperParams,
) -> tuple[Array, StepMetrics]:
    """E[KL(teacher || policy)] + vf_coef * value loss, [], and its parts.

    Arguments are as for `rpo_loss`, but `batch.mean` and `batch.log_std` are the teacher's.
    """
    distribution = DISTRIBUTIONS[network.distribution]
    outputs, batch, _ = _samples(network, params, batch, mean_noise)
    mean, log_std = outputs.mean, outputs.log_std
    kl = jnp.mean(distribution.kl_divergence(batch.mean, batch.log_std, mean, log_std))
    value_loss = _value_loss(cfg, outputs, batch, hyperparams)
    nothing = jnp.zeros((), jnp.float32)
    return kl + hyperparams.vf_coef * value_loss, StepMetrics(
        policy_loss=kl,
        value_loss=value_loss,
        entropy=jnp.mean(distribution.entropy(mean, log_std)),
        kl=kl,
        kl_perturbed=nothing,
        clip_fraction=nothing,
        grad_norm=nothing,
    )


def _samples(
    network: ActorCritic, params: PyTree, batch: Batch, mean_noise: Array
) -> tuple[Outputs, Batch, Array]:
    """Outputs, batch and noise with every step of every sequence as a sample, [N]."""
    outputs = replay(network, params, batch)
    if not network.recurrent:
        return outputs, batch, mean_noise
    batch = batch._replace(obs=None, reset=None, carry=())
    merged: tuple[Outputs, Batch, Array] = merge_axes((outputs, batch, mean_noise))
    return merged


def _value_loss(cfg: Config, outputs: Outputs, batch: Batch, hyperparams: HyperParams) -> Array:
    if not cfg.clip_value_loss:
        return losses.squared_error(outputs.value, batch.target)
    return losses.clipped_squared_error(
        outputs.value, batch.target, batch.value, hyperparams.value_clip
    )


def replay(network: ActorCritic, params: PyTree, batch: Batch) -> Outputs:
    """The outputs with these parameters, [N] or [N, L]."""
    if network.unroll is None:
        return network.apply(params, batch.obs)[0]
    assert batch.reset is not None
    obs, reset = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), (batch.obs, batch.reset))
    outputs = network.unroll(params, obs, batch.carry, reset)
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), outputs)


def update(
    cfg: Config,
    network: ActorCritic,
    optimizer: Optimizer,
    learner: Learner,
    batch: Batch,
    hyperparams: HyperParams,
    keys: UpdateKeys,
    loss: Loss = rpo_loss,
    frozen: PyTree = None,
) -> tuple[Learner, StepMetrics]:
    """update_epochs passes over the batch in num_minibatches gradient steps each.

    Once the unperturbed KL of a minibatch passes kl_threshold, that step and all later ones of
    this update leave the learner as it is.

    Args:
        cfg, network, optimizer, hyperparams: what learns, and how.
        learner: what is to be changed.
        batch: [N] samples, or sequences [N, L].
        keys: of this update.
        loss: of a minibatch.
        frozen: pytree like the parameters, of bool[]: those to leave as they are; None for none.

    Returns:
        The learner, and each metric as its mean over the gradient steps up to and including the
        one that stopped the update. (CleanRL logs the losses of the last minibatch.)
    """
    learner, metrics, counted = gradient_steps(
        cfg, network, optimizer, learner, batch, hyperparams, keys, loss, frozen
    )
    return learner, jax.tree.map(lambda leaf: _mean_where(leaf, counted), metrics)


def gradient_steps(
    cfg: Config,
    network: ActorCritic,
    optimizer: Optimizer,
    learner: Learner,
    batch: Batch,
    hyperparams: HyperParams,
    keys: UpdateKeys,
    loss: Loss = rpo_loss,
    frozen: PyTree = None,
) -> tuple[Learner, StepMetrics, Array]:
    """`update` with the metrics of each step.

    Returns:
        The learner; each metric [E, M], for E epochs of M minibatches; and bool[E, M], True up to
        and including the step that stopped the update.
    """
    shape = batch.action.shape
    noise_shape = (cfg.num_minibatches, shape[0] // cfg.num_minibatches, *shape[1:])
    params, unpack = optimizer.pack(learner.params)
    packed = learner._replace(params=params)
    devices = device_axis(cfg)

    if frozen is not None:
        flags = jax.tree.map(
            lambda flag, leaf: flag & jnp.ones_like(leaf, bool), frozen, learner.params
        )
        packed_flags = optimizer.pack(flags)[0]

    def objective(params: PyTree, minibatch: Batch, noise: Array) -> tuple[Array, StepMetrics]:
        return loss(cfg, network, params, minibatch, noise, hyperparams)

    def step(
        carry: tuple[Learner, Array], inputs: tuple[Batch, Array]
    ) -> tuple[tuple[Learner, Array], tuple[StepMetrics, Array]]:
        packed, going = carry
        found = jax.grad(objective, has_aux=True)(unpack(packed.params), *inputs)
        gradient, metrics = devices.mean(found)
        threshold = hyperparams.kl_threshold
        still_going = going & ((threshold <= 0.0) | (metrics.kl <= threshold))
        if frozen is not None:  # the norm that is clipped is that of the others
            gradient = jax.tree.map(lambda flag, x: jnp.where(flag, 0.0, x), frozen, gradient)
        stepped, norm = gradient_step(optimizer, packed, gradient, hyperparams)
        if frozen is not None:  # whatever the optimiser does to them, such as decay
            params = jax.tree.map(jnp.where, packed_flags, packed.params, stepped.params)
            stepped = stepped._replace(params=params)
        packed = jax.tree.map(lambda new, old: jnp.where(still_going, new, old), stepped, packed)
        return (packed, still_going), (metrics._replace(grad_norm=norm), going)

    def epoch(
        carry: tuple[Learner, Array], epoch_keys: tuple[Key, Key]
    ) -> tuple[tuple[Learner, Array], tuple[StepMetrics, Array]]:
        shuffle_key, perturbation_key = epoch_keys
        share = functools.partial(devices.share, axis=1)  # of each minibatch
        minibatches = shuffled_minibatches(shuffle_key, batch, cfg.num_minibatches, share)
        if cfg.advantage_normalization == "minibatch":  # by the moments of whole minibatches
            advantage = devices.whole(minibatches.advantage, axis=1)
            minibatches = minibatches._replace(advantage=advantage)
        mean_noise = share(perturbation_noise(cfg, perturbation_key, noise_shape))
        (packed, going), (metrics, counted) = jax.lax.scan(step, carry, (minibatches, mean_noise))
        if cfg.lr_schedule == "kl_adaptive":
            adapted = adapt_learning_rate(
                packed.learning_rate, _mean_where(metrics.kl, counted), hyperparams.kl_target
            )
            rate = jnp.where(jnp.any(counted), adapted, packed.learning_rate)
            packed = packed._replace(learning_rate=rate)
        return (packed, going), (metrics, counted)

    (packed, _), (metrics, counted) = jax.lax.scan(
        epoch, (packed, jnp.array(True)), (keys.shuffle, keys.perturbation)
    )
    return packed._replace(params=unpack(packed.params)), metrics, counted


def _mean_where(values: Array, where: Array) -> Array:
    """Mean of the values where `where` is True; 0 if it is nowhere."""
    total = jnp.sum(jnp.where(where, values, 0.0))
    return total / jnp.maximum(jnp.sum(where.astype(jnp.float32)), 1.0)
