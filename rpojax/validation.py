"""Checks of what a user gives: a ValueError says the field, the value and the remedy."""

import difflib
import math
import operator
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np


class Interval(NamedTuple):
    """The allowed values of a number: low to high, the low end in or out."""

    low: float
    high: float = math.inf
    low_allowed: bool = True

    def contains(self, values: np.ndarray) -> np.ndarray:
        """Whether each value is inside and finite in float32; NaN is not."""
        above = values >= self.low if self.low_allowed else values > self.low
        return (np.abs(values) <= np.finfo(np.float32).max) & above & (values <= self.high)

    def __str__(self) -> str:
        bracket = "[" if self.low_allowed else "("
        end = f"{self.high:g}]" if math.isfinite(self.high) else "inf)"
        return f"{bracket}{self.low:g}, {end}"


def check_known(name: str, known: Collection[str], kind: str) -> None:
    """Raise ValueError unless `name` is among `known`, with the nearest of them."""
    if name not in known:
        nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
        remedy = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}"
        raise ValueError(f"unknown {kind} {name!r}; {remedy}")


def check_choice(name: str, value: Any, choices: Collection[str], also: str = "") -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        allowed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} = {value!r} is not known; give one of {allowed}{also}")


def check_bool(name: str, value: Any) -> None:
    """Raise ValueError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} = {value!r} is not a truth value; give True or False")


def whole_number(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """`value` as an int from `least` to `most`; 5e5 is taken for 500000, 0.5 and True are not."""
    integral = isinstance(value, float | np.floating) and float(value).is_integer()
    try:
        number = int(value) if integral else operator.index(value)
    except (TypeError, OverflowError):
        number = least - 1
    if isinstance(value, bool) or number < least or (most is not None and number > most):
        allowed = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"{name} = {value!r} is not allowed; give a whole number of {allowed}")
    return number


def number_in(name: str, value: Any, allowed: Interval) -> float:
    """`value`, a number or an array without axes, as a float in `allowed`."""
    if np.ndim(value) or not _is_numeric(value):
        raise ValueError(
            f"{name} = {value!r} is not a number; a Config holds single numbers, "
            "HyperParams.replace takes arrays"
        )
    return float(numbers_in(name, value, allowed))


def numbers_in(name: str, value: Any, allowed: Interval) -> np.ndarray:
    """`value`, a number or an array, as float64 within `allowed`; strings and truth are refused."""
    if not _is_numeric(value):
        raise ValueError(f"{name} = {value!r} is not a number; give one in {allowed}")
    values = np.asarray(value, np.float64)
    outside = values[~allowed.contains(values)]
    if outside.size:
        raise ValueError(
            f"{name} = {outside.flat[0]:g} is out of range; give a finite number in {allowed}"
        )
    return values


def check_one_agent(state: Any) -> None:
    """Raise ValueError where a `TrainState` holds several agents."""
    if state.update_count.ndim:
        raise ValueError(
            f"state holds agents of shape {state.update_count.shape}; give one of them, such as "
            "results.select(0).state"
        )


def _is_numeric(value: Any) -> bool:
    return np.asarray(value).dtype.kind in "iuf"  # and neither text, truth nor None


def nearest_divisor(number: int, wanted: int) -> int:
    """The divisor of `number` nearest to `wanted`."""
    divisors = [divisor for divisor in range(1, number + 1) if number % divisor == 0]
    return min(divisors, key=lambda divisor: abs(divisor - wanted))
