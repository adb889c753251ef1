"""Where a training left the finite numbers."""

import jax
import jax.numpy as jnp

from rpojax.core.keys import update_keys
from rpojax.core.model import Model
from rpojax.core.optimizer import make_optimizer
from rpojax.core.train import collect_batch, learner_of
from rpojax.core.update import gradient_steps
from rpojax.hyperparams import HyperParams
from rpojax.types import Array, PyTree, TrainState

QUANTITIES = ("observation", "reward", "loss", "gradient", "parameters")


def first_not_finite(model: Model, state: TrainState, hyperparams: HyperParams) -> Array:
    """What is NaN or infinite first in the update that follows a finite state.

    Args:
        model: what is trained; state: of one agent; hyperparams: of that agent, each f32[].

    Returns:
        i32[], an index of `QUANTITIES`. An observation counts before the reward of the same step,
        and a loss before its gradient.
    """
    cfg, _, network = model
    keys = update_keys(cfg, state.key)
    collected = collect_batch(model, state, hyperparams, keys)
    transitions = collected.transitions
    step_of_obs = _first(_any_not_finite(transitions.final_obs))
    step_of_reward = _first(_any_not_finite(transitions.reward))
    scaled_reward = ~jnp.all(jnp.isfinite(collected.reward))  # by a reward_shaper
    _, metrics, _ = gradient_steps(
        cfg,
        network,
        make_optimizer(cfg),
        learner_of(cfg, collected.state, hyperparams),
        collected.batch,
        hyperparams,
        keys,
    )
    losses = (
        metrics.policy_loss
        + hyperparams.vf_coef * metrics.value_loss
        - hyperparams.ent_coef * metrics.entropy
    )
    step_of_loss = _first(~jnp.isfinite(losses).ravel())
    step_of_gradient = _first(~jnp.isfinite(metrics.grad_norm).ravel())
    found = jnp.stack(
        [
            (step_of_obs < len(transitions.reward)) & (step_of_obs <= step_of_reward),
            (step_of_reward < len(transitions.reward)) | scaled_reward,
            (step_of_loss < losses.size) & (step_of_loss <= step_of_gradient),
            step_of_gradient < losses.size,
            jnp.array(True),
        ]
    )
    return jnp.argmax(found)


def _any_not_finite(tree: PyTree) -> Array:
    """bool[T]: whether leaves [T, ...] hold NaN or infinity at a step."""
    flags = [
        ~jnp.all(jnp.isfinite(leaf.reshape(len(leaf), -1)), axis=1)
        for leaf in jax.tree.leaves(tree)
    ]
    return jnp.any(jnp.stack(flags), axis=0)


def _first(flags: Array) -> Array:
    """The index of the first True in bool[n]; n if there is none."""
    return jnp.where(jnp.any(flags), jnp.argmax(flags), len(flags))
