"""Rows of a study's results, and the files that hold them."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]


def write_table(rows: Sequence[Row], path: str | Path) -> None:
    """Write rows as CSV or, by the suffix .parquet, as Parquet, which needs pyarrow.

    Raises:
        ValueError: another suffix, or pyarrow is missing.
        OSError: the file cannot be written.
    """
    path = Path(path)
    names = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
        return
    if path.suffix != ".parquet":
        raise ValueError(f"path = {str(path)!r} has an unknown suffix; give .csv or .parquet")
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError(
            f"{str(path)!r} needs pyarrow; run: pip install 'rpojax[parquet]'"
        ) from error
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)


def plain_cell(value: Any) -> Any:
    """A value that a cell of a table can hold: text for all but None, numbers and booleans."""
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)
