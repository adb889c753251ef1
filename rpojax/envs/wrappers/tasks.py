"""What an environment asks for: a command that changes with time."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Env, Params, TimeStep, remakes
from rpojax.envs.wrappers.wrapped import finite, keys_of, of, steps_in, with_entry, wrap
from rpojax.types import Array, Key, PyTree
from rpojax.validation import show

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
