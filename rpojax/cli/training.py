"""`rpojax train` and `rpojax resume`: train in sight, evaluate, draw, report."""

import dataclasses
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from rpojax.cli.flags import ConfigFlags, JaxFlags, RunArgument, Switch
from rpojax.cli.reports import evaluate_agents, evaluation_report, print_json
from rpojax.config import Config
from rpojax.core.train import make_trainer
from rpojax.report.plotting import plot_learning_curves
from rpojax.report.progress_bar import ProgressBar
from rpojax.report.tables import results_table
from rpojax.runs import checkpoint
from rpojax.runs.directory import RunDirectory
from rpojax.runs.loop import OnChunk
from rpojax.runs.settings import RunSettings, tenth_of
from rpojax.runs.training import fit, resume
from rpojax.types import TrainResult

EVALUATION_EPISODES = 128


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """Train agents side by side, evaluate them, plot how they learnt."""

    config: Annotated[ConfigFlags, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=ConfigFlags
    )
    config_file: Annotated[Path | None, tyro.conf.arg(name="config", metavar="FILE")] = None
    """Settings in YAML, TOML or JSON, by the names of `Config`; flags win over them."""
    num_seeds: int = 4
    """Agents, trained side by side."""
    seed: int = 0
    """What all random numbers of the run follow from."""
    output_dir: Path = Path("runs")
    """Directory in which the run gets one of its own."""
    run_name: Annotated[
        str | None,
        tyro.conf.arg(metavar="STR", help_behavior_hint="(default: <env>_<date>-<time>)"),
    ] = None
    """Name of the run's own directory."""
    overwrite: Switch = False
    """Remove the run that is in that directory; other files stay."""
    log_every: int = 1
    """Updates to a record in metrics.csv, metrics.jsonl and the charts; 0 for none."""
    eval_every: int = 0
    """Updates between evaluations with mean actions; 0 for one at the end only."""
    eval_episodes: int = 64
    """Episodes of each agent in an evaluation on the way."""
    checkpoint_every: int | None = None
    """Updates between checkpoints; None for a tenth of the run, 0 for one at the end only. There
    is one of the best evaluation, too."""
    keep_checkpoints: int = 3
    """How many of the newest checkpoints are kept, beside the best."""
    tensorboard: Switch = False
    """Write charts for TensorBoard."""
    wandb: Annotated[str | None, tyro.conf.arg(metavar="PROJECT")] = None
    """Send charts to this project of Weights & Biases."""
    json: Switch = False
    """Print one JSON object in the end, and all else to stderr."""
    machine: Annotated[JaxFlags, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=JaxFlags
    )

    def __call__(self) -> None:
        """Train, evaluate and save; print a table and where the files are."""
        self.machine.start_jax()
        settings = self._settings()
        cfg = settings.cfg
        make_trainer(cfg)  # raises for what the environment does not allow
        run = RunDirectory(self._path(cfg))
        run.require_free(self.overwrite)
        with run.made():
            loggers = run.loggers(tensorboard=self.tensorboard, wandb=self.wandb)
            _train(
                run,
                settings,
                lambda on_chunk: fit(
                    on_chunk=on_chunk,
                    loggers=loggers,
                    checkpoint_dir=run.checkpoints,
                    **vars(settings),
                ),
                self.json,
            )

    def _settings(self) -> RunSettings:
        """What `fit` is told, checked."""
        cfg = self.config.to_config()
        every = self.checkpoint_every
        return RunSettings(
            cfg=cfg,
            num_seeds=self.num_seeds,
            seed=self.seed,
            hyperparams=None,
            log_every=self.log_every,
            eval_every=self.eval_every,
            eval_episodes=self.eval_episodes,
            checkpoint_every=tenth_of(cfg) if every is None else every,
            keep_checkpoints=self.keep_checkpoints,
        )

    def _path(self, cfg: Config) -> Path:
        name = re.sub(r"[^\w.-]", "-", str(cfg.env))
        return self.output_dir / (self.run_name or f"{name}_{datetime.now():%Y%m%d-%H%M%S}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resume:
    """Go on with a run that was stopped, or make one that is done longer."""

    directory: RunArgument
    """Directory of the run."""
    total_timesteps: int | None = None
    """A new end for the run; None for its own."""
    json: Switch = False
    """Print one JSON object in the end, and all else to stderr."""
    machine: Annotated[JaxFlags, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=JaxFlags
    )

    def __call__(self) -> None:
        """Train to the end, then as `rpojax train`."""
        run = RunDirectory(self.directory)
        run.require_run()
        self.machine.start_jax()
        settings = checkpoint.read_settings(run.checkpoints)
        if self.total_timesteps is not None:
            cfg = settings.cfg.replace(total_timesteps=self.total_timesteps)
            settings = dataclasses.replace(settings, cfg=cfg)
        loggers = run.loggers_again()
        _train(
            run,
            settings,
            lambda on_chunk: resume(
                run.checkpoints,
                total_timesteps=self.total_timesteps,
                on_chunk=on_chunk,
                loggers=loggers,
            ),
            self.json,
        )


def _train(
    run: RunDirectory,
    settings: RunSettings,
    train: Callable[[OnChunk], TrainResult],
    as_json: bool,
) -> None:
    """Train with a progress bar, evaluate, draw, report; KeyboardInterrupt says how to go on."""
    cfg = settings.cfg
    console = Console(stderr=as_json)
    try:
        with ProgressBar(cfg, console) as bar:
            result = train(bar.show)
            bar.describe("evaluating")
            evaluation = evaluate_agents(cfg, result.state, settings.seed, EVALUATION_EPISODES)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(_how_to_go_on(run, cfg)) from error
    title = f"{cfg.env}, {cfg.actual_timesteps:,} steps for each seed"
    console.print(results_table(result, evaluation, title))
    console.print(bar.summary)
    plot_learning_curves(cfg, result.metrics, run.learning_curve)
    files = run.files()
    if as_json:
        print_json(
            {
                "run_directory": str(run.path),
                **evaluation_report(cfg, result, evaluation),
                **bar.measures,
                "files": files,
            }
        )
    else:
        print(*files.values(), sep="\n")


def _how_to_go_on(run: RunDirectory, cfg: Config) -> str:
    if run.updates_saved is None:
        return "stopped; nothing was saved yet"
    saved = f"update {run.updates_saved} of {cfg.num_updates}"
    return f"stopped, saved up to {saved}; {run.how_to_resume} goes on"
