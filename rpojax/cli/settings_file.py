"""Settings in a file: YAML, TOML or JSON."""

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a file, as they stand there; `Config.from_dict` knows their names.

    Raises:
        ValueError: another suffix; a file that its format does not allow; no names and values.
        OSError: it cannot be read.
    """
    parse = _FORMATS.get(path.suffix.lower())
    if parse is None:
        raise ValueError(
            f"config = {str(path)!r} has a suffix that is not known; give a file that ends in one "
            f"of {', '.join(_FORMATS)}"
        )
    try:
        settings = parse(path.read_bytes().decode())
    except ValueError as error:
        kind = path.suffix[1:].upper()
        raise ValueError(f"config = {str(path)!r} cannot be read as {kind}: {error}") from error
    if settings is None:  # an empty YAML file
        settings = {}
    network = settings.get("network", {}) if isinstance(settings, Mapping) else None
    if not isinstance(network, Mapping):
        what = "settings" if network is None else "network"
        raise ValueError(
            f"config = {str(path)!r}: {what} must be names with their values, such as "
            f"{'num_envs: 64' if network is None else 'hidden_sizes: [64, 64]'}"
        )
    return dict(settings)


def _parse_yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Takes 3e-4 for a number, as YAML 1.2 does; PyYAML's own takes it for text."""

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
        list("-+.0123456789"),
    )
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


_FORMATS: dict[str, Callable[[str], Any]] = {
    ".yaml": _parse_yaml,
    ".yml": _parse_yaml,
    ".toml": tomllib.loads,
    ".json": json.loads,
}
