"""skrl's settings of RPO: their keys, versions and defaults, and the fields of `Config` they set.

As of skrl 1.4.3, 2.0.0 and 2.1.1: `RPO_DEFAULT_CONFIG` of 1.x, `RPO_CFG` of 2.x. A setting without
a counterpart is a ValueError, unless the caller sets the corresponding field.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from rpojax.settings.translation.by_name import as_dict
from rpojax.types import Array
from rpojax.validation import Interval, check_bool, check_known, number_in, whole_number

DEFAULTS_1: dict[str, Any] = {
    "class": "RPO",  # of the runner's YAML files
    "rollouts": 16,
    "learning_epochs": 8,
    "mini_batches": 2,
    "alpha": 0.5,
    "discount_factor": 0.99,
    "lambda": 0.95,
    "learning_rate": 1e-3,
    "learning_rate_scheduler": None,
    "learning_rate_scheduler_kwargs": {},
    "state_preprocessor": None,
    "state_preprocessor_kwargs": {},
    "value_preprocessor": None,
    "value_preprocessor_kwargs": {},
    "random_timesteps": 0,
    "learning_starts": 0,
    "grad_norm_clip": 0.5,
    "ratio_clip": 0.2,
    "value_clip": 0.2,
    "clip_predicted_values": False,
    "entropy_loss_scale": 0.0,
    "value_loss_scale": 1.0,
    "kl_threshold": 0.0,
    "rewards_shaper": None,
    "rewards_shaper_scale": None,  # of the runner's YAML files
    "time_limit_bootstrap": False,
    "mixed_precision": False,  # of the PyTorch version
    "experiment": {},
}
ONLY_IN_1 = ("lambda", "clip_predicted_values")
ONLY_IN_2: dict[str, Any] = {
    "gae_lambda": 0.95,
    "observation_preprocessor": None,
    "observation_preprocessor_kwargs": {},
}
PAIRS_IN_2 = ("learning_rate", "learning_rate_scheduler", "learning_rate_scheduler_kwargs")
"""Settings of which skrl 2 takes a pair, for the policy and for the value."""
DEFAULTS_2 = {key: value for key, value in DEFAULTS_1.items() if key not in ONLY_IN_1}
DEFAULTS_2 |= ONLY_IN_2 | {"value_loss_scale": 2.5}

EXPERIMENT_DEFAULTS: dict[str, Any] = {
    "directory": "",
    "experiment_name": "",
    "write_interval": "auto",
    "checkpoint_interval": "auto",
    "store_separately": False,
    "wandb": False,
    "wandb_kwargs": {},
}


class Source(NamedTuple):
    """Complete settings of skrl."""

    version: int  # 1 or 2
    values: dict[str, Any]  # each key of the version
    experiment: dict[str, Any]  # each key of EXPERIMENT_DEFAULTS, checked
    num_envs: int  # skrl counts a step of all environments as one timestep

    def number(self, key: str) -> float:
        """A setting that is a number; ValueError for all else."""
        return number_in(key, self.values[key], Interval(-float("inf")))

    def whole(self, key: str, least: int = 0) -> int:
        """A setting that is a whole number of at least `least`; ValueError for all else."""
        return whole_number(key, self.values[key], least)

    def flag(self, key: str) -> bool:
        """A setting that is True or False; ValueError for all else."""
        return check_bool(key, self.values[key])

    def same_for_both(self, key: str) -> Any:
        """A setting of which skrl 2 takes a pair, for the policy and for the value."""
        value = self.values[key]
        if not isinstance(value, tuple | list):
            return value
        if len(value) != 2 or value[0] != value[1]:
            raise ValueError(
                f"{key} = {value!r} differs for policy and value, which one optimiser trains "
                "here; give one value for both"
            )
        return value[0]

    def component(self, key: str) -> str:
        """The name of a class or function, whether it was given as such or by name; "" for None."""
        given = self.same_for_both(key)
        return str(getattr(given, "__name__", "" if given is None else given))

    def kwargs(self, key: str, known: Collection[str]) -> dict[str, Any]:
        """The arguments of a component; ValueError for one that is not among `known`."""
        kwargs = as_dict(self.same_for_both(key) or {}, key)
        for name in kwargs:
            check_known(str(name), known, f"argument in {key}")
        return kwargs


def read(settings: Any, num_envs: int = 1) -> Source:
    """Complete settings: what was given, and skrl's defaults for what was left out.

    The defaults are skrl 2's if there is a key that only skrl 2 has or a pair that only skrl 2
    takes, and skrl 1's otherwise.

    Args:
        settings: a mapping, or skrl 2's RPO_CFG.
        num_envs: environments of the run.

    Raises:
        ValueError: an unknown key, with the nearest known one; keys of both versions; a wrong
            value in "experiment".
    """
    given = as_dict(settings, "settings")
    if "agent" in given:
        others = ", ".join(repr(key) for key in given if key != "agent")
        raise ValueError(
            f"settings have a section 'agent' beside {others}, as the files of skrl's Runner and "
            "of Isaac Lab: give settings['agent'], and of the others what is meant, such as network"
            " = NetworkConfig(...) and seed = ... of rpojax.fit"
        )
    of_1 = [key for key in ONLY_IN_1 if key in given]
    of_2 = [key for key in ONLY_IN_2 if key in given]
    of_2 += [key for key in PAIRS_IN_2 if isinstance(given.get(key), tuple | list)]
    if of_1 and of_2:
        raise ValueError(
            f"{of_1[0]!r} is a setting of skrl 1 and {of_2[0]!r} of skrl 2; give those of one"
        )
    if "timesteps" in given:
        raise ValueError(
            "'timesteps' belongs to skrl's trainer, and counts a step of all environments as one; "
            "give total_timesteps = timesteps * num_envs among the changes"
        )
    defaults = DEFAULTS_2 if of_2 else DEFAULTS_1
    for key in given:
        check_known(str(key), DEFAULTS_1 | DEFAULTS_2, "setting of skrl's RPO")
    values = defaults | given
    return Source(2 if of_2 else 1, values, _experiment(values["experiment"]), num_envs)


def _experiment(settings: Any) -> dict[str, Any]:
    given = as_dict(settings, "experiment")
    for key in given:
        check_known(str(key), EXPERIMENT_DEFAULTS, "setting in skrl's experiment")
    experiment = EXPERIMENT_DEFAULTS | given
    for key in ("directory", "experiment_name"):
        if not isinstance(experiment[key], str):
            raise ValueError(f"experiment: {key} = {experiment[key]!r} is not text; give a name")
    for key in ("store_separately", "wandb"):
        check_bool(f"experiment: {key}", experiment[key])
    for key in ("write_interval", "checkpoint_interval"):
        if experiment[key] != "auto":
            experiment[key] = whole_number(f"experiment: {key}", experiment[key], least=-(2**31))
    return experiment | {"wandb_kwargs": as_dict(experiment["wandb_kwargs"] or {}, "wandb_kwargs")}


SCALER_EPSILON, SCALER_CLIP = 1e-8, 5.0  # RunningStandardScaler's
KL_TARGET = 0.008
KL_ADAPTIVE = {"min_lr": 1e-6, "max_lr": 1e-2, "kl_factor": 2.0, "lr_factor": 1.5}
WITHOUT_EFFECT = ("last_epoch", "verbose")  # of torch's schedulers, in a new run


@dataclasses.dataclass(frozen=True)
class LinearFactor:
    """torch's LinearLR as a factor on the learning rate, from `start` to `end`."""

    start: float
    end: float
    updates: float  # after which it reaches `end`

    def __call__(self, update_count: Array) -> Array:
        """The factor, [], after `update_count` updates, i32[]."""
        progress = (update_count / self.updates).clip(0.0, 1.0)
        return self.start + (self.end - self.start) * progress


@dataclasses.dataclass(frozen=True)
class RewardScale:
    """A reward shaper that multiplies by a number, skrl's rewards_shaper_scale."""

    scale: float

    def __call__(self, reward: Array, timestep: Array, timesteps: int) -> Array:
        """The scaled rewards, [B]."""
        return self.scale * reward


def skrl_fields(
    config: type[Any], settings: Any, changes: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The fields of a `Config` for `Config.from_skrl`, and the key that sets each."""
    num_envs = whole_number("num_envs", changes.get("num_envs", config.num_envs))
    skrl = read(settings, num_envs)
    if skrl.component("class").upper() != "RPO":  # the runner takes "rpo" too
        raise ValueError(
            f"class = {skrl.component('class')!r} is another algorithm; give 'RPO', and alpha = 0 "
            "for PPO"
        )
    if skrl.flag("mixed_precision") and "network" not in changes:
        raise ValueError(
            "mixed_precision = True is a setting of the network here; give network = "
            "NetworkConfig(dtype='bfloat16') among the changes"
        )
    given = as_dict(settings, "settings")
    table = dict(FIELDS_1 if skrl.version == 1 else FIELDS_2)
    for field in changes:
        table.pop(field, None)
    fields = {field: convert(skrl, key) for field, (key, convert) in table.items()}
    key_of = {field: key for field, (key, _) in table.items() if key in given}
    return FIXED | fields, key_of


def _schedule(skrl: Source, key: str) -> Any:
    name = skrl.component(key)
    if not name:
        return "constant"
    if _is_kl_adaptive(skrl):
        _check_fixed(f"{key}_kwargs", _kl_adaptive_kwargs(skrl), KL_ADAPTIVE)
        return "kl_adaptive"
    if name == "LinearLR":
        return _linear_factor(skrl)
    raise ValueError(
        f"{key} = {name!r} has no counterpart here; give KLAdaptiveLR, LinearLR or None, or "
        "among the changes an lr_schedule: a function of the number of updates done to a factor on "
        "learning_rate"
    )


def _linear_factor(skrl: Source) -> LinearFactor:
    """The rate moves after each epoch in skrl; here it is constant during an update."""
    known = ("start_factor", "end_factor", "total_iters", *WITHOUT_EFFECT)
    kwargs = skrl.kwargs("learning_rate_scheduler_kwargs", known)
    total_iters = whole_number("total_iters", kwargs.get("total_iters", 5))
    return LinearFactor(
        start=number_in("start_factor", kwargs.get("start_factor", 1 / 3), Interval(0.0)),
        end=number_in("end_factor", kwargs.get("end_factor", 1.0), Interval(0.0)),
        updates=total_iters / skrl.whole("learning_epochs", least=1),
    )


def _is_kl_adaptive(skrl: Source) -> bool:
    """Whether the scheduler is KLAdaptiveLR, or has one of the names that skrl 2 accepts for it."""
    return "kladaptive" in skrl.component("learning_rate_scheduler").lower().replace("_", "")


def _kl_adaptive_kwargs(skrl: Source) -> dict[str, Any]:
    known = ("kl_threshold", *KL_ADAPTIVE, *WITHOUT_EFFECT)
    return skrl.kwargs("learning_rate_scheduler_kwargs", known)


def _kl_target(skrl: Source, key: str) -> float:
    kwargs = _kl_adaptive_kwargs(skrl) if _is_kl_adaptive(skrl) else {}
    return kwargs.get("kl_threshold", KL_TARGET)


def _observation_scaler(skrl: Source, key: str) -> dict[str, Any] | None:
    """The arguments of the scaler of observations; None without one."""
    fields = "normalize_observations and observation_clip"
    scaler = _scaler(skrl, key, fields)
    if skrl.version == 2 and scaler is None and skrl.component("state_preprocessor"):
        raise ValueError(
            "state_preprocessor without observation_preprocessor scales what the critic alone "
            "sees, and here either all observations are scaled or none; give "
            f"{fields} among the changes"
        )
    return scaler


def _normalize_observations(skrl: Source, key: str) -> bool:
    return _observation_scaler(skrl, key) is not None


def _observation_clip(skrl: Source, key: str) -> float:
    return (_observation_scaler(skrl, key) or {}).get("clip_threshold", SCALER_CLIP)


def _scaler(skrl: Source, key: str, fields: str) -> dict[str, Any] | None:
    """The arguments of a RunningStandardScaler; None without one."""
    name = skrl.component(key)
    if not name:
        return None
    if name != "RunningStandardScaler":
        raise ValueError(
            f"{key} = {name!r} has no counterpart here; give RunningStandardScaler or None, "
            f"or {fields} among the changes"
        )
    # Size and device follow by themselves.
    kwargs = skrl.kwargs(f"{key}_kwargs", ("size", "device", "epsilon", "clip_threshold"))
    _check_fixed(f"{key}_kwargs", kwargs, {"epsilon": SCALER_EPSILON})
    return kwargs


def _normalize_values(skrl: Source, key: str) -> bool:
    kwargs = _scaler(skrl, key, "normalize_values")
    # skrl clips values and returns at 5 standard deviations; here nothing is clipped.
    _check_fixed(f"{key}_kwargs", kwargs or {}, {"clip_threshold": SCALER_CLIP})
    return kwargs is not None


def _check_fixed(key: str, kwargs: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    """Raise ValueError where an argument differs from skrl's default, the only one possible."""
    for name, value in fixed.items():
        if kwargs.get(name, value) != value:
            raise ValueError(
                f"{key}: {name} = {kwargs[name]!r} has no counterpart here; leave it at skrl's "
                f"default, {value:g}"
            )


def _ent_coef(skrl: Source, key: str) -> float:
    scale = skrl.number(key)
    if skrl.version == 1 and scale:
        raise ValueError(
            f"{key} = {scale:g} weighs what skrl 1 averages over the action's dimensions, and here "
            f"it is summed; give ent_coef = {scale:g} / (number of action dimensions) among the "
            "changes"
        )
    return scale


def _random_timesteps(skrl: Source, key: str) -> int:
    timesteps, rollouts = skrl.whole(key), skrl.whole("rollouts", least=1)
    if timesteps % rollouts:
        below = timesteps // rollouts * rollouts
        raise ValueError(
            f"{key} = {timesteps} ends inside one of the rollouts of {rollouts} timesteps; give "
            f"{below} or {below + rollouts}"
        )
    return timesteps * skrl.num_envs


def _learning_starts(skrl: Source, key: str) -> int:
    """The rollouts that end before skrl begins to update, as steps of all environments."""
    rollouts = skrl.whole("rollouts", least=1)
    return skrl.whole(key) // rollouts * rollouts * skrl.num_envs


def _reward_shaper(skrl: Source, key: str) -> Any:
    shaper = skrl.values[key]
    if skrl.values["rewards_shaper_scale"] is None:
        return shaper
    if shaper is not None:
        raise ValueError("rewards_shaper and rewards_shaper_scale do the same; give one of them")
    return RewardScale(skrl.number("rewards_shaper_scale"))


def _same(skrl: Source, key: str) -> Any:
    return skrl.values[key]


FIXED: dict[str, Any] = {
    "adam_eps": 1e-8,  # torch's and optax's own
    "normalize_rewards": False,
    "advantage_normalization": "batch",
    "perturb_rollouts": True,
}
"""What skrl does without a setting for it."""

FIELDS_2: dict[str, tuple[str, Callable[[Source, str], Any]]] = {
    "num_steps": ("rollouts", _same),
    "update_epochs": ("learning_epochs", _same),
    "num_minibatches": ("mini_batches", _same),
    "alpha": ("alpha", _same),
    "gamma": ("discount_factor", _same),
    "gae_lambda": ("gae_lambda", _same),
    "learning_rate": ("learning_rate", Source.same_for_both),
    "lr_schedule": ("learning_rate_scheduler", _schedule),
    "kl_target": ("learning_rate_scheduler_kwargs", _kl_target),
    "normalize_observations": ("observation_preprocessor", _normalize_observations),
    "observation_clip": ("observation_preprocessor", _observation_clip),
    "normalize_values": ("value_preprocessor", _normalize_values),
    "random_timesteps": ("random_timesteps", _random_timesteps),
    "learning_starts": ("learning_starts", _learning_starts),
    "max_grad_norm": ("grad_norm_clip", lambda skrl, key: max(0.0, skrl.number(key))),
    "clip_eps": ("ratio_clip", _same),
    "clip_value_loss": ("value_clip", lambda skrl, key: skrl.number(key) > 0.0),
    "value_clip": ("value_clip", lambda skrl, key: max(0.0, skrl.number(key)) or 0.2),  # 0: off
    "ent_coef": ("entropy_loss_scale", _ent_coef),
    # Of E[...], where ours is of E[...] / 2.
    "vf_coef": ("value_loss_scale", lambda skrl, key: 2.0 * skrl.number(key)),
    "kl_threshold": ("kl_threshold", _same),
    "reward_shaper": ("rewards_shaper", _reward_shaper),
    "time_limit_bootstrap": ("time_limit_bootstrap", _same),
}
"""The setting of skrl 2 that sets each field, and how it is translated."""

FIELDS_1 = FIELDS_2 | {
    "gae_lambda": ("lambda", _same),
    "normalize_observations": ("state_preprocessor", _normalize_observations),
    "observation_clip": ("state_preprocessor", _observation_clip),
    "clip_value_loss": ("clip_predicted_values", Source.flag),
    "value_clip": ("value_clip", _same),
}
"""Those of skrl 1."""
