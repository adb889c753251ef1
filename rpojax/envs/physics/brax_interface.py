"""Environments with the interface of Brax: Brax's own, and those of MuJoCo Playground.

`reset(key)` and `step(state, action)` are of one environment. A state holds the physics, the
observation, the reward, whether the episode is done, metrics, and `info`.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.at_once import mapped_over_envs
from rpojax.envs.base import MOST_FPS, Env, Params, Push, Render, TimeStep, naming, require
from rpojax.envs.checks.contract import check_contract
from rpojax.envs.contexts import bounds_of_clip, replaced, standard_numpy
from rpojax.envs.description import robot_of
from rpojax.envs.dtypes import as_arrays, cast, fixed_point
from rpojax.envs.wrappers import with_time_limit
from rpojax.trees import select
from rpojax.types import Array, Key, PyTree


class Tracing(Protocol):
    """What is to hold while an environment is traced."""

    def __call__(self, params: Params, /) -> AbstractContextManager[None]:
        """Return a context manager, for changed parameters of the physics."""


class Physics(NamedTuple):
    """The physics model of an environment, and how to change its parameters."""

    attribute: str  # of the environment, under which it has its model
    params: Mapping[str, np.ndarray]  # default values, by name
    changed: Callable[[Any, Params], Any]  # a model, and some parameters, to a model


class _Sums(NamedTuple):
    """Sums over the steps that one action takes, up to the end of the episode."""

    ended: Array  # bool[]
    invalid: Array  # bool[] by a `done` of NaN, which ends no task; see `core.invalid`
    reward: Array  # f32[]
    metrics: dict[str, Array]  # f32[] each


def from_brax_interface(
    name: str,
    env: Any,
    *,
    episode_length: int,
    action_repeat: int,
    tracing: Tracing,
    physics: Physics | None = None,
    push: Push | None = None,
    render: Render | None = None,
    seconds: float | None = None,
    mj_model: Any = None,
    most_at_once: int | None = None,
) -> Env:
    """An `Env` with the time limit and the repeated actions of Brax's EpisodeWrapper.

    `env` has no wrappers: Brax's and Playground's overwrite the last observation of an episode, and
    count a time limit as a termination. Actions are in [-1, 1]; `done` means terminated. Those
    metrics of the environment that are single numbers are passed on. The keys that an environment
    keeps in its state are typed, so that training can replace them.

    Where one action takes several steps, their rewards and metrics are added, and none follows the
    end of an episode. (EpisodeWrapper continues after it, and takes the metrics of the last step.)

    Args:
        name: of the environment.
        env: with the methods `reset` and `step` and the number `action_size`.
        episode_length: time limit, in steps of `env`.
        action_repeat: how many steps of `env` one action takes.
        tracing: holds while `env` is traced.
        physics: whose parameters may be traced; None where there is none.
        push, render: of states as `env` has them.
        seconds: that a step of `env` stands for; None where it does not say.
        mj_model: a `mujoco.MjModel`, which names the robot's parts; None where there is none.
        most_at_once: environments that a CPU computes at a time; None for all.

    Raises:
        ValueError: its `reset` or `step` fails, or they return states that differ in structure.
    """
    with_params = functools.partial(_with_params, env, physics)

    @contextlib.contextmanager
    def traced(params: Params) -> Iterator[None]:
        with standard_numpy(), bounds_of_clip(), tracing(params), with_params(params):
            yield

    @jax.jit  # so that `env` is traced once, for all uses of it
    def start(key: Key, params: Params) -> PyTree:
        with traced(params):
            return as_arrays("state", env.reset(key))

    @jax.jit
    def advance(state: PyTree, action: Array, params: Params) -> PyTree:
        with traced(params):
            state = jax.tree.map(lambda leaf: leaf, state)  # steps write into its dictionaries
            return as_arrays("state", env.step(state, action))

    key = jax.eval_shape(lambda: jax.random.key(0))
    action = jax.ShapeDtypeStruct((env.action_size,), jnp.float32)
    try:
        with naming(name):
            spec = fixed_point(
                {"state": jax.eval_shape(start, key, {})},
                lambda specs: {"state": jax.eval_shape(advance, specs["state"], action, {})},
            )["state"]
    except (TypeError, AttributeError, NotImplementedError) as error:
        raise ValueError(
            f"environment {name!r} fails with the installed packages (jax {jax.__version__}): "
            f"{error}"
        ) from error
    metrics = tuple(name for name, value in spec.metrics.items() if value.shape == ())

    def reset_one(key: Key, params: Params) -> tuple[PyTree, PyTree]:
        state = cast(start(key, params), spec)
        return state, state.obs

    def step_one(key: Key, state: PyTree, action: Array, params: Params) -> tuple[PyTree, TimeStep]:
        def once(before: tuple[PyTree, _Sums], _: None) -> tuple[tuple[PyTree, _Sums], None]:
            state, sums = before
            led_to = cast(advance(state, action, params), spec)
            more = _Sums(
                led_to.done.astype(bool),
                jnp.isnan(led_to.done),
                sums.reward + led_to.reward.astype(jnp.float32),
                {name: sums.metrics[name] + _number(led_to.metrics[name]) for name in metrics},
            )
            return select(sums.ended, before, (led_to, more)), None

        no, zero = jnp.array(False), jnp.float32(0.0)
        nothing = _Sums(no, no, zero, dict.fromkeys(metrics, zero))
        (state, sums), _ = jax.lax.scan(once, (state, nothing), length=action_repeat)
        truncated = jnp.array(False)
        reward = jnp.where(sums.invalid, jnp.nan, sums.reward)
        return state, TimeStep(state.obs, reward, sums.ended, truncated, sums.metrics)

    reset, step = mapped_over_envs(reset_one, step_one, most_at_once)
    bound = np.ones(env.action_size, np.float32)
    control_dt = None if seconds is None else seconds * action_repeat
    made = Env(
        name=name,
        reset=reset,
        step=step,
        obs=spec.obs,
        action_low=-bound,
        action_high=bound,
        metrics=metrics,
        resets="pool",
        push=push,
        render=render,
        render_fps=Env.render_fps if control_dt is None else min(1.0 / control_dt, MOST_FPS),
        control_dt=control_dt,
        **({} if mj_model is None else robot_of(mj_model)),
        most_at_once=most_at_once,
        params={} if physics is None else physics.params,
        model=mj_model,
    )
    limited = with_time_limit(made, -(-episode_length // action_repeat))
    check_contract(limited)
    return limited


TRAINING = ("brax.envs.wrappers.training", "mujoco_playground._src.wrapper")
"""Modules of wrappers that map environments, cut episodes, and reset."""


def refuse_wrappers(env: Any) -> None:
    """Raise `Problem` for an environment in a wrapper of `TRAINING`."""
    while env is not None:
        require(
            type(env).__module__ not in TRAINING,
            f"{type(env).__name__} of {type(env).__module__} maps, cuts or resets episodes, as "
            "rpojax does by itself; give the environment without it",
        )
        env = vars(env).get("env")


def _with_params(env: Any, physics: Physics | None, params: Params) -> AbstractContextManager[None]:
    """While it lasts, `env` has another model, as in Brax's own wrapper for randomisation."""
    if physics is None or not params:
        return contextlib.nullcontext()
    owner = getattr(env, "unwrapped", env)
    model = physics.changed(getattr(owner, physics.attribute), params)
    return replaced(owner, physics.attribute, model)


def _number(value: Array) -> Array:
    return value.astype(jnp.float32)
