"""Loggers that write text: to a terminal, as JSON lines, as CSV."""

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike

from rpojax.config import Config
from rpojax.loggers.base import COLUMNS, LogRecord, mean_of_known, rows


class ConsoleLogger:
    """One plain line for each record: mean ± standard deviation over the seeds.

    Args:
        file: text stream to write to; None for standard output.
    """

    def __init__(self, file: IO[str] | None = None) -> None:
        self._file = file
        self._total = ""  # steps of the run, in words

    def start(self, cfg: Config, num_seeds: int, updates: int) -> None:
        """Take down how long the run is."""
        self._total = f"{cfg.actual_timesteps:,}"

    def log(self, record: LogRecord) -> None:
        """Print the line."""
        parts = [
            f"{record.steps:>{len(self._total)},} of {self._total} steps",
            f"return {_spread(record.metrics.episode_return, '.1f')}",
            f"std {_spread(record.metrics.action_std, '.3f')}",
            f"kl {_spread(record.metrics.kl, '.4f')}",
            f"{record.steps_per_second:,.0f} steps/s",
        ]
        if record.evaluation_return is not None:
            parts.append(f"evaluation {_spread(record.evaluation_return, '.1f')}")
        print("   ".join(parts), file=self._file or sys.stdout, flush=True)

    def close(self) -> None:
        """Leave the stream open: it belongs to the caller."""


class _RowFile:
    """A text file with a row for each seed of each record, flushed at each record.

    A new run wants a new file. A resumed one goes on in the old file, cut off after the update
    from which the run goes on, and makes the file if there is none.

    Args:
        path: of the file; missing directories are made.
    """

    _header = ""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._file: IO[str] | None = None

    def start(self, cfg: Config, num_seeds: int, updates: int) -> None:
        """Open the file.

        Raises:
            ValueError: a new run, and the file exists; or a resumed one, and the file is none that
                this logger wrote.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if updates and self._path.exists():
            self._cut_after(updates)
            self._file = self._path.open("a", encoding="utf-8", newline="")
            return
        try:
            self._file = self._path.open("x", encoding="utf-8", newline="")
        except FileExistsError:
            raise ValueError(
                f"path = {str(self._path)!r} exists already; give another path, or remove the file"
            ) from None
        self._write(self._header)

    def log(self, record: LogRecord) -> None:
        """Write a row for each seed."""
        self._write("".join(self._line(row) for row in rows(record)))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, text: str) -> None:
        if self._file is None:
            raise ValueError(f"the log {str(self._path)!r} is not open; call start before log")
        self._file.write(text)
        self._file.flush()

    def _cut_after(self, updates: int) -> None:
        """Cut the file before the first line that is past `updates`, or that a kill left torn."""
        header = self._header.encode()
        with self._path.open("rb+") as file:
            if file.read(len(header)) != header:
                raise self._foreign()
            end = len(header)
            while (line := file.readline()).endswith(b"\n"):
                try:
                    past = self._updates_of(line.decode()) > updates
                except (ValueError, LookupError, TypeError) as error:
                    raise self._foreign() from error
                if past:
                    break
                end += len(line)
            file.truncate(end)

    def _foreign(self) -> ValueError:
        return ValueError(
            f"path = {str(self._path)!r} is not a file that this version's {type(self).__name__} "
            "wrote; give another path, in which the log goes on"
        )

    def _line(self, row: Mapping[str, Any]) -> str:
        """A row as a line with its end."""
        raise NotImplementedError

    def _updates_of(self, line: str) -> int:
        """The updates of a line; ValueError, LookupError or TypeError if it is no line of ours."""
        raise NotImplementedError


class JSONLinesLogger(_RowFile):
    """One JSON object a line for each seed of each record, with the keys `COLUMNS`.

    What is NaN, infinite or not there is null. Lines are flushed at each record. A new run wants a
    new file, a resumed one goes on in the old.

    Args:
        path: of the file; missing directories are made.
    """

    def _line(self, row: Mapping[str, Any]) -> str:
        finite = {
            name: value if value is not None and math.isfinite(value) else None
            for name, value in row.items()
        }
        return json.dumps(finite, allow_nan=False) + "\n"

    def _updates_of(self, line: str) -> int:
        return int(json.loads(line)["updates"])


class CSVLogger(_RowFile):
    """A row for each seed of each record, under the header `COLUMNS`.

    What is NaN or not there is empty. Rows are flushed at each record. A new run wants a new file,
    a resumed one goes on in the old.

    Args:
        path: of the file; missing directories are made.
    """

    _header = ",".join(COLUMNS) + "\n"

    def _line(self, row: Mapping[str, Any]) -> str:
        values = (row[name] for name in COLUMNS)
        known = ("" if value is None or math.isnan(value) else str(value) for value in values)
        return ",".join(known) + "\n"

    def _updates_of(self, line: str) -> int:
        return int(line.split(",")[COLUMNS.index("updates")])


def _spread(values: ArrayLike, spec: str) -> str:
    """Mean ± standard deviation over the seeds that have a value, f32[S], in words."""
    seeds = np.asarray(values)
    known = seeds[~np.isnan(seeds)]
    deviation = f" ± {known.std():{spec}}" if known.size > 1 else ""
    return f"{mean_of_known(seeds):{spec}}{deviation}"
