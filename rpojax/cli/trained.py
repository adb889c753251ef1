"""`rpojax eval`, `export`, `play` and `render`: use the agents of a run."""

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
import tyro
from rich.console import Console

from rpojax import envs
from rpojax.agent.contract import Kind, to_text
from rpojax.agent.evaluation import Evaluation
from rpojax.agent.export import write_params, write_policy
from rpojax.agent.exported import load_policy
from rpojax.agent.playing import MOST_SEED, gymnasium_name, play
from rpojax.agent.rendering import render_episode
from rpojax.cli.flags import JaxFlags, RunArgument, Switch, print_json
from rpojax.report.tables import evaluation_report, results_table
from rpojax.runs.checkpoint_manager import checkpoint_paths
from rpojax.runs.directory import RunDirectory
from rpojax.runs.gymnasium_episodes import evaluate_gymnasium
from rpojax.runs.trained_run import TrainedRun, load
from rpojax.settings.agent_table import LARGEST_SEED
from rpojax.statistics.nan import last_ignoring_nan
from rpojax.validation import show, whole_number


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFlags:
    """Which agents of which run."""

    directory: RunArgument
    """Directory of the run."""
    best: Switch = False
    """Take each agent at its best evaluation, not at its last state."""
    machine: tyro.conf.OmitArgPrefixes[JaxFlags] = dataclasses.field(default_factory=JaxFlags)

    def load(self) -> TrainedRun:
        """The run; ValueError if there is none."""
        RunDirectory(self.directory).require_run()
        self.machine.start_jax()
        return load(self.directory, best=self.best)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Eval(RunFlags):
    """Let the agents of a run play episodes."""

    episodes: int = 128
    """Episodes of each agent."""
    seed: int | None = None
    """Seed of the episodes, the same for all agents; None: each plays those of its own seed, as
    at the end of training."""
    stochastic: Switch = False
    """Take samples of the policy, not mean actions; it is perturbed in neither case."""
    gymnasium: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Play in this environment of Gymnasium, which must have the spaces of the one trained in."""
    video: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """GIF or MP4 to write of the first episode of agent 0, with --gymnasium; `rpojax render` draws
    the environment that was trained in."""
    json: Switch = False
    """Print one JSON object, and everything else to stderr."""

    def __call__(self) -> None:
        """Print a table of the agents."""
        if self.video is not None and self.gymnasium is None:
            raise ValueError(
                f"video = {str(self.video)!r} needs --gymnasium NAME; rpojax render draws an "
                "episode of the environment that was trained in"
            )
        run = self.load()
        if self.gymnasium is None:
            evaluation = run.evaluate(
                self.episodes, seed=self.seed, deterministic=not self.stochastic
            )
        else:
            evaluation = self._in_gymnasium(run, self.gymnasium)
        steps = run.updates * run.cfg.batch_size
        done = " to ".join(f"{number:,}" for number in sorted({steps.min(), steps.max()}))
        place = "" if self.gymnasium is None else f" in gymnasium's {self.gymnasium}"
        title = f"{run.cfg.env}{place}, after {done} steps of each agent"
        table = results_table(run.agents, run, evaluation, title)
        Console(stderr=self.json).print(table)
        if self.json:
            print_json(
                {
                    "run_directory": str(self.directory),
                    "checkpoint": str(run.checkpoint),
                    **evaluation_report(run.cfg, run.agents, run, evaluation),
                    "gymnasium": self.gymnasium,
                    "stochastic": self.stochastic,
                    "seed": self.seed,
                    "steps": int(np.sum(steps)),
                }
            )

    def _in_gymnasium(self, run: TrainedRun, name: str) -> Evaluation:
        """Episodes of each of N agents, [N, episodes]."""
        played = [
            evaluate_gymnasium(
                run.policy(agent, deterministic=not self.stochastic),
                name,
                self.episodes,
                seed=run.agents.seeds[agent] % (MOST_SEED + 1) if self.seed is None else self.seed,
                video=self.video if agent == 0 else None,
            )
            for agent in range(len(run.agents))
        ]
        return jax.tree.map(lambda *arrays: np.stack(arrays), *played)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentFlags(RunFlags):
    """Which agent of which run."""

    agent: int = 0
    """Which of the agents, from 0; `rpojax eval` lists them."""
    output: Annotated[
        Path | None,
        tyro.conf.arg(metavar="FILE", help_behavior_hint="(default: in the run's directory)"),
    ] = None
    """File to write; one that exists is replaced."""

    def load_checked(self) -> TrainedRun:
        """The run; ValueError if there is none, or no such agent in it."""
        whole_number("agent", self.agent, least=0)
        run = self.load()
        run.policy_state(self.agent)
        return run

    def place(self, name: str) -> Path:
        """Where the file goes: `output`, or under that name in the run's directory."""
        return self.directory / name if self.output is None else self.output


SUFFIXES: dict[Kind, str] = {"stablehlo": "stablehlo", "onnx": "onnx", "numpy": "npz"}


def policy_file(agent: int, kind: Kind) -> str:
    """The name of an exported policy in the directory of its run."""
    return f"policy_{agent}.{SUFFIXES[kind]}"


def export_run(
    run: TrainedRun, agent: int, path: Path, kind: Kind, deterministic: bool = True
) -> dict[str, Any]:
    """Export an agent of a run, and say in the contract what was trained."""
    state = run.policy_state(agent)
    updates = int(run.updates[agent])
    last = float(last_ignoring_nan(run.metrics.episode_return[agent, :updates][np.newaxis])[0])
    training = {
        "checkpoint": run.checkpoint.name,
        "agent": agent,
        "seed": run.agents.seeds[agent],
        "updates": updates,
        "steps": updates * run.cfg.batch_size,
        "episode_return": last if np.isfinite(last) else None,
        "env_params": {**dict(run.cfg.env_params), **run.agents[agent].env_params},
    }
    return write_policy(run.acting, state, path, kind, deterministic, training=training)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export(AgentFlags):
    """Write an agent's policy as a program, or its parameters as arrays, for use without rpojax."""

    format: Literal["stablehlo", "onnx", "numpy", "npz"] = "stablehlo"
    """"stablehlo": the policy, from observations to actions, for jax.export; "onnx": the same as an
    ONNX model; "numpy": the same as arrays, with a module that needs NumPy only; "npz": parameters
    alone."""
    part: Literal["all", "policy", "value"] = "all"
    """Which parameters, with the format npz."""
    stochastic: Switch = False
    """Let the program sample actions, with the format stablehlo."""

    def __call__(self) -> None:
        """Write the file; print its path and, of a policy, its contract."""
        if self.format != "npz" and self.part != "all":
            raise ValueError(
                f"part = {self.part!r} picks parameters, and the format {self.format} is the "
                "policy; give --format npz, or leave --part out"
            )
        if self.format != "stablehlo" and self.stochastic:
            raise ValueError(
                f"stochastic = True needs random numbers, and the format {self.format} has none; "
                "give --format stablehlo, or leave --stochastic out"
            )
        run = self.load_checked()
        if self.format == "npz":
            kind = "params" if self.part == "all" else f"{self.part}_params"
            path = self.place(f"{kind}_{self.agent}.npz")
            write_params(run.acting, run.policy_state(self.agent), path, self.part)
            print(path)
            return
        path = self.place(policy_file(self.agent, self.format))
        contract = export_run(run, self.agent, path, self.format, not self.stochastic)
        print(path, to_text(contract), sep="\n")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Play:
    """Let an exported policy drive a simulator on the host, at its control period."""

    policy: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR|FILE")]
    """File of `rpojax export`; or directory of a run, whose agent is exported if it is not yet."""
    format: Kind = "onnx"
    """Which file of the run."""
    agent: int = 0
    """Which agent of the run."""
    env: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Environment of Gymnasium or, with the prefix of a family, of rpojax; None: that of the
    training, or Gymnasium's of the same name, as for mjx/ and mujoco/."""
    episodes: int = 1
    """Episodes to play."""
    seed: int = 0
    """Seed of the first episode; the others count up from it."""
    max_steps: int | None = None
    """Where to stop an episode that does not end; None for the environment's own limit."""
    fast: Switch = False
    """Step as fast as possible, not at the control period."""
    viewer: Switch = False
    """Show a window."""
    video: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """GIF or MP4 to write of the first episode."""
    json: Switch = False
    """Print one JSON object."""

    def __call__(self) -> None:
        """Print returns, and how late the actions came."""
        path = self.policy
        if path.is_dir():
            RunDirectory(path).require_run()
            whole_number("agent", self.agent, least=0)
            path /= policy_file(self.agent, self.format)
            if not path.exists():
                export_run(load(self.policy), self.agent, path, self.format)
        policy = load_policy(path)
        name = policy.contract["environment"] if self.env is None else self.env
        training = policy.contract["training"]
        if path != self.policy:
            self._warn_if_old(path, training)
        played = play(
            policy,
            _with_params(name, training) if self.env is None else name,
            self.episodes,
            self.seed,
            realtime=not self.fast,
            max_steps=self.max_steps,
            video=self.video,
            viewer=self.viewer,
        )
        report = {"policy": str(path), "env": name, **played.report()}
        if self.json:
            print_json({**report, "training": training})
            return
        late, period = report["lateness_ms"], report["control_dt"]
        returns = played.evaluation.episode_return
        print(f"{path} in {name}: return {returns.mean():.1f}, episodes {len(returns)}")
        due = "" if period is None else f" of {1000 * period:g} ms, {played.missed} missed"
        print(f"{report['steps']} steps{due}; p50 {late['p50']:.3f} ms, p99 {late['p99']:.3f} ms")

    def _warn_if_old(self, path: Path, training: Mapping[str, Any]) -> None:
        """Warn where a run has gone on since its agent was exported."""
        newest = checkpoint_paths(RunDirectory(self.policy).checkpoints)[-1].name
        exported = training.get("checkpoint")
        if exported not in (None, newest):
            warnings.warn(
                f"{str(path)!r} was exported from {exported}, and the newest checkpoint of the run "
                f"is {newest}; remove the file to play that, or export it with `rpojax export`",
                stacklevel=2,
            )


def _with_params(name: str, training: Mapping[str, Any]) -> Any:
    """The environment that was trained in, with the parameters that the run had changed."""
    params = training.get("env_params")
    if not params:
        return name
    if gymnasium_name(name) is None:
        return envs.make(name, **params)
    warnings.warn(
        f"the policy was trained with env_params = {show(params)}, and {name!r} is played as "
        "Gymnasium makes it; give --env for another environment",
        stacklevel=2,
    )
    return name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Render(AgentFlags):
    """Draw an episode of an agent as an animated GIF or, with --output FILE.mp4, as an MP4."""

    seed: int = 0
    """Seed of the episode."""
    max_steps: int | None = None
    """Where to stop an episode that does not end; None for the environment's own limit, or the
    default of `rpojax.evaluate`."""

    def __call__(self) -> None:
        """Write the file and print its path."""
        seed = whole_number("seed", self.seed, least=0, most=LARGEST_SEED)
        run = self.load_checked()
        path = self.place(f"episode_{self.agent}.gif")
        key = jax.random.key(seed)
        render_episode(
            run.cfg,
            run.policy_state(self.agent),
            path,
            key,
            max_steps=self.max_steps,
            env_params=run.agents[self.agent].env_params,
        )
        print(path)
