"""Run a study: train the settings of each program together, rung after rung."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.core.model import Model, make_model
from rpojax.devices.host_arrays import to_host
from rpojax.devices.memory import out_of_memory_explained
from rpojax.files import DamagedFileError
from rpojax.programs.agent_states import AgentStates
from rpojax.runs.checkpoint_manager import CheckpointWriter, checkpoint_paths, newest
from rpojax.runs.interrupt import raise_if_noted
from rpojax.runs.launch import continue_from, new_run
from rpojax.runs.lock import Lease
from rpojax.runs.loop import Hooks, train
from rpojax.runs.progress import Progress, StopRule
from rpojax.runs.run_state import RunState
from rpojax.runs.settings import RunSettings
from rpojax.runs.trained_run import load
from rpojax.settings.config import Config
from rpojax.studies.directory import StudyDirectory
from rpojax.studies.plan import StudyPlan
from rpojax.studies.scores import (
    RungResult,
    agent_scores,
    by_setting,
    read_scores,
    scores_file,
    setting_scores,
)
from rpojax.trees import is_key
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
    confirming: bool = False  # whether the best settings are trained again, with fresh seeds

    @property
    def seconds_left(self) -> float | None:
        """Until the end at the rate so far; None before the first steps."""
        if not self.steps_now:
            return None
        return self.seconds * (self.total_steps - self.steps) / self.steps_now

    def confirming_after(self, before: "StudyProgress") -> "StudyProgress":
        """The progress of a confirmation as a part of its study, of which `before` was the last."""
        steps = before.steps + self.steps
        return self._replace(
            steps=steps,
            steps_now=before.steps_now + self.steps_now,
            total_steps=max(before.total_steps, steps),
            seconds=before.seconds + self.seconds,
            confirming=True,
        )


OnProgress = Callable[[StudyProgress], Any]
Choose = Callable[[int, list[int], Mapping[int, float]], list[int]]
"""(rung, settings that were compared, their scores) -> those that continue, in their order."""


def run(
    plan: StudyPlan,
    directory: StudyDirectory | None,
    on_progress: OnProgress | None,
    choose: Choose | None = None,
    worst_before: float = np.inf,
    lease: Lease | None = None,
) -> list[RungResult]:
    """Train and compare; returns each of the K settings as it was at its last rung.

    Args:
        plan: what to do.
        directory: of the study; what it holds already is not done again. None to save nothing.
        on_progress: as in `study`.
        choose: selects the settings that continue after a rung; None to let halving select them.
        worst_before: as in `filled`.
        lease: of the directory.
    """
    return _all_rungs(_Runner(plan, directory, on_progress, lease), choose, worst_before)


def read(plan: StudyPlan, directory: StudyDirectory | None) -> list[RungResult]:
    """What `run` returns, from a directory alone; ValueError if the study is not finished."""
    return _all_rungs(_Reader(plan, directory, None), None)


def _all_rungs(
    runner: "_Runner", choose: Choose | None, worst_before: float = np.inf
) -> list[RungResult]:
    plan = runner.plan
    alive = list(range(len(plan.settings)))
    programs = plan.programs
    at_rung: dict[Config, list[RungResult]] = {cfg: [] for cfg in programs}
    finished: list[RungResult] = []
    for rung in range(len(plan.rungs)):
        for number, (cfg, members) in enumerate(programs.items()):
            going_on = [member for member in members if member in alive]
            finished += [each for each in at_rung[cfg] if each.setting not in alive]
            before = [each for each in at_rung[cfg] if each.setting in alive]
            at_rung[cfg] = runner.train(number, cfg, going_on, rung, before) if going_on else []
        compared = [each for parts in at_rung.values() for each in parts]
        runner.scores |= setting_scores(plan, compared, worst_before)
        if rung + 1 < len(plan.rungs):
            scores = {member: runner.scores[member] for member in alive}
            if choose is not None:
                alive = choose(rung, alive, scores)
            elif plan.halving is not None:
                ranks = {member: plan.rank(score) for member, score in scores.items()}
                alive = plan.halving.survivors(alive, ranks)
            runner.ended = len(plan.settings) - len(alive)
        if not alive:
            break
    runner.report()
    return sorted(finished + compared, key=lambda each: each.setting)


class _Runner:
    """Trains settings, and reports the progress of the study."""

    def __init__(
        self,
        plan: StudyPlan,
        directory: StudyDirectory | None,
        on_progress: OnProgress | None,
        lease: Lease | None = None,
    ) -> None:
        self.plan, self.directory, self.on_progress = plan, directory, on_progress
        self._lease = lease
        self._model: Model | None = None  # of the latest program
        self.scores: dict[int, float] = {}  # interquartile mean of each setting at its last rung
        self.rung = 0
        self.ended = 0  # settings that are trained no further
        self._started = time.perf_counter()
        self._steps_done = 0  # of the programs that have ended
        self._steps_now = 0  # of them since the call
        self._total_steps = plan.steps()

    def train(
        self, number: int, cfg: Config, members: list[int], rung: int, before: list[RungResult]
    ) -> list[RungResult]:
        """Train some settings of a program up to a rung; in parts if memory is short."""
        self.rung = rung
        place = None if self.directory is None else self.directory.run(number, rung)
        trained = self._train_parts(cfg, members, before, place)
        if rung + 1 == len(self.plan.rungs):
            self.ended += len(members)
        return trained

    @out_of_memory_explained()
    def _train_part(
        self, cfg: Config, members: list[int], before: list[RungResult], place: Path | None
    ) -> list[RungResult]:
        if self._model is None or self._model.cfg != cfg:
            self._model = make_model(cfg)
        model = self._model
        settings = RunSettings(cfg=model.cfg, agents=self.plan.agents(members), log_every=0)
        last_update = self.plan.updates_at(model.cfg, self.rung)
        per_update = len(settings.agents) * model.cfg.batch_size
        steps_before = per_update * (before[0].updates if before else 0)
        seen: list[int] = []  # steps of the run, at its start and after each chunk

        def on_chunk(progress: Progress) -> None:
            seen.append(progress.steps)
            self.report(len(members), seen[-1] - steps_before, seen[-1] - seen[0])

        stop = StopRule(updates=last_update)
        hooks = Hooks((), on_chunk, stop, time.perf_counter(), self._lease)
        if place is not None and checkpoint_paths(place):
            found = newest(place, model.cfg)._replace(model=model)
            run, result = found.run, continue_from(found, hooks)
        else:
            run = _run_after(before, settings) if before else new_run(model, settings)
            writer = None if place is None else CheckpointWriter(place, model.env)
            result = train(model, run, writer, hooks)
        self._steps_done += per_update * last_update - steps_before
        self._steps_now += seen[-1] - seen[0] if seen else 0
        scores = agent_scores(self.plan, model, settings, result, place)
        raise_if_noted("stopped")
        return by_setting(members, self.rung, to_host(result), scores, run.train_seconds)

    def _train_parts(
        self, cfg: Config, members: list[int], before: list[RungResult], place: Path | None
    ) -> list[RungResult]:
        """All at once or, where they do not fit into memory together, in halves."""
        first, second = (place and place / half for half in ("first", "second"))
        if first is None or not first.exists():
            try:
                return self._train_part(cfg, members, before, place)
            except MemoryError:
                if len(members) == 1:
                    raise
        half = len(members) // 2
        return [
            *self._train_parts(cfg, members[:half], before[:half], first),
            *self._train_parts(cfg, members[half:], before[half:], second),
        ]

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
            setting = max(self.scores, key=lambda each: plan.rank(self.scores[each]))
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
    """Reads what a `_Runner` has saved, in place of training; it makes no environment."""

    def _train_part(
        self, cfg: Config, members: list[int], before: list[RungResult], place: Path | None
    ) -> list[RungResult]:
        assert self.directory is not None
        assert place is not None
        last_update = self.plan.updates_at(cfg, self.rung)
        file = scores_file(place, last_update)
        run = load(place, cfg=cfg) if checkpoint_paths(place) else None
        if run is None or run.updates.max() != last_update or not file.exists():
            raise ValueError(
                f"the study in {str(self.directory.path)!r} is not finished; go on with "
                f"{self.directory.resume_command}"
            )
        finite: Any = run.finite
        result = TrainResult(state=run.policies, metrics=run.metrics, finite=finite)
        try:
            scores = read_scores(file, len(run.finite))
        except DamagedFileError as error:
            raise ValueError(
                f"{error}; {self.directory.resume_command} evaluates the agents again"
            ) from error
        return by_setting(members, self.rung, result, scores, run.train_seconds)


def _run_after(before: Sequence[RungResult], settings: RunSettings) -> RunState:
    """The run that the next rung continues."""

    def joined(*leaves: Any) -> Any:
        return (jnp if is_key(leaves[0]) else np).concatenate(leaves)

    result = jax.tree.map(joined, *(each.result for each in before))
    agents, finite = settings.agents, np.asarray(result.finite)
    env_params: Any = dict(agents.env_params)
    return RunState(
        settings=settings,
        states=AgentStates(result.state, jnp.asarray(finite), agents.hyperparams, env_params),
        finite=finite,
        metrics=jax.tree.map(np.asarray, result.metrics),
        updates=before[0].updates,
        train_seconds=sum(each.train_seconds for each in before),
    )
