"""Play whole episodes with a trained agent."""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rpojax.agent.inputs import check_state, check_train_state, episode_limit
from rpojax.core.acting import play
from rpojax.core.invalid import end_where_invalid
from rpojax.core.keys import check_key
from rpojax.core.model import Model, check_config, make_model
from rpojax.envs.base import Params
from rpojax.envs.params import resolve_params
from rpojax.programs.agents_at_once import agents_mapped
from rpojax.programs.protocols import EnvParams
from rpojax.settings.config import Config
from rpojax.settings.declared import settings_of
from rpojax.settings.hyperparams import HyperParams
from rpojax.settings.sizes import MOST
from rpojax.trees import select
from rpojax.types import Array, Key, PyTree, Struct, TrainState
from rpojax.validation import check_bool, whole_number

PROGRAMS_KEPT = 16  # compiled evaluations, of some megabytes each


class Evaluation(Struct):
    """Episodes played by one agent, N of them; undiscounted, the environment's own rewards."""

    episode_return: Array  # [N]
    episode_length: Array  # i32[N]
    finished: Array  # bool[N] False: still running after max_steps
    invalid: Array  # bool[N] True: ended by a step that gave NaN or infinity, with reward 0
    metrics: Mapping[str, Array]  # [N] the environment's own, summed over the episode


class _Episodes(NamedTuple):
    """N episodes; one that has ended does not change any more."""

    env_state: PyTree  # [N, ...]
    obs: PyTree  # [N, ...]
    carry: PyTree  # [N, ...] of the network


class _Progress(NamedTuple):
    step: Array  # i32[]
    key: Key
    episodes: _Episodes
    evaluation: Evaluation


def evaluate(
    cfg: Config,
    state: TrainState,
    key: Key,
    num_episodes: int = 128,
    deterministic: bool = True,
    max_steps: int | None = None,
    env_params: EnvParams | None = None,
) -> Evaluation:
    """Play `num_episodes` episodes side by side, each from its own start to its end.

    Pure and jitted; of several agents, `jax.vmap(lambda s: evaluate(cfg, s, key))(result.state)`,
    which computes as many at a time as `cfg.agents_at_once` says.
    The policy is not perturbed. An episode that has ended stays as it is, so that no reset is
    compiled into the loop.

    Args:
        cfg: what the agent was trained with.
        state: of one agent.
        key: for the starts, the environment and, if stochastic, the actions.
        num_episodes: N.
        deterministic: True for mean actions, False for samples of the policy.
        max_steps: after which to stop an episode; None for the environment's own limit, or 1000 if
            it has none.
        env_params: parameters of the environment to change, as for `make_train`.

    Raises:
        ValueError: `cfg` is not a `Config`; `state` is not one that `make_policy` takes;
            `num_episodes` or `max_steps` is out of range; as `make_train`.
    """
    check_config(cfg)
    num_episodes = whole_number("num_episodes", num_episodes)
    max_steps = None if max_steps is None else whole_number("max_steps", max_steps, most=MOST)
    deterministic = check_bool("deterministic", deterministic)
    check_key(key)
    program = _program(as_evaluated(cfg), num_episodes, deterministic, max_steps)
    return program(state, key, env_params)


def as_evaluated(cfg: Config) -> Config:
    """The config with default hyperparameters: one program evaluates agents with any values."""
    return cfg.replace(**{name: getattr(Config, name) for name in settings_of(HyperParams)})


@functools.lru_cache(PROGRAMS_KEPT)
def _program(
    cfg: Config, num_episodes: int, deterministic: bool, max_steps: int | None
) -> Callable[[TrainState, Key, EnvParams | None], Evaluation]:
    """The jitted evaluation. JAX's own cache would keep one for each config without a limit."""
    model = make_model(cfg)

    def play(state: TrainState, key: Key, params: Params) -> Evaluation:
        return play_episodes(model, state, key, params, num_episodes, deterministic, max_steps)

    mapped = jax.jit(agents_mapped(model, play))

    def evaluate(state: TrainState, key: Key, env_params: EnvParams | None) -> Evaluation:
        check_train_state(state)
        # Only what acting needs is mapped: not the training's own environments and their keys.
        acting = state.replace(opt_state=None, env_state=None, obs=None, key=None)
        return mapped(acting, key, resolve_params(model.env, env_params))

    return evaluate


def play_episodes(
    model: Model,
    state: TrainState,
    key: Key,
    env_params: Params,
    num_episodes: int = 128,
    deterministic: bool = True,
    max_steps: int | None = None,
) -> Evaluation:
    """`evaluate` with a model that has been built already; pure and not jitted."""
    check_state(model, state)
    env, network = model.env, model.network
    limit = episode_limit(env, max_steps)

    def going(progress: _Progress) -> Array:
        return (progress.step < limit) & ~jnp.all(progress.evaluation.finished)

    def step(progress: _Progress) -> _Progress:
        key, action_key, env_key = jax.random.split(progress.key, 3)
        before, so_far = progress.episodes, progress.evaluation
        sample_key = None if deterministic else action_key
        action, carry = play(model, state, before.obs, before.carry, None, sample_key)
        env_state, timestep = env.step(
            jax.random.split(env_key, num_episodes), before.env_state, action, env_params
        )
        timestep, invalid = end_where_invalid(before.obs, timestep)
        after = _Episodes(env_state, timestep.obs, carry)

        def add(total: Array, value: Array) -> Array:
            return total + jnp.where(so_far.finished, 0, value)

        evaluation = Evaluation(
            episode_return=add(so_far.episode_return, timestep.reward),
            episode_length=so_far.episode_length + jnp.where(so_far.finished, 0, 1),
            finished=so_far.finished | timestep.terminated | timestep.truncated,
            invalid=so_far.invalid | (invalid & ~so_far.finished),
            metrics={
                name: add(total, timestep.metrics[name]) for name, total in so_far.metrics.items()
            },
        )
        episodes = select(so_far.finished | invalid, before, after)
        return _Progress(progress.step + 1, key, episodes, evaluation)

    key, reset_key = jax.random.split(key)
    env_state, obs = env.reset(jax.random.split(reset_key, num_episodes), env_params)
    zeros = jnp.zeros(num_episodes, jnp.float32)
    nothing = Evaluation(
        episode_return=zeros,
        episode_length=jnp.zeros(num_episodes, jnp.int32),
        finished=jnp.zeros(num_episodes, bool),
        invalid=jnp.zeros(num_episodes, bool),
        metrics=dict.fromkeys(env.metrics, zeros),
    )
    episodes = _Episodes(env_state, obs, network.initial_carry((num_episodes,)))
    start = _Progress(jnp.zeros((), jnp.int32), key, episodes, nothing)
    return jax.lax.while_loop(going, step, start).evaluation
