"""Arguments of CleanRL's rpo_continuous_action.py, as a `Config`."""

from collections.abc import Callable, Mapping
from typing import Any

from rpojax.presets.table import CLEANRL
from rpojax.settings.translation.by_name import as_dict
from rpojax.validation import Interval, check_bool, check_known, number_in

WITHOUT_EFFECT = (
    # Of a run and its logs: `fit` takes a seed and loggers.
    "exp_name",
    "seed",
    "torch_deterministic",
    "cuda",
    "track",
    "wandb_project_name",
    "wandb_entity",
    "capture_video",
    # Computed from the others.
    "batch_size",
    "minibatch_size",
    "num_iterations",
)


def cleanrl_fields(
    config: type[Any], args: Any, changes: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The fields of a `Config` for `Config.from_cleanrl`, and the argument that sets each.

    What is not given is as in the preset "cleanrl". It has no env, since CleanRL's HalfCheetah is
    not a JAX environment.
    """
    given = as_dict(args, "args")
    arguments = [name for name, _ in FIELDS.values()]
    for name in given:
        check_known(str(name), (*arguments, *WITHOUT_EFFECT), "argument of CleanRL's RPO")
    key_of = {field: name for field, (name, _) in FIELDS.items() if name in given}
    fields = {
        field: FIELDS[field][1](name, given[name])
        for field, name in key_of.items()
        if field not in changes
    }
    return CLEANRL | fields, key_of


def _same(name: str, value: Any) -> Any:
    return value


def _lr_schedule(name: str, value: Any) -> str:
    return "linear" if check_bool(name, value) else "constant"


def _advantage_normalization(name: str, value: Any) -> str:
    return "minibatch" if check_bool(name, value) else "none"


def _kl_threshold(name: str, value: Any) -> float:
    return 0.0 if value is None else number_in(name, value, Interval(0.0, low_allowed=False))


FIELDS: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "env": ("env_id", _same),
    "total_timesteps": ("total_timesteps", _same),
    "learning_rate": ("learning_rate", _same),
    "num_envs": ("num_envs", _same),
    "num_steps": ("num_steps", _same),
    "lr_schedule": ("anneal_lr", _lr_schedule),
    "gamma": ("gamma", _same),
    "gae_lambda": ("gae_lambda", _same),
    "num_minibatches": ("num_minibatches", _same),
    "update_epochs": ("update_epochs", _same),
    "advantage_normalization": ("norm_adv", _advantage_normalization),
    "clip_eps": ("clip_coef", _same),
    "value_clip": ("clip_coef", _same),
    "clip_value_loss": ("clip_vloss", _same),
    "ent_coef": ("ent_coef", _same),
    "vf_coef": ("vf_coef", _same),
    "max_grad_norm": ("max_grad_norm", _same),
    "kl_threshold": ("target_kl", _kl_threshold),
    "alpha": ("rpo_alpha", _same),
}
"""The argument of CleanRL that sets each field, and how its value is translated."""
