"""The CSV files of the tables: a row for each agent, and rows for the points of its curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.reporting import RESULTS, read_csv, write_csv
from benchmarks.rpo.cells import Cell
from benchmarks.rpo.training import Trained

DIRECTORY = RESULTS / "rpo"
Row = dict[str, Any]


def agents_csv(table: str) -> Path:
    """A row for each agent of a table."""
    return DIRECTORY / f"{table}.csv"


def curves_csv(table: str) -> Path:
    """Rows for the points of the learning curves of a table."""
    return DIRECTORY / f"{table}-curves.csv"


def read(path: Path) -> list[Row]:
    """The rows of a file, with numbers where there are any; none where there is no file."""
    return [{name: _value(text) for name, text in row.items()} for row in read_csv(path)]


def has(rows: Sequence[Mapping[str, Any]], cell: Cell) -> bool:
    """Whether rows of agents hold those of a cell."""
    wanted = {
        "environment": cell.cfg.env,
        "perturb_rollouts": cell.cfg.perturb_rollouts,
        "time_limit_bootstrap": cell.cfg.time_limit_bootstrap,
        "num_envs": cell.cfg.num_envs,
        "num_steps": cell.cfg.num_steps,
        "steps": cell.cfg.actual_timesteps,
    }
    mine = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return {*cell.alphas} <= {row["alpha"] for row in mine}


def add(table: str, trained: Trained, info: Mapping[str, Any]) -> None:
    """Add the rows of a cell to the files of its table."""
    for path, rows, columns in (
        (curves_csv(table), trained.curves, {}),
        (agents_csv(table), trained.agents, info),
    ):
        write_csv(path, read(path) + [{**row, **columns} for row in rows])


def _value(text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
