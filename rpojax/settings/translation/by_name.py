"""Settings by name: our own names, as they are or in capitals, and PureJaxRL's.

What all translations share is here too: they read settings from any container, and their errors
name the user's keys.
"""

import argparse
import dataclasses
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from rpojax.settings.declared import settings_of
from rpojax.validation import as_mapping, check_bool, check_known, show

C = TypeVar("C")

PUREJAXRL: dict[str, Callable[[str, Any], dict[str, Any]]] = {
    "LR": lambda key, value: {"learning_rate": value},
    "ENV_NAME": lambda key, value: {"env": value},
    "ANNEAL_LR": lambda key, value: {
        "lr_schedule": "linear" if check_bool(key, value) else "constant"
    },
    "NORMALIZE_ENV": lambda key, value: {
        "normalize_observations": check_bool(key, value),
        "normalize_rewards": check_bool(key, value),
    },
    "ACTIVATION": lambda key, value: {"activation": value},  # of the network
    # PureJaxRL computes them from the other settings and writes them into the dictionary.
    "NUM_UPDATES": lambda key, value: {},
    "MINIBATCH_SIZE": lambda key, value: {},
    # Prints from inside the program, which holds no callbacks here: `fit` reports progress.
    "DEBUG": lambda key, value: {},
}
"""PureJaxRL's names that are more than one of ours in capitals, and what they set."""


def named_fields(
    config: type[Any], settings: Any, changes: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The fields of a `Config` that settings name, and for each field the key that sets it.

    Raises:
        ValueError: an unknown key, with the nearest known one; a field set by two keys.
    """
    fields: dict[str, Any] = {}
    key_of: dict[str, str] = {}
    given = as_dict(settings, "settings")
    for key, value in given.items():
        for field, setting in _translate(key, value, settings_of(config)).items():
            if field in fields:
                raise ValueError(f"{key_of[field]!r} and {key!r} both set {field}; give one")
            fields[field], key_of[field] = setting, key
    if "CLIP_EPS" in given and "value_clip" not in fields:  # bounds the values' move too, there
        fields["value_clip"], key_of["value_clip"] = fields["clip_eps"], "CLIP_EPS"
    if "activation" in fields:
        fields["network"] = _with_activation(fields.get("network", {}), fields.pop("activation"))
    return fields, key_of


def _translate(key: str, value: Any, known: Collection[str]) -> dict[str, Any]:
    if key in PUREJAXRL:
        return PUREJAXRL[key](key, value)
    name = key.lower() if isinstance(key, str) and key.isupper() else key
    if name not in known:
        capitals = key is not name
        check_known(
            str(key), [*PUREJAXRL, *map(str.upper, known)] if capitals else known, "setting"
        )
    return {name: value}


def _with_activation(given: Any, activation: Any) -> dict[str, Any]:
    network = None if callable(given) else as_mapping(given)
    if network is None:
        raise ValueError(
            f"'ACTIVATION' sets the built-in network's activation, and network = {show(given)}; "
            "set it there"
        )
    if "activation" in network:
        raise ValueError("'ACTIVATION' and 'network' both set activation; give one")
    return {**network, "activation": activation}


def made_from(make: Callable[..., C], fields: Mapping[str, Any], key_of: Mapping[str, Any]) -> C:
    """Call `make` with translated settings.

    Args:
        make: `Config`, or a function of its fields.
        fields: given to it by name.
        key_of: the user's key for each field that was translated.

    Raises:
        ValueError: as `Config`, followed by the user's key for each setting that it names.
    """
    try:
        return make(**fields)
    except ValueError as error:
        renamed = [
            f"{field} is set by {show(key)}"
            for field, key in key_of.items()
            if key != field and is_named(field, error)
        ]
        if not renamed:
            raise
        raise ValueError(f"{error} ({', '.join(renamed)})") from None


def is_named(field: str, error: ValueError) -> bool:
    """Whether an error is about a field."""
    return re.search(rf"\b{field}\b", str(error)) is not None


def as_dict(settings: Any, name: str) -> dict[str, Any]:
    """A copy of a mapping, of a dataclass's fields or of an argparse namespace."""
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        fields = dataclasses.fields(settings)
        return {field.name: getattr(settings, field.name) for field in fields}
    if isinstance(settings, argparse.Namespace):
        return dict(vars(settings))
    mapping = as_mapping(settings)
    if mapping is None:
        raise ValueError(f"{name} = {show(settings)} is not a dictionary of settings; give one")
    return mapping
