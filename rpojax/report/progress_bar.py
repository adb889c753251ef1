"""A progress bar for `fit` and `resume`."""

from contextlib import AbstractContextManager

import jax
import numpy as np
import rich.progress
from rich.console import Console

from rpojax.devices.memory import in_words
from rpojax.runs.progress import Progress
from rpojax.settings.agent_table import AgentTable
from rpojax.settings.config import Config
from rpojax.statistics.nan import last_ignoring_nan, mean_ignoring_nan
from rpojax.statistics.text import mean_and_std, plus_minus_sign

COMPILE_EVENT = "/jax/core/compile/backend_compile_duration"


class ProgressBar(AbstractContextManager["ProgressBar"]):
    """Shows the progress of a training: a context manager, whose `show` is passed to `fit`.

    The bar shows the mean return over all agents or, if they differ in hyperparameters, over the
    group with the best mean. There is no bar if the console is not a terminal.

    Example::

        with ProgressBar(cfg, agents, console) as bar:
            fit(cfg, on_chunk=bar.show)

    Args:
        cfg: settings of the run.
        agents: of the run.
        console: to draw on.
    """

    def __init__(self, cfg: Config, agents: AgentTable, console: Console) -> None:
        self._cfg, self._console = cfg, console
        self._groups = agents.groups
        self._last: Progress | None = None
        self._compile_seconds = 0.0
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description:<10}"),
            rich.progress.BarColumn(),
            rich.progress.TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
            rich.progress.TextColumn("{task.fields[speed]:,.0f} steps/s"),
            rich.progress.TimeRemainingColumn(compact=True),
            rich.progress.TextColumn("return {task.fields[episode_return]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(
            "compiling", total=cfg.actual_timesteps, speed=0.0, episode_return="-"
        )

    def __enter__(self) -> "ProgressBar":
        jax.monitoring.register_event_duration_secs_listener(self._count_compilation)
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        jax.monitoring.unregister_event_duration_listener(self._count_compilation)
        self._bar.stop()

    def describe(self, what: str) -> None:
        """Name what is being done now, in front of the bar."""
        self._bar.update(self._task, description=what)

    def show(self, progress: Progress) -> None:
        """Advance the bar; each agent's return is that of its last update with one."""
        if self._last is None:
            self._print_sizes(progress)
        self._last = progress
        self._bar.update(
            self._task,
            description="training",
            completed=progress.updates * self._cfg.batch_size,
            speed=progress.steps_per_second,
        )
        returns = last_ignoring_nan(progress.metrics.episode_return)
        if not np.isnan(returns).all():
            self._bar.update(self._task, episode_return=self._return_of_best_group(returns))

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
            f"{self._last.steps_per_second:,.0f} steps/s, all agents together; set up in "
            f"{self._last.compile_seconds:.1f} s, compiled in {self._compile_seconds:.1f} s"
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

    def _return_of_best_group(self, returns: np.ndarray) -> str:
        """The best group's mean ± standard deviation, with its label if there are several."""
        means = {
            label: float(mean_ignoring_nan(returns[members]))
            for label, members in self._groups.items()
        }
        best = max(means, key=lambda label: np.nan_to_num(means[label], nan=-np.inf))
        sign = plus_minus_sign(self._console.encoding)
        text = mean_and_std(returns[self._groups[best]], ".1f", sign)
        return f"{text} ({best})" if len(means) > 1 else text

    def _print_sizes(self, progress: Progress) -> None:
        """Print the number of steps if it is not total_timesteps, and the memory that is used."""
        cfg = self._cfg
        if cfg.actual_timesteps != cfg.total_timesteps:
            self._console.print(
                f"{cfg.total_timesteps:,} steps are not whole updates of {cfg.batch_size:,}; "
                f"each agent trains for {cfg.actual_timesteps:,}."
            )
        if progress.device_bytes is not None:
            devices = jax.device_count()
            where = f"each of {devices} devices" if devices > 1 else "the device"
            self._console.print(f"Training takes {in_words(progress.device_bytes)} of {where}.")

    def _count_compilation(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event == COMPILE_EVENT:
            self._compile_seconds += duration_secs
