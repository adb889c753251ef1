"""The options of a run: when it is logged, evaluated, saved and stopped."""

import dataclasses
import math
from typing import Any

from rpojax.settings.declared import (
    Check,
    documented,
    number,
    optional,
    setting,
    settings_of,
    store_checked,
    whole,
)
from rpojax.validation import Interval, check_known

OF_ONE_CALL = ("max_seconds", "stop_when_return")
"""Options that a checkpoint does not hold: a run that is resumed has its own."""


@documented
@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """When a run is logged, evaluated, saved and stopped; no option changes what agents learn.

    `rpojax.fit` takes them as an object or one by one, `rpojax.resume` takes changes of the run's
    own, and the command has a flag for each. A ValueError names the option, the value, what is
    allowed and the remedy.
    """

    log_every: int = setting(1, "Updates in a record of the loggers, 0 for no records.", whole(0))
    eval_every: int = setting(
        0,
        "Updates between evaluations with mean actions, 0 for none. An agent plays the same "
        "episodes in each of them, drawn from its seed.",
        whole(0),
    )
    eval_episodes: int = setting(64, "Episodes of each agent in an evaluation.", whole())
    checkpoint_every: int | None = setting(
        None,
        "Updates between checkpoints; None for a tenth of the run, 0 for one at the end only. "
        "There is also one at the start. Each also holds every agent at its best evaluation so "
        "far.",
        optional(whole(0)),
    )
    keep_checkpoints: int = setting(3, "How many of the newest checkpoints are kept.", whole())
    max_seconds: float | None = setting(
        None,
        "Stop, and save, before the updates that would end later than this, counted from the "
        "call; None for no limit.",
        optional(number(Interval(0.0))),
    )
    stop_when_return: float | None = setting(
        None,
        "Stop when the mean over all agents of an evaluation reaches this; without evaluations, "
        "that of the episode returns of each agent's last update in which an episode ended. None: "
        "do not.",
        optional(Check(number(Interval(-math.inf)).convert)),
    )

    def __post_init__(self) -> None:
        store_checked(self)

    def replace(self, **changes: Any) -> "RunOptions":
        """A copy with some options changed, checked again."""
        for name in changes:
            check_known(name, settings_of(RunOptions), "option of a run")
        return dataclasses.replace(self, **changes)
