"""Foreign settings: read from any container, with errors that name the keys which users wrote."""

import argparse
import dataclasses
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from rpojax.config import Config
from rpojax.validation import as_mapping, show

C = TypeVar("C", bound=Config)


def made_from(cls: type[C], fields: Mapping[str, Any], key_of: Mapping[str, Any]) -> C:
    """A `Config` of translated settings.

    Args:
        cls: the class to make.
        fields: its fields.
        key_of: the user's key for each field that was translated.

    Raises:
        ValueError: as `Config`, followed by the user's key for each setting that it names.
    """
    try:
        return cls(**fields)
    except ValueError as error:
        message = str(error)
        renamed = [
            f"{field} is set by {show(key)}"
            for field, key in key_of.items()
            if key != field and re.search(rf"\b{field}\b", message)
        ]
        if not renamed:
            raise
        raise ValueError(f"{message} ({', '.join(renamed)})") from None


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
