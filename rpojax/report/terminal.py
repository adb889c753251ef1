"""What a terminal shows of a run: a progress bar while it trains, a table of what came out."""

from contextlib import AbstractContextManager

import jax
import numpy as np
from numpy.typing import ArrayLike
from rich import progress
from rich.console import Console
from rich.table import Table

from rpojax.agent.evaluation import Evaluation
from rpojax.config import Config
from rpojax.runs.loop import Progress
from rpojax.types import TrainResult

COMPILE_EVENT = "/jax/core/compile/backend_compile_duration"


class ProgressBar(AbstractContextManager["ProgressBar"]):
    """A bar for `fit`: `with ProgressBar(cfg, console) as bar: fit(cfg, on_chunk=bar.show)`."""

    def __init__(self, cfg: Config, console: Console) -> None:
        self._last: Progress | None = None
        self._compile_seconds = 0.0
        self._cfg, self._console = cfg, console
        self._bar = progress.Progress(
            progress.TextColumn("{task.description:<10}"),
            progress.BarColumn(),
            progress.TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
            progress.TextColumn("{task.fields[speed]:,.0f} steps/s"),
            progress.TimeRemainingColumn(compact=True),
            progress.TextColumn("return {task.fields[episode_return]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(
            "compiling", total=cfg.actual_timesteps, speed=0.0, episode_return="-"
        )

    def __enter__(self) -> "ProgressBar":
        jax.monitoring.register_event_duration_secs_listener(self._hear)
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        jax.monitoring.unregister_event_duration_listener(self._hear)
        self._bar.stop()

    def describe(self, what: str) -> None:
        """Say what is being done."""
        self._bar.update(self._task, description=what)

    def show(self, seen: Progress) -> None:
        """Move the bar; the return is over seeds, of the last update that had one."""
        if self._last is None:
            self._tell_of_rounding()
        self._last = seen
        self._bar.update(
            self._task,
            description="training",
            completed=seen.updates * self._cfg.batch_size,
            speed=seen.steps_per_second,
        )
        returns = last_values(seen.metrics.episode_return)
        if not np.isnan(returns).all():
            known = returns[~np.isnan(returns)]
            self._bar.update(self._task, episode_return=_mean_and_std(known))

    @property
    def summary(self) -> str:
        """What the training took, in words.

        Setting up is all between the settings and the first update: tracing the program, lowering
        it, compiling it. Compiled is everything since the bar was entered, by XLA alone; a program
        out of the compilation cache takes no more than reading it.
        """
        if self._last is None:
            return "nothing was left to train"
        return (
            f"{self._last.steps_per_second:,.0f} steps/s, all seeds together; set up in "
            f"{self._last.compile_seconds:.1f} s, compiled in {self._compile_seconds:.1f} s"
        )

    @property
    def measures(self) -> dict[str, float | None]:
        """What the training took, in numbers, all seeds together; None where nothing was left."""
        seen = self._last
        return {
            "steps": seen and seen.steps,
            "seconds": seen and seen.train_seconds,
            "steps_per_second": seen and seen.steps_per_second,
            "setup_seconds": seen and seen.compile_seconds,
            "compile_seconds": self._compile_seconds,
        }

    def _tell_of_rounding(self) -> None:
        cfg = self._cfg
        if cfg.actual_timesteps != cfg.total_timesteps:
            self._console.print(
                f"{cfg.total_timesteps:,} steps are not whole updates of {cfg.batch_size:,}; "
                f"each seed trains for {cfg.actual_timesteps:,}."
            )

    def _hear(self, event: str, duration_secs: float, **_: str | int) -> None:
        """Listen to what JAX tells of its work."""
        if event == COMPILE_EVENT:
            self._compile_seconds += duration_secs


def results_table(result: TrainResult, evaluation: Evaluation, title: str) -> Table:
    """What each of S seeds has reached, and all of them together.

    Args:
        result: with a leading axis of seeds.
        evaluation: of N episodes of each seed, [S, N].
        title: above the table.
    """
    trained = last_values(result.metrics.episode_return)
    evaluated = np.asarray(evaluation.episode_return)
    finite = np.asarray(result.finite)
    caption = "mean ± standard deviation: of a seed over its episodes, of all over the seeds"
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    table.add_column("seed")
    table.add_column("return, end of training", justify="right")
    table.add_column(f"return, {evaluated.shape[1]} evaluation episodes", justify="right")
    table.add_column("finite", justify="right")
    for seed, (last, returns, is_finite) in enumerate(zip(trained, evaluated, finite, strict=True)):
        is_last = seed == len(finite) - 1
        flag = "yes" if is_finite else "[bold red]no[/]"
        table.add_row(str(seed), f"{last:.1f}", _mean_and_std(returns), flag, end_section=is_last)
    table.add_row(
        "all",
        _mean_and_std(trained),
        _mean_and_std(evaluated.mean(axis=1)),
        f"{finite.sum()} of {finite.size}",
    )
    return table


def last_values(values: ArrayLike) -> np.ndarray:
    """The last of each row of [S, n] that is not NaN, [S]; NaN where there is none."""
    rows = [row[~np.isnan(row)] for row in np.asarray(values)]
    return np.array([row[-1] if row.size else np.nan for row in rows])


def _mean_and_std(values: np.ndarray) -> str:
    return f"{values.mean():.1f} ± {values.std():.1f}"
