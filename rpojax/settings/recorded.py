"""The settings of a recorded run, read back from plain values."""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from rpojax.settings.config import Config
from rpojax.settings.hyperparams import HyperParams
from rpojax.settings.network_config import NetworkConfig
from rpojax.settings.plain import COMPARED, differing, fields_to_plain, objects_in
from rpojax.validation import show


def config_from_plain(recorded: Mapping[str, Any], cfg: Config | None = None) -> Config:
    """The config that `fields_to_plain` recorded, in this version or an older one.

    A setting that the record lacks has its default.

    Args:
        recorded: as it was returned, or as JSON gave it back.
        cfg: the recorded config, for a record that holds descriptions; None to make it from the
            record.

    Raises:
        ValueError: a setting that this version does not know; `cfg` differs from the record in a
            plain value; `cfg` is None and the record holds descriptions.
    """
    _require_known(recorded, Config, "settings")
    if isinstance(recorded.get("network"), Mapping) and not objects_in(recorded["network"]):
        _require_known(recorded["network"], NetworkConfig, "settings of the network")
    if cfg is not None:
        if not isinstance(cfg, Config):
            raise ValueError(f"cfg = {show(cfg)} is not a Config; give the one of the run")
        _require_same(recorded, cfg)
        return cfg
    objects = objects_in(recorded)
    if objects:
        held = "; ".join(f"{name} = {text}" for name, text in objects.items())
        raise ValueError(
            f"the run's config holds objects, which a file cannot hold ({held}); pass the config "
            "that the run was started with, as cfg=..."
        )
    return Config(**recorded)  # a network recorded by its fields is made of them


def hyperparams_to_plain(hyperparams: HyperParams) -> dict[str, Any]:
    """Each hyperparameter by name: a number or, for N agents, a list. float32 values are exact."""
    return {name: np.asarray(value).tolist() for name, value in vars(hyperparams).items()}


def hyperparams_from_plain(recorded: Mapping[str, Any], defaults: HyperParams) -> HyperParams:
    """What `hyperparams_to_plain` recorded; a hyperparameter that the record lacks is a default.

    Raises:
        ValueError: a hyperparameter that this version does not know.
    """
    _require_known(recorded, HyperParams, "hyperparameters")
    arrays: dict[str, Any] = {
        name: np.asarray(value, np.float32) for name, value in recorded.items()
    }
    return dataclasses.replace(defaults, **arrays)


def _require_known(recorded: Mapping[str, Any], settings: type[Any], what: str) -> None:
    known = {field.name for field in dataclasses.fields(settings)}
    unknown = ", ".join(sorted(set(recorded) - known))
    if unknown:
        raise ValueError(
            f"the run was recorded with {what} that this version of rpojax does not know: "
            f"{unknown}; use the version that recorded it"
        )


def _require_same(recorded: Mapping[str, Any], cfg: Config) -> None:
    """Raise ValueError that names the settings in which `cfg` is not the recorded config.

    Objects are compared by their descriptions. Where these differ there is only a warning, since
    the same object can be described in another way.
    """
    complete = fields_to_plain(Config()) | dict(recorded)
    network = complete["network"]
    if isinstance(network, Mapping) and not objects_in(network):
        complete["network"] = fields_to_plain(NetworkConfig(**network))
    plain = fields_to_plain(cfg)

    def shown(names: list[str]) -> str:
        return "; ".join(
            f"{name} = {_show(name, plain[name])} where the run has {_show(name, complete[name])}"
            for name in names
        )

    others, described = differing(plain, complete)
    if others:
        raise ValueError(
            f"cfg is not the config of this run: {shown(others)}; leave cfg out to use "
            "the run's own, or start another run in another directory"
        )
    if described:
        warnings.warn(
            f"cfg may not be the config of this run: {shown(described)}. {COMPARED}, and this one "
            "is used; make sure that it computes the same",
            stacklevel=2,
        )


def _show(name: str, plain: Any) -> str:
    objects = objects_in(plain)
    if objects:
        return ", ".join(objects.values())
    return repr(NetworkConfig(**plain) if name == "network" else plain)
