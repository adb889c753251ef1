"""skrl's settings of RPO: their keys, versions and defaults.

As of skrl 1.4.3, 2.0.0 and 2.1.1: `RPO_DEFAULT_CONFIG` of 1.x, `RPO_CFG` of 2.x.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from rpojax.settings.translation.keys import as_dict
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


class KeysRead(dict[str, Any]):
    """A dictionary that records which of its keys are read."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.read: dict[str, None] = {}  # in order

    def __getitem__(self, key: str) -> Any:
        self.read[key] = None
        return super().__getitem__(key)


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
    of_1 = [key for key in ONLY_IN_1 if key in given]
    of_2 = [key for key in ONLY_IN_2 if key in given]
    of_2 += [key for key in PAIRS_IN_2 if isinstance(given.get(key), tuple | list)]
    if of_1 and of_2:
        raise ValueError(f"{of_1[0]!r} is of skrl 1 and {of_2[0]!r} of skrl 2; give those of one")
    if "timesteps" in given:
        raise ValueError(
            "'timesteps' is of skrl's trainer, and counts a step of all environments as one; give "
            "total_timesteps = timesteps * num_envs among the changes"
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
