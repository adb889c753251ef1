"""The agents of a setting that differ in their seeds alone."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.rpo.cells import variant

Row = dict[str, Any]


class Group(NamedTuple):
    """The agents that differ in their seeds alone."""

    environment: str
    steps: int
    time_limit_bootstrap: bool
    perturb_rollouts: bool
    alpha: float

    @property
    def variant(self) -> str:
        """How it is called."""
        return variant(self._asdict())


def groups_of(rows: Sequence[Row], steps: str = "steps") -> dict[Group, list[Row]]:
    """Rows by setting; `steps` is the column that tells the length of the training."""
    groups: dict[Group, list[Row]] = {}
    for row in rows:
        group = Group(
            row["environment"],
            row[steps],
            row["time_limit_bootstrap"],
            row["perturb_rollouts"],
            row["alpha"],
        )
        groups.setdefault(group, []).append(row)
    return groups
