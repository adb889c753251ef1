"""The compiled program of `fit`: a few updates of all agents, the state in its own memory."""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.agent.evaluation import evaluate
from rpojax.core.train import Trainer, is_finite, make_trainer
from rpojax.devices import sharded_vmap, spread
from rpojax.hyperparams import HyperParams
from rpojax.runs.settings import RunSettings
from rpojax.types import Array, Metrics, PyTree, TrainState

LONGEST_CHUNK = 256  # updates, whose metrics the device holds at one time
POLL_SECONDS = 0.02  # each look takes a core from the training
EVALUATION_STREAM = 0x6576616C  # what the evaluations' key is folded with


class Agents(NamedTuple):
    """S agents between two chunks, filled up with copies to a multiple of the devices."""

    state: TrainState  # [S, ...] the last that was finite
    finite: Array  # bool[S] False: NaN or infinity came next, and the agent stands still


class Chunks(NamedTuple):
    """The programs of a run, compiled."""

    longest: int
    # (agents, number of updates) -> agents, metrics of numpy arrays [S, number]
    advance: Callable[[Agents, int], tuple[Agents, Metrics]]
    evaluate: Callable[[Agents], np.ndarray]  # mean return of each agent, f32[S]


def first_agents(settings: RunSettings) -> Agents:
    """The agents before their first update."""
    keys = jax.random.split(jax.random.key(settings.seed), settings.num_seeds)
    trainer = make_trainer(settings.cfg)
    state = sharded_vmap(trainer.init, (0, None))(_filled_up(keys), settings.hyperparams)
    return Agents(state, sharded_vmap(is_finite)(state))


def restored_agents(state: TrainState, finite: np.ndarray) -> Agents:
    """Agents from a state [S, ...] that was kept, and whether each is finite."""
    return Agents(*spread(_filled_up((state, finite))))


def take(tree: PyTree, num_seeds: int) -> PyTree:
    """The agents that count, without the copies that fill up the devices."""
    return jax.tree.map(lambda leaf: leaf if len(leaf) == num_seeds else leaf[:num_seeds], tree)


def compile_chunks(settings: RunSettings, agents: Agents) -> Chunks:
    """Compile what advances these agents; what evaluates them is compiled when first used."""
    cfg, num_seeds, hyperparams = settings.cfg, settings.num_seeds, settings.hyperparams
    longest = min(cfg.num_updates, LONGEST_CHUNK)
    program = (
        sharded_vmap(
            functools.partial(_advance, make_trainer(cfg), longest),
            (0, None, None),
            donate_argnums=(0,),
        )
        .lower(agents, hyperparams, np.int32(0))
        .compile()
    )
    key = jax.random.fold_in(jax.random.key(settings.seed), EVALUATION_STREAM)

    def advance(agents: Agents, num_updates: int) -> tuple[Agents, Metrics]:
        agents, metrics = program(agents, hyperparams, np.int32(num_updates))
        _wait_for(metrics)
        return agents, _on_host(metrics, num_seeds, num_updates)

    @functools.partial(sharded_vmap, in_axes=(0, None))
    def mean_return(state: TrainState, key: Array) -> Array:
        return jnp.mean(evaluate(cfg, state, key, settings.eval_episodes).episode_return)

    def evaluate_all(agents: Agents) -> np.ndarray:
        return np.asarray(mean_return(agents.state, key))[:num_seeds]

    return Chunks(longest, advance, evaluate_all)


def blank_metrics(num_seeds: int, num_updates: int) -> Metrics:
    """Metrics of numpy arrays f32[S, num_updates], all NaN."""
    blank: Any = np.full((num_seeds, num_updates), np.nan, np.float32)
    return Metrics(**{name: blank.copy() for name in Metrics.__dataclass_fields__})


def _advance(
    trainer: Trainer,
    longest: int,
    agents: Agents,
    hyperparams: HyperParams | None,
    num_updates: Array,
) -> tuple[Agents, Metrics]:
    """`num_updates` updates of one agent, i32[] and `longest` at most.

    An update that gives NaN or infinity is not taken: the agent stays what it was before it, for
    good, and the metrics of this update and of later ones are NaN.

    Returns:
        The agent, and the metrics [longest], of which the first `num_updates` are set.
    """

    def step(index: Array, carry: tuple[Agents, Metrics]) -> tuple[Agents, Metrics]:
        before, rows = carry
        after, row = trainer.iterate(before.state, hyperparams)
        finite = before.finite & is_finite(after)
        state = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, before.state)
        rows = jax.tree.map(
            lambda values, value: values.at[index].set(jnp.where(finite, value, jnp.nan)), rows, row
        )
        return Agents(state, finite), rows

    blank = jnp.full((longest,), jnp.nan, jnp.float32)
    rows = Metrics(**dict.fromkeys(Metrics.__dataclass_fields__, blank))
    return jax.lax.fori_loop(0, num_updates, step, (agents, rows))


def _filled_up(tree: PyTree) -> PyTree:
    """[S, ...] with copies of the first agents up to a multiple of the devices."""
    count, devices = len(jax.tree.leaves(tree)[0]), jax.device_count()
    rows = np.arange(-(-count // devices) * devices) % count
    return tree if len(rows) == count else jax.tree.map(lambda leaf: leaf[rows], tree)


def _wait_for(metrics: Metrics) -> None:
    """Wait in short sleeps: signals are handled between them, and not while XLA is waited for."""
    while not all(leaf.is_ready() for leaf in jax.tree.leaves(metrics)):
        time.sleep(POLL_SECONDS)


def _on_host(metrics: Metrics, num_seeds: int, num_updates: int) -> Metrics:
    """The part of the metrics that counts, as numpy arrays [num_seeds, num_updates]."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:num_seeds, :num_updates], metrics)
