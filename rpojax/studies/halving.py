"""Successive halving: settings that do badly stop early.

Jamieson & Talwalkar (2016), Non-stochastic Best Arm Identification and Hyperparameter Optimization,
arXiv 1502.07943. At each rung the best 1 / factor of the settings continue, with a budget that is
`factor` times as large.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rpojax.validation import Interval, number_in, whole_number

NEARLY_ALL = 0.95  # of the training: a rung from here on is the last one


@dataclasses.dataclass(frozen=True)
class Halving:
    """When settings are compared, and how many continue.

    Attributes:
        factor: of the settings that train to a rung, 1 / factor continue; at least 2.
        first: the first rung, as a fraction of the training; None: factor ** -(rungs - 1), with as
            many rungs as leave one setting or a few at the end.
    """

    factor: int = 3
    first: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "factor", whole_number("halving.factor", self.factor, least=2))
        if self.first is not None:
            first = number_in("halving.first", self.first, Interval(0.0, 1.0, low_allowed=False))
            object.__setattr__(self, "first", first)

    def rungs(self, num_settings: int) -> list[float]:
        """The fractions of the training after which settings are compared; the last one is 1."""
        if self.first is None:
            count = 1
            while self.factor**count <= num_settings:
                count += 1
            return [float(self.factor) ** -(count - 1 - rung) for rung in range(count)]
        rungs = [self.first]
        while rungs[-1] < 1.0:
            longer = rungs[-1] * self.factor
            rungs.append(longer if longer < NEARLY_ALL else 1.0)
        return rungs

    def number_kept(self, num_settings: int) -> int:
        """How many of `num_settings` settings continue."""
        return max(1, math.ceil(num_settings / self.factor))


def check_halving(given: Any) -> Halving | None:
    """What `rpojax.study` takes: None, a factor, or a `Halving`; also its fields in a mapping."""
    if given is None or isinstance(given, Halving):
        return given
    if isinstance(given, Mapping):
        unknown = [key for key in given if key not in ("factor", "first")]
        if unknown:
            raise ValueError(f"halving has no {unknown[0]}; give factor, first or both")
        return Halving(**given)
    return Halving(whole_number("halving", given, least=2))


def survivors(halving: Halving, settings: Sequence[int], scores: Mapping[int, float]) -> list[int]:
    """The settings that continue: those with the highest scores, in their order.

    Args:
        halving: says how many.
        settings: that were compared.
        scores: of each, higher is better; NaN is the worst. Of equal scores, the first continue.
    """

    def rank(setting: int) -> float:
        score = scores[setting]
        return math.inf if math.isnan(score) else -score

    best = sorted(settings, key=rank)[: halving.number_kept(len(settings))]
    return sorted(best)
