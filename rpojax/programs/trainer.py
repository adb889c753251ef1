"""`make_train` and `make_trainer`: the training of one agent, ready to be mapped over many."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.core.keys import check_key
from rpojax.core.model import Model, make_model
from rpojax.core.train import Parts, init_agent, iterate, make_parts, run_updates, train_agent
from rpojax.envs.params import resolve_params
from rpojax.programs.agents_at_once import agents_mapped
from rpojax.programs.protocols import EnvParams, Initialize, Iterate, RunUpdates, Train
from rpojax.programs.spread import ON_ALL, STATE, spread
from rpojax.rounding import as_argument
from rpojax.settings.config import Config
from rpojax.settings.hyperparams import HyperParams
from rpojax.types import Key, PyTree, TrainResult, TrainState
from rpojax.validation import whole_number


class Trainer(NamedTuple):
    """Training in steps, as pure functions.

    `hyperparams=None` takes the config's own. `env_params` are of the environment, as for
    `make_train`; give each function the same.

    After `cfg.num_updates` updates, "linear" schedules stay at their end: the learning rate at 0,
    so that nothing more is learnt, and alpha at `alpha_end`. Callable schedules are called with the
    larger counts. With lr_schedule = "constant", training can go on without an end. With
    lr_schedule = "kl_adaptive" the learning rate is part of the state, and that of `hyperparams`
    counts in the initial state only.
    """

    init: Initialize  # (key, hyperparams=None, env_params=None) -> state
    iterate: Iterate  # (state, hyperparams=None, env_params=None) -> (state, metrics), one update
    # (state, hyperparams=None, num_updates=None, env_params=None) -> (state, metrics)
    run: RunUpdates


def make_train(cfg: Config) -> Train:
    """The whole training of one agent, a pure function to `jit` and `vmap`.

    `cfg.agents_at_once` says how a `vmap` executes its agents. With `cfg.devices_per_agent` = k the
    agents run on the first k devices, one block after the other; `sharded_vmap` takes all devices.

    Returns:
        `train(key, hyperparams=None, env_params=None) -> TrainResult`; `key` is a typed PRNG key or
        uint32[2], `hyperparams` a `HyperParams` of scalars, `env_params` a dictionary with some of
        the environment's parameters, by their names in `envs.make(...).params` and in their
        shapes. Metrics are [cfg.num_updates].

    Raises:
        ValueError: the environment is unknown or its actions are not continuous, the network does
            not fit it, a schedule or the reward shaper cannot be used, or there are too few
            devices; the message says what to change. `train` raises it for a key or a
            hyperparameter that is not a single one, where no `vmap` maps its axis, and for a
            parameter of the environment that is unknown or has another shape.
    """
    parts = make_parts(make_model(cfg))
    result = TrainResult(state=STATE, metrics=ON_ALL, finite=ON_ALL)
    train_mapped = _mapped(parts, train_agent, ON_ALL, result)

    def train(
        key: Key, hyperparams: HyperParams | None = None, env_params: EnvParams | None = None
    ) -> TrainResult:
        check_key(key)
        given = resolve_hyperparams(cfg, hyperparams), resolve_params(parts.model.env, env_params)
        return train_mapped(key, *given)

    return train


def make_trainer(cfg: Config) -> Trainer:
    """Training in steps, for a loop of your own. See `make_train` for errors."""
    return trainer_for(make_model(cfg))


def trainer_for(model: Model) -> Trainer:
    """`make_trainer` with a model that has been built already."""
    (cfg, env, _), parts = model, make_parts(model)
    init_mapped = _mapped(parts, init_agent, ON_ALL, STATE)
    iterate_mapped = _mapped(parts, iterate, STATE, (STATE, ON_ALL))

    @functools.cache
    def run_mapped(num_updates: int) -> Any:
        run = functools.partial(run_updates, num_updates=num_updates)
        return _mapped(parts, run, STATE, (STATE, ON_ALL))

    def given(hyperparams: Any, env_params: Any, state: TrainState | None = None) -> Any:
        checked = resolve_hyperparams(cfg, hyperparams), resolve_params(env, env_params)
        return checked if state is None else as_argument(checked, state.update_count)

    def init(key: Key, hyperparams: Any = None, env_params: Any = None) -> Any:
        check_key(key)
        return init_mapped(key, *given(hyperparams, env_params))

    def iterate_agent(state: TrainState, hyperparams: Any = None, env_params: Any = None) -> Any:
        return iterate_mapped(state, *given(hyperparams, env_params, state))

    def run(
        state: TrainState, hyperparams: Any = None, num_updates: Any = None, env_params: Any = None
    ) -> Any:
        mapped = run_mapped(_resolve_num_updates(cfg, num_updates))
        return mapped(state, *given(hyperparams, env_params, state))

    return Trainer(init, iterate_agent, run)


def _mapped(
    parts: Parts, function: Callable[..., PyTree], in_spec: PyTree, out_specs: PyTree
) -> Any:
    """`function(parts, start, hyperparams, env_params)`, ready for `vmap`; see `agents_mapped`.

    `in_spec` and `out_specs` say which of `start`, and of the results, devices that share an agent
    divide among them.
    """
    of_agent = functools.partial(function, parts)
    in_specs = in_spec, ON_ALL, ON_ALL
    return agents_mapped(parts.model, spread(parts.model.cfg, of_agent, in_specs, out_specs))


def resolve_hyperparams(cfg: Config, hyperparams: HyperParams | None) -> HyperParams:
    """The hyperparameters to train with, as float32; concrete values are checked."""
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
    resolved: HyperParams = as_argument(arrays)
    return resolved


def _resolve_num_updates(cfg: Config, num_updates: int | None) -> int:
    """How many updates `Trainer.run` computes, which the program has as a constant."""
    if num_updates is None:
        return cfg.num_updates
    if isinstance(num_updates, jax.core.Tracer):
        raise ValueError(
            f"num_updates = {num_updates} is traced, and the length of the loop is static; give "
            "jax.jit(trainer.run, static_argnums=2), or static_argnames='num_updates'"
        )
    return whole_number("num_updates", num_updates, least=0)
