"""A study on a terminal: a progress bar while it runs, a table of its settings at the end."""

from contextlib import AbstractContextManager

import rich.progress
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rpojax.runs.progress_bar import Pace
from rpojax.statistics.text import duration
from rpojax.studies.plan import StudyPlan
from rpojax.studies.result import SUMMARY_HEADS, StudyResult, summary_cells
from rpojax.studies.runner import StudyProgress


class StudyBar(AbstractContextManager["StudyBar"]):
    """Shows the progress of a study: a context manager, whose `show` is passed to `study`.

    Where the console is not a terminal, there are lines instead of a bar; see `Pace`.
    """

    def __init__(self, plan: StudyPlan, console: Console) -> None:
        self._last: StudyProgress | None = None
        self._console, self._pace = console, Pace()
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
        rung = "confirming, " if progress.confirming else ""
        rung += f"rung {progress.rung + 1}/{progress.rungs}, " if progress.rungs > 1 else ""
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
        if not self._console.is_terminal and self._pace.line_is_due():
            steps = f"{progress.steps:,}/{progress.total_steps:,} steps"
            line = "   ".join(filter(None, (settings, steps, left, best)))
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

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


def settings_table(title: str, result: StudyResult) -> Table:
    """The settings from the best to the worst."""
    plan = result.plan
    caption = (
        f"interquartile mean of {plan.objective.replace('_', ' ')} over {plan.num_seeds} seeds; "
        "95 % intervals that hold for all settings together; an agent that diverged counts with "
        "the worst score"
    )
    table = Table(
        title=escape(title), caption=caption, title_justify="left", caption_justify="left"
    )
    names = list(plan.settings[0].changes) or ["setting"]
    for name in names:
        table.add_column(escape(name))
    for name in SUMMARY_HEADS:
        table.add_column(name, justify="right")
    for setting, cells in summary_cells(result):
        values = setting.changes.values() or [setting.label or "all"]
        table.add_row(*(escape(str(value)) for value in values), *cells)
    return table
