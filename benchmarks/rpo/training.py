"""Train the agents of a cell by `rpojax.study`, which saves them on the way."""

import itertools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import rpojax
from benchmarks.reporting import REPOSITORY
from benchmarks.rpo.cells import AGENTS, Cell, variant
from rpojax.runs.records import means_over_updates
from rpojax.studies import StudyResult
from rpojax.studies.runner import StudyProgress
from rpojax.studies.scores import metrics_at_end, metrics_between

RUNS = REPOSITORY / "runs" / "rpo"
"""Where the training of a cell is saved; git ignores it."""

POINTS = 50  # of a learning curve, each a mean over some updates
Row = dict[str, Any]


class Trained(NamedTuple):
    """Rows of the agents of a cell."""

    agents: list[Row]
    curves: list[Row]


def train(cell: Cell, agents: int = AGENTS, place: Path = RUNS) -> Trained:
    """Train and evaluate agents of a cell in a directory, or go on where that was stopped."""
    clock = Clock(cell.name)
    study = rpojax.study(
        cell.cfg,
        grid={"alpha": cell.alphas},
        num_seeds=agents,
        eval_episodes=cell.episodes,
        directory=place / cell.name,
        on_progress=clock,
    )
    costs = clock.costs()
    rows = Trained([], [])
    for index, alpha in enumerate(cell.alphas):
        settings = {
            "table": cell.table,
            "environment": str(cell.cfg.env),
            "variant": "",
            "alpha": alpha,
            "perturb_rollouts": cell.cfg.perturb_rollouts,
            "time_limit_bootstrap": cell.cfg.time_limit_bootstrap,
        }
        settings["variant"] = variant(settings)
        rows.agents.extend(_agent_rows(settings, study, index, costs))
        rows.curves.extend(_curve_rows(settings, study, index))
    return rows


def _agent_rows(
    settings: Row, study: StudyResult, index: int, costs: Mapping[str, float]
) -> list[Row]:
    result = study.result(index)
    at_end = metrics_at_end(result.metrics).episode_return
    return [
        {
            **settings,
            "num_envs": study.settings[index].cfg.num_envs,
            "num_steps": study.settings[index].cfg.num_steps,
            "seed": study.plan.seed + place,
            "steps": study.settings[index].cfg.actual_timesteps,
            "evaluation_return": short_number(study.scores[index, place]),
            "training_return": short_number(at_end[place]),
            "action_std": short_number(result.metrics.action_std[place, -1]),
            "finite": bool(study.finite[index, place]),
            **{name: short_number(value) for name, value in costs.items()},
        }
        for place in range(study.plan.num_seeds)
    ]


def _curve_rows(settings: Row, study: StudyResult, index: int) -> list[Row]:
    """Learning curves, thinned: each point sums up the updates since the one before."""
    metrics = study.result(index).metrics
    updates = metrics.episode_return.shape[1]
    ends = np.unique(np.linspace(0, updates, POINTS + 1).round().astype(int))
    cfg = study.settings[index].cfg
    named = {name: value for name, value in settings.items() if name not in ("table", "variant")}
    points = {
        end: means_over_updates(metrics_between(metrics, start, end))
        for start, end in itertools.pairwise(ends)
    }
    return [
        {
            **named,
            "seed": study.plan.seed + place,
            "total_steps": cfg.actual_timesteps,
            "steps": int(end) * cfg.batch_size,
            "episode_return": short_number(point.episode_return[place]),
            "action_std": short_number(point.action_std[place]),
        }
        for place in range(study.plan.num_seeds)
        for end, point in points.items()
    ]


class Clock:
    """What a study costs: seconds of all its agents together, compilation included."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._started = time.perf_counter(), time.process_time()
        self._share = 1.0  # of the steps that this process did
        self._printed = -1

    def __call__(self, progress: StudyProgress) -> None:
        """Note and print how far it is."""
        self._share = progress.steps_now / progress.total_steps
        percent = 100 * progress.steps // progress.total_steps
        if percent // 10 != self._printed // 10:
            self._printed = percent
            rate = progress.steps_now / max(progress.seconds, 1e-9)
            now = time.strftime("%H:%M:%S", time.gmtime())
            print(f"{now} {self._name} {percent} %, {rate:,.0f} steps/s", flush=True)

    def costs(self) -> dict[str, float]:
        """Seconds by the clock and of the cores; NaN where nothing was left to train."""
        wall, cores = self._started
        if not self._share:
            return {"seconds": float("nan"), "core_seconds": float("nan")}
        return {
            "seconds": (time.perf_counter() - wall) / self._share,
            "core_seconds": (time.process_time() - cores) / self._share,
        }


def short_number(value: Any) -> float:
    """Five digits."""
    return float(f"{float(value):.5g}")
