"""`fit` and `resume`: training that is logged, evaluated, saved, stopped and resumed."""

import inspect
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from rpojax.core.model import check_config, make_model
from rpojax.devices.agreement import called_alike
from rpojax.devices.processes import errors_shared
from rpojax.envs.params import params_of_agents
from rpojax.envs.registry import recorded_params
from rpojax.loggers import Logger
from rpojax.loggers.base import check_loggers
from rpojax.programs.protocols import EnvParams
from rpojax.runs.checkpoint_manager import checkpoint_directory, newest
from rpojax.runs.interrupt import TrainingInterrupted, first_signal_noted
from rpojax.runs.launch import continue_from, locked, prolonged, start
from rpojax.runs.loop import Hooks
from rpojax.runs.progress import OnChunk, StopRule
from rpojax.runs.progress_bar import Shown, progress_shown
from rpojax.runs.settings import RunSettings
from rpojax.runs.trained_run import TrainedRun
from rpojax.runs.warm_start import INITIAL_PARTS, InitialPart
from rpojax.settings.agent_table import AgentTable, agent_table
from rpojax.settings.config import Config
from rpojax.settings.declared import settings_of
from rpojax.settings.hyperparams import HyperParams
from rpojax.settings.pbt import PBT
from rpojax.settings.run_options import RunOptions
from rpojax.types import TrainResult
from rpojax.validation import check_known, show


@errors_shared(alike=(TrainingInterrupted,))
@called_alike("fit", "on_chunk", "loggers")
def fit(
    cfg: Config,
    num_seeds: int | None = None,
    seed: int = 0,
    hyperparams: HyperParams | None = None,
    *,
    seeds: Sequence[int] | None = None,
    evolve: PBT | None = None,
    env_params: EnvParams | None = None,
    initial: TrainResult | TrainedRun | None = None,
    initial_parts: Sequence[InitialPart] = INITIAL_PARTS,
    on_chunk: OnChunk | None = None,
    progress: Shown = None,
    loggers: Sequence[Logger] = (),
    checkpoint_dir: str | Path | None = None,
    overwrite: bool = False,
    force: bool = False,
    options: RunOptions | None = None,
    **changes: Any,
) -> TrainResult:
    """Train N agents side by side, a few updates at a time, and report in between.

    Each agent has its own seed, its own hyperparameters and its own parameters of the environment.
    They are arguments of the compiled program: one program serves all their values.

    The agents are spread over all devices; `use_all_cores` makes a device of each core of a CPU.

    After `use_all_machines`, the devices are those of several processes, which all make the same
    call. `on_chunk` is called in each process, and either all or none call `progress.result()`. The
    first process writes logs and files; all processes must see the directory. Each returns the
    whole result, with states of NumPy arrays. An error in one process ends them all.

    On one device the result is bit-identical to `jax.jit(jax.vmap(make_train(cfg)))(keys,
    hyperparams, env_params)` with keys [N], `jax.random.key(seed)` for each agent, and
    hyperparameters and parameters [N], whatever is logged, evaluated and saved in between. Only an
    agent that diverges differs: it is stopped before the update that gave NaN or infinity, and its
    metrics are NaN from there on.

    The number of updates in a chunk is an argument of the compiled program. It depends on the
    clock, and changes no result.

    The first Ctrl-C, SIGTERM or SIGHUP finishes the chunk, or the compilation, saves, and raises
    `TrainingInterrupted`, a KeyboardInterrupt that holds the result so far; a second one stops at
    once.

    Args:
        cfg: settings.
        num_seeds: N; None for as many as there are seeds, or values of a hyperparameter or of a
            parameter of the environment, else 1.
        seed: of the first agent, where `seeds` is None; the others count up from it.
        hyperparams: leaves of shape [], for all agents alike, or [N]; None for the config's own.
        seeds: one for each agent, 0 to 2**32 - 1. Two agents may share a seed if their
            hyperparameters or environments differ.
        evolve: population-based training: agents copy better ones and change hyperparameters. The
            result's `evolution` is its history. Files and labels show the initial hyperparameters.
        env_params: parameters of the environment to change, by their names in `Env.params`: each
            in its own shape, for all agents alike, or with a leading axis [N], such as
            `{"g": [1.62, 9.81]}`. Evaluations are in each agent's own environment.
        initial: agents from which to start, N or one for all: a result, or a run from `load`. They
            may have been trained in another environment of the same shapes, or with other
            settings.
        initial_parts: what to take from them: "params"; "statistics" (the running means and
            variances that normalise, without which the agents act otherwise); "optimizer" (its
            state and the learning rate).
        on_chunk: called with a `Progress` once when the program is compiled, then after every
            chunk, about every two seconds. If it returns True, the training stops there. An
            exception that it raises ends the training.
        progress: True to show a progress bar on stderr, or lines where that is no terminal; or
            names of metrics to show in it, such as ["success"]. None: on terminals and in notebooks
            only.
        loggers: receive a record of every `log_every` updates; one that raises is dropped with a
            warning.
        checkpoint_dir: where to save, so that `resume` and `load` can read it; None to save
            nothing.
        overwrite: whether the checkpoints of another run in checkpoint_dir may be removed.
        force: take checkpoint_dir from a process that seems to run in it. Without it, the directory
            of a process that ended on this host is free at once, and that of one on another host
            two minutes after its end.
        options: when to log, evaluate, save and stop; None for the defaults of `RunOptions`.
        changes: of `options`, by name: `fit(cfg, eval_every=20, max_seconds=3600)`.

    Returns:
        The result with a leading axis of agents: metrics [N, updates], where updates is
        cfg.num_updates unless the training was stopped; finite bool[N], False for an agent that
        was stopped at NaN or infinity; its state is the last finite one.

    Raises:
        ValueError: as `make_train`; an unknown name or a number out of range; numbers of agents
            that disagree; a run in checkpoint_dir already; `initial` of other shapes; other
            arguments in another process.
        OSError: nothing can be written in checkpoint_dir. Once training has begun, the same is a
            warning, and the training continues.
        MemoryError: the agents do not fit into a device's memory; the message says what to lower.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP.
    """
    started = time.perf_counter()
    _check_names(changes, fit)
    if not isinstance(options, RunOptions | None):
        raise ValueError(f"options = {show(options)} are not rpojax.RunOptions; give such")
    options = (options or RunOptions()).replace(**changes)
    loggers = check_loggers(loggers)
    check_config(cfg)
    cfg = cfg.replace(env_params=recorded_params(cfg.env, cfg.env_params))
    model = make_model(cfg)
    agents = agent_table(
        cfg.hyperparams(),
        hyperparams,
        env_params=params_of_agents(model.env, env_params),
        num_seeds=num_seeds,
        seed=seed,
        seeds=seeds,
    )
    if evolve is not None:
        if not isinstance(evolve, PBT):
            raise ValueError(f"evolve = {show(evolve)} is not a PBT; give rpojax.PBT(every=...)")
        agents = with_drawn_hyperparams(agents, evolve)
    settings = RunSettings(cfg=cfg, agents=agents, evolve=evolve, **vars(options))
    place = None if checkpoint_dir is None else Path(checkpoint_dir).absolute()
    shown = progress_shown(progress, on_chunk, cfg, agents, model.env.metrics)
    with first_signal_noted(), shown as on_chunk, locked(place, force) as lease:
        return start(
            model,
            settings,
            place,
            initial=None if initial is None else (initial, initial_parts),
            overwrite=overwrite,
            hooks=Hooks(loggers, on_chunk, StopRule.of(settings), started, lease),
        )


def with_drawn_hyperparams(agents: AgentTable, evolve: PBT) -> AgentTable:
    """The agents, with a draw for each of the hyperparameters that evolve and that all share."""
    drawn = evolve.draw(len(agents), agents.seeds[0])
    shared = {name: values for name, values in drawn.items() if name not in agents.differing}
    hyperparams = agents.hyperparams.replace(**shared)
    return agent_table(hyperparams, hyperparams, env_params=agents.env_params, seeds=agents.seeds)


@errors_shared(alike=(TrainingInterrupted,))
@called_alike("resume", "on_chunk", "loggers")
def resume(
    directory: str | Path,
    *,
    cfg: Config | None = None,
    total_timesteps: int | None = None,
    devices_per_agent: int | None = None,
    on_chunk: OnChunk | None = None,
    progress: Shown = None,
    loggers: Sequence[Logger] = (),
    force: bool = False,
    **changes: Any,
) -> TrainResult:
    """Resume a run of `fit` from its newest undamaged checkpoint.

    The result is bit-identical to that of a run that was never stopped, with all of its metrics. A
    finished run is returned at once. A damaged checkpoint is renamed with a warning, and the one
    before it is used. A change of versions or devices, after which the last bits may differ, is a
    warning.

    Args:
        directory: of the run, or `checkpoint_dir` of `fit`.
        cfg: the run's config; needed only where it holds objects that a file cannot hold, such as
            functions, modules and environments.
        total_timesteps: a new end for the run, at or after what is done; None for its own. A
            learning rate that falls to the end of the run follows the new one from here on.
        devices_per_agent: that share each agent from here on; None for the run's own. The last bits
            differ by their number.
        on_chunk, progress: as in `fit`.
        loggers: as in `fit`; what was logged after the checkpoint is logged again.
        force: as in `fit`.
        changes: of the run's options, by the names of `RunOptions`. `max_seconds` and
            `stop_when_return` are not kept from the call before.

    Raises:
        ValueError: another process trains this run; there is no run in the directory, or no
            undamaged checkpoint; `cfg` is no Config or differs from the run's, with the fields that
            differ; a number out of range; a later end for a population that has ended within a
            generation.
        OSError: a checkpoint may not be read.
        TrainingInterrupted: as in `fit`.
    """
    started = time.perf_counter()
    _check_names(changes, resume)
    loggers = check_loggers(loggers)
    path = checkpoint_directory(directory).absolute()
    RunOptions().replace(**changes)  # wrong ones are refused before the directory is read
    if not path.is_dir():
        newest(path, cfg)  # raises, and makes no directory
    with first_signal_noted(), locked(path, force) as lease:
        found = newest(path, cfg)
        found = prolonged(found, total_timesteps, devices_per_agent, **changes)
        run = found.run.settings
        shown = progress_shown(progress, on_chunk, run.cfg, run.agents, found.model.env.metrics)
        with shown as on_chunk:
            return continue_from(found, Hooks(loggers, on_chunk, StopRule.of(run), started, lease))


def _check_names(changes: Iterable[str], call: Callable[..., Any]) -> None:
    """Raise ValueError for a name that is neither an option nor another argument of the call."""
    own = [name for name in inspect.signature(call).parameters if name != "changes"]
    for name in changes:
        check_known(name, [*settings_of(RunOptions), *own], f"argument of {call.__name__}")
