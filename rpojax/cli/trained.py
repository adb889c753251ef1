"""`rpojax eval`, `export` and `render`: what a trained agent does, and takes elsewhere."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import jax
import tyro
from rich.console import Console

from rpojax.agent.export import export_params, export_policy
from rpojax.agent.rendering import render_episode
from rpojax.cli.flags import JaxFlags, RunArgument, Switch
from rpojax.cli.reports import evaluate_agents, evaluation_report, print_json
from rpojax.report.tables import results_table
from rpojax.runs import checkpoint
from rpojax.runs.checkpoint import Checkpoint
from rpojax.runs.directory import RunDirectory
from rpojax.runs.loop import result_of
from rpojax.types import TrainState
from rpojax.validation import whole_number


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFlags:
    """Which agents of which run."""

    directory: RunArgument
    """Directory of the run."""
    best: Switch = False
    """Take the checkpoint of the best evaluation on the way, not the newest."""
    machine: Annotated[JaxFlags, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=JaxFlags
    )

    def load(self) -> Checkpoint:
        """The checkpoint; ValueError if there is none."""
        run = RunDirectory(self.directory)
        run.require_run()
        self.machine.start_jax()
        return checkpoint.load(run.checkpoints, best=self.best)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Eval(RunFlags):
    """Let the agents of a run play episodes."""

    episodes: int = 128
    """Episodes of each agent."""
    seed: int | None = None
    """What the episodes follow from; None for the run's own seed, as at the end of training."""
    stochastic: Switch = False
    """Take samples of the policy, not mean actions; it is perturbed in neither case."""
    json: Switch = False
    """Print one JSON object, and all else to stderr."""

    def __call__(self) -> None:
        """Print a table over the seeds."""
        found = self.load()
        settings, cfg = found.settings, found.settings.cfg
        result = result_of(found.snapshot)
        steps = found.snapshot.updates * cfg.batch_size
        seed = settings.seed if self.seed is None else self.seed
        evaluation = evaluate_agents(cfg, result.state, seed, self.episodes, not self.stochastic)
        title = f"{cfg.env}, after {steps:,} steps of each seed"
        Console(stderr=self.json).print(results_table(result, evaluation, title))
        if self.json:
            print_json(
                {
                    "run_directory": str(self.directory),
                    "checkpoint": str(found.path),
                    **evaluation_report(cfg, result, evaluation),
                    "stochastic": self.stochastic,
                    "seed": seed,
                    "steps": steps * settings.num_seeds,
                }
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentFlags(RunFlags):
    """Which agent of which run."""

    seed_index: int = 0
    """Which of the agents, from 0."""
    output: Annotated[
        Path | None,
        tyro.conf.arg(metavar="FILE", help_behavior_hint="(default: in the run's directory)"),
    ] = None
    """File to write; one that exists is replaced."""

    def load_agent(self) -> tuple[Checkpoint, TrainState]:
        """The checkpoint, and the state of the one agent; ValueError if there is none."""
        found = self.load()
        index, count = (
            whole_number("seed_index", self.seed_index, least=0),
            found.settings.num_seeds,
        )
        if index >= count:
            raise ValueError(
                f"seed_index = {index} is none of the run's {count} agents; give 0 to {count - 1}"
            )
        return found, result_of(found.snapshot).select(index).state

    def place(self, name: str) -> Path:
        """Where the file goes: `output`, or under that name into the run's directory."""
        return self.directory / name if self.output is None else self.output


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export(AgentFlags):
    """Write an agent's policy as a program, or its parameters as arrays, for use without rpojax."""

    format: Literal["stablehlo", "npz"] = "stablehlo"
    """"stablehlo": the policy, from observations to actions, for jax.export; "npz": arrays for
    NumPy."""
    part: Literal["all", "policy", "value"] = "all"
    """Which parameters, of the format npz."""
    stochastic: Switch = False
    """Let the program sample actions, of the format stablehlo."""

    def __call__(self) -> None:
        """Write the file and print its path."""
        if self.format == "stablehlo" and self.part != "all":
            raise ValueError(
                f"part = {self.part!r} picks parameters, and the format stablehlo is the policy; "
                "give --format npz, or leave --part out"
            )
        if self.format == "npz" and self.stochastic:
            raise ValueError(
                "stochastic = True is about actions, and the format npz holds parameters alone; "
                "give --format stablehlo, or leave --stochastic out"
            )
        found, state = self.load_agent()
        if self.format == "stablehlo":
            path = self.place(f"policy_{self.seed_index}.stablehlo")
            export_policy(found.settings.cfg, state, path, deterministic=not self.stochastic)
        else:
            kind = "params" if self.part == "all" else f"{self.part}_params"
            path = self.place(f"{kind}_{self.seed_index}.npz")
            export_params(found.settings.cfg, state, path, part=self.part)
        print(path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Render(AgentFlags):
    """Draw an episode of an agent as an animated GIF."""

    seed: int = 0
    """What the episode follows from."""
    max_steps: int | None = None
    """Where to stop an episode that goes on; None for the environment's own limit, or 1000."""

    def __call__(self) -> None:
        """Write the file and print its path."""
        seed = whole_number("seed", self.seed, least=0)
        found, state = self.load_agent()
        path = self.place(f"episode_{self.seed_index}.gif")
        key = jax.random.key(seed)
        render_episode(found.settings.cfg, state, path, key, max_steps=self.max_steps)
        print(path)
