"""The progress of a training for people: a bar on a terminal, lines in a log file or a notebook."""

import contextlib
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import jax
import numpy as np
import rich.progress
from rich.console import Console
from rich.markup import escape

from rpojax.devices.memory import in_words
from rpojax.devices.processes import is_first
from rpojax.loggers.base import ENVIRONMENT, METRICS
from rpojax.runs.progress import OnChunk, Progress
from rpojax.settings.agent_table import AgentTable
from rpojax.settings.config import Config
from rpojax.statistics.nan import last_ignoring_nan, mean_ignoring_nan
from rpojax.statistics.text import duration, mean_and_std, plus_minus_sign
from rpojax.validation import as_sequence, check_known, show

COMPILE_EVENT = "/jax/core/compile/backend_compile_duration"
LINES_EVERY = 10.0  # seconds, or a tenth of the time so far if that is more

Shown: TypeAlias = bool | str | Sequence[str] | None
"""The argument `progress` of `fit` and `resume`."""


@contextlib.contextmanager
def progress_shown(
    wanted: Shown,
    on_chunk: OnChunk | None,
    cfg: Config,
    agents: AgentTable,
    environment: Collection[str],
) -> Iterator[OnChunk | None]:
    """Show the progress of a call on stderr (in a notebook: below its cell) while it lasts.

    Args:
        wanted: True, False, or names of metrics to show beside the return; None for True on a
            terminal and in a notebook.
        on_chunk: of the call.
        cfg, agents: of the run.
        environment: names of the environment's own metrics.

    Yields:
        An `on_chunk` that shows the progress first.

    Raises:
        ValueError: an unknown metric.
    """
    names = [] if wanted is None or isinstance(wanted, bool) else as_sequence(wanted)
    names = [wanted] if isinstance(wanted, str) else names
    if names is None:
        raise ValueError(
            f"progress = {show(wanted)} is not allowed; give True, False, or names of metrics to "
            'show, such as ["success"]'
        )
    console = Console(stderr=True)
    notebook = console.is_jupyter
    if wanted is None:
        wanted = console.is_terminal or notebook
    if wanted is False or not is_first():
        yield on_chunk
        return
    if notebook:
        console = Console(force_jupyter=False, force_terminal=False)  # kernels set FORCE_COLOR
    with ProgressBar(cfg, agents, console, check_shown(names, environment)) as bar:

        def show_first(progress: Progress) -> Any:
            bar.show(progress)
            return None if on_chunk is None else on_chunk(progress)

        yield show_first


def check_shown(names: Sequence[str], environment: Collection[str]) -> list[str]:
    """Names of metrics to show, without the prefix of the environment's own; ValueError if unknown.

    Args:
        names: fields of `Metrics`, or metrics of the environment, such as "success".
        environment: names of the environment's own metrics.
    """
    plain = [str(name).removeprefix(ENVIRONMENT) for name in names]
    for name in plain:
        check_known(name, [*environment, *METRICS], "metric to show")
    return plain


class Pace:
    """When to print a line where there is no bar, and how fast steps go.

    Args:
        clock: seconds from any start.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._started = clock, clock()
        self._next = self._started + LINES_EVERY
        self._first: tuple[float, int] | None = None  # seconds and steps where the count began

    def line_is_due(self) -> bool:
        """True after ten seconds, and again every ten seconds or tenth of the time so far."""
        now = self._clock()
        due = now >= self._next
        if due:
            self._next = now + max(LINES_EVERY, 0.1 * (now - self._started))
        return due

    def rate(self, steps: int) -> float:
        """Steps per second since the first call; 0 at first. All that happens between counts."""
        now = self._clock()
        if self._first is None:
            self._first = now, steps
        seconds = now - self._first[0]
        return (steps - self._first[1]) / seconds if seconds > 0 else 0.0


class ProgressBar(AbstractContextManager["ProgressBar"]):
    """Shows the progress of a training: a context manager, whose `show` is passed to `fit`.

    Steps, rate and the time that is left are those of all agents together, with evaluations and
    saving. Metrics are means over all agents or, if these differ in hyperparameters, over the group
    with the best mean return. Where the console is not a terminal, there are lines instead of a
    bar: see `Pace`, and one at the end.

    Args:
        cfg: settings of the run.
        agents: of the run.
        console: to draw on.
        shown: metrics to show beside the return; see `check_shown`.
        clock: seconds from any start.
    """

    def __init__(
        self,
        cfg: Config,
        agents: AgentTable,
        console: Console,
        shown: Sequence[str] = (),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._cfg, self._console, self._shown = cfg, console, shown
        self._groups = agents.groups
        self._total = len(agents) * cfg.actual_timesteps
        self._of = f" of {len(agents)} agents" if len(agents) > 1 else ""
        self._pace = Pace(clock)
        self._last: Progress | None = None
        self._line = ""  # where the training is, until it is printed
        self._values: dict[str, np.ndarray] = {}  # the last of each metric that is shown, f64[N]
        self._compile_seconds = 0.0
        drawn: dict[str, Any] = {
            "console": console,
            "disable": not console.is_terminal,
            "redirect_stdout": sys.stdout.isatty(),  # a file keeps what the user prints into it
        }
        self._compiling = rich.progress.Progress(
            rich.progress.SpinnerColumn("line"),
            rich.progress.TextColumn("compiling"),
            rich.progress.TimeElapsedColumn(),
            transient=True,
            **drawn,
        )
        self._compiling.add_task("", total=None)
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description:<10}"),
            rich.progress.BarColumn(),
            rich.progress.TextColumn("{task.fields[line]}"),
            **drawn,
        )
        self._task = self._bar.add_task("training", total=self._total, line="")

    def __enter__(self) -> "ProgressBar":
        jax.monitoring.register_event_duration_secs_listener(self._count_compilation)
        self._compiling.start()
        return self

    def __exit__(self, *_: object) -> None:
        jax.monitoring.unregister_event_duration_listener(self._count_compilation)
        self._compiling.stop()
        self._bar.stop()
        self._say()

    def describe(self, what: str) -> None:
        """Name what is being done now, in front of the bar."""
        self._bar.update(self._task, description=what)

    def show(self, progress: Progress) -> None:
        """Advance the bar; each agent's metrics are those of its last update with a value."""
        if self._last is None:
            self._compiling.stop()
            self._print_sizes(progress)
            self._bar.start()
        self._last = progress
        for name in ("episode_return", *self._shown):
            new = last_ignoring_nan(_metric(progress, name))
            self._values[name] = np.where(np.isnan(new), self._values.get(name, new), new)
        rate = self._pace.rate(progress.steps)
        parts = [f"{progress.steps:,}/{self._total:,} steps{self._of}"]
        if rate:
            left = duration((self._total - progress.steps) / rate)
            parts += [f"{rate:,.0f} steps/s", f"{left} left"]
        line = "   ".join([*parts, self._metrics()])
        self._bar.update(self._task, completed=progress.steps, line=escape(line))
        self._line = line if rate else ""
        if rate and self._pace.line_is_due():
            self._say()

    @property
    def summary(self) -> str:
        """Speed and the time before the first update, as text.

        "Set up" is the time from the settings to the first update: tracing, lowering and compiling
        the program. "Compiled" is the time that XLA itself took since the bar was entered; a
        program from the compilation cache only has to be read.
        """
        if self._last is None:
            return "nothing was left to train"
        return (
            f"{self._last.steps_per_second:,.0f} steps/s while training, all agents together; set "
            f"up in {self._last.compile_seconds:.1f} s, compiled in {self._compile_seconds:.1f} s"
        )

    @property
    def measures(self) -> dict[str, float | None]:
        """Steps and times of all agents together, and bytes of memory used on each device.

        None where nothing was left to train.
        """
        last = self._last
        return {
            "steps": last and last.steps,
            "seconds": last and last.train_seconds,
            "device_bytes": last and last.device_bytes,
            "steps_per_second": last and last.steps_per_second,
            "setup_seconds": last and last.compile_seconds,
            "compile_seconds": self._compile_seconds,
        }

    def _metrics(self) -> str:
        """The best group's mean ± standard deviation, with its label if there are several."""
        returns = self._values["episode_return"]
        means = {
            label: float(mean_ignoring_nan(returns[members]))
            for label, members in self._groups.items()
        }
        best = max(means, key=lambda label: np.nan_to_num(means[label], nan=-np.inf))
        sign = plus_minus_sign(self._console.encoding)
        shown = []
        for name, values in self._values.items():
            spec = ".1f" if name == "episode_return" else ".3g"
            value = mean_and_std(values[self._groups[best]], spec, sign)
            shown.append(f"{name.removeprefix('episode_')} {value}")
        text = "   ".join(shown)
        return f"{text} ({best})" if len(means) > 1 else text

    def _say(self) -> None:
        """Print where the training is, unless there is a bar or nothing new."""
        if self._line and not self._console.is_terminal:
            self._print(self._line)
        self._line = ""

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _print_sizes(self, progress: Progress) -> None:
        """Print the steps if they are not total_timesteps, the times before, the memory in use."""
        cfg = self._cfg
        if cfg.actual_timesteps != cfg.total_timesteps:
            self._print(
                f"{cfg.total_timesteps:,} steps are not whole updates of {cfg.batch_size:,}; "
                f"each agent trains for {cfg.actual_timesteps:,}."
            )
        self._print(
            f"Set up in {progress.compile_seconds:.1f} s, {self._compile_seconds:.1f} s of them "
            "compiling."
        )
        if progress.device_bytes is not None:
            devices = jax.device_count()
            where = f"each of {devices} devices" if devices > 1 else "the device"
            self._print(f"Training takes {in_words(progress.device_bytes)} of {where}.")

    def _count_compilation(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event == COMPILE_EVENT:
            self._compile_seconds += duration_secs


def _metric(progress: Progress, name: str) -> np.ndarray:
    """Values of a metric since the last call, [N, n]."""
    own = progress.metrics.environment
    return np.asarray(own[name] if name in own else getattr(progress.metrics, name))
