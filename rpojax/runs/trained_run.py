"""A run read from disk: its settings, its agents, and what they learnt."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.agent.evaluation import Evaluation
from rpojax.agent.policy import Policy, RecurrentPolicy, policy_for
from rpojax.core.model import Model
from rpojax.envs.params import params_of_agents
from rpojax.programs.protocols import EnvParams
from rpojax.runs.agents import evaluate_agents, evaluation_keys
from rpojax.runs.checkpoint import Checkpoint
from rpojax.runs.checkpoint_manager import checkpoint_directory, newest
from rpojax.runs.loop import result_of
from rpojax.runs.settings import RunSettings
from rpojax.settings.agent_table import LARGEST_SEED, AgentTable
from rpojax.settings.config import Config
from rpojax.types import TrainResult, TrainState
from rpojax.validation import whole_number


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedRun:
    """A run of `rpojax.fit` or `rpojax train`, read by `load`.

    Attributes:
        checkpoint: path of the checkpoint that was read.
        settings: all settings of the run.
        result: of N agents: state [N, ...], metrics [N, updates], finite bool[N].
        updates: i64[N] updates after which each agent's state was saved; all the same unless
            `load` took the best states.
        model: the environment and the network that the config stands for.
    """

    checkpoint: Path
    settings: RunSettings
    result: TrainResult
    updates: np.ndarray
    model: Model

    @property
    def cfg(self) -> Config:
        """The run's config."""
        return self.settings.cfg

    @property
    def agents(self) -> AgentTable:
        """Seed, hyperparameters and parameters of the environment of each agent."""
        return self.settings.agents

    def state(self, agent: int = 0) -> TrainState:
        """The state of one agent; ValueError if there is no such agent."""
        index, count = whole_number("agent", agent, least=0), len(self.agents)
        if index >= count:
            raise ValueError(f"agent = {index} is not in this run; give 0 to {count - 1}")
        return self.result.select(index).state

    def policy(self, agent: int = 0, deterministic: bool = True) -> Policy | RecurrentPolicy:
        """The policy of one agent, as `rpojax.make_policy` makes it."""
        return policy_for(self.model, self.state(agent), deterministic)

    def evaluate(
        self,
        num_episodes: int = 128,
        *,
        seed: int | None = None,
        deterministic: bool = True,
        max_steps: int | None = None,
        env_params: EnvParams | None = None,
    ) -> Evaluation:
        """Play episodes with every agent, [N, num_episodes]; see `rpojax.evaluate`.

        Args:
            num_episodes: of each agent.
            seed: of the episodes, the same ones for all agents; None: each agent plays those that
                follow from its own seed, as in the evaluations of `fit`.
            deterministic: True for mean actions, False for samples of the policy.
            max_steps: as in `rpojax.evaluate`.
            env_params: parameters of the environments to change, in place of those that the agents
                were trained with; one value for all agents alike, or one for each, [N, ...].
        """
        num_episodes = whole_number("num_episodes", num_episodes)
        keys = evaluation_keys(self.agents)
        if seed is not None:
            key = jax.random.key(whole_number("seed", seed, least=0, most=LARGEST_SEED))
            keys = jnp.broadcast_to(key, keys.shape)
        count = len(self.agents)
        params = dict(self.agents.env_params)
        for name, rows in params_of_agents(self.model.env, env_params).items():
            if len(rows) not in (1, count):
                raise ValueError(
                    f"env_params[{name!r}] has {len(rows)} values, and the run has {count} agents; "
                    "give one for all, or one for each"
                )
            params[name] = np.broadcast_to(rows, (count, *rows.shape[1:]))
        return evaluate_agents(
            self.model, self.result.state, keys, params, num_episodes, deterministic, max_steps
        )


def load(directory: str | Path, *, best: bool = False, cfg: Config | None = None) -> TrainedRun:
    """Read a run from its newest undamaged checkpoint.

    Args:
        directory: of the run, or the `checkpoint_dir` of `rpojax.fit`.
        best: take each agent at its best evaluation (`eval_every`) in place of its last state.
        cfg: the run's config; needed where it holds objects that a file cannot hold, such as
            functions, modules and environments.

    Raises:
        ValueError: there is no undamaged checkpoint; `cfg` differs from the run's; `best`, and no
            evaluation has been saved.
    """
    return trained_run(newest(checkpoint_directory(directory), cfg), best=best)


def trained_run(found: Checkpoint, *, best: bool = False) -> TrainedRun:
    """The run of a checkpoint; see `load`."""
    snapshot = found.snapshot
    updates = np.full(len(found.settings.agents), snapshot.updates)
    if best:
        if snapshot.best is None:
            raise ValueError(
                f"{str(found.path)!r} holds no evaluated agents; train with eval_every, or load "
                "the run without best"
            )
        updates = np.asarray(snapshot.best.updates)
        snapshot = snapshot._replace(state=snapshot.best.state)
    return TrainedRun(found.path, found.settings, result_of(snapshot), updates, found.model)
