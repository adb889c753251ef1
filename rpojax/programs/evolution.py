"""A generation of population-based training: copy the best agents, change hyperparameters.

Truncation selection of Jaderberg et al. (2017), Population Based Training of Neural Networks,
arXiv 1711.09846, section 4.1.1, as pure functions of a whole population of N agents.
"""

import dataclasses

import jax
import jax.numpy as jnp

from rpojax.programs.agent_states import AgentStates, rows_of
from rpojax.settings.hyperparams import HyperParams
from rpojax.settings.pbt import PBT
from rpojax.settings.ranges import LogUniform, Uniform
from rpojax.types import Array, Key

LEARNT = ("params", "opt_state", "learning_rate", "obs_stats", "reward_stats", "value_stats")
"""Fields of `TrainState` that are copied. Environments, their parameters, episodes and keys stay an
agent's own."""


def evolve(pbt: PBT, population: AgentStates, scores: Array, key: Key) -> tuple[AgentStates, Array]:
    """Replace the worst agents.

    Args:
        pbt: settings.
        population: N agents.
        scores: f32[N], higher is better; NaN counts as the worst, and so does an agent that
            diverged.
        key: of this generation.

    Returns:
        The population, and the parents i32[N]: the agent that each continues, itself for most.
    """
    count = scores.shape[0]
    choice_key, explore_key = jax.random.split(key)
    scores = jnp.where(population.finite & ~jnp.isnan(scores), scores, -jnp.inf)
    parents = choose_parents(scores, pbt.number_replaced(count), choice_key)
    replaced = parents != jnp.arange(count)
    copied = rows_of(population.hyperparams, parents)
    explored = explore(pbt, copied, explore_key)
    hyperparams = jax.tree.map(
        lambda new, old: jnp.where(replaced, new, old), explored, population.hyperparams
    )
    learnt = {name: rows_of(getattr(population.state, name), parents) for name in LEARNT}
    # With a rate that adapts to the KL, the copy continues from the rate in the state.
    change = jnp.where(replaced, hyperparams.learning_rate / copied.learning_rate, 1.0)
    learnt["learning_rate"] = learnt["learning_rate"] * change
    state = population.state.replace(**learnt)
    evolved = AgentStates(state, population.finite[parents], hyperparams, population.env_params)
    return evolved, parents


def choose_parents(scores: Array, num_replaced: int, key: Key) -> Array:
    """For each agent the one that it continues, i32[N].

    Each of the `num_replaced` agents with the lowest scores f32[N] continues one of as many with
    the highest, drawn uniformly; the others continue themselves. Of equal scores, the first agent
    is the lower one. No agent is replaced by a copy of one whose score is -inf.
    """
    order = jnp.argsort(scores, stable=True)
    worst, best = order[:num_replaced], order[-num_replaced:]
    drawn = best[jax.random.randint(key, (num_replaced,), 0, num_replaced)]
    drawn = jnp.where(scores[drawn] == -jnp.inf, worst, drawn)
    return jnp.arange(scores.shape[0]).at[worst].set(drawn)


def explore(pbt: PBT, hyperparams: HyperParams, key: Key) -> HyperParams:
    """Other values f32[N] of the hyperparameters that evolve, within their ranges."""
    changed = {}
    for index, (name, interval) in enumerate(pbt.ranges.items()):
        value = getattr(hyperparams, name)
        keys = jax.random.split(jax.random.fold_in(key, index), 3)
        factors = jnp.asarray(pbt.factors, jnp.float32)
        factor = factors[jax.random.randint(keys[0], value.shape, 0, len(pbt.factors))]
        is_drawn = jax.random.uniform(keys[1], value.shape) < pbt.resample
        drawn = _draw(interval, keys[2], value.shape)
        moved = jnp.where(is_drawn, drawn, value * factor)
        changed[name] = jnp.clip(moved, interval.low, interval.high)
    return dataclasses.replace(hyperparams, **changed)


def _draw(interval: Uniform | LogUniform, key: Key, shape: tuple[int, ...]) -> Array:
    if isinstance(interval, LogUniform):
        ends = jnp.log(jnp.asarray(interval, jnp.float32))
        return jnp.exp(jax.random.uniform(key, shape, jnp.float32, ends[0], ends[1]))
    return jax.random.uniform(key, shape, jnp.float32, interval.low, interval.high)


def training_scores(episode_return: Array, episode_count: Array) -> Array:
    """Mean return over all episodes of a generation, f32[N], of metrics [N, updates].

    NaN where no episode ended.
    """
    total = jnp.sum(jnp.where(episode_count > 0, episode_return * episode_count, 0.0), axis=1)
    return total / jnp.sum(episode_count, axis=1)
