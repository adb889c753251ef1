"""Settings as plain values, which JSON and YAML can hold.

Functions, modules and environment objects are not plain values. They are recorded as a description,
which cannot be turned back into the object. To read such settings, pass the `Config` that was
recorded.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from rpojax.settings.network_config import NetworkConfig
from rpojax.validation import as_text

DESCRIPTION = "description"  # the key of the dictionary that stands for an object
_LONGEST_DESCRIPTION = 300  # characters
_LARGEST_ARRAY = 16  # numbers that a description shows


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


def without_objects(plain: Any) -> Any:
    """Plain settings with an empty description in place of each."""
    if isinstance(plain, Mapping):
        objects = set(plain) == {DESCRIPTION}
        return {name: "" if objects else without_objects(item) for name, item in plain.items()}
    return [without_objects(item) for item in plain] if isinstance(plain, list) else plain


COMPARED = "Objects are compared by their import paths and the plain values that they hold"
"""The explanation in warnings that descriptions of objects differ."""


def differing(plain: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Names of settings that differ from those in `other`; and of those that may not.

    The second are settings in which only descriptions of objects differ: the same object can be
    described in another way.
    """
    names = [name for name, value in plain.items() if value != other.get(name)]
    described = [
        name for name in names if without_objects(plain[name]) == without_objects(other.get(name))
    ]
    return [name for name in names if name not in described], described


def to_plain(value: Any) -> Any:
    """A setting as a plain value, or a description of it."""
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return np.asarray(value).tolist()
    if isinstance(value, str):
        return as_text(value)
    if value is None or isinstance(value, bool | int | float):
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
    """A function or object as one line: its import path, and the plain values that it holds.

    Such as "my_module:Network(width=8)"; of an environment, the call that made it. The description
    is the same in each process. Objects that compute different things can have the same one.
    """
    value = getattr(value, "remake", None) or value  # of an `Env`
    if isinstance(value, functools.partial):
        arguments = {str(place): each for place, each in enumerate(value.args)} | value.keywords
        shown = [f"{name}={_shown(item, describe)}" for name, item in arguments.items()]
        value = value.func
    else:
        value = inspect.unwrap(value)  # such as what `jax.jit` wraps
        shown = [f"{name}={_shown(item, _import_path)}" for name, item in _parts(value).items()]
    text = f"{_import_path(value)}({', '.join(shown)})" if shown else _import_path(value)
    short = text if len(text) <= _LONGEST_DESCRIPTION else f"{text[: _LONGEST_DESCRIPTION - 3]}..."
    return " ".join(short.split())


def _parts(value: Any) -> dict[str, Any]:
    """What a function closes over, or the fields of an object that are not at their defaults."""
    if inspect.isfunction(value):
        try:
            return dict(inspect.getclosurevars(value).nonlocals)
        except ValueError:  # a variable that is not assigned yet
            return {}
    if hasattr(value, "__qualname__"):
        return {}
    if dataclasses.is_dataclass(value):  # a flax module has more attributes than its fields
        fields = {field.name: field.default for field in dataclasses.fields(value)}
        given = {name: getattr(value, name) for name in fields}
        return {name: item for name, item in given.items() if item is not fields[name]}
    return getattr(value, "__dict__", {})


def _shown(value: Any, in_words: Callable[[Any], str]) -> str:
    """A value in a description; what is not plain as `in_words` puts it."""
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, np.ndarray | np.generic | jax.Array) and value.size <= _LARGEST_ARRAY:
        return str(np.asarray(value).tolist())
    if isinstance(value, Mapping):
        pairs = (f"{name}: {_shown(item, in_words)}" for name, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, tuple | list | set | frozenset):
        items = [_shown(item, in_words) for item in value]
        return f"[{', '.join(items if isinstance(value, tuple | list) else sorted(items))}]"
    return in_words(value)


def _import_path(value: Any) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}:{named.__qualname__}"
