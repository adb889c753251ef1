"""Settings of other libraries: read from any container, with errors that name the user's keys."""

import argparse
import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from rpojax.validation import as_mapping, show

C = TypeVar("C")


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
