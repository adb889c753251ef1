"""The agents of a run: each has a seed, hyperparameters and parameters of its environment."""

import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rpojax.settings.hyperparams import HyperParams
from rpojax.types import Key
from rpojax.validation import as_sequence, show, whole_number

ENV_PARAMS = "env_params."  # prefix of the names of environment parameters
LARGEST_SEED = 2**32 - 1  # a PRNG key is made of the seed's lower 32 bits
MOST_AGENTS = 2**20
LONGEST_LABEL = 200  # characters, since labels name files; a longer one ends in its digest


class Agent(NamedTuple):
    """One agent of a run."""

    seed: int
    hyperparams: dict[str, float]  # every one of `HyperParams`, by name
    env_params: dict[str, np.ndarray]  # f32[...] those of its environment that are changed, by name


@dataclasses.dataclass(frozen=True, eq=False)
class AgentTable:
    """The N agents of a run: agent i has seeds[i] and the i-th value of each hyperparameter.

    Made by `agent_table`. Agents that share all hyperparameters and all parameters of their
    environments form a group; a run of several seeds with one set of them is one group.
    """

    seeds: tuple[int, ...]  # N of them
    hyperparams: HyperParams  # of numpy arrays, f32[N]
    env_params: Mapping[str, np.ndarray]  # f32[N, ...] changed parameters of the environments

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: int) -> Agent:
        hyperparams = {
            name: shortest(values[index]) for name, values in vars(self.hyperparams).items()
        }
        params = {name: values[index] for name, values in self.env_params.items()}
        return Agent(self.seeds[index], hyperparams, params)

    def __iter__(self) -> Iterator[Agent]:
        return (self[index] for index in range(len(self)))

    @functools.cached_property
    def numbers(self) -> dict[str, np.ndarray]:
        """All hyperparameters and parameters of environments by name, f32[N] each.

        Those of environments are named "env_params.g" or, of an array, "env_params.gravity[2]".
        """
        numbers: dict[str, Any] = dict(vars(self.hyperparams))
        for name, values in self.env_params.items():
            for place in np.ndindex(values.shape[1:]):
                brackets = "".join(f"[{index}]" for index in place)
                numbers[f"{ENV_PARAMS}{name}{brackets}"] = values[:, *place]
        return numbers

    @functools.cached_property
    def differing(self) -> tuple[str, ...]:
        """Names of the `numbers` in which the agents differ."""
        return tuple(name for name, values in self.numbers.items() if (values != values[0]).any())

    def identity(self, index: int) -> dict[str, float]:
        """What distinguishes an agent: the numbers in which agents differ, and its seed."""
        values = {name: shortest(self.numbers[name][index]) for name in self.differing}
        return values | {"seed": self.seeds[index]}

    def label(self, index: int) -> str:
        """`identity` as text, such as "alpha=0.3,seed=1"; also a valid file name."""
        return in_words(self.identity(index))

    @functools.cached_property
    def groups(self) -> dict[str, list[int]]:
        """The agents that differ only in their seeds, by label ("" if there is one group)."""
        groups: dict[str, list[int]] = {}
        for index in range(len(self)):
            values = self.identity(index)
            del values["seed"]
            groups.setdefault(in_words(values), []).append(index)
        return groups

    def keys(self) -> Key:
        """The PRNG key of each agent, `jax.random.key(seed)`, [N]."""
        return jax.vmap(jax.random.key)(np.asarray(self.seeds, np.uint32))


def agent_table(
    defaults: HyperParams,
    hyperparams: HyperParams | None = None,
    *,
    env_params: Mapping[str, np.ndarray] | None = None,
    num_seeds: int | None = None,
    seed: int = 0,
    seeds: Sequence[int] | None = None,
) -> AgentTable:
    """The agents for the arguments of `rpojax.fit`.

    Args:
        defaults: a config's own hyperparameters, each f32[].
        hyperparams: leaves of shape [] (for all agents alike) or [N]; None for `defaults`.
        env_params: f32[1, ...] (for all agents alike) or f32[N, ...] by name, as of
            `rpojax.envs.params.params_of_agents`; None changes none.
        num_seeds: N; None for as many as there are seeds or values of a hyperparameter.
        seed: of the first agent, where `seeds` is None; those that follow count up from it.
        seeds: one for each agent.

    Raises:
        ValueError: a number out of range, numbers of agents that disagree, or two agents that
            would be the same.
    """
    hyperparams = defaults if hyperparams is None else hyperparams
    if not isinstance(hyperparams, HyperParams):
        raise ValueError(
            f"hyperparams = {hyperparams!r} is not a HyperParams; make one with cfg.hyperparams()"
        )
    hyperparams.check()
    counts = {
        f"hyperparams.{name}": np.shape(values)[0]
        for name, values in vars(hyperparams).items()
        if _leading_axis(name, values)
    }
    params = {} if env_params is None else dict(env_params)
    counts |= {f"{ENV_PARAMS}{name}": len(each) for name, each in params.items() if len(each) > 1}
    if num_seeds is not None:
        counts["num_seeds"] = whole_number("num_seeds", num_seeds, most=MOST_AGENTS)
    if seeds is not None:
        seeds = _checked_seeds(seeds)
        counts["seeds"] = len(seeds)
    count = next(iter(counts.values()), 1)
    if any(other != count for other in counts.values()):
        listed = ", ".join(f"{name}: {other}" for name, other in counts.items())
        raise ValueError(f"numbers of agents disagree ({listed}); give the same number of each")
    if seeds is None:
        first = whole_number("seed", seed, least=0, most=LARGEST_SEED + 1 - count)
        seeds = range(first, first + count)
    columns: dict[str, Any] = {
        name: np.broadcast_to(np.asarray(values, np.float32), (count,)).copy()
        for name, values in vars(hyperparams).items()
    }
    rows = {name: np.broadcast_to(each, (count, *each.shape[1:])) for name, each in params.items()}
    table = AgentTable(tuple(seeds), HyperParams(**columns), rows)
    _check_distinct(table)
    return table


def shortest(value: Any) -> float:
    """The shortest decimal number that rounds to this float32, to keep files readable."""
    return float(str(np.float32(value)))


def in_words(values: Mapping[str, float]) -> str:
    """Numbers of an agent, and maybe its seed, as a label such as "alpha=0.3,seed=1"."""
    label = ",".join(f"{name}={_digits(value)}" for name, value in values.items())
    if len(label) > LONGEST_LABEL:
        digest = hashlib.sha256(label.encode()).hexdigest()[:8]
        label = f"{label[: LONGEST_LABEL - 12]}...-{digest}"
    return label


def _leading_axis(name: str, values: Any) -> bool:
    if np.ndim(values) > 1 or np.shape(values) == (0,):
        raise ValueError(
            f"hyperparams.{name} has shape {np.shape(values)}; give one value, or one for each "
            "agent, [N]"
        )
    return np.ndim(values) == 1


def _checked_seeds(seeds: Any) -> list[int]:
    given = as_sequence(seeds)
    if not given:
        raise ValueError(
            f"seeds = {show(seeds)} is not a list of whole numbers; give e.g. [0, 1, 2]"
        )
    whole_number("the number of seeds", len(given), most=MOST_AGENTS)
    return [whole_number("seeds", seed, least=0, most=LARGEST_SEED) for seed in given]


def _check_distinct(table: AgentTable) -> None:
    first_with: dict[str, int] = {}
    for index in range(len(table)):
        earlier = first_with.setdefault(table.label(index), index)
        if earlier != index:
            raise ValueError(
                f"agents {earlier} and {index} have the same hyperparameters, the same environment "
                f"and the same seed {table.seeds[index]}, and would be the same agent twice; give "
                "different seeds"
            )


def _digits(value: float) -> str:
    short = f"{value:g}"
    return short if float(short) == value and isinstance(value, float) else str(value)
