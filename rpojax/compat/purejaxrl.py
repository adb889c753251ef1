"""Settings by name: our own names, as they are or in capitals, and PureJaxRL's."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from rpojax.compat.keys import as_dict, made_from
from rpojax.config import Config
from rpojax.setting import settings_of
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


def from_purejaxrl(settings: Mapping[str, Any], **changes: Any) -> Config:
    """The settings of PureJaxRL's PPO.

    Its names: LR, ENV_NAME, ANNEAL_LR, NORMALIZE_ENV (observations and rewards), ACTIVATION (of
    the network), CLIP_EPS, which sets value_clip too, and the fields of `Config` in capitals;
    fields by their own names may stand beside them. NUM_UPDATES and MINIBATCH_SIZE are computed
    from the others, and DEBUG has no effect: `fit` reports progress. Keys left out have the
    defaults of `Config`: PureJaxRL's PPO also needs alpha = 0, time_limit_bootstrap = False,
    NetworkConfig(hidden_sizes=(256, 256)), and an observation_clip and a reward_clip beyond all
    values, for it does not clip them.

    Args:
        settings: a mapping; not changed.
        changes: fields of `Config`, which take precedence.

    Raises:
        ValueError: an unknown key, with the nearest known one; a field set by two keys; as
            `Config`.
    """
    for name in changes:
        check_known(name, settings_of(Config), "setting")
    fields, key_of = fields_from_names(as_dict(settings, "settings"))
    used = {field: key for field, key in key_of.items() if field not in changes}
    return made_from(Config, fields | changes, used)


def fields_from_names(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The fields of a `Config` that settings name, and for each field the key that sets it.

    Raises:
        ValueError: an unknown key, with the nearest known one; a field set by two keys.
    """
    fields: dict[str, Any] = {}
    key_of: dict[str, str] = {}
    for key, value in given.items():
        for field, setting in _translate(key, value, settings_of(Config)).items():
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
