"""Find what became NaN or infinite first in a training that diverged."""

import jax
import jax.numpy as jnp

from rpojax.core.device_axis import device_axis
from rpojax.core.keys import update_keys
from rpojax.core.model import Model
from rpojax.core.optimizer import make_optimizer
from rpojax.core.perturbation import with_scheduled_alpha
from rpojax.core.train import collect_batch, learner_of
from rpojax.core.update import gradient_steps
from rpojax.envs.base import Params
from rpojax.settings.hyperparams import HyperParams
from rpojax.types import Array, PyTree, TrainState

QUANTITIES = ("observation", "reward", "loss", "gradient", "parameters")


def first_not_finite(
    model: Model, state: TrainState, hyperparams: HyperParams, env_params: Params
) -> Array:
    """The quantity that is NaN or infinite first in the update after a finite state.

    Args:
        model: what is trained; state, hyperparams: of one agent.
        env_params: changed parameters of its environment.

    Returns:
        i32[], an index of `QUANTITIES`. A loss counts before its gradient.
    """
    cfg, _, network = model
    keys = update_keys(cfg, state.key)
    hyperparams = with_scheduled_alpha(cfg, hyperparams, state.update_count)
    collected = collect_batch(model, state, hyperparams, env_params, keys)
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
            _any_not_finite(collected.transitions.obs),  # only from a reset; see core/invalid.py
            _any_not_finite(collected.reward),  # by a reward_shaper
            (step_of_loss < losses.size) & (step_of_loss <= step_of_gradient),
            step_of_gradient < losses.size,
            jnp.array(True),
        ]
    )
    return jnp.argmax(device_axis(cfg).any(found))


def _any_not_finite(tree: PyTree) -> Array:
    """Whether any number is NaN or infinite, bool[]."""
    return jnp.any(jnp.stack([jnp.any(~jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def _first(flags: Array) -> Array:
    """The index of the first True in bool[n]; n if there is none."""
    return jnp.where(jnp.any(flags), jnp.argmax(flags), len(flags))
