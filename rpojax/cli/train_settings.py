"""Settings of `rpojax train` from a file, a preset, or `--env-params.NAME`."""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rpojax.cli.flags import ConfigFlags
from rpojax.cli.training import Train
from rpojax.presets.named import preset
from rpojax.settings.config import Config
from rpojax.settings.declared import Check, settings_of, whole
from rpojax.settings.files import load_settings_file
from rpojax.settings.network_config import NetworkConfig
from rpojax.settings.run_options import RunOptions
from rpojax.settings.translation.by_name import is_named, made_from, named_fields
from rpojax.settings.values import ImportPath, import_path

_ENV_PARAM = "--env-params."
AGENTS = {"num_seeds": whole(), "seed": whole(0)}
OPTIONS = {name: declared.check for name, declared in settings_of(RunOptions).items()}


@dataclasses.dataclass(frozen=True)
class GivenSettings:
    """The settings of a file and a preset, as the defaults of `rpojax train`."""

    path: Path | None
    defaults: Train
    key_of: Mapping[str, str]  # the key in the file for each field of `Config` that it sets
    network: ImportPath | None = None  # in place of the built-in one, which has flags

    def check(self, command: Train) -> None:
        """Raise ValueError for settings that `Config` refuses; names the file if they are its own.

        Args:
            command: `defaults`, changed by flags.
        """
        try:
            command.config.to_config()
        except ValueError as error:
            before, now = vars(self.defaults.config), vars(command.config)
            of_file = [
                f"{field} is set by {key!r}"
                for field, key in self.key_of.items()
                if is_named(field, error)
                and (now[field] is before[field] or now[field] == before[field])
            ]
            if not of_file:
                raise
            raise ValueError(f"{self.path}: {error} ({', '.join(of_file)})") from None


def read_settings(path: Path | None, preset_name: str | None) -> GivenSettings:
    """The settings in a file, and below them those of a preset.

    Args:
        path: of the file, which may name a preset too; None for none.
        preset_name: takes precedence over the file's; None for the file's, if any.

    Raises:
        ValueError: settings that a file cannot hold, with the file's name; an unknown preset.
    """
    settings = {} if path is None else load_settings_file(path)
    try:
        own_preset = settings.pop("preset", None)
        agents, options = _taken(settings, AGENTS), _taken(settings, OPTIONS)
        fields, key_of = fields_over_preset(settings, preset_name or own_preset)
        config = made_from(ConfigFlags, fields, key_of)
    except ValueError as error:
        raise error if path is None else ValueError(f"{path}: {error}") from None
    own = config.network if isinstance(config.network, ImportPath) else None
    if own is not None:
        config = dataclasses.replace(config, network=NetworkConfig())
    defaults = Train(config=config, run=RunOptions(**options), **agents)
    return GivenSettings(path, defaults, key_of, own)


def _taken(settings: dict[str, Any], checks: Mapping[str, Check]) -> dict[str, Any]:
    """Take what is no setting of a `Config` out of a file's settings, checked."""
    taken: dict[str, Any] = {}
    for name, check in checks.items():
        keys = [key for key in (name, name.upper()) if key in settings]
        if len(keys) > 1:
            raise ValueError(f"{' and '.join(map(repr, keys))} both set {name}; give one")
        for key in keys:
            taken[name] = check.convert(key, settings.pop(key))
    return taken


def fields_over_preset(
    settings: Mapping[str, Any], preset_name: str | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """The fields of a `Config` that settings name, and below them those of a preset.

    Returns:
        The fields, and the key in the settings for each field that they set.
    """
    fields, key_of = named_fields(Config, settings, {})
    if preset_name is not None:
        below = preset(preset_name).settings
        for name in ("network", "env_params"):  # of which the settings may change a part
            if name in below and isinstance(fields.get(name), Mapping):
                fields[name] = {**below[name], **fields[name]}
        fields = {**below, **fields}
    return fields, key_of


def take_env_params(args: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Split off the flags `--env-params.NAME VALUE` and `--env-params.NAME=VALUE`.

    Returns:
        The other words, and the parameters by name.
    """
    words, params = [], {}
    remaining = iter(args)
    for word in remaining:
        if not word.replace("_", "-").startswith(_ENV_PARAM):
            words.append(word)
            continue
        name, assigned, text = word[len(_ENV_PARAM) :].partition("=")
        value = text if assigned else next(remaining, None)
        if not name or value is None or value.startswith("--"):
            raise ValueError(f"{word} has no value; give {_ENV_PARAM}NAME VALUE")
        params[name.replace("-", "_")] = _plain_value(value)
    return words, params


def take_network(args: Sequence[str]) -> tuple[list[str], ImportPath | None]:
    """Split off the flag `--network MODULE:OBJECT`; returns the other words, and the path."""
    words, path = list(args), None
    for place, word in enumerate(words):
        name, assigned, text = word.partition("=")
        if name == "--network":
            given = text if assigned else next(iter(words[place + 1 :]), "")
            path = import_path(given)
            if path is None:
                raise ValueError(
                    f"--network {given} is not the path of a network; give --network "
                    "MODULE:OBJECT, or --network.NAME VALUE for the built-in one"
                )
            del words[place : place + (1 if assigned else 2)]
            break
    return words, path


def _plain_value(text: str) -> Any:
    """A number or a truth value where the text is one."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for convert in (int, float):
        with contextlib.suppress(ValueError):
            return convert(text)
    return text
