"""Settings as plain values, which JSON and YAML can hold, and back.

Functions, modules and environment objects are not plain values. They are recorded as a description,
which distinguishes one object from another but cannot be turned back into it. To read such
settings, pass the `Config` that was recorded.
"""

import dataclasses
import functools
import hashlib
import re
import types
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from rpojax.config import Config
from rpojax.hyperparams import HyperParams
from rpojax.network_config import NetworkConfig
from rpojax.validation import show

_DESCRIPTION = "description"  # the key of the dictionary that stands for an object
_LONGEST_DESCRIPTION = 300  # characters; a longer one ends in its digest
_DEEPEST_DESCRIPTION = 5


def config_to_plain(cfg: Config) -> dict[str, Any]:
    """Each setting by name: numbers, strings, booleans, None, lists and dictionaries."""
    return _fields_to_plain(cfg)


def config_from_plain(recorded: Mapping[str, Any], cfg: Config | None = None) -> Config:
    """The config that `config_to_plain` recorded, in this version or an older one.

    A setting that the record lacks has its default.

    Args:
        recorded: as it was returned, or as JSON gave it back.
        cfg: the recorded config, for a record that holds descriptions; None to make it from the
            record.

    Raises:
        ValueError: a setting that this version does not know; `cfg` differs from the record; `cfg`
            is None and the record holds descriptions.
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
    return Config(**_network_made(recorded))


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


def objects_in(plain: Any, name: str = "") -> dict[str, str]:
    """The descriptions in plain settings, by the name of the setting."""
    if isinstance(plain, Mapping):
        if set(plain) == {_DESCRIPTION}:
            return {name: plain[_DESCRIPTION]}
        parts = [(f"{name}.{key}" if name else key, item) for key, item in plain.items()]
    elif isinstance(plain, tuple | list):
        parts = [(f"{name}[{index}]", item) for index, item in enumerate(plain)]
    else:
        return {}
    return {path: text for part in parts for path, text in objects_in(part[1], part[0]).items()}


def to_plain(value: Any) -> Any:
    """A setting as a plain value, or a description of it."""
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return np.asarray(value).tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: to_plain(item) for name, item in value.items()}
    if isinstance(value, NetworkConfig):
        return _fields_to_plain(value)
    return {_DESCRIPTION: describe(value)}


def _fields_to_plain(settings: Config | NetworkConfig) -> dict[str, Any]:
    names = (field.name for field in dataclasses.fields(settings))
    plain = {name: to_plain(getattr(settings, name)) for name in names}
    if isinstance(settings, Config):
        plain["env_params"] = dict(plain["env_params"])  # stored as pairs, to be hashable
    return plain


def _network_made(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `Config`, with a `NetworkConfig` in place of its own fields."""
    network = recorded.get("network")
    if not isinstance(network, Mapping):
        return dict(recorded)
    return {**recorded, "network": NetworkConfig(**network)}


def _require_known(recorded: Mapping[str, Any], settings: type[Any], what: str) -> None:
    known = {field.name for field in dataclasses.fields(settings)}
    unknown = ", ".join(sorted(set(recorded) - known))
    if unknown:
        raise ValueError(
            f"the run was recorded with {what} that this version of rpojax does not know: "
            f"{unknown}; use the version that recorded it"
        )


def _require_same(recorded: Mapping[str, Any], cfg: Config) -> None:
    """Raise ValueError that names the settings in which `cfg` is not the recorded config."""
    given = config_to_plain(cfg)
    complete = config_to_plain(Config()) | dict(recorded)
    network = complete["network"]
    if isinstance(network, Mapping) and not objects_in(network):
        complete["network"] = _fields_to_plain(NetworkConfig(**network))
    differing = [
        f"{name} = {_show(name, value)} where the run has {_show(name, complete[name])}"
        for name, value in given.items()
        if value != complete[name]
    ]
    if differing:
        raise ValueError(
            f"cfg is not the config of this run: {'; '.join(differing)}; leave cfg out to use "
            "the run's own, or start another run in another directory"
        )


def _show(name: str, plain: Any) -> str:
    if objects_in(plain):
        return plain[_DESCRIPTION]
    return repr(NetworkConfig(**plain) if name == "network" else plain)


def describe(value: Any) -> str:
    """One line that distinguishes a function, module or object from others of its kind.

    It includes the values that a function closes over and the numbers in its code, but no memory
    addresses: the same definition gives the same line in another process. Two functions that
    compute different things can still have the same description.
    """
    text = " ".join(_describe(value, 0).split())
    if len(text) > _LONGEST_DESCRIPTION:
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        text = f"{text[: _LONGEST_DESCRIPTION - 30]}... sha256 {digest}"
    return text


def _describe(value: Any, depth: int) -> str:
    if depth > _DEEPEST_DESCRIPTION:
        return type(value).__qualname__
    deeper: Callable[[Any], str] = functools.partial(_describe, depth=depth + 1)
    if isinstance(value, functools.partial):
        parts = [deeper(item) for item in (value.func, *value.args)]
        return f"partial({', '.join(parts + _named(value.keywords, deeper))})"
    if isinstance(value, types.FunctionType):
        return f"{value.__module__}.{value.__qualname__}({', '.join(_contents(value, deeper))})"
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if _has_plain_repr(value):
        return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
    return f"{_describe(type(value), 0)}({', '.join(_named(_fields(value), deeper))})"


def _has_plain_repr(value: Any) -> bool:
    """Whether the repr of an object shows its contents."""
    holds_functions = dataclasses.is_dataclass(value) and any(
        map(callable, _fields(value).values())
    )
    return type(value).__repr__ is not object.__repr__ and not holds_functions


def _fields(value: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(value):  # a flax module has more attributes than its fields
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return getattr(value, "__dict__", {})


def _named(fields: dict[str, Any], deeper: Callable[[Any], str]) -> list[str]:
    return [f"{name}={deeper(item)}" for name, item in fields.items()]


def _contents(function: types.FunctionType, deeper: Callable[[Any], str]) -> list[str]:
    """What a function was given when it was made, and the numbers in its code."""
    code = function.__code__
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    filled = {name: cell.cell_contents for name, cell in cells if _is_filled(cell)}
    defaults = [deeper(item) for item in function.__defaults__ or ()]
    named = _named(function.__kwdefaults__ or {}, deeper)
    numbers = [repr(item) for item in code.co_consts if isinstance(item, int | float)]
    return _named(filled, deeper) + defaults + named + numbers


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
