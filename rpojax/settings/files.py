"""Settings in a file: YAML, TOML or JSON."""

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rpojax.files import read_text
from rpojax.settings.values import import_path
from rpojax.validation import show


def load_settings_file(path: Path) -> dict[str, Any]:
    """The settings in a file, with the names and values that stand there.

    Raises:
        ValueError: no such file; another suffix; text that the format does not allow, a name given
            twice or nesting that is too deep; no names with values.
        OSError: it cannot be read.
    """
    named = f"config = {str(path)!r}"
    parse = _FORMATS.get(path.suffix.lower())
    if parse is None:
        raise ValueError(
            f"{named} has an unknown suffix; give a file that ends in one of {', '.join(_FORMATS)}"
        )
    if not path.exists():
        raise ValueError(f"{named} does not exist; give the path of a settings file")
    kind = path.suffix[1:].upper()
    try:
        settings = parse(read_text(path.resolve()).removeprefix("\ufeff"))  # a byte order mark
    except OSError:
        raise
    except RecursionError:
        raise ValueError(f"{named} cannot be read as {kind}: it is nested too deeply") from None
    except Exception as error:  # parsers raise whatever their converters do
        raise ValueError(f"{named} cannot be read as {kind}: {error}") from error
    if settings is None:  # an empty YAML file
        settings = {}
    if not isinstance(settings, Mapping):
        raise ValueError(f"{named}: settings must be names with their values, such as num_envs: 64")
    network = settings.get("network", {})
    if not (isinstance(network, Mapping) or import_path(network)):
        raise ValueError(
            f"{named}: network must be names with their values, such as hidden_sizes: [64, 64], or "
            "the path of one's own, module:object"
        )
    return dict(settings)


def _parse_yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML 1.2's numbers such as 3e-4, which PyYAML takes for text; no repeated names.

        Aliases are refused: a few lines of them stand for a value of any size.
        """

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                mark = self.peek_event().start_mark
                raise ValueError(f"line {mark.line + 1} has an alias; write its value instead")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            pairs = [(self.construct_object(key, deep=True), None) for key, _ in node.value]
            _without_repeats(pairs)
            return super().construct_mapping(node, deep)

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
        list("-+.0123456789"),
    )
    return yaml.load(text, Loader)


def _parse_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_without_repeats)


def _without_repeats(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """A dictionary; ValueError for a name that is given twice."""
    settings: dict[Any, Any] = {}
    for name, value in pairs:
        if name in settings:
            raise ValueError(f"{show(name)} is given twice; give it once")
        settings[name] = value
    return settings


_FORMATS: dict[str, Callable[[str], Any]] = {
    ".yaml": _parse_yaml,
    ".yml": _parse_yaml,
    ".toml": tomllib.loads,
    ".json": _parse_json,
}
