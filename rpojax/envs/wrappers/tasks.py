"""What happens at random times: a command changes, a robot is pushed."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Env, Params, TimeStep, remakes
from rpojax.envs.wrappers.wrapped import finite, keys_of, of, steps_in, with_entry, wrap
from rpojax.trees import select
from rpojax.types import Array, Key, PyTree
from rpojax.validation import check_function, show

NEVER = np.iinfo(np.int32).max


class Follow(Protocol):
    """How well one environment follows its command."""

    def __call__(self, command: Array, timestep: TimeStep, /) -> TimeStep:
        """Return the time step with another reward, and if you like another end and metrics.

        Args:
            command: f32[C] that was observed before the step.
            timestep: what the step led to, of one environment: `reward` is f32[].
        """


class Commanded(NamedTuple):
    """The state of B environments with their commands."""

    state: PyTree  # [B, ...] of the environment itself
    command: Array  # f32[B, C]
    remaining: Array  # i32[B] steps until another is drawn


@remakes
def commands(
    env: Env,
    low: Any,
    high: Any,
    follow: Follow,
    *,
    interval: Any = None,
    metrics: Sequence[str] = (),
    name: str = "command",
) -> Env:
    """`env` with a command, such as a target velocity, in its observations and its rewards.

    It is drawn at each reset, uniformly between low and high, and again after each interval. The
    observation becomes a dictionary, if it is none, with the command as an entry `name`:
    `{"state": obs, "command": f32[C]}`.

    Args:
        env: any environment.
        low, high: [C] or numbers, for C = 1. The parameters name.low and name.high.
        follow: pure, `lambda command, timestep: timestep._replace(reward=...)`.
        interval: steps until another is drawn, or a range (fewest, most) from which each interval
            is drawn, uniformly with both ends; the parameters name.fewest and name.most, which are
            rounded. None: one command for an episode.
        metrics: names of those that `follow` adds to `timestep.metrics`.
        name: of the entry and of the parameters.

    Raises:
        ValueError: low and high differ in shape; an observation with such an entry.
    """
    check_function("follow", follow)
    ends = [np.atleast_1d(finite(name, end)) for name, end in (("low", low), ("high", high))]
    if ends[0].shape != ends[1].shape or ends[0].ndim != 1:
        raise ValueError(
            f"low = {show(low)} and high = {show(high)} are no range of commands; give two numbers "
            "or two vectors of the same length"
        )
    if isinstance(env.obs, dict) and name in env.obs:
        raise ValueError(f"observations of {env.name!r} have an entry {name!r}; give another name")
    own: dict[str, Any] = {f"{name}.low": ends[0], f"{name}.high": ends[1]}
    waits = None if interval is None else steps_in(name, interval, 1, NEVER)
    own |= {} if waits is None else waits.params

    def draw(keys: Key, params: Params) -> tuple[Array, Array]:
        pairs = jax.vmap(jax.random.split)(keys_of(name, keys))
        low, high = (jnp.asarray({**own, **params}[f"{name}.{end}"]) for end in ("low", "high"))
        uniform = jax.vmap(lambda key: jax.random.uniform(key, low.shape))(pairs[:, 0])
        command = low[None] + uniform * (high - low)[None]
        if waits is None:
            return command, jnp.full(keys.shape[0], NEVER, jnp.int32)
        return command, waits.draw(pairs[:, 1], params)

    def begin(keys: Key, state: PyTree, obs: PyTree, params: Params) -> tuple[Commanded, PyTree]:
        command, remaining = draw(keys, params)
        return Commanded(state, command, remaining), with_entry(obs, name, command)

    def step(
        keys: Key, before: Commanded, action: Array, params: Params
    ) -> tuple[Commanded, TimeStep]:
        state, timestep = env.step(keys, before.state, action, of(env, params))
        timestep = jax.vmap(follow)(before.command, timestep)
        if not isinstance(timestep, TimeStep):
            raise ValueError(f"follow returns {show(timestep)}; return a TimeStep")
        command, remaining = draw(keys, params)
        over = before.remaining <= 1
        command = jnp.where(over[:, None], command, before.command)
        remaining = jnp.where(over, remaining, before.remaining - 1)
        obs = with_entry(timestep.obs, name, command)
        return Commanded(state, command, remaining), timestep._replace(obs=obs)

    entry = jax.ShapeDtypeStruct(ends[0].shape, jnp.float32)
    return wrap(
        env,
        begin,
        step,
        own,
        obs=with_entry(env.obs, name, entry),
        metrics=(*env.metrics, *metrics),
    )


class Pushed(NamedTuple):
    """The state of B environments that are pushed at times."""

    state: PyTree  # [B, ...] of the environment itself
    remaining: Array  # i32[B] steps up to the one that begins with a push


@remakes
def random_pushes(env: Env, speed: Any, interval: Any, *, name: str = "push") -> Env:
    """`env`, a simulation by MuJoCo, with kicks that change velocities at random times.

    A kick comes before a step. It adds numbers that are drawn uniformly between -speed and speed.

    Args:
        env: of `mjx/`, `mujoco/`, `playground/` or `from_mjcf`.
        speed: [k], the largest change of each of the first k entries of MuJoCo's `qvel`: for a
            robot on a free joint, (0.5, 0.5) pushes it sideways by up to 0.5 m/s. The parameter
            name.speed.
        interval: steps from one kick to the next, or a range (fewest, most) from which each
            interval is drawn, uniformly with both ends; the parameters name.fewest and name.most,
            which are rounded.
        name: of the parameters.

    Raises:
        ValueError: an environment that cannot be pushed, or has fewer velocities; a speed that is
            negative; a range that is none.
    """
    push = env.push
    if push is None:
        raise ValueError(
            f"environment {env.name!r} cannot be pushed: Env.push is None; give one of MuJoCo's, "
            "or an Env with a function push(state, velocity) -> state"
        )
    speeds = np.atleast_1d(finite("speed", speed, 0.0))
    waits = steps_in(name, interval, 1, NEVER)
    own: dict[str, Any] = {f"{name}.speed": speeds, **waits.params}
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))
    kick = jax.ShapeDtypeStruct((1, *speeds.shape), jnp.float32)
    try:
        jax.eval_shape(lambda keys, kick: push(env.reset(keys, {})[0], kick), keys, kick)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"speed = {show(speed)} does not fit the velocities of {env.name!r}; give one number "
            "for each of the first of them"
        ) from error

    def begin(keys: Key, state: PyTree, obs: PyTree, params: Params) -> tuple[Pushed, PyTree]:
        return Pushed(state, waits.draw(keys_of(name, keys), params)), obs

    def step(keys: Key, before: Pushed, action: Array, params: Params) -> tuple[Pushed, TimeStep]:
        pairs = jax.vmap(jax.random.split)(keys_of(name, keys))
        speed = jnp.asarray(params.get(f"{name}.speed", speeds))
        draw = functools.partial(jax.random.uniform, shape=speed.shape, minval=-1.0)
        kick = speed[None] * jax.vmap(draw)(pairs[:, 0])
        due = before.remaining <= 1
        state = select(due, push(before.state, kick), before.state)
        remaining = jnp.where(due, waits.draw(pairs[:, 1], params), before.remaining - 1)
        state, timestep = env.step(keys, state, action, of(env, params))
        return Pushed(state, remaining), timestep

    return wrap(env, begin, step, own)
