"""`rpojax train` and `rpojax resume`: train, evaluate, draw, report."""

import contextlib
import dataclasses
import functools
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import tyro
from rich.console import Console

from rpojax.agent.evaluation import Evaluation
from rpojax.cli.flags import (
    ConfigFlags,
    JobFlags,
    OptionChanges,
    RunArgument,
    Switch,
    check_directory_name,
    print_json,
)
from rpojax.core.model import Model, make_model
from rpojax.devices.processes import found_in_first, in_first, is_first, only_in_first
from rpojax.loggers import Logger
from rpojax.report.plotting import plot_learning_curves
from rpojax.report.tables import evaluation_report, results_table
from rpojax.runs.agents import evaluation_keys, play_with_agents
from rpojax.runs.checkpoint import Checkpoint
from rpojax.runs.checkpoint_manager import newest, recorded_settings
from rpojax.runs.directory import RunDirectory
from rpojax.runs.interrupt import first_signal_noted, raise_if_noted
from rpojax.runs.launch import continue_from, prolonged, start
from rpojax.runs.lock import Lease
from rpojax.runs.loop import Hooks
from rpojax.runs.progress import StopRule
from rpojax.runs.progress_bar import ProgressBar, check_shown
from rpojax.runs.settings import RunSettings
from rpojax.runs.trained_run import load
from rpojax.runs.warm_start import INITIAL_PARTS
from rpojax.settings.agent_table import agent_table
from rpojax.settings.config import Config
from rpojax.settings.run_options import RunOptions
from rpojax.types import TrainResult
from rpojax.validation import show

ShownMetrics: TypeAlias = Annotated[tuple[str, ...], tyro.conf.arg(metavar="[METRIC ...]", help=(
    "Metrics to show while training, beside the return: the environment's own, such as success, "
    "and columns of metrics.csv."
))]  # fmt: skip

EVALUATION_EPISODES = 128
ALL_DIVERGED = 3  # exit status


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """Train agents side by side, evaluate them, plot how they learnt."""

    config: Annotated[ConfigFlags, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=ConfigFlags
    )
    config_file: Annotated[Path | None, tyro.conf.arg(name="config", metavar="FILE")] = None
    """Settings in YAML, TOML or JSON, by the names of `Config`; flags override them."""
    preset: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Settings that are known to work, such as Pendulum-v1, cleanrl or playground/CheetahRun; flags
    and a file override them, and a file may name one."""
    num_seeds: int = 4
    """Agents, trained side by side."""
    seed: int = 0
    """Seed of the first agent; the others count up from it."""
    initial: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    """Start from the trained agents of this run, of which there are as many, or one for all."""
    output_dir: Path = Path("runs")
    """Directory in which the run gets one of its own."""
    run_name: Annotated[
        str | None,
        tyro.conf.arg(metavar="STR", help_behavior_hint="(default: <env>_<date>-<time>)"),
    ] = None
    """Name of the run's own directory."""
    overwrite: Switch = False
    """Replace the run that is in that directory; other files stay."""
    resume_or_start: Switch = False
    """Resume the run of that name if there is one, which is then to have these settings; start it
    otherwise. The same command can be repeated until its exit status is 0."""
    force: Switch = False
    """Take the directory from another process that seems to run in it."""
    run: tyro.conf.OmitArgPrefixes[RunOptions] = dataclasses.field(default_factory=RunOptions)
    """When the run is logged, evaluated, saved and stopped."""
    tensorboard: Switch = False
    """Write charts for TensorBoard."""
    wandb: Annotated[str | None, tyro.conf.arg(metavar="PROJECT")] = None
    """Send charts to this project of Weights & Biases."""
    show: ShownMetrics = ()
    json: Switch = False
    """Print one JSON object at the end, and everything else to stderr."""
    machine: tyro.conf.OmitArgPrefixes[JobFlags] = dataclasses.field(default_factory=JobFlags)

    def __call__(self) -> None:
        """Train, evaluate and save; print a table and where the files are."""
        with first_signal_noted():
            self.machine.start_jax()
            cfg = self.config.to_config()
            agents = agent_table(cfg.hyperparams(), num_seeds=self.num_seeds, seed=self.seed)
            settings = RunSettings(cfg=cfg, agents=agents, **vars(self.run))
            model = make_model(cfg)
            check_shown(self.show, model.env.metrics)
            initial = None if self.initial is None else (load(self.initial), INITIAL_PARTS)
            self._check_names()
            raise_if_noted("stopped; nothing was begun")
            run = RunDirectory(Path(found_in_first(lambda: str(self._run_directory(cfg).path))))
            with only_in_first(run.locked(self.force, remove_empty=True)) as lease:
                if self.resume_or_start and found_in_first(lambda: run.updates_saved) is not None:
                    self._resume(run, settings, lease)
                else:
                    in_first(lambda: run.require_free(self.overwrite))
                    with only_in_first(run.made()):
                        self._start(run, model, settings, initial, lease)

    def _start(
        self,
        run: RunDirectory,
        model: Model,
        settings: RunSettings,
        initial: Any,
        lease: Lease | None,
    ) -> None:
        in_first(lambda: run.write_settings(settings))
        loggers = run.loggers(tensorboard=self.tensorboard, wandb=self.wandb) if is_first() else []

        def train(hooks: Hooks) -> TrainResult:
            return start(model, settings, run.checkpoints, hooks, initial=initial)

        names = check_shown(self.show, model.env.metrics)
        _train(run, model, settings, loggers, lease, train, self.json, names)

    def _resume(self, run: RunDirectory, settings: RunSettings, lease: Lease | None) -> None:
        """Go on with the run that is there; ValueError if it is another one."""
        total, agents = settings.cfg.total_timesteps, settings.agents
        before = recorded_settings(run.checkpoints)
        found = newest(
            run.checkpoints.absolute(),
            settings.cfg.replace(total_timesteps=before.cfg.total_timesteps),
        )
        if before.agents.seeds != agents.seeds:
            raise ValueError(
                f"{str(run.path)!r} has a run with the seeds {show(list(before.agents.seeds))}, "
                f"and num_seeds = {len(agents)} and seed = {agents.seeds[0]} are others; give the "
                "same, or another --run-name"
            )
        _continue(
            run,
            prolonged(found, total, **vars(self.run)),
            run.loggers_again(tensorboard=self.tensorboard, wandb=self.wandb) if is_first() else [],
            lease,
            self.json,
            self.show,
        )

    def _check_names(self) -> None:
        """Raise ValueError for a name that leads elsewhere, or is missing."""
        if self.run_name is not None:
            check_directory_name("run_name", self.run_name)
        elif self.resume_or_start:
            raise ValueError("--resume-or-start needs the --run-name of the run to resume or start")
        if self.resume_or_start and self.overwrite:
            raise ValueError("--resume-or-start keeps a run and --overwrite removes it; give one")

    def _run_directory(self, cfg: Config) -> RunDirectory:
        """The directory of the run; one without a name is made now."""
        if self.run_name is None:
            name = re.sub(r"[^\w.-]", "-", str(cfg.env))
            return RunDirectory.reserve(self.output_dir, f"{name}_{datetime.now():%Y%m%d-%H%M%S}")
        return RunDirectory(self.output_dir / self.run_name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resume:
    """Resume a run that was stopped, or prolong one that is finished."""

    directory: RunArgument
    """Directory of the run."""
    total_timesteps: int | None = None
    """A new end for the run; None for its own."""
    devices_per_agent: int | None = None
    """Devices that share each agent from here on; None for the run's own."""
    run: tyro.conf.OmitArgPrefixes[OptionChanges] = dataclasses.field(default_factory=OptionChanges)
    wandb: Annotated[str | None, tyro.conf.arg(metavar="PROJECT")] = None
    """Send charts to this project of Weights & Biases; needed where the run was started by another
    user or on another host."""
    show: ShownMetrics = ()
    force: Switch = False
    """Take the directory from another process that seems to run in it."""
    json: Switch = False
    """Print one JSON object at the end, and everything else to stderr."""
    machine: tyro.conf.OmitArgPrefixes[JobFlags] = dataclasses.field(default_factory=JobFlags)

    def __call__(self) -> None:
        """Train to the end, then as `rpojax train`."""
        run = RunDirectory(self.directory)
        with first_signal_noted():
            self.machine.start_jax()
            if not run.path.is_dir():
                run.require_run()  # raises, and makes no directory
            with only_in_first(run.locked(self.force)) as lease:
                run.require_run()
                found = newest(run.checkpoints.absolute())
                found = prolonged(found, self.total_timesteps, self.devices_per_agent, **self.run)
                loggers = run.loggers_again(wandb=self.wandb) if is_first() else []
                _continue(run, found, loggers, lease, self.json, self.show)


def _continue(
    run: RunDirectory,
    found: Checkpoint,
    loggers: Sequence[Logger],
    lease: Lease | None,
    as_json: bool,
    shown: Sequence[str],
) -> None:
    """Train from a checkpoint to the end; see `_train`."""
    shown = check_shown(shown, found.model.env.metrics)
    if is_first() and os.path.lexists(run.settings):
        run.write_settings(found.run.settings)
    train = functools.partial(continue_from, found)
    _train(run, found.model, found.run.settings, loggers, lease, train, as_json, shown)


def _train(
    run: RunDirectory,
    model: Model,
    settings: RunSettings,
    loggers: Sequence[Logger],
    lease: Lease | None,
    train: Callable[[Hooks], TrainResult],
    as_json: bool,
    shown: Sequence[str],
) -> None:
    """Train with a progress bar, evaluate, draw, report.

    Raises:
        KeyboardInterrupt: a signal stopped the training; the message says how to resume.
        SystemExit: every agent diverged.
    """
    cfg, agents = settings.cfg, settings.agents
    console = Console(stderr=as_json, quiet=not is_first())
    try:
        with ProgressBar(cfg, agents, console, shown) as bar:
            rule = StopRule.of(settings)
            result = train(Hooks(loggers, bar.show, rule, time.perf_counter(), lease))
            bar.describe("evaluating")
            keys, params = evaluation_keys(agents), agents.env_params
            evaluation = play_with_agents(model, result.state, keys, params, EVALUATION_EPISODES)
            raise_if_noted("stopped")
    except KeyboardInterrupt as stop:
        stop.args = (_how_to_resume(run, cfg),)
        raise
    if is_first():
        _report(run, settings, result, evaluation, bar, as_json)
    if not result.finite.any():
        if is_first():
            print("rpojax: every agent diverged", file=sys.stderr)
        sys.exit(ALL_DIVERGED)


def _report(
    run: RunDirectory,
    settings: RunSettings,
    result: TrainResult,
    evaluation: Evaluation,
    bar: ProgressBar,
    as_json: bool,
) -> None:
    """Print a table, draw the learning curve, and say where the files are.

    Raises:
        OSError: the run's directory is gone; the last agents were not saved, or the picture.
    """
    cfg, agents = settings.cfg, settings.agents
    updates, saved = result.metrics.episode_return.shape[1], run.updates_saved
    steps = updates * cfg.batch_size
    title = f"{cfg.env}, {steps:,} steps of each agent"
    console = Console(stderr=as_json)
    console.print(results_table(agents, result, evaluation, title))
    console.print(bar.summary)
    if steps < cfg.actual_timesteps:
        # As it is: a path may hold what rich takes for markup, and is copied in one piece.
        console.print(_how_to_resume(run, cfg), markup=False, highlight=False, soft_wrap=True)
    try:
        if saved is None:
            raise OSError(f"{str(run.path)!r} was removed while the run trained; nothing is saved")
        if saved < updates:  # the warnings say why
            raise OSError(
                f"the agents after update {updates} could not be saved, and {str(run.path)!r} "
                f"holds those after update {saved}; make room, and train the rest again with "
                f"{run.resume_command()}"
            )
        plot_learning_curves(cfg, result.metrics, run.learning_curve, agents=agents)
    finally:
        files = run.files()
        if as_json:
            values = evaluation_report(cfg, agents, result, evaluation)
            print_json({"run_directory": str(run.path), **values, **bar.measures, "files": files})
        else:
            print(*files.values(), sep="\n")


def _how_to_resume(run: RunDirectory, cfg: Config) -> str:
    if run.updates_saved is None:
        return "stopped; nothing was saved yet"
    saved = f"update {run.updates_saved} of {cfg.num_updates}"
    flags = ""
    with contextlib.suppress(ValueError):  # a damaged record
        total = recorded_settings(run.checkpoints).cfg.total_timesteps
        if total != cfg.total_timesteps:  # a new end, of which nothing is saved yet
            flags = f"--total-timesteps {cfg.total_timesteps}"
    return f"stopped, saved up to {saved}; resume with {run.resume_command(flags)}"
