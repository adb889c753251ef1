"""`rpojax plot` and `rpojax envs`: learning curves of runs, names of environments."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from rpojax import envs
from rpojax.cli.flags import Switch
from rpojax.cli.reports import print_json
from rpojax.report.curves import Curve, group_curves, learning_curve, read_curves
from rpojax.report.plotting import plot_curves
from rpojax.runs.checkpoint import recorded_settings
from rpojax.runs.directory import RunDirectory
from rpojax.runs.trained_run import load


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plot:
    """Draw the learning curves of one run or several into one picture.

    A run whose agents differ in hyperparameters has a curve for each set of them.
    """

    directories: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="DIR [DIR ...]", help_behavior_hint="(at least one)"),
    ]
    """Directories of the runs."""
    metric: str = "episode_return"
    """What to draw: a column of metrics.csv."""
    output: Path = Path("learning_curves.png")
    """Picture to write; its suffix gives the format, and one that exists is replaced."""

    def __call__(self) -> None:
        """Write the picture and print its path."""
        if not self.directories:
            raise ValueError("no directories are given; give one of a run, or more")
        runs = [RunDirectory(path) for path in dict.fromkeys(self.directories)]
        names = [run.path.resolve().name for run in runs]
        labels = names if len(set(names)) == len(names) else [str(run.path) for run in runs]
        curves = {
            f"{label}: {group}" if group else label: curve
            for label, run in zip(labels, runs, strict=True)
            for group, curve in _curves(run, self.metric).items()
        }
        title = ", ".join(dict.fromkeys(filter(None, map(_env_name, runs))))
        plot_curves(curves, self.output, ylabel=self.metric.replace("_", " "), title=title)
        print(self.output)


def _curves(run: RunDirectory, metric: str) -> dict[str, Curve]:
    """A run's metric by group, from its metrics.csv or, without one, its newest checkpoint."""
    if run.metrics_csv.exists():
        return read_curves(run.metrics_csv, metric)
    run.require_run()
    trained = load(run.path)
    return group_curves(learning_curve(trained.cfg, trained.result.metrics, metric), trained.agents)


def _env_name(run: RunDirectory) -> str | None:
    """The environment of a run; None where only its metrics.csv is left."""
    if run.updates_saved is None:
        return None
    return str(recorded_settings(run.checkpoints).cfg.env)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Envs:
    """List the environments that can be trained in by name."""

    json: Switch = False
    """Print one JSON object: names under the package that they come with."""

    def __call__(self) -> None:
        """Print the names, indented below the package that they come with."""
        by_package = {"gymnax": envs.names()}
        if self.json:
            print_json(by_package)
            return
        for package, names in by_package.items():
            print(package, *(f"  {name}" for name in names), sep="\n")
