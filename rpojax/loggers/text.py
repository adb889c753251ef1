"""Loggers that write text: to a terminal, as CSV, as JSON lines."""

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from rpojax.files import replaced, require_regular
from rpojax.loggers.base import (
    ENVIRONMENT,
    LogRecord,
    columns,
    environment_column,
    identities,
    rows,
)
from rpojax.settings.agent_table import AgentTable
from rpojax.settings.config import Config
from rpojax.statistics.text import mean_and_std, plus_minus_sign


class ConsoleLogger:
    """Prints each record: mean ± standard deviation over the agents.

    Agents that share their hyperparameters are one line. A run with several sets of
    hyperparameters has a line for each of them, below one with the steps and the speed.

    Args:
        file: text stream to write to; None for standard output.
    """

    def __init__(self, file: IO[str] | None = None) -> None:
        self._file = file
        self._total = ""  # steps of the run, formatted
        self._groups: dict[str, list[int]] = {}

    def start(self, cfg: Config, agents: AgentTable, updates: int | None) -> None:
        """Keep the length of the run and the groups of its agents."""
        self._total = f"{cfg.actual_timesteps:,}"
        self._groups = agents.groups

    def log(self, record: LogRecord) -> None:
        """Print the lines."""
        steps = f"{record.steps:>{len(self._total)},} of {self._total} steps"
        speed = f"{record.steps_per_second:,.0f} steps/s"
        lines = {label: self._metrics(record, agents) for label, agents in self._groups.items()}
        if len(lines) == 1:
            (metrics,) = lines.values()
            self._print(steps, metrics, speed)
            return
        self._print(steps, speed)
        width = max(map(len, lines))
        for label, metrics in lines.items():
            self._print(f"  {label:<{width}}", metrics)

    def close(self) -> None:
        """Leave the stream open: it belongs to the caller."""

    def _metrics(self, record: LogRecord, agents: list[int]) -> str:
        """Metrics of agents that share their hyperparameters."""
        shown: list[tuple[str, Any, str]] = [
            ("return", record.metrics.episode_return, ".1f"),
            ("std", record.metrics.action_std, ".3f"),
            ("kl", record.metrics.kl, ".4f"),
        ]
        if record.evaluation_return is not None:
            shown.append(("evaluation", record.evaluation_return, ".1f"))
        sign = plus_minus_sign(getattr(self._stream, "encoding", None))
        return "   ".join(
            f"{name} {mean_and_std(values[agents], spec, sign)}" for name, values, spec in shown
        )

    def _print(self, *parts: str) -> None:
        print("   ".join(parts), file=self._stream, flush=True)

    @property
    def _stream(self) -> IO[str]:
        return self._file or sys.stdout


class _RowFile:
    """A text file with a row for each agent of each record, flushed at each record.

    Missing directories are made. A new run needs a new file. A resumed one appends to its old file,
    from which rows past the resumed update are removed first, and makes the file if there is none.
    Rows that the file lacks or that are damaged, such as after a full disk, are written again.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._file: IO[str] | None = None
        self._columns: tuple[str, ...] = ()  # without those of the environment's own metrics
        self._environment: tuple[str, ...] | None = None  # those; None before the first record
        self._identities: list[dict[str, float]] = []  # of each agent

    def start(self, cfg: Config, agents: AgentTable, updates: int | None) -> None:
        """Open the file.

        Raises:
            ValueError: a new run, and the file exists; or a resumed one, and the file was not
                written by this logger or has other columns.
        """
        self._columns, self._identities = columns(agents), identities(agents)
        self._environment = None
        self._path.parent.mkdir(parents=True, exist_ok=True)
        require_regular(self._path)
        continued = updates is not None and self._path.exists()
        if updates is not None and continued:
            self._cut_after(updates)
        try:
            self._file = self._path.open("a" if continued else "x", encoding="utf-8", newline="")
        except FileExistsError:
            raise ValueError(
                f"path = {str(self._path)!r} exists already; give another path, or remove the file"
            ) from None

    def log(self, record: LogRecord) -> None:
        """Write a row for each agent; ValueError for other metrics than the record before had."""
        if self._file is None:
            raise ValueError(f"the log {str(self._path)!r} is not open; call start before log")
        self._file.write(self._text_of(record))
        self._file.flush()

    def complete(self, ends: Sequence[int], record_at: Callable[[int], LogRecord]) -> int:
        """Write the records that are not whole in the file, in their places; see `Logger`."""
        found, clean = self._whole_records()
        missing = [end for end in ends if end not in found]
        if not missing and clean:
            return 0
        self.close()
        with (
            replaced(self._path) as draft,
            draft.open("w", encoding="utf-8", newline="") as new,
            self._path.open("rb") as old,
        ):
            if self._environment is not None:
                new.write(self._header())
            for end in sorted({*found, *ends}):
                if end in found:
                    old.seek(found[end])
                    new.writelines(old.readline().decode() for _ in self._identities)
                else:
                    new.write(self._text_of(record_at(end)))
        self._file = self._path.open("a", encoding="utf-8", newline="")
        return len(missing)

    def _whole_records(self) -> tuple[dict[int, int], bool]:
        """Where each whole record begins, by its updates; and whether all lines belong to one."""
        found: dict[int, int] = {}
        first, seen, clean = (0, 0), 0, True  # updates and place of the record's first row
        with self._path.open("rb") as file:
            self._read_header(file)
            place = file.tell()
            while line := file.readline():
                try:
                    updates, agent = self._row_of(line.decode())
                except (ValueError, LookupError, TypeError):
                    updates, agent = 0, -1
                if agent == 0:
                    clean &= seen == 0
                    first, seen = (updates, place), 0
                if agent == seen and updates == first[0]:
                    seen += 1
                    if seen == len(self._identities):
                        found[updates], seen = first[1], 0
                else:
                    seen, clean = 0, False
                place += len(line)
        return found, clean and seen == 0

    def _text_of(self, record: LogRecord) -> str:
        """The rows of a record, after a header if the file has none yet; ValueError as `log`."""
        environment = tuple(map(environment_column, record.metrics.environment))
        text = ""
        if self._environment is None:
            self._environment = environment
            text = self._header()
        if environment != self._environment:
            raise ValueError(
                f"the environment's metrics are {', '.join(environment)}, and {str(self._path)!r} "
                f"has {', '.join(self._environment)}"
            )
        return text + "".join(self._line(row) + "\n" for row in rows(record, self._identities))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _cut_after(self, updates: int) -> None:
        """Cut the file before the first line that is past `updates` or incomplete after a kill."""
        with self._path.open("rb+") as file:
            try:
                self._read_header(file)
                begin = end = file.tell()
                while (line := file.readline()).endswith(b"\n"):
                    try:
                        if self._row_of(line.decode())[0] > updates:
                            break
                    except (ValueError, LookupError, TypeError):
                        if end == begin and not begin:  # no header, and no row of ours
                            raise
                    end += len(line)
            except (ValueError, LookupError, TypeError) as error:
                raise ValueError(
                    f"path = {str(self._path)!r} is not a file that this version's "
                    f"{type(self).__name__} wrote with the columns {', '.join(self._columns)}; "
                    "give another path to log to"
                ) from error
            file.truncate(end)

    def _continue_with(self, columns: Sequence[str]) -> None:
        """Keep the columns of the environment's metrics; ValueError if the others are not ours."""
        count = len(self._columns)
        first, last = tuple(columns[:count]), tuple(columns[count:])
        if first != self._columns or not all(name.startswith(ENVIRONMENT) for name in last):
            raise ValueError(f"columns are {', '.join(columns)}")
        self._environment = last

    def _header(self) -> str:
        """The line before all rows, with its end; empty if there is none."""
        return ""

    def _read_header(self, file: IO[bytes]) -> None:
        """Read the line before all rows; ValueError if another logger wrote it."""

    def _line(self, row: Mapping[str, Any]) -> str:
        raise NotImplementedError

    def _row_of(self, line: str) -> tuple[int, int]:
        """Updates and agent of a line; ValueError, LookupError or TypeError if it is no row."""
        raise NotImplementedError


class JSONLinesLogger(_RowFile):
    """One JSON object per line, for each agent of each record, with the keys `columns(agents)`.

    NaN, infinity and missing values are null. Files are made and resumed as by `CSVLogger`.

    Args:
        path: of the file; missing directories are made.
    """

    def _line(self, row: Mapping[str, Any]) -> str:
        finite = {
            name: value if value is not None and math.isfinite(value) else None
            for name, value in row.items()
        }
        return json.dumps(finite, allow_nan=False)

    def _row_of(self, line: str) -> tuple[int, int]:
        row = json.loads(line)
        self._continue_with(list(row))
        return int(row["updates"]), int(row["agent"])


class CSVLogger(_RowFile):
    """A row for each agent of each record, with the columns `columns(agents)`.

    They are the agent's index, its seed, each hyperparameter in which the agents differ, the
    updates and steps so far, the metrics, and those of the environment, such as
    "environment/success". NaN and missing values are empty. Rows are flushed at each record. A new
    run needs a new file; a resumed one appends to its old file.

    Args:
        path: of the file; missing directories are made.
    """

    def _header(self) -> str:
        return ",".join((*self._columns, *(self._environment or ()))) + "\n"

    def _read_header(self, file: IO[bytes]) -> None:
        line, ours = file.readline(), ",".join(self._columns).encode()
        if line.endswith(b"\n"):
            self._continue_with(line.decode().rstrip().split(","))
        elif line.startswith(ours) or ours.startswith(line):  # stopped before the first record
            file.seek(0)
        else:
            raise ValueError("its first line is no header")

    def _line(self, row: Mapping[str, Any]) -> str:
        values = row.values()
        return ",".join("" if v is None or math.isnan(v) else str(v) for v in values)

    def _row_of(self, line: str) -> tuple[int, int]:
        values = line.split(",")
        if len(values) != len(self._columns) + len(self._environment or ()):
            raise ValueError("it has another number of columns")
        return int(values[self._columns.index("updates")]), int(values[0])
