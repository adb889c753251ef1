"""Checks of values that users give. A ValueError names the field, the value and the remedy.

NumPy scalars, arrays without axes and duck-typed containers (OmegaConf, ml_collections) are
accepted where they mean plain values, and converted to those.
"""

import difflib
import math
import operator
import reprlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np

F = TypeVar("F")

_REPR = reprlib.Repr()
_REPR.maxlevel = 3
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = 12
_REPR.maxstring = _REPR.maxlong = 100
_REPR.maxother = 200  # characters
_FLOAT32 = np.finfo(np.float32)


class Interval(NamedTuple):
    """The allowed values of a number: low to high, the low end in or out."""

    low: float
    high: float = math.inf
    low_allowed: bool = True

    def contains(self, values: np.ndarray) -> np.ndarray:
        """Whether each value is inside and finite in float32; NaN is not."""
        above = values >= self.low if self.low_allowed else values > self.low
        return (np.abs(values) <= _FLOAT32.max) & above & (values <= self.high)

    def __str__(self) -> str:
        bracket = "[" if self.low_allowed and math.isfinite(self.low) else "("
        end = f"{self.high:g}]" if math.isfinite(self.high) else "inf)"
        return f"{bracket}{self.low:g}, {end}"


def show(value: Any) -> str:
    """The value in a message: its repr, shortened; its type where it has none."""
    try:
        return " ".join(_REPR.repr(value).split())  # an array's has line breaks
    except Exception:  # a user's object, or an int with too many digits
        return f"<{type(value).__name__}>"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 300 characters; its type without a message."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]


def check_known(name: str | int, known: Collection[str], kind: str) -> None:
    """Raise ValueError unless `name` is among `known`, with the nearest or what it abbreviates."""
    if name not in known:
        nearest = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
        nearest += [each for each in known if "".join(w[:1] for w in each.split("_")) == name]
        remedy = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}"
        raise ValueError(f"unknown {kind} {show(name)}; {remedy}")


def check_choice(name: str, value: Any, choices: Collection[str], also: str = "") -> str:
    """`value` as a string, one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        allowed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} = {show(value)} is not known; give one of {allowed}{also}")
    return as_text(value)


def as_text(value: str) -> str:
    """The text itself as a plain string; of a member of a text enum, its value, not its name."""
    return str.__str__(value)


def check_bool(name: str, value: Any) -> bool:
    """`value`, True or False or a NumPy truth value, as a bool."""
    array = _as_array(value)
    if array is None or array.ndim or array.dtype.kind != "b":
        raise ValueError(f"{name} = {show(value)} is not a truth value; give True or False")
    return bool(array)


def check_function(name: str, value: F) -> F:
    """`value`, a function."""
    if not callable(value):
        raise ValueError(f"{name} = {show(value)} is not callable; give a function")
    return value


def whole_number(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """`value` as an int from `least` to `most`; 5e5 is taken for 500000, 0.5 and True are not."""
    number = _as_int(value)
    if number is None or number < least or (most is not None and number > most):
        allowed = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"{name} = {show(value)} is not allowed; give a whole number of {allowed}")
    return number


def number_in(name: str, value: Any, allowed: Interval, also: str = "") -> float:
    """`value`, a number or an array without axes, as a float in `allowed`."""
    values = _as_numbers(value)
    if values is None or values.ndim:
        raise ValueError(
            f"{name} = {show(value)} is not a number; give a single one in {allowed}{also}"
        )
    return float(numbers_in(name, value, allowed))


def numbers_in(name: str, value: Any, allowed: Interval) -> np.ndarray:
    """`value`, a number or an array, as float64 within `allowed`; strings and truth are refused.

    Numbers that float32 cannot hold as normal numbers are refused too: XLA computes with 0 in
    place of 1e-40.
    """
    values = _as_numbers(value)
    if values is None:
        raise ValueError(f"{name} = {show(value)} is not a number; give one in {allowed}")
    outside = values[~allowed.contains(values)]
    if outside.size:
        raise ValueError(
            f"{name} = {outside.flat[0]:g} is out of range; give a finite number in {allowed}"
        )
    vanishing = values[(values != 0.0) & (np.abs(values) < _FLOAT32.tiny)]
    if vanishing.size:
        zero = "0, or " if allowed.contains(np.zeros(())) else ""
        raise ValueError(
            f"{name} = {vanishing.flat[0]:g} is out of range, it is 0 in float32; give {zero}a "
            f"magnitude of at least {_FLOAT32.tiny:.2g}"
        )
    return values


def as_mapping(value: Any) -> dict[Any, Any] | None:
    """A copy of a mapping, or of a container with the methods of one; None for all else."""
    if isinstance(value, Mapping):
        return dict(value)
    has_methods = callable(getattr(value, "keys", None)) and hasattr(value, "__getitem__")
    return dict(value) if has_methods and not isinstance(value, type) else None


def as_sequence(value: Any) -> list[Any] | None:
    """The items of a list, tuple, array or other sequence; None for text and all else."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return list(value)
    if getattr(value, "ndim", None) != 1:
        return None
    array = _as_array(value)  # of NumPy or JAX
    return None if array is None else array.tolist()


def as_scalar(name: str, value: Any) -> bool | int | float | str:
    """A number, truth value or text as a plain Python value; ValueError for all else."""
    if isinstance(value, int) and not isinstance(value, bool):  # of any size
        return int(value)
    array = _as_array(value)
    if array is None or array.ndim or array.dtype.kind not in "biufU":
        raise ValueError(
            f"{name} = {show(value)} is not a plain value; give a number, a truth value or text"
        )
    return array.item()


def nearest_divisor(number: int, wanted: int) -> int:
    """The divisor of `number` nearest to `wanted`."""
    small = [divisor for divisor in range(1, math.isqrt(number) + 1) if number % divisor == 0]
    divisors = small + [number // divisor for divisor in reversed(small)]
    return min(divisors, key=lambda divisor: abs(divisor - wanted))


def _as_array(value: Any) -> np.ndarray | None:
    """The value as NumPy reads it; None for what it cannot read, such as a PRNG key."""
    try:
        return np.asarray(value)
    except Exception:  # ragged lists, keys, tracers and objects that only look like arrays
        return None


def _as_int(value: Any) -> int | None:
    """A whole number as an int; None for all else, truth values included."""
    if isinstance(value, int):  # also those that no NumPy type holds
        return None if isinstance(value, bool) else int(value)
    array = _as_array(value)
    if array is None or array.ndim or array.dtype.kind not in "iuf":
        return None
    if array.dtype.kind == "f":
        return int(array) if float(array).is_integer() else None
    return operator.index(array.item())


def _as_numbers(value: Any) -> np.ndarray | None:
    """Numbers as float64; None for text, truth values, None and objects."""
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return np.asarray(float(value))
        except OverflowError:
            return np.asarray(math.inf if value > 0 else -math.inf)
    array = _as_array(value)
    if array is None or not jnp.issubdtype(array.dtype, jnp.number) or array.dtype.kind == "c":
        return None
    return array.astype(np.float64)
