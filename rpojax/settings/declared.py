"""How a setting is declared: its default, its meaning and its check, in one place.

A dataclass of settings declares each field with `setting`. `store_checked` applies the checks,
`documented` writes the class's docstring, and the command line reads the same help texts.
"""

import dataclasses
import functools
import inspect
import textwrap
from collections.abc import Callable, Collection
from typing import Any, NamedTuple, TypeVar

from rpojax.validation import (
    Interval,
    as_text,
    check_bool,
    check_choice,
    check_known,
    number_in,
    whole_number,
)

T = TypeVar("T")
Class = TypeVar("Class", bound=type[Any])

_KEY = "rpojax"  # under which the metadata of a dataclass field holds its `Declared`


class Check(NamedTuple):
    """What a setting accepts."""

    convert: Callable[[str, Any], Any]  # (name, value) -> the value to store, or a ValueError
    allowed: str = ""  # the range, as in "In [0, 1]"; "" if the type says enough


class Declared(NamedTuple):
    """The metadata of a field."""

    help: str
    check: Check

    @property
    def text(self) -> str:
        """The help text with the allowed range."""
        return f"{self.help} {self.check.allowed}." if self.check.allowed else self.help


def setting(default: T, help_text: str, check: Check) -> T:
    """A dataclass field with its help text and its check."""
    return dataclasses.field(default=default, metadata=metadata(help_text, check))


def metadata(help_text: str, check: Check) -> dict[str, Any]:
    """The metadata of a field, for `dataclasses.field`."""
    return {_KEY: Declared(help_text, check)}


def settings_of(cls: type[Any]) -> dict[str, Declared]:
    """The declared fields of a dataclass, by name."""
    declared = {field.name: field.metadata.get(_KEY) for field in dataclasses.fields(cls)}
    return {name: found for name, found in declared.items() if found is not None}


def store_checked(instance: Any) -> None:
    """Check each field of a frozen dataclass and store the converted value.

    Raises:
        ValueError: names the field, the value and what is allowed.
    """
    for name, declared in settings_of(type(instance)).items():
        value = declared.check.convert(name, getattr(instance, name))
        object.__setattr__(instance, name, value)


def names_checked(kind: str) -> Callable[[Class], Class]:
    """Let a dataclass of settings refuse an unknown name with the nearest known one, a ValueError.

    Args:
        kind: what the error calls a name, such as "setting".
    """

    def decorate(cls: Class) -> Class:
        init = cls.__init__

        @functools.wraps(init)
        def checked(self: Any, **fields: Any) -> None:
            for name in fields:
                check_known(name, settings_of(cls), kind)
            init(self, **fields)

        cls.__init__ = checked
        return cls

    return decorate


def documented(cls: Class) -> Class:
    """Append a section to the docstring with each field, its meaning, range and default."""
    fields = {field.name: field for field in dataclasses.fields(cls)}
    entries = [
        _wrapped(f"{name}: {declared.text}{_default_of(fields[name])}")
        for name, declared in settings_of(cls).items()
    ]
    cls.__doc__ = "\n".join([inspect.cleandoc(cls.__doc__ or ""), "", "Attributes:", *entries])
    return cls


def _default_of(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING:
        return ""
    is_settings = dataclasses.is_dataclass(field.default)
    shown = f"{type(field.default).__name__}()" if is_settings else repr(field.default)
    return f" Default: {shown}."


def _wrapped(entry: str) -> str:
    return textwrap.fill(
        entry, 96, initial_indent=" " * 4, subsequent_indent=" " * 8, break_on_hyphens=False
    )


def anything() -> Check:
    """Any value; text becomes a plain string."""
    return Check(lambda name, value: as_text(value) if isinstance(value, str) else value)


def whole(least: int = 1, most: int | None = None) -> Check:
    """A whole number from `least` to `most` (None: without a limit), stored as an int."""
    return Check(lambda name, value: whole_number(name, value, least, most), f"At least {least}")


def whole_or(choices: Collection[str]) -> Check:
    """One of `choices`, or a whole number of at least 1."""

    def convert(name: str, value: Any) -> int | str:
        if isinstance(value, str):
            return check_choice(name, value, choices, also=", or a whole number from 1")
        return whole_number(name, value)

    return Check(convert)


def number(interval: Interval, also: str = "") -> Check:
    """A number in an interval, stored as a float; `also` is appended to the error for an array."""
    return Check(lambda name, value: number_in(name, value, interval, also), f"In {interval}")


def boolean() -> Check:
    """True or False, stored as a bool."""
    return Check(check_bool)


def choice(choices: Collection[str], also: str = "") -> Check:
    """One of `choices`, stored as a string; `also` is appended to the list in the error."""
    return Check(lambda name, value: check_choice(name, value, choices, also))


def optional(check: Check) -> Check:
    """None, or what `check` accepts."""
    return check._replace(
        convert=lambda name, value: None if value is None else check.convert(name, value)
    )
