"""Settings by name: our own names, as they are or in capitals, and PureJaxRL's."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from rpojax.settings.declared import settings_of
from rpojax.settings.translation.keys import as_dict
from rpojax.validation import as_mapping, check_bool, check_known, show

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
