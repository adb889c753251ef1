"""`make_train` and `make_trainer`: the training of one agent, ready to be mapped over many."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.config import Config
from rpojax.core.model import Model, make_model
from rpojax.core.train import init_agent, iterate, make_parts, run_updates, train_agent
from rpojax.hyperparams import HyperParams
from rpojax.programs.agents_at_once import agents_mapped
from rpojax.programs.protocols import Initialize, Iterate, RunUpdates, Train
from rpojax.types import Key, Metrics, TrainResult, TrainState


class Trainer(NamedTuple):
    """Training in steps, as pure functions. `hyperparams=None` takes the config's own."""

    init: Initialize  # (key, hyperparams=None) -> state
    iterate: Iterate  # (state, hyperparams=None) -> (state, metrics), one update
    run: RunUpdates  # (state, hyperparams=None, num_updates=None) -> (state, metrics)


def make_train(cfg: Config) -> Train:
    """The whole training of one agent, a pure function to `jit` and `vmap`.

    `cfg.agents_at_once` says how a `vmap` executes its agents.

    Returns:
        `train(key, hyperparams=None) -> TrainResult`; `key` is a typed PRNG key or uint32[2],
        `hyperparams` a `HyperParams` of scalars. Metrics are [cfg.num_updates].

    Raises:
        ValueError: the environment is unknown or its actions are not continuous, or the network
            does not fit it; the message says what to change. `train` raises it for a
            hyperparameter that is not a scalar, where no `vmap` maps its axis.
    """
    parts = make_parts(make_model(cfg))
    train_mapped = agents_mapped(parts.model, functools.partial(train_agent, parts))

    def train(key: Key, hyperparams: HyperParams | None = None) -> TrainResult:
        return train_mapped(key, _resolve(cfg, hyperparams))

    return train


def make_trainer(cfg: Config) -> Trainer:
    """Training in steps, for a loop of your own. See `make_train` for errors."""
    return trainer_for(make_model(cfg))


def trainer_for(model: Model) -> Trainer:
    """`make_trainer` with a model that has been built already."""
    cfg, parts = model.cfg, make_parts(model)
    init_mapped = agents_mapped(model, functools.partial(init_agent, parts))
    iterate_mapped = agents_mapped(model, functools.partial(iterate, parts))

    @functools.cache
    def run_mapped(num_updates: int) -> RunUpdates:
        function = functools.partial(run_updates, parts, num_updates=num_updates)
        return agents_mapped(model, function)

    def init(key: Key, hyperparams: HyperParams | None = None) -> TrainState:
        return init_mapped(key, _resolve(cfg, hyperparams))

    def iterate_agent(
        state: TrainState, hyperparams: HyperParams | None = None
    ) -> tuple[TrainState, Metrics]:
        return iterate_mapped(state, _unfolded(_resolve(cfg, hyperparams), state))

    def run(
        state: TrainState, hyperparams: HyperParams | None = None, num_updates: int | None = None
    ) -> tuple[TrainState, Metrics]:
        mapped = run_mapped(cfg.num_updates if num_updates is None else num_updates)
        return mapped(state, _unfolded(_resolve(cfg, hyperparams), state))

    return Trainer(init, iterate_agent, run)


def _resolve(cfg: Config, hyperparams: HyperParams | None) -> HyperParams:
    """The hyperparameters to train with, as float32, checked as far as they are known.

    The barrier keeps those that are known from being folded into the program as constants, which
    would change the last bits of an agent from what they are beside other agents.
    """
    if hyperparams is None:
        hyperparams = cfg.hyperparams()
    if not isinstance(hyperparams, HyperParams):
        raise ValueError(
            f"hyperparams = {hyperparams!r} is not a HyperParams; make one with cfg.hyperparams()"
        )
    for name, value in vars(hyperparams).items():
        if np.ndim(value):
            raise ValueError(
                f"hyperparams.{name} has shape {np.shape(value)}, and one agent takes one number; "
                f"map the axis with jax.vmap(..., in_axes=(None, HyperParams.axes({name}=0))), or "
                "pass hyperparams to rpojax.fit, which trains an agent for each value"
            )
    hyperparams.check()
    arrays = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), hyperparams)
    resolved: HyperParams = jax.lax.optimization_barrier(arrays)
    return resolved


def _unfolded(hyperparams: HyperParams, state: TrainState) -> HyperParams:
    """The hyperparameters as they are, made to depend on the state.

    XLA folds constants in spite of the barrier of `_resolve` where there is no loop around them: in
    one update alone.
    """
    begun = state.update_count >= 0
    return jax.tree.map(lambda leaf: jnp.where(begun, leaf, 0.0), hyperparams)
