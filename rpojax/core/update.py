"""The update: several epochs of clipped-surrogate gradient steps on one batch."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from rpojax.config import Config
from rpojax.core import distribution, losses
from rpojax.core.optimizer import adapt_learning_rate, clip_by_global_norm
from rpojax.hyperparams import HyperParams
from rpojax.networks import ActorCritic, Outputs
from rpojax.ops.shuffle import shuffled_minibatches
from rpojax.trees import merge_axes
from rpojax.types import Array, Batch, Key, PyTree


class Learner(NamedTuple):
    """What an update changes."""

    params: PyTree  # inside the update one vector [P], which clip and Adam pass over once
    opt_state: optax.OptState  # of that vector
    learning_rate: Array  # []


class StepMetrics(NamedTuple):
    """What one gradient step tells, each f32[]; the fields of `Metrics` with the same names."""

    policy_loss: Array
    value_loss: Array
    entropy: Array
    kl: Array
    kl_perturbed: Array
    clip_fraction: Array
    grad_norm: Array


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
    taken under a freshly perturbed mean.

    Args:
        cfg: settings; network: the network; params: where the loss is taken.
        batch: [N]; mean_noise: [N, A] from U(-1, 1); if recurrent [N, L] and [N, L, A].
        hyperparams: the coefficients.
    """
    outputs = replay(network, params, batch)
    if network.recurrent:  # from here on every step of every sequence is a sample
        batch = batch._replace(obs=None, reset=None, carry=())
        outputs, batch, mean_noise = merge_axes((outputs, batch, mean_noise))
    perturbed_mean = distribution.perturb(outputs.mean, hyperparams.alpha, mean_noise)
    log_prob = distribution.log_prob(batch.action, perturbed_mean, outputs.log_std)
    log_ratio = log_prob - batch.log_prob
    ratio = jnp.exp(log_ratio)

    advantage = batch.advantage
    if cfg.advantage_normalization == "minibatch":
        advantage = losses.normalize_advantage(advantage)
    policy_loss = losses.clipped_surrogate(ratio, advantage, hyperparams.clip_eps)
    if cfg.clip_value_loss:
        value_loss = losses.clipped_squared_error(
            outputs.value, batch.target, batch.value, hyperparams.value_clip
        )
    else:
        value_loss = losses.squared_error(outputs.value, batch.target)
    entropy = jnp.mean(distribution.entropy(outputs.log_std))
    loss = policy_loss + hyperparams.vf_coef * value_loss - hyperparams.ent_coef * entropy

    kl = distribution.kl_divergence(batch.mean, batch.log_std, outputs.mean, outputs.log_std)
    return loss, StepMetrics(
        policy_loss=policy_loss,
        value_loss=value_loss,
        entropy=entropy,
        kl=jnp.mean(kl),
        kl_perturbed=jnp.mean(ratio - 1.0 - log_ratio),  # Schulman's low-variance estimator
        clip_fraction=jnp.mean((jnp.abs(ratio - 1.0) > hyperparams.clip_eps).astype(jnp.float32)),
        grad_norm=jnp.zeros((), jnp.float32),
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
    optimizer: optax.GradientTransformation,
    learner: Learner,
    batch: Batch,
    hyperparams: HyperParams,
    keys: Key,
) -> tuple[Learner, StepMetrics]:
    """update_epochs passes over the batch in num_minibatches gradient steps each.

    Once the unperturbed KL of a minibatch passes kl_threshold, that step and all later ones of
    this update leave the learner as it is.

    Args:
        cfg: settings; network, optimizer: what learns, and how.
        learner: what is to be changed.
        batch: [N] samples, or sequences [N, L].
        hyperparams: the coefficients and limits.
        keys: [2, update_epochs] for the shuffles and the perturbations.

    Returns:
        The learner, and the mean of each metric over the steps that were looked at, up to and
        with the one that stopped the update.
    """
    shape = batch.action.shape
    noise_shape = (cfg.num_minibatches, shape[0] // cfg.num_minibatches, *shape[1:])
    flat_params, unflatten = ravel_pytree(learner.params)

    def loss(params: Array, minibatch: Batch, noise: Array) -> tuple[Array, StepMetrics]:
        return rpo_loss(cfg, network, unflatten(params), minibatch, noise, hyperparams)

    def gradient_step(
        carry: tuple[Learner, Array], inputs: tuple[Batch, Array]
    ) -> tuple[tuple[Learner, Array], tuple[StepMetrics, Array]]:
        learner, going = carry
        gradient, metrics = jax.grad(loss, has_aux=True)(learner.params, *inputs)
        threshold = hyperparams.kl_threshold
        still_going = going & ((threshold <= 0.0) | (metrics.kl <= threshold))

        gradient, norm = clip_by_global_norm(gradient, hyperparams.max_grad_norm)
        direction, opt_state = optimizer.update(gradient, learner.opt_state, learner.params)
        params = learner.params - learner.learning_rate * direction
        stepped = learner._replace(params=params, opt_state=opt_state)
        learner = jax.tree.map(lambda new, old: jnp.where(still_going, new, old), stepped, learner)
        return (learner, still_going), (metrics._replace(grad_norm=norm), going)

    def epoch(
        carry: tuple[Learner, Array], epoch_keys: tuple[Key, Key]
    ) -> tuple[tuple[Learner, Array], tuple[StepMetrics, Array]]:
        shuffle_key, perturbation_key = epoch_keys
        minibatches = shuffled_minibatches(shuffle_key, batch, cfg.num_minibatches)
        mean_noise = distribution.perturbation_noise(perturbation_key, noise_shape)
        (learner, going), (metrics, seen) = jax.lax.scan(
            gradient_step, carry, (minibatches, mean_noise)
        )
        if cfg.lr_schedule == "kl_adaptive":
            adapted = adapt_learning_rate(
                learner.learning_rate, _mean_where(metrics.kl, seen), hyperparams.kl_target
            )
            rate = jnp.where(jnp.any(seen), adapted, learner.learning_rate)
            learner = learner._replace(learning_rate=rate)
        return (learner, going), (metrics, seen)

    learner = learner._replace(params=flat_params)
    (learner, _), (metrics, seen) = jax.lax.scan(
        epoch, (learner, jnp.array(True)), (keys[0], keys[1])
    )
    learner = learner._replace(params=unflatten(learner.params))
    return learner, jax.tree.map(lambda leaf: _mean_where(leaf, seen), metrics)


def _mean_where(values: Array, where: Array) -> Array:
    """Mean of the values that are marked; 0 where none is."""
    total = jnp.sum(jnp.where(where, values, 0.0))
    return total / jnp.maximum(jnp.sum(where.astype(jnp.float32)), 1.0)
