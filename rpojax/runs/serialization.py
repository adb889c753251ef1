"""A run's settings as plain JSON values, and back.

What is not plain in a `Config` (a function, a module, an environment object) is recorded by a
description. That tells one from another, but cannot be made into the thing again: whoever reads
such a record has to bring the `Config`.
"""

import dataclasses
import functools
import hashlib
import re
import types
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from rpojax import config as config_module
from rpojax.config import Config
from rpojax.hyperparams import HyperParams
from rpojax.runs.settings import RunSettings

_LONGEST_DESCRIPTION = 300  # characters; the digest of a longer one takes the place of its end
_DEEPEST_DESCRIPTION = 5


def settings_to_json(settings: RunSettings) -> dict[str, Any]:
    """The settings as numbers, strings, lists and dictionaries."""
    fields = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    hyperparams = settings.hyperparams
    if hyperparams is not None:  # a float holds a float32 exactly, and so does its decimal form
        fields["hyperparams"] = {name: float(value) for name, value in vars(hyperparams).items()}
    return fields | {"cfg": config_to_json(settings.cfg)}


def settings_from_json(record: dict[str, Any], cfg: Config | None) -> RunSettings:
    """What `settings_to_json` recorded.

    Args:
        record: as it was returned, or as JSON gave it back.
        cfg: the run's config; None to make it from the record.

    Raises:
        ValueError: `cfg` differs from the record, or is None and the record cannot make it, or the
            record is of another version of the package and says what this one does not know.
    """
    try:
        return _settings_from_json(record, cfg)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            "the run was recorded by a version of rpojax that this one does not understand "
            f"({error}); use the version that recorded it"
        ) from error


def _settings_from_json(record: dict[str, Any], cfg: Config | None) -> RunSettings:
    fields = dict(record)
    recorded = fields.pop("cfg")
    hyperparams = fields.pop("hyperparams")
    if cfg is None:
        cfg = _config_from_json(recorded)
    else:
        _require_same(recorded, cfg)
    if hyperparams is not None:
        arrays = {name: jnp.float32(value) for name, value in hyperparams.items()}
        hyperparams = HyperParams(**arrays)
    return RunSettings(cfg=cfg, hyperparams=hyperparams, **fields)


def config_to_json(cfg: Config) -> dict[str, Any]:
    """Each field of the config, by name."""
    return {field.name: _encode(getattr(cfg, field.name)) for field in dataclasses.fields(cfg)}


def _config_from_json(recorded: dict[str, Any]) -> Config:
    _require_known(recorded)
    described = {name: value for name, value in recorded.items() if not _is_plain(value)}
    if described:
        told = "; ".join(f"{name} = {_show(value)}" for name, value in described.items())
        raise ValueError(
            f"the run's config holds what a file cannot ({told}); pass the config that the run "
            "was started with, as cfg=..."
        )
    return Config(**{name: _decode(value) for name, value in recorded.items()})


def _require_same(recorded: dict[str, Any], cfg: Config) -> None:
    """Raise ValueError that names the fields in which `cfg` is not the recorded config."""
    _require_known(recorded)
    given = config_to_json(cfg)
    default = config_to_json(Config())  # for a field that the recording version did not have
    pairs = {name: (_normal(recorded.get(name, default[name])), given[name]) for name in given}
    differing = [
        f"{name} = {_show(new)} where the run has {_show(old)}"
        for name, (old, new) in pairs.items()
        if old != new
    ]
    if differing:
        raise ValueError(
            f"cfg is not the config of this run: {'; '.join(differing)}; leave cfg out to go on "
            "with the run's own, or start another run in another directory"
        )


def _require_known(recorded: dict[str, Any]) -> None:
    unknown = sorted(set(recorded) - {field.name for field in dataclasses.fields(Config)})
    if unknown:
        raise ValueError(
            f"the run was recorded with settings that this version of rpojax does not know: "
            f"{', '.join(unknown)}; use the version that recorded it"
        )


def _encode(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_encode(item) for item in value]
    name = type(value).__name__
    if dataclasses.is_dataclass(value) and type(value) is getattr(config_module, name, None):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {"type": name} | {key: _encode(item) for key, item in fields.items()}
    return {"description": describe(value)}


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decode(item) for item in value)
    if isinstance(value, dict):
        fields = {key: _decode(item) for key, item in value.items() if key != "type"}
        return getattr(config_module, value["type"])(**fields)
    return value


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return "type" in value and all(map(_is_plain, value.values()))
    return True


def _normal(value: Any) -> Any:
    """A recorded value with the fields that its type has got since, at their defaults."""
    return _encode(_decode(value)) if _is_plain(value) else value


def _show(value: Any) -> str:
    if isinstance(value, dict) and "description" in value:
        return value["description"]
    return repr(_decode(value)) if _is_plain(value) else str(value)


def describe(value: Any) -> str:
    """One line that tells a function, module or object from another of its kind.

    Values that a function closes over and numbers in its code are part of it, addresses in memory
    are not: the same definition gives the same line in another process. Not every difference is
    seen; two functions can do other things and read alike.
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
    """Whether the text of an object says what is in it."""
    holds_functions = dataclasses.is_dataclass(value) and any(
        map(callable, _fields(value).values())
    )
    return type(value).__repr__ is not object.__repr__ and not holds_functions


def _fields(value: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(value):  # of a flax module, what it was given and no more
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
    numbers = [repr(item) for item in code.co_consts if isinstance(item, int | float)]
    return _named(filled, deeper) + defaults + numbers


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
