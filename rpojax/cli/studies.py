"""`rpojax study` and `rpojax report`: compare settings, and show what came out on one page."""

import dataclasses
import inspect
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import rich.progress
import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rpojax.cli.flags import ConfigFlags, JaxFlags, Switch, check_directory_name
from rpojax.cli.reports import print_json, with_message
from rpojax.cli.settings_file import load_settings_file
from rpojax.cli.train_settings import AGENTS, fields_over_preset
from rpojax.settings.translation.by_name import made_from
from rpojax.studies.api import finished_study, make_plan, run_plan
from rpojax.studies.files import StudyDirectory
from rpojax.studies.plan import StudyPlan, plan_from_record
from rpojax.studies.report import write_report
from rpojax.studies.result import StudyResult
from rpojax.studies.runner import StudyProgress
from rpojax.validation import as_mapping, check_known, show

SECTION = "study"  # of the file: what is compared; all else is what the settings have in common
KEYS = tuple(inspect.signature(make_plan).parameters)[1:]  # all but cfg


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
    json: Switch = False
    """Print one JSON object at the end, and everything else to stderr."""
    machine: Annotated[JaxFlags, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=JaxFlags
    )

    def __call__(self) -> None:
        """Run the study; print its table and where the files are."""
        if (self.file is None) == (self.resume is None):
            raise ValueError("give a FILE to start a study from, or --resume DIR to go on with one")
        self.machine.start_jax()
        if self.resume is not None:
            files = StudyDirectory(self.resume)
            plan = plan_from_record(files.recorded()["plan"])
        else:
            assert self.file is not None
            plan = read_plan(self.file)
            files = StudyDirectory(self._place(self.file))
        console = Console(stderr=self.json)
        try:
            with StudyBar(plan, console) as bar:
                result = run_plan(plan, files.path, bar.show)
        except KeyboardInterrupt as stop:
            raise with_message(stop, _how_to_resume(files)) from stop
        write_report({files.path.name: result}, files.report)
        console.print(_settings_table(files.path.name, result))
        console.print(bar.summary)
        if self.json:
            print_json(
                {"directory": str(files.path), "settings": result.setting_rows(), **bar.measures}
            )
        else:
            print(*_written(files), sep="\n")

    def _place(self, file: Path) -> Path:
        """The directory of a new study; ValueError for a name that leads elsewhere."""
        if self.name is None:
            return self.output_dir / f"{file.stem}_{datetime.now():%Y%m%d-%H%M%S}"
        return self.output_dir / check_directory_name("name", self.name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """Write one page about studies: tables that sort, pictures, settings, versions."""

    directories: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="DIR [DIR ...]", help_behavior_hint="(at least one)"),
    ]
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


class StudyBar(AbstractContextManager["StudyBar"]):
    """Shows the progress of a study: a context manager, whose `show` is passed to `study`.

    There is no bar if the console is not a terminal.
    """

    def __init__(self, plan: StudyPlan, console: Console) -> None:
        self._last: StudyProgress | None = None
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.fields[settings]}"),
            rich.progress.BarColumn(),
            rich.progress.TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
            rich.progress.TextColumn("{task.fields[left]}"),
            rich.progress.TextColumn("{task.fields[best]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(
            "", total=plan.steps(), settings="compiling", left="", best=""
        )

    def __enter__(self) -> "StudyBar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, progress: StudyProgress) -> None:
        """Advance the bar."""
        self._last = progress
        rung = f"rung {progress.rung + 1}/{progress.rungs}, " if progress.rungs > 1 else ""
        to_go = progress.settings - progress.done - progress.running
        settings = (
            f"{rung}settings: {progress.done} done, {progress.running} running, {to_go} to go"
        )
        left = "" if progress.seconds_left is None else f"{duration(progress.seconds_left)} left"
        best = "" if progress.best is None else f"best {progress.best[1]:.4g} ({progress.best[0]})"
        self._bar.update(
            self._task,
            completed=progress.steps,
            total=progress.total_steps,
            settings=settings,
            left=left,
            best=escape(best),
        )

    @property
    def summary(self) -> str:
        """How many steps were trained, and how long it took."""
        if self._last is None or not self._last.steps_now:
            return "nothing was left to train"
        return (
            f"{self._last.steps_now:,} steps of all agents together in "
            f"{duration(self._last.seconds)}, compilation and evaluation included"
        )

    @property
    def measures(self) -> dict[str, float | None]:
        """Steps of all agents together since the call, and seconds."""
        last = self._last
        return {"steps": last and last.steps_now, "seconds": last and last.seconds}


def _settings_table(title: str, result: StudyResult) -> Table:
    """The settings from the best to the worst."""
    plan = result.plan
    caption = (
        f"interquartile mean of {plan.objective.replace('_', ' ')} over {plan.num_seeds} seeds "
        "with its 95 % bootstrap interval; an agent that diverged counts with the worst score"
    )
    table = Table(
        title=escape(title), caption=caption, title_justify="left", caption_justify="left"
    )
    names = list(plan.settings[0].changes) or ["setting"]
    for name in names:
        table.add_column(escape(name))
    for name in ("score", "95 % interval", "finite", "trained"):
        table.add_column(name, justify="right")
    for row in result.summary():
        values = row.setting.changes.values() or [row.setting.label or "all"]
        table.add_row(
            *(escape(str(value)) for value in values),
            f"{row.score:.4g}",
            f"{row.low:.4g} to {row.high:.4g}",
            f"{row.finite}/{plan.num_seeds}",
            f"{100 * row.fraction:.0f} %",
        )
    return table


def duration(seconds: float) -> str:
    """Such as "45 s", "3 min 20 s" or "2 h 5 min"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _written(files: StudyDirectory) -> list[Path]:
    return [files.report, files.settings_csv, files.agents_csv, files.curves_csv]


def _how_to_resume(files: StudyDirectory) -> str:
    return f"stopped, what is done is saved; go on with {files.resume_command}"
