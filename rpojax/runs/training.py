"""Training that a person watches, stops and goes on with: a host loop over one compiled program."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rpojax.config import Config
from rpojax.hyperparams import HyperParams
from rpojax.loggers import Logger
from rpojax.runs import checkpoint
from rpojax.runs.checkpoint import Checkpoint, Keeper
from rpojax.runs.chunks import blank_metrics, compile_chunks, first_agents, restored_agents
from rpojax.runs.interrupt import TrainingInterrupted
from rpojax.runs.loop import OnChunk, Progress, Run, result_of, train
from rpojax.runs.settings import RunSettings, tenth_of
from rpojax.types import TrainResult

__all__ = ["Progress", "TrainingInterrupted", "fit", "resume"]


def fit(
    cfg: Config,
    num_seeds: int = 1,
    seed: int = 0,
    hyperparams: HyperParams | None = None,
    *,
    on_chunk: OnChunk | None = None,
    loggers: Sequence[Logger] = (),
    log_every: int = 1,
    eval_every: int = 0,
    eval_episodes: int = 64,
    checkpoint_dir: str | Path | None = None,
    checkpoint_every: int | None = None,
    keep_checkpoints: int = 3,
    overwrite: bool = False,
) -> TrainResult:
    """Train S agents side by side, a few updates at a time, and tell in between how it goes.

    The agents are spread over all devices; `use_all_cores` makes one of each core of a CPU. On one
    device the result is that of `jax.jit(jax.vmap(make_train(cfg)))(keys)`, where `keys =
    jax.random.split(jax.random.key(seed), num_seeds)`, bit for bit, whatever is logged, evaluated
    and saved in between. Only an agent that diverges differs: here it is stopped before the update
    that gave NaN or infinity, and its metrics are NaN from there on.

    How many updates make a chunk is an argument of the compiled program and no part of it: chunks
    follow the clock, change no number, and a shorter one costs no second compilation.

    The first Ctrl-C lets the chunk end, saves, and raises `TrainingInterrupted`, a
    KeyboardInterrupt that holds the result so far; a second one stops at once.

    Args:
        cfg: settings.
        num_seeds: S.
        seed: of the key that each agent's own is split from, at least 0.
        hyperparams: for all agents alike, each f32[]; None for the config's own.
        on_chunk: called once when the program is compiled, then after every chunk, about every two
            seconds. What it raises ends the training.
        loggers: told of every log_every updates; one that raises is dropped with a warning.
        log_every: updates to a record, 0 for none.
        eval_every: updates between evaluations with mean actions, 0 for none. All of them play
            the same episodes, from a key of their own.
        eval_episodes: for each seed in an evaluation.
        checkpoint_dir: where to save, so that `resume` can go on; None to save nothing.
        checkpoint_every: updates between checkpoints; None for a tenth of the run, 0 for one at the
            end only. There is one at the start too, and one of every best evaluation.
        keep_checkpoints: how many of the newest are kept, beside the best.
        overwrite: whether the checkpoints of another run in checkpoint_dir may be removed.

    Returns:
        The result with a leading axis of seeds: metrics [S, cfg.num_updates], finite bool[S], False
        for an agent that was stopped; its state is the last finite one.

    Raises:
        ValueError: as `make_train`; a number out of range; hyperparameters with an axis; a run in
            checkpoint_dir already.
        OSError: nothing can be written in checkpoint_dir. Later on, with something to lose, the
            same is a warning, and the training goes on.
        TrainingInterrupted: Ctrl-C.
    """
    if checkpoint_every is None:
        checkpoint_every = tenth_of(cfg)
    settings = RunSettings(
        cfg=cfg,
        num_seeds=num_seeds,
        seed=seed,
        hyperparams=hyperparams,
        log_every=log_every,
        eval_every=eval_every,
        eval_episodes=eval_episodes,
        checkpoint_every=checkpoint_every,
        keep_checkpoints=keep_checkpoints,
    )
    directory = None if checkpoint_dir is None else Path(checkpoint_dir)
    if directory is None:
        settings = dataclasses.replace(settings, checkpoint_every=0)  # chunks need not end there
    else:
        checkpoint.require_free(directory, overwrite)
    start = time.perf_counter()
    agents = first_agents(settings)
    run = Run(
        settings=settings,
        chunks=compile_chunks(settings, agents),
        agents=agents,
        history=blank_metrics(settings.num_seeds, cfg.num_updates),
        compile_seconds=time.perf_counter() - start,
    )
    keeper = None
    if directory is not None:
        checkpoint.clear(directory)
        keeper = Keeper(directory, settings)
        keeper.save(run.snapshot())
    return train(run, keeper, loggers, on_chunk)


def resume(
    directory: str | Path,
    *,
    cfg: Config | None = None,
    total_timesteps: int | None = None,
    on_chunk: OnChunk | None = None,
    loggers: Sequence[Logger] = (),
    log_every: int | None = None,
    eval_every: int | None = None,
    eval_episodes: int | None = None,
    checkpoint_every: int | None = None,
    keep_checkpoints: int | None = None,
) -> TrainResult:
    """Go on with a run of `fit` from its newest whole checkpoint, to the same bits.

    The result is that of a run that was never stopped, with all of its metrics; of a run that is
    done, it is returned at once. A damaged checkpoint is warned of, set aside under another name,
    and the one before is taken. So is a change of versions or devices, after which the last bits
    may differ.

    Args:
        directory: `checkpoint_dir` of `fit`.
        cfg: the run's config; needed only where it holds what a file cannot: functions, modules,
            environment objects.
        total_timesteps: a new end for the run, at or after what is done; None for its own. A
            learning rate that falls to the end of the run follows the new one from here on.
        on_chunk: as in `fit`.
        loggers: as in `fit`; what was logged after the checkpoint, is logged again.
        log_every: as in `fit`; None, here and below, for what the run had.
        eval_every: as in `fit`.
        eval_episodes: as in `fit`.
        checkpoint_every: as in `fit`.
        keep_checkpoints: as in `fit`.

    Raises:
        ValueError: there is no run in the directory, or no whole checkpoint; `cfg` is not the
            run's, with the fields that differ; a number out of range.
        TrainingInterrupted: Ctrl-C, as in `fit`.
    """
    found = checkpoint.load(directory, cfg=cfg)
    given: dict[str, Any] = {
        "log_every": log_every,
        "eval_every": eval_every,
        "eval_episodes": eval_episodes,
        "checkpoint_every": checkpoint_every,
        "keep_checkpoints": keep_checkpoints,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    settings = dataclasses.replace(
        found.settings, cfg=_prolonged(found, total_timesteps), **changes
    )
    snapshot, num_updates = found.snapshot, settings.cfg.num_updates
    if snapshot.updates == num_updates:
        return result_of(snapshot)

    checkpoint.warn_of_other_versions(found)
    checkpoint.set_newer_aside(found)
    start = time.perf_counter()
    agents = restored_agents(snapshot.state, snapshot.finite)
    history = blank_metrics(settings.num_seeds, num_updates)
    for name, values in vars(snapshot.metrics).items():
        getattr(history, name)[:, : snapshot.updates] = values
    run = Run(
        settings=settings,
        chunks=compile_chunks(settings, agents),
        agents=agents,
        history=history,
        compile_seconds=time.perf_counter() - start,
        updates=snapshot.updates,
        train_seconds=snapshot.train_seconds,
    )
    keeper = Keeper(Path(directory), settings, last_saved=snapshot.updates)
    return train(run, keeper, loggers, on_chunk)


def _prolonged(found: Checkpoint, total_timesteps: int | None) -> Config:
    """The run's config with another end; ValueError if that is behind what is done."""
    cfg, done = found.settings.cfg, found.snapshot.updates
    if total_timesteps is None:
        return cfg
    prolonged = cfg.replace(total_timesteps=total_timesteps)
    if prolonged.num_updates < done:
        raise ValueError(
            f"total_timesteps = {total_timesteps} is less than the {done * cfg.batch_size} steps "
            "that the run has done; give more, or leave it out"
        )
    return prolonged
