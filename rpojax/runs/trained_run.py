"""A run read from disk: its settings, its agents, and what they learnt."""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.agent.evaluation import Evaluation
from rpojax.agent.policy import Policy, RecurrentPolicy, policy_for
from rpojax.core.model import Model, make_model
from rpojax.devices.agreement import called_alike
from rpojax.envs.params import params_of_agents
from rpojax.programs.protocols import EnvParams
from rpojax.runs import storage
from rpojax.runs.agents import evaluation_keys, play_with_agents
from rpojax.runs.checkpoint import Agents, acting_model, read_history, read_policy, read_run
from rpojax.runs.checkpoint_manager import checkpoint_directory, first_read
from rpojax.runs.settings import RunSettings, settings_from_record
from rpojax.runs.storage import Stored
from rpojax.settings.agent_table import LARGEST_SEED, AgentTable
from rpojax.settings.config import Config
from rpojax.types import Metrics, TrainResult, TrainState
from rpojax.validation import whole_number


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TrainedRun:
    """A run of `rpojax.fit` or `rpojax train`, read by `load`.

    `load` reads what acting needs. `metrics`, `result`, `state` and `model` are read or made when
    they are first asked for, from the same checkpoint; policies can be had where these cannot, such
    as with another version of the environment.

    Attributes:
        checkpoint: path of the checkpoint that was read.
        settings: all settings of the run.
        updates: i64[N] updates after which each agent's state was saved; all the same unless
            `load` took the best states.
        finite: bool[N] False for agents that diverged.
        policies: state [N, ...] of the agents with what acting needs: parameters and statistics;
            the other fields are None.
    """

    checkpoint: Path
    settings: RunSettings
    updates: np.ndarray
    finite: np.ndarray
    policies: TrainState
    _stored: Stored
    _read: Agents
    _best: bool

    def __repr__(self) -> str:
        count, ends = len(self.agents), sorted({self.updates.min(), self.updates.max()})
        lost = count - np.count_nonzero(self.finite)
        return (
            f"TrainedRun: {count} {'agent' if count == 1 else 'agents'} of {self.cfg.env}, after "
            f"{' to '.join(map(str, ends))} of {self.cfg.num_updates} updates, "
            f"{f'{lost} diverged' if lost else 'all finite'}\n  {self.checkpoint}"
        )

    @functools.cached_property
    def model(self) -> Model:
        """The environment and the network that the config stands for."""
        return make_model(self.cfg)

    @functools.cached_property
    def metrics(self) -> Metrics:
        """Metrics of the training, f32[N, updates]; NaN for those that the file lacks."""
        return read_history(self._stored, self.settings)["metrics"]

    @functools.cached_property
    def result(self) -> TrainResult:
        """Of N agents: state [N, ...], metrics [N, updates], finite bool[N].

        Raises:
            ValueError: this version of rpojax or of the environment has another state; the message
                names what differs, and the versions that wrote it. Or the state is damaged:
                `resume` then continues from the checkpoint before.
        """
        run = read_run(self._stored, self.settings, self.model, self._read)
        if self._best:
            assert run.best is not None
            run.states = run.states._replace(state=run.best.state)
        return run.result()

    @property
    def cfg(self) -> Config:
        """The run's config."""
        return self.settings.cfg

    @property
    def train_seconds(self) -> float:
        """Seconds that the updates took, without compilation, evaluation and saving."""
        return self._stored.record["train_seconds"]

    @property
    def agents(self) -> AgentTable:
        """Seed, hyperparameters and parameters of the environment of each agent."""
        return self.settings.agents

    def state(self, agent: int = 0) -> TrainState:
        """The state of one agent; ValueError if there is no such agent, or as for `result`."""
        index = self._index(agent)
        return self.result.select(index).state

    def policy_state(self, agent: int = 0) -> TrainState:
        """What acting needs of the state of one agent; see `policies`."""
        index = self._index(agent)
        return jax.tree.map(lambda leaf: jnp.asarray(leaf[index]), self.policies)

    def policy(self, agent: int = 0, deterministic: bool = True) -> Policy | RecurrentPolicy:
        """The policy of one agent, as `make_policy` makes it, without the environment."""
        return policy_for(self.acting, self.policy_state(agent), deterministic)

    @functools.cached_property
    def acting(self) -> Model:
        """The model with a description of the environment, if that is enough to act."""
        return acting_model(self._stored, self.settings)

    def _index(self, agent: int) -> int:
        index, count = whole_number("agent", agent, least=0), len(self.agents)
        if index >= count:
            raise ValueError(f"agent = {index} is not in this run; give 0 to {count - 1}")
        return index

    @called_alike("evaluate")
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
        return play_with_agents(
            self.model, self.policies, keys, params, num_episodes, deterministic, max_steps
        )


def load(directory: str | Path, *, best: bool = False, cfg: Config | None = None) -> TrainedRun:
    """Read a run from its newest undamaged checkpoint.

    Args:
        directory: of the run, or the `checkpoint_dir` of `rpojax.fit`.
        best: take each agent at its best evaluation (`eval_every`) in place of its last state.
        cfg: the run's config; needed where it holds objects that a file cannot hold, such as
            functions, modules and environments.

    Raises:
        ValueError: there is no undamaged checkpoint, or one of another format; `cfg` differs from
            the run's; `best`, and no evaluation has been saved.
    """

    def read(path: Path) -> TrainedRun:
        stored = storage.opened(path)
        settings = settings_from_record(stored.record["settings"], cfg)
        agents = read_policy(stored, settings, acting_model(stored, settings))
        state, updates = agents.state, np.full(len(agents.finite), stored.record["updates"])
        if best:
            if agents.best is None:
                raise ValueError(
                    f"{str(path)!r} holds no evaluated agents; train with eval_every, or load the "
                    "run without best"
                )
            state, updates = agents.best.state, np.asarray(agents.best.state.update_count)
        return TrainedRun(path, settings, updates, agents.finite, state, stored, agents, best)

    return first_read(checkpoint_directory(directory), read)
