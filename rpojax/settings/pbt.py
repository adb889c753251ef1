"""The settings of population-based training."""

import dataclasses
from typing import Any

import numpy as np

from rpojax.settings.declared import (
    Check,
    documented,
    names_checked,
    number,
    setting,
    settings_of,
    store_checked,
    whole,
)
from rpojax.settings.hyperparams import HyperParams
from rpojax.settings.ranges import LogUniform, Uniform, check_range, points_at
from rpojax.validation import Interval, as_mapping, as_sequence, check_known, number_in, show


def _ranges(name: str, given: Any) -> tuple[tuple[str, Uniform | LogUniform], ...]:
    """Ranges by hyperparameter, as pairs; their ends are values that it may have."""
    pairs = given if isinstance(given, tuple) else None
    mapping = as_mapping(dict(pairs) if pairs else given)
    if not mapping:
        raise ValueError(
            f"{name} = {show(given)} is not a dictionary of ranges; give e.g. "
            '{"learning_rate": rpojax.studies.LogUniform(1e-5, 1e-2)}'
        )
    ranges = []
    for field, value in sorted(mapping.items()):
        check_known(str(field), settings_of(HyperParams), "hyperparameter")
        found = check_range(field, value)
        if not isinstance(found, Uniform | LogUniform):
            raise ValueError(
                f"the range of {field} is {show(found)}; a population explores numbers, give "
                "Uniform(low, high) or LogUniform(low, high)"
            )
        for end in found:
            settings_of(HyperParams)[field].check.convert(field, end)
        ranges.append((str(field), found))
    return tuple(ranges)


def _factors(name: str, given: Any) -> tuple[float, ...]:
    items = as_sequence(given)
    if not items:
        raise ValueError(f"{name} = {show(given)} is not a list of factors; give e.g. (0.8, 1.2)")
    return tuple(number_in(name, item, Interval(0.0, low_allowed=False)) for item in items)


@documented
@names_checked("setting of evolve")
@dataclasses.dataclass(frozen=True, kw_only=True)
class PBT:
    """Population-based training (Jaderberg et al. 2017, arXiv 1711.09846) for `rpojax.fit`.

    After every generation, each agent among the worst copies one among the best (truncation
    selection): parameters, optimiser, statistics and hyperparameters. Then it changes the
    hyperparameters, within their ranges.

    A hyperparameter that all agents of a `fit` share, and that has a range here, is drawn from the
    range for each agent at the start.
    """

    every: int = setting(20, "Updates in a generation.", whole())
    hyperparams: Any = setting(
        (("learning_rate", LogUniform(1e-5, 1e-2)),),
        'The hyperparameters that change, with their ranges: {"learning_rate": LogUniform(1e-5, '
        "1e-2), ...}; stored as pairs of name and range.",
        Check(_ranges),
    )
    fraction: float = setting(
        0.2,
        "Share of the agents that is replaced after a generation, by copies of as many of the "
        "best.",
        number(Interval(0.0, 0.5, low_allowed=False)),
    )
    factors: tuple[float, ...] = setting(
        (0.8, 1.2),
        "A hyperparameter that was copied is multiplied by one of these, drawn uniformly.",
        Check(_factors),
    )
    resample: float = setting(
        0.25,
        "Probability of a new draw from the range in place of a factor.",
        number(Interval(0.0, 1.0)),
    )
    eval_episodes: int = setting(
        0,
        "Evaluation episodes, with mean actions and the same for all agents, whose mean return is "
        "an agent's score; 0: the score is the episode return of training over the generation or, "
        "where no episode ended in it, over the last one before in which one did.",
        whole(0),
    )

    def __post_init__(self) -> None:
        store_checked(self)

    @property
    def ranges(self) -> dict[str, Uniform | LogUniform]:
        """The range of each hyperparameter that changes."""
        return dict(self.hyperparams)

    def number_replaced(self, num_agents: int) -> int:
        """How many of `num_agents` agents are replaced after a generation.

        Raises:
            ValueError: a population of one.
        """
        if num_agents < 2:
            raise ValueError("evolve needs a population; give num_seeds of at least 2")
        return min(max(1, round(self.fraction * num_agents)), num_agents // 2)

    def generations(self, num_updates: int) -> int:
        """Generations in a training; the last one may be shorter."""
        return -(-num_updates // self.every)

    def draw(self, num_agents: int, seed: int) -> dict[str, np.ndarray]:
        """Values for each agent at the start, f32[N] by name."""
        positions = np.random.default_rng(seed).random((len(self.ranges), num_agents)).T
        points = points_at(self.ranges, positions)
        return {
            name: np.asarray([point[name] for point in points], np.float32) for name in self.ranges
        }

    def to_plain(self) -> dict[str, Any]:
        """The settings as numbers, text, lists and dictionaries; `PBT(**plain)` takes them back."""
        kinds = {Uniform: "uniform", LogUniform: "log_uniform"}
        ranges = {name: {kinds[type(each)]: list(each)} for name, each in self.hyperparams}
        return vars(self) | {"hyperparams": ranges, "factors": list(self.factors)}
