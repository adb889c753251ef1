"""What skrl's settings say about files and logs, as arguments of `rpojax.fit`."""

from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from rpojax.settings.config import Config
from rpojax.settings.run_options import RunOptions
from rpojax.settings.translation.skrl import read


class FitArguments(NamedTuple):
    """What skrl's "experiment" asks of `fit` and its loggers."""

    options: RunOptions  # with log_every, 0 for no logs, and checkpoint_every
    checkpoint_dir: str | None  # None: no checkpoints
    tensorboard_dir: str | None  # of a TensorBoardLogger; None: no event files
    wandb: dict[str, Any] | None  # arguments of a WandbLogger; None: no Weights & Biases
    store_separately: bool  # the policy's and the value's parameters, each in a file of its own


def fit_arguments(settings: Any, cfg: Config) -> FitArguments:
    """What skrl's "experiment" settings ask of `fit` and its loggers.

    skrl's intervals count timesteps, a step of all environments each: they become the nearest
    whole number of updates, at least one. "auto" stands for 100 records and 10 checkpoints in a
    run, 0 or less for none. Files go where skrl puts them: into `directory` ("runs" if empty) /
    `experiment_name` (date, time and "RPO" if empty), checkpoints into "checkpoints" in it.

    Args:
        settings: as for `Config.from_skrl`.
        cfg: the `Config` made of them.

    Raises:
        ValueError: an unknown key, or a value of the wrong kind.
    """
    experiment = read(settings).experiment
    name = experiment["experiment_name"] or f"{datetime.now():%y-%m-%d_%H-%M-%S-%f}_RPO"
    directory = Path(experiment["directory"] or "runs") / name
    log_every = _updates(experiment["write_interval"], cfg, per_run=100)
    checkpoint_every = _updates(experiment["checkpoint_interval"], cfg, per_run=10)
    return FitArguments(
        options=RunOptions(log_every=log_every, checkpoint_every=checkpoint_every),
        checkpoint_dir=str(directory / "checkpoints") if checkpoint_every else None,
        tensorboard_dir=str(directory) if log_every else None,
        wandb={"name": name, **experiment["wandb_kwargs"]} if experiment["wandb"] else None,
        store_separately=experiment["store_separately"],
    )


def _updates(interval: Any, cfg: Config, per_run: int) -> int:
    if interval == "auto":
        return max(1, cfg.num_updates // per_run)
    return max(1, round(interval / cfg.num_steps)) if interval > 0 else 0
