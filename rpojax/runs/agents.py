"""The compiled programs of a run: train all agents for some updates, evaluate them."""

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.agent.evaluation import PROGRAMS_KEPT, Evaluation, as_evaluated, play_episodes
from rpojax.core.divergence import QUANTITIES, first_not_finite
from rpojax.core.model import Model, make_model
from rpojax.core.train import init_agent, is_finite, make_parts
from rpojax.devices.host_arrays import to_host
from rpojax.devices.memory import REMEDY, bytes_available, bytes_needed, in_words
from rpojax.devices.processes import several, wait_for
from rpojax.devices.sharding import shard, sharded_vmap
from rpojax.programs.agent_states import AgentStates
from rpojax.programs.agents_at_once import agents_at_once, agents_mapped
from rpojax.programs.blocks import in_blocks
from rpojax.programs.spread import AGENT, ON_ALL, STATE, place, spread
from rpojax.runs.chunk import Chunk, evolving, train_one_agent
from rpojax.runs.run_state import Best
from rpojax.runs.settings import RunSettings
from rpojax.settings.agent_table import AgentTable
from rpojax.settings.config import Config
from rpojax.trees import select
from rpojax.types import Array, Evolution, Key, Metrics, PyTree, TrainState

LONGEST_CHUNK = 256  # updates, whose metrics the device holds at one time
EVALUATION_STREAM = 0x6576616C  # folded into an agent's key for its evaluations


class Programs(NamedTuple):
    """The programs of a run; what evaluates is compiled when first called."""

    longest: int  # updates of a chunk
    device_bytes: int | None  # of training on each device; None if XLA does not report it
    # (states, from which update to which, evolution so far) -> states, whether each is finite
    # bool[N], metrics f32[N, n], evolution [N, generations] or None; all but the states are numpy
    # arrays
    train: Callable[
        [AgentStates, slice, Evolution | None],
        tuple[AgentStates, np.ndarray, Metrics, Evolution | None],
    ]
    # (states, best so far) -> mean return of each agent f32[N], best
    evaluate: Callable[[AgentStates, Best | None], tuple[np.ndarray, Best]]
    # states -> for each agent what its next update computes first that is not finite
    diagnose: Callable[[AgentStates], list[str]]


def initial_states(model: Model, agents: AgentTable) -> AgentStates:
    """The agents before their first update."""
    cfg, parts = model.cfg, make_parts(model)
    per_agent = cfg.devices_per_agent

    init_one = functools.partial(init_agent, parts)
    init = agents_mapped(model, spread(cfg, init_one, (ON_ALL, ON_ALL, ON_ALL), STATE))
    given = shard((agents.keys(), agents.hyperparams, dict(agents.env_params)), per_agent)
    state = sharded_vmap(init, devices_per_agent=per_agent)(*given)
    finite = sharded_vmap(is_finite, devices_per_agent=per_agent)(state)
    return place(cfg, AgentStates(state, finite, *given[1:]))


def compile_programs(model: Model, settings: RunSettings, states: AgentStates) -> Programs:
    """Compile the program that trains these agents."""
    agents, count = settings.agents, len(settings.agents)
    per_agent = settings.cfg.devices_per_agent
    keys = shard(evaluation_keys(agents), per_agent)
    longest, program = _compile_chunk(model, settings, states)

    def train_chunk(states: AgentStates, updates: slice, before: Evolution | None) -> Any:
        num_updates = updates.stop - updates.start
        given: tuple[Any, ...] = states, np.int32(num_updates), np.int32(updates.start)
        if settings.evolve is not None:
            given = *given, last_scores(before, count)
        states, metrics, taken, evolution = program(*given)
        wait_for(metrics)
        if several():
            metrics, taken = _columns((metrics, taken), columns_sent(num_updates, longest))
        finite, metrics, taken, evolution = to_host((states.finite, metrics, taken, evolution))
        rows = slice(count), slice(num_updates)
        metrics = jax.tree.map(
            lambda leaf: np.where(taken[rows], leaf[rows], np.float32(np.nan)), metrics
        )
        if settings.evolve is not None:
            rows = slice(count), slice(settings.evolve.generations(num_updates))
            evolution = jax.tree.map(lambda leaf: leaf[rows], evolution)
        states = place(settings.cfg, states)
        return states, finite[:count], _nan_without_episodes(metrics), evolution

    def play_and_compare(
        state: TrainState, env_params: Mapping[str, Array], key: Key, best: Best
    ) -> tuple[Array, Best]:
        played = play_episodes(model, state, key, env_params, settings.eval_episodes)
        mean = jnp.mean(played.episode_return)
        found = Best(state, mean)
        return mean, select(mean > best.evaluation_return, found, best)

    play_and_compare_all = sharded_vmap(
        agents_mapped(model, play_and_compare), devices_per_agent=per_agent
    )

    def evaluate_and_keep_best(states: AgentStates, best: Best | None) -> tuple[np.ndarray, Best]:
        if best is None:
            lowest = jnp.full_like(states.finite, -jnp.inf, jnp.float32)
            best = Best(states.state, lowest)
        with _key_reuse_unchecked():
            means, best = play_and_compare_all(states.state, states.env_params, keys, best)
        return to_host(means)[:count], best

    def diagnose_agent(states: AgentStates) -> Array:
        return first_not_finite(model, states.state, states.hyperparams, states.env_params)

    first = sharded_vmap(
        spread(settings.cfg, diagnose_agent, (AGENT,), ON_ALL), devices_per_agent=per_agent
    )

    def diagnose(states: AgentStates) -> list[str]:
        with _key_reuse_unchecked():
            indices = to_host(first(states))[:count]
        return [QUANTITIES[index] for index in indices]

    return Programs(longest, bytes_needed(program), train_chunk, evaluate_and_keep_best, diagnose)


def _compile_chunk(
    model: Model, settings: RunSettings, states: AgentStates
) -> tuple[int, jax.stages.Compiled]:
    """The updates of the longest chunk, and the program that trains all agents for some.

    The agents are computed in smaller blocks if memory is short.

    Raises:
        MemoryError: the agents do not fit into a device's memory, even one after the other.
    """
    parts, evolve = make_parts(model), settings.evolve
    longest = min(settings.cfg.num_updates, LONGEST_CHUNK)
    if evolve is not None:
        longest = evolve.every * max(1, longest // evolve.every)
    device = jax.local_devices()[0]
    available = bytes_available(device)
    per_agent = settings.cfg.devices_per_agent
    most = len(states.finite) // (jax.device_count() // per_agent)
    block = agents_at_once(model, jax.local_device_count()) or most

    def up_to(updates: int) -> Callable[..., Any]:
        train_one = functools.partial(train_one_agent, parts, updates)
        return spread(settings.cfg, train_one, (AGENT, ON_ALL), (AGENT, ON_ALL, ON_ALL))

    while True:
        size = functools.partial(int, block)
        if evolve is None:
            train_some = in_blocks(up_to(longest), size)

            def train_agents(states: AgentStates, num_updates: Array, done: Array) -> Chunk:
                del done  # counts generations
                return Chunk(*train_some(states, num_updates))  # noqa: B023

            train = sharded_vmap(
                train_agents, (0, None, None), donate_argnums=(0,), devices_per_agent=per_agent
            )
        else:
            generation = in_blocks(up_to(evolve.every), size)
            train = evolving(model, settings, generation, longest)
        with _key_reuse_unchecked():
            scores = () if evolve is None else (last_scores(None, len(settings.agents)),)
            program = train.lower(states, np.int32(0), np.int32(0), *scores).compile()
        needed = bytes_needed(program)
        if needed is None or available is None or needed <= available:
            return longest, program
        if block == 1:
            raise MemoryError(
                f"{len(states.finite)} agents need {in_words(needed)} on each device, and "
                f"{device} has {in_words(available)}; {REMEDY}"
            )
        block = max(1, min(block, most) // 2)


def last_scores(evolution: Evolution | None, count: int) -> np.ndarray:
    """The score of each agent of a population, f32[count], or of the one that it has copied.

    Args:
        evolution: the history so far, of numpy arrays; None without any.
        count: agents.

    Returns:
        NaN for those that never had a score.
    """
    if evolution is None or not evolution.scores.shape[1]:
        return np.full(count, np.nan, np.float32)
    return np.asarray(evolution.scores)[np.asarray(evolution.parents)[:, -1], -1]


def columns_sent(number: int, longest: int) -> int:
    """Columns of a chunk's metrics that processes exchange: rounded up, to compile few programs."""
    return min(longest, 1 << (number - 1).bit_length())


@functools.partial(jax.jit, static_argnums=1)
def _columns(tree: PyTree, number: int) -> PyTree:
    """The first columns of arrays [N, longest]."""
    return jax.tree.map(lambda leaf: leaf[:, :number], tree)


def evaluation_keys(agents: AgentTable) -> Key:
    """The key of each agent's evaluation episodes, [N], a function of only its seed."""
    return jax.vmap(lambda key: jax.random.fold_in(key, EVALUATION_STREAM))(agents.keys())


def play_with_agents(
    model: Model,
    state: TrainState,
    keys: Key,
    env_params: Mapping[str, Any],
    num_episodes: int,
    deterministic: bool = True,
    max_steps: int | None = None,
) -> Evaluation:
    """Episodes [N, num_episodes] of agents [N, ...], over all devices.

    The program is kept, for agents of the same config.

    Args:
        model: what the agents were trained with.
        state: of all agents.
        keys: [N], such as `evaluation_keys`.
        env_params: changed parameters of the environments, f32[N, ...] by name.
        num_episodes: of each agent.
        deterministic: True for mean actions, False for samples of the policy.
        max_steps: as in `rpojax.evaluate`.
    """
    program = _playing(as_evaluated(model.cfg), num_episodes, deterministic, max_steps)
    with _key_reuse_unchecked():
        played: Evaluation = program(state, dict(env_params), keys)
    return to_host(played) if several() else played


@functools.lru_cache(PROGRAMS_KEPT)
def _playing(
    cfg: Config, num_episodes: int, deterministic: bool, max_steps: int | None
) -> jax.stages.Wrapped:
    model = make_model(cfg)

    def play(state: TrainState, env_params: Mapping[str, Array], key: Key) -> Evaluation:
        return play_episodes(model, state, key, env_params, num_episodes, deterministic, max_steps)

    return sharded_vmap(agents_mapped(model, play))


def _key_reuse_unchecked() -> AbstractContextManager[None]:
    """Switch `jax_debug_key_reuse` off for vmapped agents.

    JAX takes a scan over split keys for a reuse when it is vmapped. `make_train(cfg)`, which is the
    same program for one agent, passes the check.
    """
    context: AbstractContextManager[None] = jax.debug_key_reuse(False)
    return context


def _nan_without_episodes(metrics: Metrics) -> Metrics:
    """Means over no episodes as NaN again: under `jax_debug_nans` programs return 0 for them."""

    def with_nan(mean: Array) -> Any:
        return np.where((metrics.episode_count == 0) & (mean == 0), np.float32(np.nan), mean)

    return metrics.replace(
        episode_return=with_nan(metrics.episode_return),
        episode_length=with_nan(metrics.episode_length),
        environment=jax.tree.map(with_nan, metrics.environment),
    )
