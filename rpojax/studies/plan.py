"""What a study is to do: settings, seeds, rungs, and what is compared."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

import jax.numpy as jnp
import numpy as np

from rpojax import envs
from rpojax.loggers.base import ENVIRONMENT, METRICS, environment_column
from rpojax.runs.settings import RunSettings
from rpojax.settings.agent_table import LARGEST_SEED, AgentTable, agent_table
from rpojax.settings.config import Config
from rpojax.settings.declared import settings_of
from rpojax.settings.hyperparams import HyperParams
from rpojax.settings.plain import fields_to_plain, objects_in
from rpojax.settings.recorded import config_from_plain
from rpojax.settings.run_options import RunOptions
from rpojax.studies.halving import Halving, check_halving
from rpojax.studies.settings import (
    Setting,
    params_of_settings,
    program_config,
    traced_params,
)
from rpojax.validation import check_choice, whole_number

Direction: TypeAlias = Literal["maximize", "minimize"]

EVALUATION = "evaluation_return"


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """A study, checked. Raises ValueError for a number out of range, with the remedy."""

    settings: tuple[Setting, ...]
    num_seeds: int
    seed: int = 0  # of the first agent of each setting
    halving: Halving | None = None
    objective: str = EVALUATION
    direction: Direction = "maximize"
    eval_episodes: int = RunOptions.eval_episodes  # of each agent, at each rung
    reports: int = 1  # comparisons on the way, evenly spaced, where there is no halving

    def __post_init__(self) -> None:
        for name in ("num_seeds", "eval_episodes", "reports"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name)))
        most = LARGEST_SEED + 1 - self.num_seeds
        object.__setattr__(self, "seed", whole_number("seed", self.seed, least=0, most=most))
        check_choice("direction", self.direction, get_args(Direction))
        if not (isinstance(self.objective, str) and self.objective.startswith(ENVIRONMENT)):
            check_choice(
                "objective",
                self.objective,
                [EVALUATION, *METRICS],
                also=f", or {ENVIRONMENT}NAME for a metric of the environment",
            )

    @property
    def rungs(self) -> list[float]:
        """Fractions of the training after which settings are compared; the last one is 1."""
        if self.halving is not None:
            return self.halving.rungs(len(self.settings))
        return [rung / self.reports for rung in range(1, self.reports + 1)]

    @property
    def sign(self) -> float:
        """1 where higher scores are better, -1 where lower ones are."""
        return 1.0 if self.direction == "maximize" else -1.0

    def only(self, members: list[int]) -> "StudyPlan":
        """The plan with these settings only."""
        return dataclasses.replace(self, settings=tuple(self.settings[each] for each in members))

    @functools.cached_property
    def traced_params(self) -> dict[Any, list[str]]:
        """Parameters of environments that are arguments of the programs, by `Config.env`."""
        return traced_params(self.settings)

    @property
    def programs(self) -> dict[Config, list[int]]:
        """The settings of each program: they differ only in the program's arguments."""
        programs: dict[Config, list[int]] = {}
        for index, setting in enumerate(self.settings):
            traced = self.traced_params.get(setting.cfg.env, ())
            programs.setdefault(program_config(setting.cfg, traced), []).append(index)
        return programs

    def updates_at(self, cfg: Config, rung: int) -> int:
        """The updates of a program after which its settings reach a rung."""
        return max(1, round(self.rungs[rung] * cfg.num_updates))

    def run_settings(self, cfg: Config, members: list[int]) -> RunSettings:
        """The run that trains some settings of a program, with the seeds of each in a row."""
        return RunSettings(cfg=cfg, agents=self.agents(members), log_every=0)

    def agents(self, members: list[int]) -> AgentTable:
        """The agents of some settings of one program; each setting has the same seeds."""
        configs = [self.settings[member].cfg for member in members]
        columns = {
            name: np.repeat(np.asarray([getattr(cfg, name) for cfg in configs]), self.num_seeds)
            for name in settings_of(HyperParams)
        }
        traced = self.traced_params.get(configs[0].env, ())
        env_params = {
            name: values.repeat(self.num_seeds, axis=0)
            for name, values in params_of_settings(configs, traced).items()
        }
        seeds = [*range(self.seed, self.seed + self.num_seeds)] * len(members)
        arrays = {name: jnp.asarray(each, jnp.float32) for name, each in columns.items()}
        hyperparams = HyperParams(**arrays)
        return agent_table(hyperparams, hyperparams, env_params=env_params, seeds=seeds)

    def steps(self) -> int:
        """Environment steps of all agents up to the end, as if all settings had the mean length."""
        whole = [setting.cfg.actual_timesteps for setting in self.settings]
        count, before, total = len(whole), 0.0, 0.0
        for rung in self.rungs:
            total += count * (rung - before)
            before = rung
            count = count if self.halving is None else self.halving.number_kept(count)
        return int(total * np.mean(whole) * self.num_seeds)

    def record(self) -> dict[str, Any]:
        """The plan as numbers, text, lists and dictionaries, for JSON."""
        return {
            "settings": [
                {
                    "label": setting.label,
                    "changes": setting.changes,
                    "cfg": fields_to_plain(setting.cfg),
                }
                for setting in self.settings
            ],
            "num_seeds": self.num_seeds,
            "seed": self.seed,
            "halving": None if self.halving is None else dataclasses.asdict(self.halving),
            "objective": self.objective,
            "direction": self.direction,
            "eval_episodes": self.eval_episodes,
            "reports": self.reports,
        }


def check_objective(plan: StudyPlan) -> None:
    """Raise ValueError where an environment lacks the metric that settings are compared by."""
    if not plan.objective.startswith(ENVIRONMENT):
        return
    for cfg in {setting.cfg.env: setting.cfg for setting in plan.settings}.values():
        env = envs.make(cfg.env, **dict(cfg.env_params))
        check_choice(
            "objective",
            plan.objective,
            [EVALUATION, *METRICS, *map(environment_column, env.metrics)],
            also=f": {env.name} has {len(env.metrics)} metrics of its own",
        )


def difference(recorded: Mapping[str, Any], plan: StudyPlan) -> str | None:
    """How a recorded plan differs from another, as text; None if they are the same."""
    now = plan.record()
    for name, value in now.items():
        before = recorded.get(name)
        if name != "settings" and before != value:
            return f"{name} = {value!r} where the study has {before!r}"
    before, after = recorded["settings"], now["settings"]
    if len(before) != len(after):
        return f"{len(after)} settings where the study has {len(before)}"
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        if old != new:
            fields = [name for name, value in new["cfg"].items() if old["cfg"].get(name) != value]
            return f"setting {index} ({new['label']}) differs in {', '.join(fields) or 'its label'}"
    return None


def plan_from_record(recorded: Mapping[str, Any]) -> StudyPlan:
    """The plan that `StudyPlan.record` recorded; ValueError where a config holds objects."""
    for each in recorded["settings"]:
        for name, text in objects_in(each["cfg"]).items():
            raise ValueError(
                f"the study holds an object, which a file cannot hold ({name} = {text}); call "
                "rpojax.study again with its arguments and its directory"
            )
    settings = tuple(
        Setting(each["label"], each["changes"], config_from_plain(each["cfg"]))
        for each in recorded["settings"]
    )
    others = {name: value for name, value in recorded.items() if name != "settings"}
    return StudyPlan(
        **{**others, "settings": settings, "halving": check_halving(others["halving"])}
    )
