"""The settings of a run, checked: everything that `resume` needs besides the state."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from rpojax.envs.registry import recorded_params
from rpojax.settings.agent_table import AgentTable, agent_table
from rpojax.settings.config import Config
from rpojax.settings.declared import settings_of, store_checked
from rpojax.settings.pbt import PBT
from rpojax.settings.plain import fields_to_plain
from rpojax.settings.recorded import config_from_plain, hyperparams_from_plain, hyperparams_to_plain
from rpojax.settings.run_options import OF_ONE_CALL, RunOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSettings(RunOptions):
    """A run of N agents, with its options. Raises ValueError as they do."""

    cfg: Config
    agents: AgentTable
    evolve: PBT | None = None  # None: the agents share nothing

    def __post_init__(self) -> None:
        store_checked(self)
        if self.evolve is not None:
            self._check_generations(self.evolve)

    @property
    def checkpoint_interval(self) -> int:
        """Updates between checkpoints, 0 for none: by default whole generations, if there are any.

        A tenth of the run is at least one update.
        """
        if self.checkpoint_every is not None:
            return self.checkpoint_every
        every = 1 if self.evolve is None else self.evolve.every
        return max(1, round(self.cfg.num_updates / 10 / every)) * every

    def _check_generations(self, evolve: PBT) -> None:
        """Raise ValueError unless evaluations and checkpoints come between generations."""
        evolve.number_replaced(len(self.agents))
        intervals = {"eval_every": self.eval_every, "checkpoint_every": self.checkpoint_interval}
        for name, every in intervals.items():
            if every % evolve.every:
                raise ValueError(
                    f"{name} = {every} ends within a generation of {evolve.every} updates; give a "
                    "multiple of that, or another evolve.every"
                )


RECORDED = tuple(name for name in settings_of(RunOptions) if name not in OF_ONE_CALL)
"""The options that a checkpoint holds."""


def settings_to_record(settings: RunSettings) -> dict[str, Any]:
    """The settings as numbers, strings, lists and dictionaries, for JSON."""
    return {
        "cfg": fields_to_plain(settings.cfg),
        "seeds": list(settings.agents.seeds),
        "hyperparams": hyperparams_to_plain(settings.agents.hyperparams),
        "env_params": {
            name: values.tolist() for name, values in settings.agents.env_params.items()
        },
        **{name: getattr(settings, name) for name in RECORDED},
        "evolve": settings.evolve and settings.evolve.to_plain(),
    }


def settings_from_record(record: Mapping[str, Any], cfg: Config | None = None) -> RunSettings:
    """What `settings_to_record` recorded, in this version or an older one.

    A setting that the record lacks gets its default.

    Args:
        record: as JSON returned it.
        cfg: the run's config; None to make it from the record.

    Raises:
        ValueError: `cfg` differs from the record; it is None and the record holds objects that a
            file cannot hold; or the record has a setting that this version does not know.
    """
    for name in ("cfg", "seeds"):
        if name not in record:
            raise ValueError(f"the run's record has no {name}; use the version that recorded it")
    unknown = sorted(
        set(record) - {"cfg", "seeds", "hyperparams", "env_params", "evolve", *RECORDED}
    )
    if unknown:
        raise ValueError(
            f"the run was recorded with the settings {', '.join(unknown)}, which this version of "
            "rpojax does not know; use the version that recorded it"
        )
    if isinstance(cfg, Config):
        params = recorded_params(cfg.env, cfg.env_params, record["cfg"].get("env_params", ()))
        if params != dict(cfg.env_params):
            cfg = cfg.replace(env_params=params)
    made = config_from_plain(record["cfg"], cfg)
    hyperparams = hyperparams_from_plain(record.get("hyperparams", {}), made.hyperparams())
    params = {
        name: np.asarray(values, np.float32)
        for name, values in record.get("env_params", {}).items()
    }
    agents = agent_table(made.hyperparams(), hyperparams, env_params=params, seeds=record["seeds"])
    options = {name: record[name] for name in RECORDED if name in record}
    evolve = record.get("evolve") and PBT(**record["evolve"])
    return RunSettings(cfg=made, agents=agents, evolve=evolve, **options)
