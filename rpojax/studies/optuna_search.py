"""Searches by Optuna's samplers and pruners, in batches that train as one program."""

import contextlib
import dataclasses
import functools
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rpojax.core.model import check_config
from rpojax.devices.agreement import called_alike
from rpojax.devices.processes import errors_shared, found_in_first
from rpojax.runs.interrupt import Interrupted
from rpojax.settings.config import Config
from rpojax.settings.ranges import Choice, LogUniform, Range, Uniform, Whole
from rpojax.settings.run_options import RunOptions
from rpojax.studies.plan import EVALUATION, StudyPlan
from rpojax.studies.runner import OnProgress, run
from rpojax.studies.scores import setting_scores, worst_of
from rpojax.studies.settings import Setting, first_of_each, label_of, ranges_of, with_changes
from rpojax.validation import check_function, show, whole_number

if TYPE_CHECKING:
    import optuna


@errors_shared(alike=(Interrupted,))
@called_alike("optimize", "study", "on_progress")
def optimize(
    study: "optuna.Study",
    cfg: Config,
    space: Mapping[str, Range],
    *,
    num_trials: int,
    batch_size: int = 8,
    num_seeds: int = 4,
    seed: int = 0,
    reports: int = 4,
    objective: str = EVALUATION,
    eval_episodes: int = RunOptions.eval_episodes,
    on_progress: OnProgress | None = None,
) -> None:
    """Run trials of an Optuna study: each is a setting with several seeds.

    The value of a trial is the interquartile mean over its seeds. An agent that diverged counts
    with the worst score of this call so far. A trial fails if all of its agents diverged.

    The study's own sampler proposes settings, `batch_size` at a time, which train side by side as
    in `rpojax.study`. Its own pruner ends trials early: all report `reports` times, and those that
    continue are packed together. The search ends early if the sampler ends it, as `GridSampler`
    does after its last point. Several processes, on several machines, may share a study through
    its storage, such as `optuna.create_study(storage="sqlite:///study.db", study_name="pendulum",
    load_if_exists=True)`; give the sampler of each a `seed` of its own.

    In a job of several processes (`use_all_machines`), which all call this, trials are those of the
    first process's study; those of the others are not used.

    If a process is killed, its trials stay "running" in the storage, unless that has heartbeats:
    with `optuna.storages.RDBStorage(url, heartbeat_interval=60)`, the next batch of any process
    fails them, and calls the storage's callback, which may let them be tried again.

    Args:
        study: gives sampler, pruner, storage and direction; it has one objective.
        cfg: the settings that all trials have in common.
        space: ranges by the names of settings, as in `rpojax.study`; the options of a `Choice` are
            numbers, strings or booleans.
        num_trials: to run, in addition to those that the study has.
        batch_size: trials that are proposed, and trained, together. Proposals in a batch do not
            know of each other's results.
        num_seeds: agents of each trial.
        seed: of the first agent of each trial.
        reports: how often a trial reports a score, the last time at its end; with 1, no trial is
            pruned.
        objective: as in `rpojax.study`; the direction is the study's.
        eval_episodes: as in `rpojax.study`.
        on_progress: as in `rpojax.study`, for each batch.

    Raises:
        ValueError: as in `rpojax.study`; a study of several objectives; an option that Optuna
            cannot save; other arguments in another process.
    """
    check_config(cfg)
    batch_size = whole_number("batch_size", batch_size)
    if on_progress is not None:
        check_function("on_progress", on_progress)
    ranges = ranges_of(space)
    for name, given in ranges.items():
        options = given.options if isinstance(given, Choice) else ()
        for option in options:
            if not isinstance(option, bool | int | float | str):
                raise ValueError(
                    f"space[{name!r}] has the option {show(option)}, which Optuna cannot save; "
                    "give numbers, strings and truth values"
                )
    left = whole_number("num_trials", num_trials)
    direction, worst = found_in_first(lambda: _direction(study)), np.inf
    while left:
        trials: list[optuna.Trial] = []  # empty but in the first process
        beating = contextlib.ExitStack()
        try:
            count = min(left, batch_size)
            propose = functools.partial(_propose, study, ranges, count, trials, beating)
            proposed = found_in_first(propose)
            plan = StudyPlan(
                settings=tuple(
                    Setting(label_of(changes), changes, with_changes(cfg, changes))
                    for changes in proposed
                ),
                num_seeds=num_seeds,
                seed=seed,
                reports=reports,
                objective=objective,
                direction=direction,
                eval_episodes=eval_episodes,
            )
            worst, stopped = _run_batch(study, trials, plan, on_progress, worst)
            left = 0 if stopped else left - len(proposed)
        except BaseException:
            for trial in trials:
                _tell(study, trial, None)
            raise
        finally:
            beating.close()


def _run_batch(
    study: "optuna.Study",
    trials: "Sequence[optuna.Trial]",
    plan: StudyPlan,
    on_progress: OnProgress | None,
    worst: float,
) -> tuple[float, bool]:
    """Train trials, and tell the study what came out.

    Returns:
        The worst score so far, as of `worst_of`; and whether the sampler has ended the study.
    """
    plan.check_objective()
    places = first_of_each([setting.cfg for setting in plan.settings])
    distinct = sorted(set(places))
    unique = dataclasses.replace(plan, settings=tuple(plan.settings[at] for at in distinct))
    stopped: list[bool] = []

    def judge(rung: int, alive: list[int], scores: Mapping[int, float]) -> list[int]:
        going_on = []
        for member in alive:
            same = [t for t, place in zip(trials, places, strict=True) if place == distinct[member]]
            for trial in same:
                trial.report(scores[member], rung)
            if same[0].should_prune():
                stopped.extend(_tell(study, trial, None, "PRUNED") for trial in same)
            else:
                going_on.append(member)
        return going_on

    def choose(*compared: Any) -> Any:
        return found_in_first(lambda: judge(*compared))

    finished = run(unique, None, on_progress, choose, worst)
    last = max(trained.rung for trained in finished)
    at_end = [trained for trained in finished if trained.rung == last]
    scores = setting_scores(unique, at_end, worst)
    alive = {trained.setting for trained in at_end if np.any(trained.result.finite)}

    def tell() -> bool:
        for trial, place in zip(trials, places, strict=True):
            member = distinct.index(place)
            score = scores.get(member, np.nan)
            known = member in alive and not np.isnan(score)  # else pruned already, or no score
            stopped.append(_tell(study, trial, score if known else None))
        return any(stopped)

    measured = np.concatenate([trained.scores for trained in at_end])
    return min(worst, worst_of(unique, measured)), found_in_first(tell)


def _direction(study: "optuna.Study") -> str:
    if len(study.directions) > 1:
        raise ValueError(
            f"study has {len(study.directions)} objectives; give one that has one direction"
        )
    return study.direction.name.lower()


def _propose(
    study: "optuna.Study",
    ranges: Mapping[str, Range],
    count: int,
    trials: "list[optuna.Trial]",
    beating: contextlib.ExitStack,
) -> list[dict[str, Any]]:
    """The parameters of new trials, appended to `trials`.

    Where the storage has heartbeats, the trials of killed processes fail first, and those of the
    new ones beat until `beating` is closed, as in `Study.optimize`.
    """
    import optuna
    from optuna.storages._heartbeat import get_heartbeat_thread

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)
    for _ in range(count):
        with warnings.catch_warnings():  # it says that heartbeats need `Study.optimize`
            warnings.filterwarnings("ignore", "Heartbeat of storage")
            trial = _asked(study)
        trials.append(trial)
        heartbeat: Any = get_heartbeat_thread(trial._trial_id, study._storage)
        beating.enter_context(heartbeat)
        for name, given in ranges.items():
            _suggest(trial, name, given)
    return [dict(trial.params) for trial in trials]


def _asked(study: "optuna.Study") -> "optuna.Trial":
    """A new trial; where the sampler raises, the trial that Optuna has begun is failed."""
    running = _running(study)
    try:
        return study.ask()
    except BaseException:
        begun = _running(study) - running
        if len(begun) == 1:  # else other processes have begun some as well
            study.tell(begun.pop(), state=_state("FAIL"))
        raise


def _running(study: "optuna.Study") -> set[int]:
    trials = study.get_trials(deepcopy=False, states=(_state("RUNNING"),))
    return {trial.number for trial in trials}


def _suggest(trial: "optuna.Trial", name: str, given: Range) -> None:
    """Let the sampler choose a value."""
    if isinstance(given, Choice):
        trial.suggest_categorical(name, list(given.options))
    elif isinstance(given, Whole):
        trial.suggest_int(name, given.low, given.high)
    else:
        assert isinstance(given, Uniform | LogUniform)
        trial.suggest_float(name, given.low, given.high, log=isinstance(given, LogUniform))


def _tell(
    study: "optuna.Study", trial: "optuna.Trial", value: float | None, state: str = "FAIL"
) -> bool:
    """End a trial, with a value or in a state; True where the sampler ends the study by that.

    Samplers, such as GridSampler after the last point, call `Study.stop`, which raises outside of
    `Study.optimize`.
    """
    ended = None if value is not None else _state(state)
    try:
        study.tell(trial, value, state=ended, skip_if_finished=True)
    except RuntimeError:
        if not study.get_trials(deepcopy=False)[trial.number].state.is_finished():
            raise
        return True
    return False


def _state(name: str) -> "optuna.trial.TrialState":
    import optuna

    return optuna.trial.TrialState[name]
