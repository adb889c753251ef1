"""Time functions against each other in one run: round after round, each once in every round."""

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax

from benchmarks.reporting import Ratios, paired_ratios

T = TypeVar("T")


def in_turn(measures: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """What each function measures, once in every round.

    Every other round goes backwards, so that no function always follows the same one.
    """
    found: dict[str, list[T]] = {name: [] for name in measures}
    for index in range(rounds):
        for name in list(measures)[:: -1 if index % 2 else 1]:
            found[name].append(measures[name]())
    return found


def interleaved(
    functions: Mapping[str, Callable[[], Any]], rounds: int = 7, least_seconds: float = 0.2
) -> dict[str, list[float]]:
    """Seconds of one call of each function, measured in turn.

    Args:
      functions: by name; each returns the arrays to wait for. Called twice first, to compile and
        to warm up.
      rounds: of all functions; a ratio is to be taken within a round.
      least_seconds: a function that is faster is called several times in a round.
    """

    def seconds_of(function: Callable[[], Any], calls: int = 1) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            jax.block_until_ready(function())
        return (time.perf_counter() - start) / calls

    measures = {}
    for name, function in functions.items():
        jax.block_until_ready(function())
        calls = max(1, round(least_seconds / seconds_of(function)))
        measures[name] = functools.partial(seconds_of, function, calls)
    return in_turn(measures, rounds)


def ratio(seconds: Mapping[str, list[float]], name: str, base: str) -> Ratios:
    """How many times as long `name` took as `base`, round by round."""
    return paired_ratios(seconds[name], seconds[base])
