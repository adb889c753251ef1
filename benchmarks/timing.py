"""Time functions against each other in one run: round after round, each once in every round."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

from benchmarks.reporting import Ratios, paired_ratios


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
    calls = {}
    for name, function in functions.items():
        jax.block_until_ready(function())
        start = time.perf_counter()
        jax.block_until_ready(function())
        calls[name] = max(1, round(least_seconds / (time.perf_counter() - start)))
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(calls[name]):
                jax.block_until_ready(function())
            seconds[name].append((time.perf_counter() - start) / calls[name])
    return seconds


def ratio(seconds: Mapping[str, list[float]], name: str, base: str) -> Ratios:
    """How many times as long `name` took as `base`, round by round."""
    return paired_ratios(seconds[name], seconds[base])
