"""Run a study: train the settings of each program together, rung after rung."""

import functools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rpojax.core.model import Model, make_model
from rpojax.devices.host_arrays import to_host
from rpojax.devices.memory import out_of_memory_explained
from rpojax.devices.processes import is_first
from rpojax.loggers.base import ENVIRONMENT
from rpojax.runs.agents import evaluation_keys, play_with_agents
from rpojax.runs.checkpoint_manager import CheckpointWriter, checkpoint_paths, newest
from rpojax.runs.launch import continue_from, locked_checkpoint, new_run
from rpojax.runs.loop import Hooks, train
from rpojax.runs.progress import Progress, StopRule
from rpojax.runs.settings import RunSettings
from rpojax.settings.config import Config
from rpojax.studies.files import StudyDirectory
from rpojax.studies.halving import survivors
from rpojax.studies.plan import EVALUATION, StudyPlan
from rpojax.studies.trained import (
    Trained,
    metrics_at_end,
    rank,
    rows_of,
    run_after,
    setting_scores,
    updates_done,
)
from rpojax.types import TrainResult


class StudyProgress(NamedTuple):
    """What `on_progress` receives."""

    settings: int  # in the study
    done: int  # settings that will be trained no further
    running: int  # settings that train at present
    rung: int  # from 0
    rungs: int
    steps: int  # environment steps done so far, by all agents together
    steps_now: int  # of them since the call
    total_steps: int  # of the whole study, about
    seconds: float  # since the call, compilation included
    best: tuple[str, float] | None  # label and interquartile mean of the best setting

    @property
    def seconds_left(self) -> float | None:
        """Until the end at the rate so far; None before the first steps."""
        if not self.steps_now:
            return None
        return self.seconds * (self.total_steps - self.steps) / self.steps_now


OnProgress = Callable[[StudyProgress], Any]


Choose = Callable[[int, list[int], Mapping[int, float]], list[int]]
"""(rung, settings that were compared, their scores) -> those that continue, in their order."""


def run(
    plan: StudyPlan,
    directory: StudyDirectory | None,
    on_progress: OnProgress | None,
    choose: Choose | None = None,
    worst_before: float = np.inf,
) -> list[Trained]:
    """Train and compare; returns each setting as it was at its last rung.

    Args:
        plan: what to do.
        directory: of the study; what it holds already is not done again. None to save nothing.
        on_progress: as in `study`.
        choose: selects the settings that continue after a rung; None to let halving select them.
        worst_before: as in `setting_scores`.
    """
    return _all_rungs(_Runner(plan, directory, on_progress), choose, worst_before)


def read(plan: StudyPlan, directory: StudyDirectory) -> list[Trained]:
    """What `run` returns, from a directory alone; ValueError if the study is not finished."""
    return _all_rungs(_Reader(plan, directory, None), None)


def _all_rungs(
    runner: "_Runner", choose: Choose | None, worst_before: float = np.inf
) -> list[Trained]:
    plan = runner.plan
    choose = choose or functools.partial(_by_halving, plan)
    alive = list(range(len(plan.settings)))
    programs = plan.programs
    at_rung: dict[Config, list[Trained]] = {cfg: [] for cfg in programs}
    finished: list[Trained] = []
    for rung in range(len(plan.rungs)):
        for number, (cfg, members) in enumerate(programs.items()):
            going_on = [member for member in members if member in alive]
            finished += rows_of(plan, at_rung[cfg], [m for m in members if m not in going_on])
            before = rows_of(plan, at_rung[cfg], going_on)
            at_rung[cfg] = runner.train(number, cfg, going_on, rung, before) if going_on else []
        compared = [each for parts in at_rung.values() for each in parts]
        runner.scores |= setting_scores(plan, compared, worst_before)
        if rung + 1 < len(plan.rungs):
            alive = choose(rung, alive, {member: runner.scores[member] for member in alive})
            runner.ended = len(plan.settings) - len(alive)
        if not alive:
            break
    finished += [each for parts in at_rung.values() for each in parts]
    runner.report()
    return finished


def _by_halving(
    plan: StudyPlan, rung: int, alive: list[int], scores: Mapping[int, float]
) -> list[int]:
    if plan.halving is None:
        return alive
    ranks = {member: rank(plan, score) for member, score in scores.items()}
    return survivors(plan.halving, alive, ranks)


class _Runner:
    """Trains settings, and reports the progress of the study."""

    def __init__(
        self, plan: StudyPlan, directory: StudyDirectory | None, on_progress: OnProgress | None
    ) -> None:
        self.plan, self.directory, self.on_progress = plan, directory, on_progress
        self.scores: dict[int, float] = {}  # interquartile mean of each setting at its last rung
        self.rung = 0
        self.ended = 0  # settings that are trained no further
        self._started = time.perf_counter()
        self._steps_done = 0  # of the programs that have ended
        self._steps_now = 0  # of them since the call
        self._total_steps = plan.steps()

    def train(
        self, number: int, cfg: Config, members: list[int], rung: int, before: list[Trained]
    ) -> list[Trained]:
        """Train some settings of a program up to a rung; in parts if memory is short."""
        self.rung = rung
        model = make_model(cfg)
        place = None if self.directory is None else self.directory.run(number, rung)
        trained = self._train_parts(model, members, before, place)
        if rung + 1 == len(self.plan.rungs):
            self.ended += len(members)
        return trained

    @out_of_memory_explained()
    def _train_part(
        self, model: Model, members: list[int], before: list[Trained], place: Path | None
    ) -> Trained:
        settings = self.plan.run_settings(model.cfg, members)
        last_update = self.plan.updates_at(model.cfg, self.rung)
        per_update = len(settings.agents) * model.cfg.batch_size
        steps_before = per_update * updates_done(before)
        seen: list[int] = []  # steps of the run, at its start and after each chunk

        def on_chunk(progress: Progress) -> None:
            seen.append(progress.steps)
            self.report(len(members), seen[-1] - steps_before, seen[-1] - seen[0])

        hooks = Hooks((), on_chunk, StopRule(updates=last_update), time.perf_counter())
        result = _trained(model, settings, before, place, hooks)
        self._steps_done += per_update * last_update - steps_before
        self._steps_now += seen[-1] - seen[0] if seen else 0
        scores = _scores(self.plan, model, settings, result, place)
        return Trained(model.cfg, members, self.rung, to_host(result), scores)

    def _train_parts(
        self, model: Model, members: list[int], before: list[Trained], place: Path | None
    ) -> list[Trained]:
        """All at once or, where they do not fit into memory together, in halves."""
        halves = [None if place is None else place / half for half in ("first", "second")]
        if place is None or not halves[0].exists():  # type: ignore[union-attr]
            try:
                return [self._train_part(model, members, before, place)]
            except MemoryError:
                if len(members) == 1:
                    raise
        middle = len(members) // 2
        parts = []
        for half, some in zip(halves, (members[:middle], members[middle:]), strict=True):
            parts += self._train_parts(model, some, rows_of(self.plan, before, some), half)
        return parts

    def report(self, running: int = 0, steps: int = 0, steps_now: int = 0) -> None:
        """Call `on_progress`.

        Args:
            running: settings that train at present.
            steps: that they have done since the rung before; steps_now: since the call.
        """
        if self.on_progress is None:
            return
        plan = self.plan
        best = None
        if self.scores:
            setting = max(self.scores, key=lambda each: rank(plan, self.scores[each]))
            best = plan.settings[setting].label, self.scores[setting]
        self.on_progress(
            StudyProgress(
                settings=len(plan.settings),
                done=self.ended,
                running=running,
                rung=self.rung,
                rungs=len(plan.rungs),
                steps=self._steps_done + steps,
                steps_now=self._steps_now + steps_now,
                total_steps=max(self._total_steps, self._steps_done + steps),
                seconds=time.perf_counter() - self._started,
                best=best,
            )
        )


class _Reader(_Runner):
    """Reads what a `_Runner` has saved, in place of training."""

    def _train_part(
        self, model: Model, members: list[int], before: list[Trained], place: Path | None
    ) -> Trained:
        assert self.directory is not None
        assert place is not None
        last_update = self.plan.updates_at(model.cfg, self.rung)
        file = _scores_file(place, last_update)
        run = newest(place, model.cfg).run if checkpoint_paths(place) else None
        if run is None or run.updates != last_update or not file.exists():
            self.directory.raise_unfinished()
        result = to_host(run.result())
        return Trained(model.cfg, members, self.rung, result, _read_scores(file))


def _trained(
    model: Model,
    settings: RunSettings,
    before: Sequence[Trained],
    place: Path | None,
    hooks: Hooks,
) -> TrainResult:
    """Train from the start, from the rung before, or from what the directory holds."""
    if place is not None and checkpoint_paths(place):
        with locked_checkpoint(place, model.cfg) as found:
            return continue_from(found._replace(model=model), hooks)
    run = run_after(before, settings) if before else new_run(model, settings)
    writer = None if place is None else CheckpointWriter(place, model.env)
    return train(model, run, writer, hooks)


def _scores(
    plan: StudyPlan, model: Model, settings: RunSettings, result: TrainResult, place: Path | None
) -> np.ndarray:
    """The objective of each agent, f64[N]; evaluated once, and kept in the directory."""
    updates = result.metrics.episode_return.shape[1]
    file = None if place is None else _scores_file(place, updates)
    if file is not None and file.exists():
        return _read_scores(file)
    if plan.objective == EVALUATION or plan.objective.startswith(ENVIRONMENT):
        agents = settings.agents
        played = play_with_agents(
            model, result.state, evaluation_keys(agents), agents.env_params, plan.eval_episodes
        )
        own = {**played.metrics, EVALUATION: played.episode_return}
        values = np.asarray(own[plan.objective.removeprefix(ENVIRONMENT)], np.float64)
        scores = values.mean(axis=1)
    else:
        scores = np.asarray(getattr(metrics_at_end(result.metrics), plan.objective), np.float64)
    if file is not None and is_first():
        StudyDirectory.write_json(file, scores.tolist())
    return scores


def _scores_file(place: Path, updates: int) -> Path:
    return place / f"scores_{updates:09d}.json"


def _read_scores(file: Path) -> np.ndarray:
    return np.asarray(json.loads(file.read_text()), np.float64)
