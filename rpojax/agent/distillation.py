"""Distillation: a student learns what a trained teacher does in the states that it reaches itself.

Dataset aggregation (Ross, Gordon and Bagnell 2011, arXiv 1011.0686) in the scan of a training: the
student acts, the teacher says what it would have done there, and the student's distribution of
actions is fitted to the teacher's.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from rpojax.agent.policy import TrainedPolicy, trained_policy
from rpojax.core.acting import policy_obs
from rpojax.core.batch import as_samples
from rpojax.core.keys import update_keys
from rpojax.core.model import Model, make_model
from rpojax.core.perturbation import with_scheduled_alpha
from rpojax.core.train import Parts, collect_batch, init_agent, is_finite, learn, make_parts
from rpojax.core.update import imitation_loss
from rpojax.envs.base import Params
from rpojax.envs.params import resolve_params
from rpojax.networks import Outputs
from rpojax.programs.agents_at_once import agents_mapped
from rpojax.programs.protocols import EnvParams, Train
from rpojax.programs.trainer import resolve_hyperparams
from rpojax.settings.config import Config
from rpojax.settings.hyperparams import HyperParams
from rpojax.trees import same_avals
from rpojax.types import Key, Metrics, PyTree, TrainResult, TrainState, Transition
from rpojax.validation import show


def make_distill(cfg: Config, teacher: Any) -> Train:
    """The whole distillation of one student, a pure function to `jit` and `vmap` like `make_train`.

    In place of the surrogate, each update minimises KL(teacher || student) on the rollout that the
    student has collected, in `cfg.update_epochs` passes; the metrics `kl` and `policy_loss` are
    this. The critic learns from the rewards as in a training, so that training can go on from the
    result: `fit(cfg, initial=result)`, or with `cfg.replace(critic_warmup=...)`. Rollouts are
    perturbed if `cfg.perturb_rollouts`.

    The environment's observations hold what the teacher sees and what the student sees. A Dict
    observation with `NetworkConfig(actor_keys=...)` hides entries from the student; with
    `critic_keys`, its critic may see all. Either may be recurrent.

    Args:
        cfg: of the student.
        teacher: what `make_policy` returns, or the policy of a run, `rpojax.load(run).policy()`.

    Returns:
        `distill(key, hyperparams=None, env_params=None) -> TrainResult`, as `make_train` has it.

    Raises:
        ValueError: as `make_train`; `teacher` is not a policy of rpojax; teacher and student differ
            in observations, action bounds, distribution or `action_transform`; a setting that
            cannot be used here: lr_schedule = "kl_adaptive", devices_per_agent, symmetry.
    """
    model = make_model(cfg)
    trained = trained_policy(teacher)
    _check(model, trained.model)
    parts = make_parts(model)
    mapped = agents_mapped(model, functools.partial(_distill, parts, trained))

    def distill(
        key: Key, hyperparams: HyperParams | None = None, env_params: EnvParams | None = None
    ) -> TrainResult:
        given = resolve_hyperparams(cfg, hyperparams), resolve_params(model.env, env_params)
        return mapped(key, *given)

    return distill


def _check(student: Model, other: Model) -> None:
    """Raise ValueError unless the teacher's actions in the student's environment can be learnt."""
    cfg, env, network = student
    if not same_avals(env.obs, other.env.obs):
        raise ValueError(
            f"teacher was trained with the observations {other.env.obs}, and env = {env.name!r} "
            f"gives {env.obs}; give an environment with what both see, and actor_keys of a Dict"
        )
    pairs = {
        "action_low": (env.action_low.tolist(), other.env.action_low.tolist()),
        "action_high": (env.action_high.tolist(), other.env.action_high.tolist()),
        "distribution": (network.distribution, other.network.distribution),
        "action_transform": (cfg.action_transform, other.cfg.action_transform),
    }
    for name, (own, theirs) in pairs.items():
        if own != theirs:
            raise ValueError(
                f"{name} = {own!r} of the student is {theirs!r} of its teacher; give the same"
            )
    if cfg.lr_schedule == "kl_adaptive":
        raise ValueError(
            'lr_schedule = "kl_adaptive" follows the change of a policy, and the KL of a '
            'distillation is the distance to the teacher; give "linear" or "constant"'
        )
    for name, value in (("devices_per_agent", 1), ("symmetry", None)):
        own = getattr(cfg, name)
        if own != value:
            raise ValueError(f"{name} = {show(own)} cannot be used in a distillation; give {value}")


def _distill(
    parts: Parts, teacher: TrainedPolicy, key: Key, hyperparams: HyperParams, env_params: Params
) -> TrainResult:
    """All updates of one student."""
    hyperparams = hyperparams.replace(kl_threshold=jnp.zeros_like(hyperparams.kl_threshold))
    cfg = parts.model.cfg

    def step(
        before: tuple[TrainState, PyTree], _: None
    ) -> tuple[tuple[TrainState, PyTree], Metrics]:
        state, carry = before
        keys = update_keys(cfg, state.key)
        scheduled = with_scheduled_alpha(cfg, hyperparams, state.update_count)
        collected = collect_batch(parts.model, state, scheduled, env_params, keys)
        outputs, carry = _outputs(teacher, collected.transitions, carry)
        labels = as_samples(cfg, parts.model.network, (outputs.mean, outputs.log_std))
        batch = collected.batch._replace(mean=labels[0], log_std=labels[1])
        collected = collected._replace(batch=batch)
        state, metrics = learn(parts, collected, scheduled, keys, imitation_loss)
        return (state, carry), metrics

    state = init_agent(parts, key, hyperparams, env_params)
    start = state, teacher.model.network.initial_carry((cfg.num_envs,))
    (state, _), metrics = jax.lax.scan(step, start, None, length=cfg.num_updates)
    return TrainResult(state=state, metrics=metrics, finite=is_finite(state))


def _outputs(teacher: TrainedPolicy, steps: Transition, carry: PyTree) -> tuple[Outputs, PyTree]:
    """The teacher's outputs [T, B, ...] in a rollout, and its carry [B, ...] after it."""
    (cfg, _, network), state = teacher.model, teacher.state
    obs = policy_obs(cfg, state, steps.obs)
    if not network.recurrent:
        return network.apply(state.params, obs)

    def step(carry: PyTree, inputs: PyTree) -> tuple[PyTree, Outputs]:
        outputs, carry = network.apply(state.params, inputs[0], carry, inputs[1])
        return carry, outputs

    carry, outputs = jax.lax.scan(step, carry, (obs, steps.reset))
    return outputs, carry
