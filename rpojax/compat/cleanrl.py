"""Arguments of CleanRL's rpo_continuous_action.py, as a `Config`."""

from collections.abc import Callable
from typing import Any

from rpojax.compat.keys import as_dict, made_from
from rpojax.config import Config
from rpojax.setting import settings_of
from rpojax.validation import Interval, check_bool, check_known, number_in

DEFAULTS: dict[str, Any] = {
    "total_timesteps": 8_000_000,
    "learning_rate": 3e-4,
    "num_envs": 1,
    "num_steps": 2048,
    "anneal_lr": True,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "num_minibatches": 32,
    "update_epochs": 10,
    "norm_adv": True,
    "clip_coef": 0.2,
    "clip_vloss": True,
    "ent_coef": 0.0,
    "vf_coef": 0.5,
    "max_grad_norm": 0.5,
    "target_kl": None,
    "rpo_alpha": 0.5,
}
"""CleanRL's own; env_id has none here, since its HalfCheetah is not a JAX environment."""

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

FIXED: dict[str, Any] = {
    "adam_eps": 1e-5,
    "normalize_observations": True,
    "normalize_rewards": True,
    "normalize_values": False,
    "observation_clip": 10.0,
    "reward_clip": 10.0,
    "action_transform": "clip",
    "perturb_rollouts": False,
    "time_limit_bootstrap": False,
}
"""What CleanRL's script does without an argument for it. Its network is the default one."""


def from_cleanrl(args: Any, **changes: Any) -> Config:
    """The arguments of CleanRL's rpo_continuous_action.py.

    Arguments left out have CleanRL's defaults, except for env_id. As in CleanRL, only the update
    is perturbed, truncated episodes count as terminated, and clip_coef bounds the change of values
    too. seed, cuda, track and other arguments of a run have no effect; `fit` takes a seed and
    loggers. Gymnasium's environments cannot be trained in: give `env` among the changes.

    Different from CleanRL: target_kl compares with the KL of the unperturbed policies and ends an
    update in the middle of an epoch; see `Config.kl_threshold`.

    Args:
        args: a mapping, CleanRL's `Args` or an argparse namespace; not changed.
        changes: fields of `Config`, which take precedence.

    Raises:
        ValueError: an unknown argument, with the nearest known one; as `Config`.
    """
    for name in changes:
        check_known(name, settings_of(Config), "setting")
    given = as_dict(args, "args")
    for name in given:
        check_known(str(name), ("env_id", *DEFAULTS, *WITHOUT_EFFECT), "argument of CleanRL's RPO")
    values = DEFAULTS | given
    names = {field: name for field, (name, _) in FIELDS.items() if name in values}
    names = {field: name for field, name in names.items() if field not in changes}
    fields = {field: FIELDS[field][1](name, values[name]) for field, name in names.items()}
    key_of = {field: name for field, name in names.items() if name in given}
    return made_from(Config, FIXED | fields | changes, key_of)


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
