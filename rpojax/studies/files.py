"""The directory of a study."""

import json
import os
import shlex
from pathlib import Path
from typing import Any, NoReturn

from rpojax.runs.checkpoint import versions
from rpojax.studies.plan import StudyPlan, difference


class StudyDirectory:
    """Where a study keeps its plan, its runs and its tables.

    `study.json` holds the plan. `programs/000/rung_0` holds the run of the settings of the first
    program up to the first rung, as `rpojax.fit` saves one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @property
    def plan(self) -> Path:
        """The plan of the study."""
        return self.path / "study.json"

    @property
    def agents_csv(self) -> Path:
        """A row for each agent."""
        return self.path / "agents.csv"

    @property
    def settings_csv(self) -> Path:
        """A row for each setting."""
        return self.path / "settings.csv"

    @property
    def curves_csv(self) -> Path:
        """A row for each update of each agent."""
        return self.path / "curves.csv"

    @property
    def report(self) -> Path:
        """Tables and pictures on one page."""
        return self.path / "report.html"

    @property
    def resume_command(self) -> str:
        """The command that resumes the study."""
        return f"`rpojax study --resume {shlex.quote(str(self.path))}`"

    def run(self, program: int, rung: int) -> Path:
        """The checkpoints of the run of a program up to a rung."""
        return self.path / "programs" / f"{program:03d}" / f"rung_{rung}"

    def begin(self, plan: StudyPlan) -> None:
        """Record the plan, or check that it is the one which is recorded.

        Raises:
            ValueError: the directory holds another study, or something else.
        """
        if self.plan.exists():
            differing = difference(self.recorded()["plan"], plan)
            if differing is not None:
                raise ValueError(
                    f"directory = {str(self.path)!r} holds another study: {differing}; give "
                    "another directory, or the same settings to go on with it"
                )
            return
        if self.path.exists() and any(entry.name != "run.lock" for entry in self.path.iterdir()):
            raise ValueError(
                f"directory = {str(self.path)!r} is not empty and holds no study; give another one"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_json(self.plan, {"plan": plan.record(), "versions": versions()})

    def recorded(self) -> dict[str, Any]:
        """What `begin` recorded.

        Raises:
            ValueError: there is no study, or its plan cannot be read.
        """
        try:
            record: dict[str, Any] = json.loads(self.plan.read_text())
        except FileNotFoundError:
            raise ValueError(
                f"{str(self.path)!r} holds no study; give the directory of rpojax.study or "
                "`rpojax study`"
            ) from None
        except ValueError as error:
            raise ValueError(f"{str(self.plan)!r} cannot be read: {error}") from error
        return record

    def raise_unfinished(self) -> NoReturn:
        """Raise ValueError: something is missing in a study that is to be read."""
        raise ValueError(
            f"the study in {str(self.path)!r} is not finished; go on with {self.resume_command}"
        )

    @staticmethod
    def write_json(path: Path, value: Any) -> None:
        """Write a file in one step."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        partial.write_text(json.dumps(value))
        partial.replace(path)
