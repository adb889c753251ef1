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

from rpojax.settings.network_config import NetworkConfig

DESCRIPTION = "description"  # the key of the dictionary that stands for an object
_LONGEST_DESCRIPTION = 300  # characters; a longer one ends in its digest
_DEEPEST_DESCRIPTION = 5


def objects_in(plain: Any, name: str = "") -> dict[str, str]:
    """The descriptions in plain settings, by the name of the setting."""
    if isinstance(plain, Mapping):
        if set(plain) == {DESCRIPTION}:
            return {name: plain[DESCRIPTION]}
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
        return fields_to_plain(value)
    return {DESCRIPTION: describe(value)}


def fields_to_plain(settings: Any) -> dict[str, Any]:
    """Each setting of a `Config` or `NetworkConfig` by name: numbers, text, lists and so on."""
    names = (field.name for field in dataclasses.fields(settings))
    plain = {name: to_plain(getattr(settings, name)) for name in names}
    if "env_params" in plain:
        plain["env_params"] = dict(plain["env_params"])  # stored as pairs, to be hashable
    return plain


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
