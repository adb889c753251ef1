"""Ranges of settings, from which a search draws and in which a population explores."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from rpojax.validation import as_mapping, as_sequence, check_choice, show, whole_number

DIGITS = 4
"""Significant digits of a number that is drawn, so that labels and tables stay readable. A narrow
range gets more: 0.99 to 0.999 has six."""


class Range(Protocol):
    """The values that a setting may take."""

    def at(self, position: float, /) -> Any:
        """The value at a position in [0, 1), which is uniform in a random search."""


class Uniform(NamedTuple):
    """Numbers from `low` to `high`, all alike."""

    low: float
    high: float

    def at(self, position: float) -> float:
        """See `Range`."""
        return _rounded(self.low + position * (self.high - self.low), self.low, self.high)


class LogUniform(NamedTuple):
    """Numbers from `low` to `high`, all orders of magnitude alike; both above 0."""

    low: float
    high: float

    def at(self, position: float) -> float:
        """See `Range`."""
        low, high = math.log(self.low), math.log(self.high)
        return _rounded(math.exp(low + position * (high - low)), self.low, self.high)


class Whole(NamedTuple):
    """Whole numbers from `low` to `high`, both of them included."""

    low: int
    high: int

    def at(self, position: float) -> int:
        """See `Range`."""
        return self.low + int(position * (self.high - self.low + 1))


class Choice(NamedTuple):
    """One of some values."""

    options: Sequence[Any]

    def at(self, position: float) -> Any:
        """See `Range`."""
        return self.options[int(position * len(self.options))]


KINDS = {"uniform": Uniform, "log_uniform": LogUniform, "whole": Whole, "choice": Choice}
"""Ranges by their names in a file."""


def points_at(ranges: Mapping[str, Range], positions: np.ndarray) -> list[dict[str, Any]]:
    """The values of settings at positions f64[count, len(ranges)] in [0, 1), by name."""
    return [
        {name: ranges[name].at(position) for name, position in zip(ranges, row, strict=True)}
        for row in positions.tolist()
    ]


def check_range(name: str, given: Any) -> Range:
    """A range, as it is or as a file writes it: `{"log_uniform": [1e-4, 1e-2]}`.

    Raises:
        ValueError: it is neither, or its ends are not in order; names the setting.
    """
    pairs = as_mapping(given) if not isinstance(given, tuple(KINDS.values())) else None
    if pairs is not None and len(pairs) == 1:
        (kind, values), *_ = pairs.items()
        items = as_sequence(values)
        check_choice(f"the range of {name}", kind, list(KINDS))
        if kind == "choice" and items:
            given = Choice(tuple(items))
        elif kind != "choice" and items is not None and len(items) == 2:
            given = KINDS[kind](*items)
        else:
            wanted = "a list of values" if kind == "choice" else "two numbers, [low, high]"
            raise ValueError(f"the range of {name} is {show(given)}; give {kind} {wanted}")
    if isinstance(given, Choice):
        if not as_sequence(given.options):
            raise ValueError(f"the range of {name} has no options; give at least one")
        return given
    if not isinstance(given, Uniform | LogUniform | Whole):
        raise ValueError(
            f"the range of {name} is {show(given)}; give rpojax.studies.Uniform(low, high), "
            "LogUniform(low, high), Whole(low, high) or Choice(options); or, in a file, "
            "{uniform: [low, high]} and the like"
        )
    return _with_ordered_ends(name, given)


def _with_ordered_ends(name: str, given: Uniform | LogUniform | Whole) -> Range:
    """The range with its ends as plain numbers; ValueError unless low < high."""
    low: Any
    high: Any
    low, high = given
    if isinstance(given, Whole):
        low, high = whole_number(name, low, least=-(2**53)), whole_number(name, high, low)
    else:
        try:
            low, high = float(low), float(high)
        except (TypeError, ValueError):
            low = high = math.nan
    least = 0.0 if isinstance(given, LogUniform) else -math.inf
    if not (least < low < high < math.inf or (isinstance(given, Whole) and low == high)):
        raise ValueError(
            f"the range of {name} is {given!r}; give two finite numbers with low < high"
            + (", both above 0" if isinstance(given, LogUniform) else "")
        )
    return type(given)(low, high)


def _rounded(value: float, low: float, high: float) -> float:
    """A value in a range with `DIGITS` digits, and more where the range is narrow for its place."""
    narrow = math.log10(max(abs(low), abs(high)) / (high - low))
    digits = DIGITS + max(0, math.floor(narrow))
    return min(max(float(f"{value:.{digits}g}"), low), high)
