"""The command `rpojax`: each subcommand is a dataclass of its flags, and callable."""

import contextlib
import csv
import dataclasses
import io
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, TypeAlias

import numpy as np
import tyro

from rpojax import envs
from rpojax.config import Config, NamedSchedule
from rpojax.network_config import NetworkConfig
from rpojax.types import Metrics

EVALUATION_EPISODES = 128


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConfigFlags(Config):
    """`Config` as a command line can give it; only what is not plain there is narrowed here."""

    env: str = "Pendulum-v1"
    """Name of an environment; `rpojax envs` lists them."""
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    """The built-in multilayer perceptron."""
    lr_schedule: NamedSchedule = "linear"
    """"constant"; "linear" to 0 over the run; "kl_adaptive", by 1.5 up or down after each
    epoch."""
    reward_shaper: tyro.conf.Suppress[None] = None

    def __post_init__(self) -> None:
        """Leave the checks to `to_config`, out of the parser's hands."""

    def to_config(self) -> Config:
        """The settings that were asked for; ValueError as from `Config`."""
        names = [field.name for field in dataclasses.fields(self)]
        return Config(**{name: getattr(self, name) for name in names})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """Train agents side by side, evaluate them, plot how they learnt."""

    config: Annotated[ConfigFlags, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=ConfigFlags
    )
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

    def __call__(self) -> None:
        """Train, evaluate and save; print a table and where the files are."""
        # Imported here, so that `rpojax --help` stays quick.
        import jax
        from rich.console import Console

        from rpojax.display import ProgressBar, results_table
        from rpojax.evaluate import evaluate
        from rpojax.fit import fit
        from rpojax.parallel import use_all_cores
        from rpojax.plotting import plot_learning_curves

        with contextlib.suppress(RuntimeError):  # called from a program that uses JAX already
            use_all_cores()
        cfg = self.config.to_config()
        console = Console()
        if cfg.actual_timesteps != cfg.total_timesteps:
            console.print(
                f"{cfg.total_timesteps:,} steps are not whole updates of {cfg.batch_size:,}; "
                f"each seed trains for {cfg.actual_timesteps:,}."
            )
        with _new_directory(self._directory(cfg)) as directory:
            with ProgressBar(cfg, console) as bar:
                result = fit(cfg, self.num_seeds, self.seed, on_chunk=bar.show)
                bar.describe("evaluating")
                # The agents' keys are the seed's first; all of them play the same episodes.
                key = jax.random.split(jax.random.key(self.seed), self.num_seeds + 1)[-1]
                evaluation = jax.vmap(lambda state: evaluate(cfg, state, key, EVALUATION_EPISODES))(
                    result.state
                )
            title = f"{cfg.env}, {cfg.actual_timesteps:,} steps for each seed"
            console.print(results_table(result, evaluation, title))
            console.print(bar.summary)
            curve, table = directory / "learning_curve.png", directory / "metrics.csv"
            plot_learning_curves(cfg, result.metrics, curve)
            _write_metrics(table, cfg, result.metrics)
        print(curve, table, sep="\n")

    def _directory(self, cfg: Config) -> Path:
        name = re.sub(r"[^\w.-]", "-", cfg.env)
        return self.output_dir / (self.run_name or f"{name}_{datetime.now():%Y%m%d-%H%M%S}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Envs:
    """List the environments that can be trained in by name."""

    def __call__(self) -> None:
        """Print a name a line."""
        print(*envs.names(), sep="\n")


Command: TypeAlias = (
    Annotated[Train, tyro.conf.subcommand("train")] | Annotated[Envs, tyro.conf.subcommand("envs")]
)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command; what the user has to change is said on one line, with exit status 2."""
    try:
        _parse(sys.argv[1:] if args is None else args)()
    except (ValueError, OSError) as error:
        print(f"rpojax: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _parse(args: Sequence[str]) -> Train | Envs:
    """The subcommand with its flags; ValueError for flags that cannot be."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            command: Train | Envs = tyro.cli(
                Command,
                prog="rpojax",
                description="Robust Policy Optimization (RPO) as one XLA program.",
                args=args,
                registry=_whole_numbers(),
            )
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        raise ValueError(_on_one_line(complaint.getvalue())) from None
    return command


def _on_one_line(box: str) -> str:
    """What tyro says under a title in a box, without frame, title and references to --help."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    body = "\n".join(row.strip(" │") for row in plain.splitlines()[1:])
    sections = [" ".join(section.split()) for section in re.split(r"[╰─╯]{2,}|-{3,}", body)]
    told = [
        section
        for section in sections
        if section and not section.startswith(("Argument helptext", "For full helptext"))
    ]
    # tyro names our dataclasses where no flag is to blame
    return re.sub(r"^Error parsing (?!-)\S+: ", "", "; ".join(told))


def _whole_numbers() -> tyro.constructors.ConstructorRegistry:
    """Lets 1e6 and 1_000_000 stand for a whole number, as `Config` does."""
    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def whole_number(
        info: tyro.constructors.PrimitiveTypeInfo,
    ) -> tyro.constructors.PrimitiveConstructorSpec | None:
        if info.type is not int:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="INT",
            instance_from_str=lambda words: _whole_number(words[0]),
            is_instance=lambda value: isinstance(value, int),
            str_from_instance=lambda value: [str(value)],
        )

    return registry


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        with contextlib.suppress(ValueError):
            if float(text).is_integer():
                return int(float(text))
    raise ValueError(f"{text!r} is not a whole number")


@contextlib.contextmanager
def _new_directory(path: Path) -> Iterator[Path]:
    """A directory that did not exist, and is removed if nothing comes into it."""
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        if not any(path.iterdir()):
            path.rmdir()


def _write_metrics(path: Path, cfg: Config, metrics: Metrics) -> None:
    """Write metrics [S, num_updates] as CSV: a row for each update of each seed."""
    names = [field.name for field in dataclasses.fields(Metrics)]
    values = np.stack([np.asarray(getattr(metrics, name)) for name in names], axis=-1)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["seed", "steps", *names])
        for seed, updates in enumerate(values):
            for update, row in enumerate(updates, start=1):
                writer.writerow([seed, update * cfg.batch_size, *(f"{value:.7g}" for value in row)])
