"""`study`: many settings, many seeds of each, few programs."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from rpojax.core.model import check_config
from rpojax.devices.agreement import called_alike
from rpojax.devices.processes import errors_shared, in_first, is_first, only_in_first
from rpojax.runs.interrupt import Interrupted, first_signal_noted, raise_if_noted
from rpojax.runs.lock import Lease, exclusive
from rpojax.settings.agent_table import LARGEST_SEED
from rpojax.settings.config import Config
from rpojax.settings.ranges import Range
from rpojax.settings.run_options import RunOptions
from rpojax.studies.directory import StudyDirectory
from rpojax.studies.plan import (
    DEFAULT_NUM_SEEDS,
    EVALUATION,
    Confirm,
    Direction,
    Halving,
    StudyPlan,
)
from rpojax.studies.result import StudyResult, write_table
from rpojax.studies.runner import OnProgress, StudyProgress, read, run
from rpojax.studies.scores import RungResult
from rpojax.studies.settings import Changes, Sampler, given_configs, grid_and_space
from rpojax.validation import check_function, whole_number

Trained: TypeAlias = Callable[[StudyPlan, StudyDirectory | None], list[RungResult]]


def study(
    cfg: Config,
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    space: Mapping[str, Range] | None = None,
    num_settings: int | None = None,
    sampler: Sampler = "random",
    configs: Sequence[Config | Changes] | Mapping[str, Config | Changes] | None = None,
    num_seeds: int = DEFAULT_NUM_SEEDS,
    seed: int = 0,
    halving: int | Halving | None = None,
    confirm: int | Confirm | None = None,
    objective: str = EVALUATION,
    direction: Direction = "maximize",
    eval_episodes: int = RunOptions.eval_episodes,
    directory: str | Path | None = None,
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> StudyResult:
    """Train several settings with several seeds each, and compare them.

    Settings that differ in hyperparameters (`HyperParams`) and in traced parameters of the
    environment (`Env.params`) alone are arguments of one compiled program and train side by side
    over all devices, as in `fit`; those that differ in anything else (`num_envs`, the network, the
    environment) make one program each. Settings that do not fit into memory together train in
    parts. Each setting has the same seeds. With `Config.agents_at_once = 1`, an agent is
    bit-identical to `make_train` alone with its hyperparameters and `env_params`, on a CPU.

    Called again with the same arguments and the same directory, a study resumes where it stopped,
    and its result is bit-identical.

    Args:
        cfg: the settings that are common to all.
        grid: values of some settings, all combinations of which are compared. Names are fields of
            `Config`; "network.hidden_sizes" and the like, fields of `NetworkConfig`; "env_params.g"
            and the like, parameters of the environment.
        space: ranges of some settings (`rpojax.studies.LogUniform` and others), from which
            `num_settings` points are drawn; together with a grid, each point for each combination.
        num_settings: how many points.
        sampler: "random" or "sobol", which covers the space more evenly.
        configs: a list of settings in place of grid and space, each a config or changes of `cfg` by
            name; or a dictionary of them by label.
        num_seeds: S, agents of each setting.
        seed: of the first agent of each setting, and of the sampler.
        halving: successive halving: with 3, the best third of the settings at each rung train on to
            a rung of three times the length; or a `Halving`. None: all train to the end.
        confirm: fresh seeds with which the three best settings are trained again at the end, or a
            `Confirm`. The seeds that choose the best setting of many make it look better than it
            is; `StudyResult.confirmed` and the report's verdict are about the fresh ones.
        objective: what is compared: "evaluation_return", the mean return over episodes with mean
            actions after training; "environment/NAME", a metric of the environment in these
            episodes; or a field of `Metrics`, of the last tenth of the updates together: a mean
            over the episodes that end in them, or over the updates; numbers of events are summed.
            Where an agent has no episode that ends in them, twice as many updates count, and so on;
            `StudyResult.score_label` says how many.
        direction: "maximize" or "minimize".
        eval_episodes: of each agent.
        directory: where the study is saved, with its tables; None to save nothing.
        force: take the directory from another process that seems to run in it; as in `fit`.
        on_progress: called with a `StudyProgress` after each chunk of updates.

    Raises:
        ValueError: unknown names, values that are not allowed, the same setting twice; a directory
            that holds another study or is in use.
        OSError: nothing can be written in the directory.
        MemoryError: the seeds of one setting do not fit into a device's memory.
        KeyboardInterrupt: a signal stopped it, as in `fit`; what is done is saved.
    """
    plan = make_plan(
        cfg,
        grid=grid,
        space=space,
        num_settings=num_settings,
        sampler=sampler,
        configs=configs,
        num_seeds=num_seeds,
        seed=seed,
        halving=halving,
        confirm=confirm,
        objective=objective,
        direction=direction,
        eval_episodes=eval_episodes,
    )
    return run_plan(plan, directory, on_progress, force)


def make_plan(
    cfg: Config,
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    space: Mapping[str, Range] | None = None,
    num_settings: int | None = None,
    sampler: Sampler = "random",
    configs: Sequence[Config | Changes] | Mapping[str, Config | Changes] | None = None,
    **of_plan: Any,
) -> StudyPlan:
    """The plan of a study, checked; `study` has its arguments, defaults and errors."""
    check_config(cfg)
    if configs is None:
        seed = whole_number("seed", of_plan.get("seed", 0), least=0, most=LARGEST_SEED)
        settings = grid_and_space(cfg, grid, space, num_settings, sampler, seed)
    elif grid is not None or space is not None or num_settings is not None:
        raise ValueError("configs are settings one by one; give them, or grid and space")
    else:
        settings = given_configs(cfg, configs)
    return StudyPlan(settings=tuple(settings), **of_plan)


def resume_study(
    directory: str | Path, on_progress: OnProgress | None = None, *, force: bool = False
) -> StudyResult:
    """Resume the study in a directory, or read it if it is finished.

    Args:
        directory: of `study`.
        on_progress, force: as in `study`.

    Raises:
        ValueError: there is no study; or it holds objects that a file cannot hold, such as
            environments and functions: call `study` again with its arguments.
        KeyboardInterrupt: as in `study`.
    """
    return run_plan(StudyDirectory(directory).plan(), directory, on_progress, force)


def finished_study(directory: str | Path) -> StudyResult:
    """The study in a directory, in which nothing is trained or written.

    Raises:
        ValueError: there is no study, it is not finished, or it holds objects.
    """
    files = StudyDirectory(directory)
    return _result(files.plan(), files, read)


@errors_shared(alike=(Interrupted,))
@called_alike("study", "on_progress")
def run_plan(
    plan: StudyPlan,
    directory: str | Path | None,
    on_progress: OnProgress | None = None,
    force: bool = False,
) -> StudyResult:
    """Run a study and write its tables."""
    plan.check_objective()
    if on_progress is not None:
        check_function("on_progress", on_progress)
    if directory is None:
        return _result(plan, None, _training(on_progress))
    files = StudyDirectory(directory)
    try:
        with first_signal_noted(), only_in_first(exclusive(files.path, force)) as lease:
            in_first(lambda: files.begin(plan))
            result = _result(plan, files, _training(on_progress, lease))
            raise_if_noted("stopped")
            if is_first():
                _write_tables(files, result)
    except Interrupted as stop:
        stop.args = (
            "the study was stopped, and what is done is saved; "
            f"rpojax.resume_study({str(files.path)!r}) goes on",
        )
        raise
    return result


def _write_tables(files: StudyDirectory, result: StudyResult) -> None:
    write_table(result.agent_rows(), files.agents_csv)
    write_table(result.setting_rows(), files.settings_csv)
    write_table(result.curve_rows(), files.curves_csv)
    if result.confirmed is not None:
        _write_tables(files.confirmation(), result.confirmed)


def _result(plan: StudyPlan, files: StudyDirectory | None, trained: Trained) -> StudyResult:
    """The result of a study, and that of its confirmation if it has one."""
    found = StudyResult(plan, tuple(trained(plan, files)))
    if plan.confirm is None:
        return found
    again = plan.confirmation([plan.settings[index] for index in found.at_end])
    parts = trained(again, None if files is None else files.confirmation())
    return dataclasses.replace(found, confirmed=StudyResult(again, tuple(parts)))


def _training(on_progress: OnProgress | None, lease: Lease | None = None) -> Trained:
    """`run` for a study and then for its confirmation, whose progress is that of one study."""
    last: list[StudyProgress] = []

    def trained(plan: StudyPlan, files: StudyDirectory | None) -> list[RungResult]:
        before = last[:]

        def show(progress: StudyProgress) -> None:
            last[:] = [progress.confirming_after(*before) if before else progress]
            if on_progress is not None:
                on_progress(last[0])

        return run(plan, files, show, lease=lease)

    return trained
