"""What a study is to do: settings, seeds, rungs, and what is compared.

Successive halving is that of Jamieson & Talwalkar (2016), Non-stochastic Best Arm Identification
and Hyperparameter Optimization, arXiv 1502.07943: at each rung the best 1 / factor of the settings
continue, with a budget that is `factor` times as large.
"""

import dataclasses
import functools
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import jax.numpy as jnp
import numpy as np

from rpojax import envs
from rpojax.loggers.base import ENVIRONMENT, METRICS, environment_column
from rpojax.settings.agent_table import LARGEST_SEED, MOST_AGENTS, AgentTable, agent_table
from rpojax.settings.config import Config
from rpojax.settings.declared import settings_of
from rpojax.settings.hyperparams import HyperParams
from rpojax.settings.plain import COMPARED, differing, fields_to_plain, objects_in
from rpojax.settings.recorded import config_from_plain
from rpojax.settings.run_options import RunOptions
from rpojax.studies.settings import Setting, params_of_settings, program_config, traced_params
from rpojax.validation import (
    Interval,
    as_mapping,
    check_choice,
    check_known,
    number_in,
    whole_number,
)

Direction: TypeAlias = Literal["maximize", "minimize"]
R = TypeVar("R", "Halving", "Confirm")

EVALUATION = "evaluation_return"
DEFAULT_NUM_SEEDS = 8
NEARLY_ALL = 0.95  # of the training: a rung from here on is the last one


@dataclasses.dataclass(frozen=True)
class Halving:
    """When settings are compared, and how many continue.

    Attributes:
        factor: of the settings that train to a rung, 1 / factor continue; at least 2.
        first: the first rung, as a fraction of the training; None: factor ** -(rungs - 1), with as
            many rungs as leave one setting or a few at the end.
    """

    factor: int = 3
    first: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "factor", whole_number("halving.factor", self.factor, least=2))
        if self.first is not None:
            first = number_in("halving.first", self.first, Interval(0.0, 1.0, low_allowed=False))
            object.__setattr__(self, "first", first)

    def rungs(self, num_settings: int) -> list[float]:
        """The fractions of the training after which settings are compared; the last one is 1."""
        if self.first is None:
            count = 1
            while self.factor**count <= num_settings:
                count += 1
            return [float(self.factor) ** -(count - 1 - rung) for rung in range(count)]
        rungs = [self.first]
        while rungs[-1] < 1.0:
            longer = rungs[-1] * self.factor
            rungs.append(longer if longer < NEARLY_ALL else 1.0)
        return rungs

    def number_kept(self, num_settings: int) -> int:
        """How many of `num_settings` settings continue."""
        return max(1, math.ceil(num_settings / self.factor))

    def survivors(self, settings: Sequence[int], ranks: Mapping[int, float]) -> list[int]:
        """The settings that continue: those with the highest ranks; of equal ones, the first."""
        best = sorted(settings, key=lambda setting: -ranks[setting])
        return sorted(best[: self.number_kept(len(settings))])


@dataclasses.dataclass(frozen=True)
class Confirm:
    """The best settings of a study are trained again, with seeds that did not choose them.

    Attributes:
        num_seeds: fresh seeds of each; they follow those of the study.
        settings: how many of the settings, from the best on.
    """

    num_seeds: int = DEFAULT_NUM_SEEDS
    settings: int = 3

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            object.__setattr__(self, name, whole_number(f"confirm.{name}", value))


def rule_from(rule: type[R], name: str, given: Any) -> R | None:
    """A `Halving` or `Confirm`, from itself, its first field, or a mapping of its fields."""
    if given is None or isinstance(given, rule):
        return given
    fields = as_mapping(given)
    if fields is None:
        return rule(given)
    known = [field.name for field in dataclasses.fields(rule)]
    for key in fields:
        check_known(str(key), known, f"key of {name}:")
    return rule(**fields)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """A study, checked. Raises ValueError for a number out of range, with the remedy."""

    settings: tuple[Setting, ...]
    num_seeds: int = DEFAULT_NUM_SEEDS
    seed: int = 0  # of the first agent of each setting
    halving: Halving | None = None  # or what `rule_from` takes
    confirm: Confirm | None = None  # likewise
    objective: str = EVALUATION
    direction: Direction = "maximize"
    eval_episodes: int = RunOptions.eval_episodes  # of each agent, at each rung
    reports: int = 1  # comparisons on the way, evenly spaced, where there is no halving

    def __post_init__(self) -> None:
        for name, most in (("num_seeds", MOST_AGENTS), ("eval_episodes", None), ("reports", None)):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), most=most))
        object.__setattr__(self, "halving", rule_from(Halving, "halving", self.halving))
        object.__setattr__(self, "confirm", rule_from(Confirm, "confirm", self.confirm))
        seeds = self.num_seeds + (self.confirm.num_seeds if self.confirm else 0)
        most = LARGEST_SEED + 1 - seeds
        object.__setattr__(self, "seed", whole_number("seed", self.seed, least=0, most=most))
        check_choice("direction", self.direction, get_args(Direction))
        if not (isinstance(self.objective, str) and self.objective.startswith(ENVIRONMENT)):
            check_choice(
                "objective",
                self.objective,
                [EVALUATION, *METRICS],
                also=f", or {ENVIRONMENT}NAME for a metric of the environment",
            )

    @functools.cached_property
    def rungs(self) -> list[float]:
        """Fractions of the training after which settings are compared; the last one is 1.

        In a short training, rungs that would end in the same update are one.
        """
        planned = [rung / self.reports for rung in range(1, self.reports + 1)]
        if self.halving is not None:
            planned = self.halving.rungs(len(self.settings))
        lengths = {setting.cfg.num_updates for setting in self.settings}
        rungs = [planned.pop()]
        for rung in reversed(planned):
            if all(_updates(rung, length) < _updates(rungs[0], length) for length in lengths):
                rungs.insert(0, rung)
        return rungs

    @property
    def sign(self) -> float:
        """1 where higher scores are better, -1 where lower ones are."""
        return 1.0 if self.direction == "maximize" else -1.0

    def rank(self, score: float) -> float:
        """A number that is higher for better scores; NaN is the worst."""
        return -np.inf if np.isnan(score) else self.sign * score

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
        return _updates(self.rungs[rung], cfg.num_updates)

    def confirmation(self, ranked: Sequence[Setting]) -> "StudyPlan":
        """The study of the first of these settings, whole, with seeds that follow this one's."""
        assert self.confirm is not None
        return dataclasses.replace(
            self,
            settings=tuple(ranked[: self.confirm.settings]),
            num_seeds=self.confirm.num_seeds,
            seed=self.seed + self.num_seeds,
            halving=None,
            confirm=None,
            reports=1,
        )

    def agents(self, members: list[int]) -> AgentTable:
        """The agents of some settings of a program, with the seeds of each setting in a row."""
        configs = [self.settings[member].cfg for member in members]
        traced = self.traced_params.get(configs[0].env, ())
        env_params = {
            name: values.repeat(self.num_seeds, axis=0)
            for name, values in params_of_settings(configs, traced).items()
        }
        columns = {
            name: np.repeat([getattr(cfg, name) for cfg in configs], self.num_seeds)
            for name in settings_of(HyperParams)
        }
        hyperparams = HyperParams(
            **{name: jnp.asarray(each, jnp.float32) for name, each in columns.items()}
        )
        seeds = [*range(self.seed, self.seed + self.num_seeds)] * len(members)
        return agent_table(hyperparams, hyperparams, env_params=env_params, seeds=seeds)

    def steps(self) -> int:
        """Environment steps of all agents up to the end, as if all settings had the mean length."""
        whole = [setting.cfg.actual_timesteps for setting in self.settings]
        count, before, total = len(whole), 0.0, 0.0
        for rung in self.rungs:
            if before and self.halving is not None:
                count = self.halving.number_kept(count)
            total += count * (rung - before)
            before = rung
        agents = total * self.num_seeds
        if self.confirm is not None:
            agents += min(count, self.confirm.settings) * self.confirm.num_seeds
        return int(agents * np.mean(whole))

    def check_objective(self) -> None:
        """Raise ValueError where an environment lacks the metric that settings are compared by."""
        if not self.objective.startswith(ENVIRONMENT):
            return
        for cfg in {setting.cfg.env: setting.cfg for setting in self.settings}.values():
            env = envs.make(cfg.env, **dict(cfg.env_params))
            check_choice(
                "objective",
                self.objective,
                [EVALUATION, *METRICS, *map(environment_column, env.metrics)],
                also=f": {env.name} has {len(env.metrics)} metrics of its own",
            )

    def record(self) -> dict[str, Any]:
        """The plan as numbers, text, lists and dictionaries, for JSON."""
        others = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        rules = {
            name: rule and dataclasses.asdict(rule)
            for name, rule in (("halving", self.halving), ("confirm", self.confirm))
        }
        settings = [each._asdict() | {"cfg": fields_to_plain(each.cfg)} for each in self.settings]
        return others | rules | {"settings": settings}

    @classmethod
    def from_record(cls, recorded: Mapping[str, Any]) -> "StudyPlan":
        """The plan that `record` recorded; ValueError where a config holds objects."""
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
        return cls(**{**recorded, "settings": settings})

    def difference(self, recorded: Mapping[str, Any]) -> str | None:
        """How this plan differs from a recorded one, as text; None if they are the same.

        Objects, such as functions, are compared by their descriptions. Where only these differ
        there is a warning, since the same object can be described in another way.
        """
        now = self.record()
        for name in recorded:
            if name not in now:
                return f"it has {name}, which this version of rpojax does not know"
        for name, value in now.items():
            if name != "settings" and recorded.get(name) != value:
                return f"{name} = {value!r} where the study has {recorded.get(name)!r}"
        before, after = recorded["settings"], now["settings"]
        if len(before) != len(after):
            return f"{len(after)} settings where the study has {len(before)}"
        described: list[str] = []
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            cfg = old["cfg"]
            plain, objects = differing(new["cfg"], cfg)
            if plain or (old["label"] != new["label"] and not objects):
                return (
                    f"setting {index} ({new['label']}) differs in {', '.join(plain) or 'its label'}"
                )
            described += [
                f"{name} of setting {index} is described as {text}, and was as "
                f"{objects_in(cfg[name]).get(part, 'another')}"
                for name in objects
                for part, text in objects_in(new["cfg"][name]).items()
                if objects_in(cfg[name]).get(part) != text
            ]
        if described:
            warnings.warn(
                f"this may not be the study that was begun: {'; '.join(described)}. {COMPARED}; "
                "make sure that they compute the same",
                stacklevel=2,
            )
        return None


def _updates(rung: float, num_updates: int) -> int:
    """The updates of a program after which it reaches a rung."""
    return max(1, round(rung * num_updates))
