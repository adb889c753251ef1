"""Settings as a plain dictionary: with our own names, or PureJaxRL's in capitals."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from rpojax.validation import check_bool, check_known

PUREJAXRL: dict[str, Callable[[str, Any], dict[str, Any]]] = {
    "LR": lambda key, value: {"learning_rate": value},
    "ENV_NAME": lambda key, value: {"env": value},
    "ANNEAL_LR": lambda key, value: {"lr_schedule": "linear" if _flag(key, value) else "constant"},
    "NORMALIZE_ENV": lambda key, value: {
        "normalize_observations": _flag(key, value),
        "normalize_rewards": _flag(key, value),
    },
    "ACTIVATION": lambda key, value: {"activation": value},  # of the network
    # Computed from the other settings there, and written into the dictionary; so they are here.
    "NUM_UPDATES": lambda key, value: {},
    "MINIBATCH_SIZE": lambda key, value: {},
    # Prints from inside the program, which holds no callbacks here: `fit` tells how it goes.
    "DEBUG": lambda key, value: {},
}
"""PureJaxRL's names that are more than one of ours in capitals, and what they set."""


def fields_from_dict(settings: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """The fields of a `Config` for a dictionary; see `Config.from_dict`.

    Args:
        settings: our names as they are or in capitals, and PureJaxRL's.
        known: names of the fields.

    Returns:
        A value for each field that was set; `network` is still a dictionary where it was one.

    Raises:
        ValueError: an unknown key, with the nearest known one; a field set by two keys.
    """
    if not isinstance(settings, Mapping):
        raise ValueError(f"settings = {settings!r} is not a dictionary of settings; give one")
    fields: dict[str, Any] = {}
    set_by: dict[str, str] = {}
    for key, value in settings.items():
        for field, setting in _translate(key, value, known).items():
            if field in fields:
                raise ValueError(f"{set_by[field]!r} and {key!r} both set {field}; give one")
            fields[field], set_by[field] = setting, key
    if "CLIP_EPS" in settings:  # which bounds the move of the values too, there
        fields.setdefault("value_clip", fields["clip_eps"])
    if "activation" in fields:
        fields["network"] = _with_activation(fields.get("network", {}), fields.pop("activation"))
    return fields


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


def _with_activation(network: Any, activation: Any) -> dict[str, Any]:
    if not isinstance(network, Mapping):
        raise ValueError(
            f"'ACTIVATION' sets the built-in network's activation, and network = {network!r}; "
            "set it there"
        )
    if "activation" in network:
        raise ValueError("'ACTIVATION' and 'network' both set activation; give one")
    return {**network, "activation": activation}


def _flag(key: str, value: Any) -> bool:
    check_bool(key, value)
    return value
