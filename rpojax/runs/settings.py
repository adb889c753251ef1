"""The settings of a run, checked: everything that `resume` needs besides the state."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from rpojax.settings.agent_table import AgentTable, agent_table
from rpojax.settings.config import Config
from rpojax.settings.pbt import PBT, pbt_from_plain, pbt_to_plain
from rpojax.settings.plain import fields_to_plain
from rpojax.settings.recorded import config_from_plain, hyperparams_from_plain, hyperparams_to_plain
from rpojax.validation import whole_number

DEFAULT_KEEP_CHECKPOINTS = 3
DEFAULT_EVAL_EPISODES = 64


def tenth_of(cfg: Config, evolve: PBT | None = None) -> int:
    """The default number of updates between checkpoints: whole generations, if there are any."""
    every = 1 if evolve is None else evolve.every
    return max(1, round(cfg.num_updates / 10 / every)) * every


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSettings:
    """A run of N agents. Raises ValueError for a number out of range, with the remedy."""

    cfg: Config
    agents: AgentTable
    log_every: int = 1  # updates; 0 = off
    eval_every: int = 0  # updates; 0 = off
    eval_episodes: int = DEFAULT_EVAL_EPISODES  # of each agent
    checkpoint_every: int = 0  # updates; 0 = at the end only
    keep_checkpoints: int = DEFAULT_KEEP_CHECKPOINTS  # the newest ones
    evolve: PBT | None = None  # None: the agents share nothing

    def __post_init__(self) -> None:
        for name in ("eval_episodes", "keep_checkpoints"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name)))
        for name in ("log_every", "eval_every", "checkpoint_every"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least=0))
        if self.evolve is not None:
            self._check_generations(self.evolve)

    def _check_generations(self, evolve: PBT) -> None:
        """Raise ValueError unless evaluations and checkpoints come between generations."""
        evolve.number_replaced(len(self.agents))
        for name in ("eval_every", "checkpoint_every"):
            every = getattr(self, name)
            if every % evolve.every:
                raise ValueError(
                    f"{name} = {every} ends within a generation of {evolve.every} updates; give a "
                    "multiple of that, or another evolve.every"
                )


_SPECIAL = ("cfg", "agents", "evolve")
_COUNTS = tuple(
    field.name for field in dataclasses.fields(RunSettings) if field.name not in _SPECIAL
)


def settings_to_record(settings: RunSettings) -> dict[str, Any]:
    """The settings as numbers, strings, lists and dictionaries, for JSON."""
    return {
        "cfg": fields_to_plain(settings.cfg),
        "seeds": list(settings.agents.seeds),
        "hyperparams": hyperparams_to_plain(settings.agents.hyperparams),
        "env_params": {
            name: values.tolist() for name, values in settings.agents.env_params.items()
        },
        **{name: getattr(settings, name) for name in _COUNTS},
        "evolve": pbt_to_plain(settings.evolve),
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
        set(record) - {"cfg", "seeds", "hyperparams", "env_params", "evolve", *_COUNTS}
    )
    if unknown:
        raise ValueError(
            f"the run was recorded with the settings {', '.join(unknown)}, which this version of "
            "rpojax does not know; use the version that recorded it"
        )
    made = config_from_plain(record["cfg"], cfg)
    hyperparams = hyperparams_from_plain(record.get("hyperparams", {}), made.hyperparams())
    params = {
        name: np.asarray(values, np.float32)
        for name, values in record.get("env_params", {}).items()
    }
    agents = agent_table(made.hyperparams(), hyperparams, env_params=params, seeds=record["seeds"])
    counts = {name: record[name] for name in _COUNTS if name in record}
    evolve = pbt_from_plain(record.get("evolve"))
    return RunSettings(cfg=made, agents=agents, evolve=evolve, **counts)
