"""The directory of a study: its plan, its runs, its tables and its report."""

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rpojax.files import clear_remains, read_signed, write_signed
from rpojax.runs.checkpoint import versions
from rpojax.runs.lock import NAME
from rpojax.studies.plan import StudyPlan
from rpojax.validation import first_line


class StudyDirectory:
    """Names of the files of a study, and its plan.

    `study.json` holds the plan. `programs/000/rung_0` holds the run of the settings of the first
    program up to the first rung, as `rpojax.fit` saves one. Tables have a row for each agent, for
    each setting, and for each update of each agent. `confirmation` holds programs and tables of
    its own.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self._plan = self.path / "study.json"
        self.agents_csv = self.path / "agents.csv"
        self.settings_csv = self.path / "settings.csv"
        self.curves_csv = self.path / "curves.csv"
        self.report = self.path / "report.html"
        self.resume_command = f"`rpojax study --resume {shlex.quote(str(self.path))}`"

    def run(self, program: int, rung: int) -> Path:
        """The checkpoints of the run of a program up to a rung."""
        return self.path / "programs" / f"{program:03d}" / f"rung_{rung}"

    def confirmation(self) -> "StudyDirectory":
        """Where the confirmation of this study is kept; it has no plan of its own."""
        inside = StudyDirectory(self.path / "confirmation")
        inside.resume_command = self.resume_command
        return inside

    def begin(self, plan: StudyPlan) -> None:
        """Record the plan, or check that it is the one which is recorded.

        What a process that was killed has left is removed.

        Raises:
            ValueError: the directory holds another study, or something else.
        """
        clear_remains(self.path)
        if self._plan.exists():
            with self._foreign_noticed():
                differing = plan.difference(self._recorded())
            if differing is not None:
                raise ValueError(
                    f"directory = {str(self.path)!r} holds another study: {differing}; give "
                    "another directory, or the same settings to go on with it"
                )
            return
        if self.path.exists() and any(entry.name != NAME for entry in self.path.iterdir()):
            raise ValueError(
                f"directory = {str(self.path)!r} is not empty and holds no study; give another one"
            )
        write_signed(self._plan, {"plan": plan.record(), "versions": versions()})

    def plan(self) -> StudyPlan:
        """The plan that `begin` recorded.

        Raises:
            ValueError: there is no study, its plan cannot be read, or it holds objects.
        """
        with self._foreign_noticed():
            return StudyPlan.from_record(self._recorded())

    def _recorded(self) -> dict[str, Any]:
        try:
            record: dict[str, Any] = read_signed(self._plan, ("plan", "versions"))["plan"]
        except FileNotFoundError:
            raise ValueError(
                f"{str(self.path)!r} holds no study; give the directory of rpojax.study or "
                "`rpojax study`"
            ) from None
        record["settings"][0]["cfg"].items()
        return record

    @contextlib.contextmanager
    def _foreign_noticed(self) -> Iterator[None]:
        """Raise ValueError for a plan that is none: of another shape, or with other types."""
        try:
            yield
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{str(self._plan)!r} is not the plan of a study ({type(error).__name__}: "
                f"{first_line(error)}); start the study anew in another directory"
            ) from error
