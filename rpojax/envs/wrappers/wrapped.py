"""What all wrappers share: states inside of states, parameters and random numbers of their own."""

import dataclasses
import functools
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Continuation, Env, Params, Push, Rekey, Render, Reset, Step
from rpojax.types import Array, Key, PyTree
from rpojax.validation import Interval, as_sequence, check_known, numbers_in, show, whole_number


class _Outer(Protocol):
    """The state of a wrapper, a named tuple with the state that it wraps."""

    @property
    def state(self) -> PyTree: ...

    def _replace(self, *, state: PyTree) -> PyTree: ...


class Wrapped(NamedTuple):
    """The state of a wrapper that remembers nothing."""

    state: PyTree  # [B, ...] of the environment without it


class Begin(Protocol):
    """Puts the state of a wrapper around the first one of B episodes."""

    def __call__(
        self, keys: Key, state: PyTree, obs: PyTree, params: Params, /
    ) -> tuple[PyTree, PyTree]:
        """Return (outer state, obs); its field `state` is the one that was given."""


def wrap(
    env: Env, begin: Begin, step: Step, own: Mapping[str, Any] | None = None, **changes: Any
) -> Env:
    """A copy of `env` with an outer state, which `begin` puts around the state of `env`.

    Args:
        env: what is wrapped.
        begin: of an episode.
        step: of the outer state, with the parameters of both. It passes `of(env, params)` on.
        own, changes: as for `with_outer_state`.
    """

    def reset(keys: Key, params: Params) -> tuple[PyTree, PyTree]:
        return begin(keys, *env.reset(keys, of(env, params)), params)

    def restart(keys: Key, ended: Any, params: Params) -> tuple[PyTree, PyTree]:
        inner = None if ended is None else ended.state
        return begin(keys, *env.restart(keys, inner, of(env, params)), params)

    def inherit(ended: Any, fresh: Any, params: Params) -> PyTree:
        assert env.continuation is not None
        state = env.continuation.inherit(ended.state, fresh.state, of(env, params))
        return fresh._replace(state=state)

    continuation = env.continuation and Continuation(restart, inherit)
    return with_outer_state(env, reset, step, own, continuation=continuation, **changes)


def with_outer_state(
    env: Env, reset: Reset, step: Step, own: Mapping[str, Any] | None = None, **changes: Any
) -> Env:
    """A copy of `env` with other functions, whose state is a named tuple with that of `env` inside.

    Its `rekey`, `push` and `render` go on working.

    Args:
        env: what is wrapped.
        reset: whose state has the one of `env` in the field `state`.
        step: of the same state.
        own: default values of the wrapper's own parameters, by name.
        changes: of other fields of `Env`.

    Raises:
        ValueError: `env` has a parameter of the same name already.
    """
    own = own or {}
    taken = sorted(set(own) & set(env.params))
    if taken:
        raise ValueError(
            f"environment {env.name!r} has the parameters {', '.join(taken)} already, from another "
            "wrapper of this kind; give name=..., which their names begin with"
        )
    rekey = env.rekey and functools.partial(_rekey, env.rekey)
    render = env.render and functools.partial(_render, env.render)
    push = env.push and functools.partial(_push, env.push)
    kept: dict[str, Any] = {"rekey": rekey, "render": render, "push": push}
    fields = {**kept, "params": {**env.params, **own}, **changes}
    return dataclasses.replace(env, reset=reset, step=step, **fields)


def _rekey(rekey: Rekey, keys: Key, outer: _Outer) -> PyTree:
    return outer._replace(state=rekey(keys, outer.state))


def _push(push: Push, outer: _Outer, velocity: Array) -> PyTree:
    return outer._replace(state=push(outer.state, velocity))


def _render(render: Render, outer: _Outer) -> np.ndarray:
    return render(outer.state)


def of(env: Env, params: Params) -> Params:
    """Those of changed parameters that `env` has."""
    return {name: value for name, value in params.items() if name in env.params}


def keys_of(name: str, keys: Key) -> Key:
    """The keys [B] of the wrapper of this name: `env` takes nothing from its numbers."""
    stream = zlib.crc32(name.encode()) & 0x7FFFFFFF
    return jax.vmap(jax.random.fold_in, (0, None))(keys, stream)


def entries_of(env: Env, keys: Any) -> tuple[str, ...] | None:
    """Names of entries of the observation, checked; None for all of it."""
    if keys is None:
        return None
    names = as_sequence(keys)
    if not names:
        raise ValueError(f"keys = {show(keys)} is not a list of names; give some, or None for all")
    if not isinstance(env.obs, Mapping):
        raise ValueError(
            f"keys = {show(keys)} picks entries of a Dict observation, and those of {env.name!r} "
            f"are {env.obs}; leave it None"
        )
    for name in names:
        check_known(name, list(env.obs), "entry of the observation")
    return tuple(names)


def chosen(obs: PyTree, keys: tuple[str, ...] | None) -> PyTree:
    """The entries of an observation that a wrapper changes."""
    return obs if keys is None else {key: obs[key] for key in keys}


def replaced(obs: PyTree, keys: tuple[str, ...] | None, changed: PyTree) -> PyTree:
    """The observation with the `chosen` entries changed."""
    return changed if keys is None else {**obs, **changed}


def with_entry(obs: PyTree, name: str, entry: PyTree) -> dict[str, PyTree]:
    """A Dict observation with one more entry; what is not a Dict becomes its entry "state"."""
    return {**(obs if isinstance(obs, Mapping) else {"state": obs}), name: entry}


class Steps(NamedTuple):
    """A whole number of steps, drawn uniformly from a range with both ends."""

    name: str  # of the parameters name.fewest and name.most, whose values are rounded
    fewest: int
    most: int
    least: int  # bounds on what is drawn, also with changed parameters
    longest: int

    @property
    def params(self) -> dict[str, int]:
        """The range as parameters of an environment."""
        return {f"{self.name}.fewest": self.fewest, f"{self.name}.most": self.most}

    def draw(self, keys: Key, params: Params) -> Array:
        """Numbers i32[B] for keys [B], from the range with changed parameters."""
        given = (params.get(name, value) for name, value in self.params.items())
        low, high = (jnp.round(jnp.float32(value)) for value in given)
        uniform = jax.vmap(jax.random.uniform)(keys)
        drawn = jnp.minimum(low + jnp.floor(uniform * (high - low + 1.0)), high)
        return jnp.clip(drawn.astype(jnp.int32), self.least, self.longest)


def steps_in(name: str, steps: Any, least: int, longest: int | None = None) -> Steps:
    """The range of steps that a user gave, or one number for both ends.

    Args:
        name: of the parameters; steps: what was given.
        least, longest: bounds; `longest` is None for the largest number given.
    """
    pair = [steps, steps] if as_sequence(steps) is None else as_sequence(steps)
    if pair is None or len(pair) != 2:
        raise ValueError(f"{name}: steps = {show(steps)} is no range; give (fewest, most)")
    if longest is not None:
        longest = whole_number(f"{name}: longest", longest, least)
    fewest = whole_number(f"{name}: fewest steps", pair[0], least, longest)
    most = whole_number(f"{name}: most steps", pair[1], fewest, longest)
    return Steps(name, fewest, most, least, most if longest is None else longest)


def filled(obs: PyTree, count: int) -> PyTree:
    """Frames [B, count, ...] that all are the observation [B, ...]."""
    return jax.tree.map(lambda leaf: jnp.repeat(leaf[:, None], count, axis=1), obs)


def appended(frames: PyTree, obs: PyTree) -> PyTree:
    """Frames [B, n, ...] without the oldest, the first, and with a new one, [B, ...]."""
    return jax.tree.map(
        lambda old, new: jnp.concatenate([old[:, 1:], new[:, None]], axis=1), frames, obs
    )


def delayed(frames: PyTree, delay: Array) -> PyTree:
    """The frame [B, ...] of i32[B] steps before the newest."""
    return jax.tree.map(lambda leaf: jax.vmap(lambda one, ago: one[-1 - ago])(leaf, delay), frames)


def finite(name: str, values: Any, low: float = -np.inf) -> np.ndarray:
    """Numbers that a user gave as float32, finite and at least `low`."""
    return numbers_in(name, values, Interval(low)).astype(np.float32)
