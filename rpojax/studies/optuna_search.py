"""Searches by Optuna's samplers and pruners, in batches that train as one program."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rpojax.core.model import check_config
from rpojax.settings.config import Config
from rpojax.settings.ranges import Choice, LogUniform, Range, Uniform, Whole, check_range
from rpojax.settings.run_options import RunOptions
from rpojax.studies.plan import EVALUATION, StudyPlan, check_objective
from rpojax.studies.runner import OnProgress, run
from rpojax.studies.settings import Setting, label_of, named_values, with_changes
from rpojax.studies.trained import setting_scores, worst_of
from rpojax.validation import whole_number

if TYPE_CHECKING:
    import optuna


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

    Its value is the interquartile mean over the seeds. An agent that diverged counts with the worst
    score of this call so far; a trial all of whose agents diverged has failed.

    The study's own sampler proposes settings, `batch_size` at a time, which train side by side as
    in `rpojax.study`. Its own pruner ends trials early: they report on the way, and after each
    report the others are packed together. Several processes, on several machines, may work on
    one study by its storage, such as `optuna.create_study(storage="sqlite:///study.db",
    study_name="pendulum", load_if_exists=True)`, with a `seed` of its sampler each.

    If a process is killed, its trials stay "running" in the storage, as always with Optuna's
    ask-and-tell interface.

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
        reports: how often a trial has a score, the last time at its end; with 1, the pruner ends
            none early.
        objective: as in `rpojax.study`; the direction is the study's.
        eval_episodes: as in `rpojax.study`.
        on_progress: as in `rpojax.study`, for each batch.

    Raises:
        ValueError: as `rpojax.study`; a study of several objectives.
    """
    check_config(cfg)
    batch_size = whole_number("batch_size", batch_size)
    if len(study.directions) > 1:
        raise ValueError(
            f"study has {len(study.directions)} objectives; give one that has one direction"
        )
    ranges = {
        name: check_range(name, given) for name, given in named_values("space", space).items()
    }
    distributions = {name: _distribution(each) for name, each in ranges.items()}
    left = whole_number("num_trials", num_trials)
    worst = np.inf
    while left:
        trials: list[optuna.Trial] = []
        try:
            for _ in range(min(left, batch_size)):
                trials.append(study.ask(distributions))
            plan = StudyPlan(
                settings=tuple(_setting(cfg, trial) for trial in trials),
                num_seeds=num_seeds,
                seed=seed,
                reports=reports,
                objective=objective,
                direction=study.direction.name.lower(),  # type: ignore[arg-type]
                eval_episodes=eval_episodes,
            )
            worst = _run_batch(study, trials, plan, on_progress, worst)
            left -= len(trials)
        except BaseException:
            for trial in trials:
                study.tell(trial, state=_states().FAIL, skip_if_finished=True)
            raise


def _run_batch(
    study: "optuna.Study",
    trials: "Sequence[optuna.Trial]",
    plan: StudyPlan,
    on_progress: OnProgress | None,
    worst: float,
) -> float:
    """Train trials, and tell the study what came out; see `worst_of` for what is returned."""
    check_objective(plan)
    places = _first_of_each(plan.settings)
    distinct = sorted(set(places))
    unique = plan.only(distinct)

    def choose(rung: int, alive: list[int], scores: Mapping[int, float]) -> list[int]:
        going_on = []
        for member in alive:
            same = [t for t, place in zip(trials, places, strict=True) if place == distinct[member]]
            for trial in same:
                trial.report(scores[member], rung)
            if same[0].should_prune():
                for trial in same:
                    study.tell(trial, state=_states().PRUNED)
            else:
                going_on.append(member)
        return going_on

    finished = run(unique, None, on_progress, choose, worst)
    last = max(trained.rung for trained in finished)
    at_end = [trained for trained in finished if trained.rung == last]
    scores = setting_scores(unique, at_end, worst)
    alive = set()
    for trained in at_end:
        finite = np.asarray(trained.result.finite).reshape(-1, plan.num_seeds)
        alive |= {trained.members[row] for row in np.flatnonzero(finite.any(axis=1))}
    for trial, place in zip(trials, places, strict=True):
        member = distinct.index(place)
        score = scores.get(member, np.nan)
        if np.isnan(score) or member not in alive:  # pruned already, or there is no score
            study.tell(trial, state=_states().FAIL, skip_if_finished=True)
        else:
            study.tell(trial, score, skip_if_finished=True)
    return min(worst, worst_of(unique, at_end))


def _first_of_each(settings: Sequence[Setting]) -> list[int]:
    """For each setting the index of the first with the same config: samplers may repeat one."""
    first: dict[Config, int] = {}
    return [first.setdefault(setting.cfg, index) for index, setting in enumerate(settings)]


def _setting(cfg: Config, trial: "optuna.Trial") -> Setting:
    changes = dict(trial.params)
    return Setting(label_of(changes), changes, with_changes(cfg, changes))


def _states() -> Any:
    import optuna

    return optuna.trial.TrialState


def _distribution(given: Range) -> "optuna.distributions.BaseDistribution":
    import optuna

    if isinstance(given, Choice):
        return optuna.distributions.CategoricalDistribution(list(given.options))
    if isinstance(given, Whole):
        return optuna.distributions.IntDistribution(given.low, given.high)
    assert isinstance(given, Uniform | LogUniform)
    logarithmic = isinstance(given, LogUniform)
    return optuna.distributions.FloatDistribution(given.low, given.high, log=logarithmic)
