"""`rpojax plot` and `rpojax envs`: learning curves of runs, names of environments."""

import dataclasses
import fnmatch
from pathlib import Path
from typing import Annotated, Any

import tyro

from rpojax import envs
from rpojax.cli.flags import DirectoryArguments, Switch, print_json
from rpojax.envs import registry
from rpojax.report.curves import Curve, group_curves, learning_curve, read_curves
from rpojax.report.plotting import plot_curves
from rpojax.runs.checkpoint_manager import recorded_settings
from rpojax.runs.directory import RunDirectory
from rpojax.runs.trained_run import load
from rpojax.trees import leaves_by_path


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plot:
    """Draw the learning curves of one run or several into one picture.

    A run whose agents differ in hyperparameters has a curve for each set of them.
    """

    directories: DirectoryArguments
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
    return group_curves(learning_curve(trained.cfg, trained.metrics, metric), trained.agents)


def _env_name(run: RunDirectory) -> str | None:
    """The environment of a run; None where no checkpoint tells it."""
    if run.updates_saved is None:
        return None
    try:
        return str(recorded_settings(run.checkpoints).cfg.env)
    except ValueError:  # objects in its config, or no undamaged record
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Envs:
    """List the environments that can be trained in by name, with the sizes of what they exchange.

    Each is made for its sizes. That takes seconds where it has a physics model, so that those of
    Brax, MJX and MuJoCo Playground are shown where they match a pattern.
    """

    patterns: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[PATTERN ...]")
    ] = ()
    """Environments to list, such as brax or "playground/Cartpole*"; all if none is given."""
    json: Switch = False
    """Print one JSON object: "environments" by name, and "not_installed" by family.

    Sizes that are not shown are null.
    """

    def __call__(self) -> None:
        """Print a line for each environment and for each family that is not installed."""
        wanted = {
            registry.full_name(family, name): family
            for family in registry.FAMILIES
            for name in registry.names_of(family)
            if self._matches(family, f"{family}/{name}", name)
        }
        missing = {
            family: command
            for family in registry.FAMILIES
            if (command := registry.how_to_install(family)) and self._matches(family)
        }
        if not wanted and not missing:
            raise ValueError(
                f"no environment matches {' '.join(self.patterns)}; `rpojax envs` lists all"
            )
        brief = {
            family: not self.patterns and registry.is_slow_to_make(family)
            for family in dict.fromkeys(wanted.values())
        }
        if self.json:
            environments = {
                name: None if brief[family] else _sizes(name) for name, family in wanted.items()
            }
            print_json({"environments": environments, "not_installed": missing})
            return
        width = max((len(name) for name, family in wanted.items() if not brief[family]), default=0)
        for name, family in wanted.items():
            line = name if brief[family] else f"{name:{width}}  {_in_words(_sizes(name))}"
            print(line, flush=True)
        for family in filter(brief.get, brief):
            print(f"{family}/...: `rpojax envs {family}` makes them to show their sizes")
        for family, command in missing.items():
            print(f"{family}/... is not installed: {command}")

    def _matches(self, *names: str) -> bool:
        return not self.patterns or any(
            fnmatch.fnmatchcase(name, pattern) for name in names for pattern in self.patterns
        )


def _sizes(name: str) -> dict[str, Any]:
    """Shapes of an observation and the number of action dimensions, or why there are none."""
    try:
        env = envs.make(name)
    except ValueError as error:
        return {"error": str(error)}
    shapes = {path: list(leaf.shape) for path, leaf in leaves_by_path(env.obs, simple=True).items()}
    sizes = {"obs": shapes.get("", shapes), "actions": env.action_dim}
    return {**sizes, "engine": env.engine} if env.engine else sizes


def _in_words(sizes: dict[str, Any]) -> str:
    if "error" in sizes:
        return f"cannot be made: {sizes['error']}"
    obs = sizes["obs"]
    if isinstance(obs, dict):
        obs = ", ".join(f"{path} {shape}" for path, shape in obs.items())
    engine = f", simulated by {sizes['engine']}" if "engine" in sizes else ""
    return f"observation {obs}, actions [{sizes['actions']}]{engine}"
