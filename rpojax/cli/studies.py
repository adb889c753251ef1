"""`rpojax study` and `rpojax report`: compare settings, and show what came out on one page."""

import dataclasses
import inspect
from datetime import datetime
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from rpojax.cli.flags import (
    ConfigFlags,
    DirectoryArguments,
    JaxFlags,
    Switch,
    check_directory_name,
    print_json,
)
from rpojax.cli.train_settings import AGENTS, fields_over_preset
from rpojax.runs.interrupt import first_signal_noted
from rpojax.settings.files import load_settings_file
from rpojax.settings.translation.by_name import made_from
from rpojax.studies.api import finished_study, make_plan, run_plan, study
from rpojax.studies.directory import StudyDirectory
from rpojax.studies.plan import StudyPlan
from rpojax.studies.progress_bar import StudyBar, settings_table
from rpojax.studies.report import write_report
from rpojax.validation import as_mapping, check_known, show

SECTION = "study"  # of the file: what is compared; all else is what the settings have in common
KEYS = [
    name
    for name in inspect.signature(study).parameters
    if name not in ("cfg", "directory", "force", "on_progress")
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """Compare settings: train each with several seeds, and write tables and a report."""

    file: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")] = None
    """What all settings have in common, in YAML, TOML or JSON by the names of `Config`, and in a
    section "study" what is compared: grid, space, num_seeds, seed and the other arguments of
    `rpojax.study`."""
    resume: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Resume the study in this directory, in place of FILE."""
    output_dir: Path = Path("studies")
    """Directory in which the study gets one of its own."""
    name: Annotated[
        str | None,
        tyro.conf.arg(metavar="STR", help_behavior_hint="(default: <FILE>_<date>-<time>)"),
    ] = None
    """Name of the study's own directory; if it holds the same study, that is resumed."""
    force: Switch = False
    """Take the directory from another process that seems to run in it."""
    json: Switch = False
    """Print one JSON object at the end, and everything else to stderr."""
    machine: tyro.conf.OmitArgPrefixes[JaxFlags] = dataclasses.field(default_factory=JaxFlags)

    def __call__(self) -> None:
        """Run the study; print its table and where the files are."""
        if (self.file is None) == (self.resume is None):
            raise ValueError("give a FILE to start a study from, or --resume DIR to go on with one")
        with first_signal_noted():
            self.machine.start_jax()
            if self.resume is not None:
                files = StudyDirectory(self.resume)
                plan = files.plan()
            else:
                assert self.file is not None
                plan = read_plan(self.file)
                files = StudyDirectory(self._place(self.file))
            console = Console(stderr=self.json)
            try:
                with StudyBar(plan, console) as bar:
                    result = run_plan(plan, files.path, bar.show, self.force)
            except KeyboardInterrupt as stop:
                stop.args = (f"stopped, what is done is saved; go on with {files.resume_command}",)
                raise
            write_report({files.path.name: result}, files.report)
            console.print(settings_table(files.path.name, result))
            again = result.confirmed
            if again is not None:
                console.print(settings_table(f"{files.path.name}, with fresh seeds", again))
            console.print(result.verdict, markup=False, highlight=False)
            console.print(bar.summary)
            if self.json:
                found = {"verdict": result.verdict, "settings": result.setting_rows()}
                confirmed = again and again.setting_rows()
                report = {"directory": str(files.path), **found, "confirmed": confirmed}
                print_json({**report, **bar.measures})
            else:
                written = files.report, files.settings_csv, files.agents_csv, files.curves_csv
                print(*written, sep="\n")

    def _place(self, file: Path) -> Path:
        """The directory of a new study; ValueError for a name that leads elsewhere."""
        if self.name is None:
            return self.output_dir / f"{file.stem}_{datetime.now():%Y%m%d-%H%M%S}"
        return self.output_dir / check_directory_name("name", self.name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """Write one page about studies: tables that sort, pictures, settings, versions."""

    directories: DirectoryArguments
    """Directories of finished studies."""
    output: Path = Path("report.html")
    """Page to write; one that exists is replaced."""

    def __call__(self) -> None:
        """Write the page and print its path."""
        if not self.directories:
            raise ValueError("no directories are given; give one of a study, or more")
        studies = {}
        for path in dict.fromkeys(each.resolve() for each in self.directories):
            name = path.name if path.name not in studies else str(path)
            studies[name] = finished_study(path)
        write_report(studies, self.output)
        print(self.output)


def read_plan(path: Path) -> StudyPlan:
    """The study in a file; ValueError, which names the file, for what it cannot hold."""
    settings = load_settings_file(path)
    section = settings.pop(SECTION, None)
    given = as_mapping(section)
    try:
        if not given:
            what = "there is no" if section is None else f"{show(section)} is no mapping in"
            raise ValueError(
                f"{what} section {SECTION!r}; give one with what is compared, such as "
                "study: {grid: {alpha: [0, 0.5]}, num_seeds: 8}"
            )
        for key in given:
            check_known(str(key), KEYS, f"key of the section {SECTION!r}:")
        for key in settings:
            if str(key).lower() in AGENTS:
                raise ValueError(f"{key} is one for all settings; give it in section {SECTION!r}")
        fields, key_of = fields_over_preset(settings, settings.pop("preset", None))
        cfg = made_from(ConfigFlags, fields, key_of).to_config()
        return make_plan(cfg, **given)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None
