"""The program of a chunk: some updates of all agents of a run, independent or as a population."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.agent.evaluation import play_episodes
from rpojax.core.model import Model
from rpojax.core.train import Parts, is_finite, iterate
from rpojax.devices.sharding import agents_sharding, sharded_vmap
from rpojax.programs.agent_states import AgentStates, rows_of
from rpojax.programs.agents_at_once import agents_mapped
from rpojax.programs.evolution import evolve, training_scores
from rpojax.programs.spread import agents_shardings
from rpojax.runs.settings import RunSettings
from rpojax.settings.pbt import PBT
from rpojax.trees import select
from rpojax.types import Array, Evolution, Key, Metrics, TrainState

EVOLUTION_STREAM = 0x65766F6C  # folded into the key of the first seed, for the choices of evolution


class Chunk(NamedTuple):
    """What the program of a chunk returns, with room for the longest chunk."""

    states: AgentStates
    metrics: Metrics  # [N, updates]
    taken: Array  # bool[N, updates] the updates that were taken
    evolution: Evolution | None = None  # [N, generations]; None without `evolve`


def evolving(
    model: Model, settings: RunSettings, generation: Callable[..., Any], longest: int
) -> jax.stages.Wrapped:
    """The program of a population, over all devices, which communicate between generations only.

    Args:
        model: what is trained.
        settings: with `evolve`.
        generation: (states of one agent, number of updates) -> states, metrics, taken; of one
            generation at most.
        longest: updates of a chunk, whole generations.

    Returns:
        (states, number of updates, updates done before, scores after the last generation f32[N]) ->
        `Chunk`, which begins where a generation does.
    """
    pbt, count = settings.evolve, len(settings.agents)
    assert pbt is not None
    every, last_update = pbt.every, settings.cfg.num_updates
    per_agent = settings.cfg.devices_per_agent
    train_generation = sharded_vmap(generation, (0, None), devices_per_agent=per_agent)
    base_key = jax.random.fold_in(jax.random.key(settings.agents.seeds[0]), EVOLUTION_STREAM)

    def play(state: TrainState, env_params: Mapping[str, Array], key: Key) -> Array:
        played = play_episodes(model, state, key, env_params, pbt.eval_episodes)
        return jnp.mean(played.episode_return)

    evaluate_all = sharded_vmap(
        agents_mapped(model, play), (0, 0, None), devices_per_agent=per_agent
    )

    def scores_of(states: AgentStates, metrics: Metrics, key: Key) -> Array:
        if pbt.eval_episodes:
            scores: Array = evaluate_all(states.state, states.env_params, key)
            return scores
        return training_scores(metrics.episode_return, metrics.episode_count)

    def one_generation(
        carry: tuple[Array, Array, Chunk], first_update: Array, num_updates: Array
    ) -> Any:
        done, known_scores, (states, metrics, taken, history) = carry
        start = first_update + done
        key = jax.random.fold_in(base_key, start // every)
        evolve_key, play_key = jax.random.split(key)
        updates = jnp.minimum(every, num_updates - done)
        used = states.hyperparams
        states, rows, rows_taken = train_generation(states, updates)
        scores = scores_of(states, rows, play_key)
        scores = jnp.where(jnp.isnan(scores), known_scores, scores)  # where no episode has ended
        end = start + updates
        states, parents = jax.lax.cond(
            (end % every == 0) & (end < last_update),
            lambda states: _next_generation(pbt, states, scores, evolve_key, count),
            lambda states: (states, jnp.arange(len(scores))),
            states,
        )
        found = Evolution(hyperparams=used, scores=scores, parents=parents)
        history = jax.tree.map(lambda all, new: all.at[:, done // every].set(new), history, found)
        metrics, taken = jax.tree.map(
            lambda all, new: jax.lax.dynamic_update_slice(all, new, (0, done)),
            (metrics, taken),
            (rows, rows_taken),
        )
        return done + updates, scores[parents], Chunk(states, metrics, taken, history)

    def train_population(
        states: AgentStates, num_updates: Array, first_update: Array, known_scores: Array
    ) -> Chunk:
        rows = states.finite.shape[0]
        blank = jnp.zeros((rows, longest), jnp.float32)
        of_generations = jnp.zeros((rows, longest // every), jnp.float32)
        chunk = Chunk(
            states=states,
            metrics=Metrics.filled(blank, states.state.episode.metrics),
            taken=jnp.zeros((rows, longest), bool),
            evolution=Evolution(
                hyperparams=jax.tree.map(lambda _: of_generations, states.hyperparams),
                scores=of_generations,
                parents=of_generations.astype(jnp.int32),
            ),
        )
        *_, chunk = jax.lax.while_loop(
            lambda carry: carry[0] < num_updates,
            lambda carry: one_generation(carry, first_update, num_updates),
            (jnp.zeros((), jnp.int32), known_scores[np.arange(rows) % count], chunk),
        )
        return chunk

    of_agents: Any = agents_sharding(per_agent)
    of_states = agents_shardings(per_agent)
    return jax.jit(
        train_population,
        donate_argnums=(0,),
        in_shardings=(of_states, None, None, None),
        out_shardings=Chunk(of_states, of_agents, of_agents, of_agents),
    )


def _next_generation(
    pbt: PBT, states: AgentStates, scores: Array, key: Key, count: int
) -> tuple[AgentStates, Array]:
    """The states after `evolve`; rows after the first `count` stay copies of the first ones."""
    evolved, parents = evolve(pbt, rows_of(states, slice(count)), scores[:count], key)
    padding = np.arange(states.finite.shape[0]) % count
    if len(padding) != count:
        evolved, parents = rows_of((evolved, parents), padding)
    return evolved, parents


def train_one_agent(
    parts: Parts,
    longest: int,
    states: AgentStates,
    num_updates: Array,
) -> tuple[AgentStates, Metrics, Array]:
    """`num_updates` updates of one agent, i32[] and `longest` at most.

    An update that gives NaN or infinity is not taken: the agent stays as it was before it.

    Returns:
        The agent; the metrics [longest]; and bool[longest], True for the updates that were taken.
        The metrics of other updates are 0.
    """

    def step(
        index: Array, carry: tuple[tuple[TrainState, Array], Metrics, Array]
    ) -> tuple[tuple[TrainState, Array], Metrics, Array]:
        before, rows, taken = carry
        state, finite = before
        after, row = iterate(parts, state, states.hyperparams, states.env_params)
        finite &= is_finite(after)
        state = select(finite, after, state)
        rows = jax.tree.map(
            lambda values, value: values.at[index].set(jnp.where(finite, value, 0.0)), rows, row
        )
        return (state, finite), rows, taken.at[index].set(finite)

    rows = Metrics.filled(jnp.zeros((longest,), jnp.float32), states.state.episode.metrics)
    taken = jnp.zeros((longest,), bool)
    before = states.state, states.finite
    (state, finite), rows, taken = jax.lax.fori_loop(0, num_updates, step, (before, rows, taken))
    return states._replace(state=state, finite=finite), rows, taken
