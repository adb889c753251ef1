"""Declared settings: defaults, checks and texts."""

import dataclasses
import inspect

import pytest

from rpojax.settings.declared import (
    anything,
    boolean,
    choice,
    documented,
    number,
    optional,
    setting,
    settings_of,
    store_checked,
    whole,
)
from rpojax.validation import Interval


@documented
@dataclasses.dataclass(frozen=True, kw_only=True)
class Oven:
    """How to bake.

    Nothing else.
    """

    name: str = setting("oven", "What it is called.", anything())
    degrees: float = setting(180.0, "Heat in the middle.", number(Interval(0.0, 300.0)))
    minutes: int = setting(30, "Time, " + "long " * 20 + "enough.", whole())
    mode: str = setting("fan", "How the air moves.", choice(("fan", "still")))
    grill: bool = setting(False, "Heat from above.", boolean())
    tray: int | None = setting(None, "Level of the tray; None for the floor.", optional(whole(0)))
    maker: str = "unknown"

    def __post_init__(self):
        store_checked(self)


def test_values_are_stored_as_their_checks_return_them():
    oven = Oven(degrees=200, minutes=20.0, tray=1.0)
    assert (oven.degrees, oven.minutes, oven.tray) == (200.0, 20, 1)
    assert [type(value) for value in (oven.degrees, oven.minutes, oven.tray)] == [float, int, int]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("degrees", 400, r"degrees = 400 is out of range; give a finite number in \[0, 300\]"),
        ("minutes", 0, "minutes = 0 is not allowed; give a whole number of at least 1"),
        ("mode", "steam", "mode = 'steam' is not known; give one of 'fan', 'still'"),
        ("grill", 1, "grill = 1 is not a truth value; give True or False"),
        ("tray", -1, "tray = -1 is not allowed; give a whole number of at least 0"),
    ],
)
def test_each_field_is_checked_by_name(name, value, message):
    with pytest.raises(ValueError, match=message):
        Oven(**{name: value})


def test_only_declared_fields_are_settings():
    assert list(settings_of(Oven)) == ["name", "degrees", "minutes", "mode", "grill", "tray"]


def test_texts_end_with_the_range():
    texts = {name: declared.text for name, declared in settings_of(Oven).items()}
    assert texts["degrees"] == "Heat in the middle. In [0, 300]."
    assert texts["tray"] == "Level of the tray; None for the floor. At least 0."
    assert texts["grill"] == "Heat from above."


def test_docstring_lists_each_setting_with_its_default():
    text = inspect.getdoc(Oven)
    assert text.startswith("How to bake.\n\nNothing else.\n\nAttributes:\n    name: What it is")
    assert "    degrees: Heat in the middle. In [0, 300]. Default: 180.0.\n" in text
    assert text.endswith("At least 0. Default: None.")
    assert max(map(len, text.splitlines())) <= 100
