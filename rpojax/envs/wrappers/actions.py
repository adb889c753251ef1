"""What an action does: its bounds, its delay, how often it is repeated."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Env, Params, TimeStep, as_bounds, remakes
from rpojax.envs.wrappers.wrapped import (
    Wrapped,
    appended,
    delayed,
    filled,
    keys_of,
    of,
    steps_in,
    wrap,
)
from rpojax.trees import batched, select
from rpojax.types import Array, Key, PyTree
from rpojax.validation import whole_number


@remakes
def clip_action(env: Env, low: Any, high: Any) -> Env:
    """`env` with narrower bounds of actions, or with finite ones.

    Args:
        env: any environment.
        low, high: numbers or [A]; where the bounds of `env` are narrower, these stay.

    Raises:
        ValueError: the bounds have another shape, or low is not below high.
    """
    bounds = np.stack([_bound(env, "low", low), _bound(env, "high", high)])
    narrow = np.clip(bounds, env.action_low, env.action_high)
    return _with_actions(env, narrow, lambda action: jnp.clip(action, *narrow[:, None]))


@remakes
def rescale_action(env: Env, low: Any = -1.0, high: Any = 1.0) -> Env:
    """`env` with the bounds low and high, which are mapped linearly onto its own.

    Args:
        env: with finite bounds of actions.
        low, high: finite numbers or [A].

    Raises:
        ValueError: bounds that are infinite, of another shape, or where low is not below high.
    """
    own = np.stack([env.action_low, env.action_high])
    bounds = np.stack([_bound(env, "low", low), _bound(env, "high", high)])
    for name, pair in ((f"those of {env.name!r} are", own), ("low and high are", bounds)):
        if not np.isfinite(pair).all():
            raise ValueError(
                f"rescale_action needs finite bounds of actions, and {name} {pair.tolist()}; "
                "give finite ones, clip_action(env, low, high) first"
            )
    factor = (own[1] - own[0]) / (bounds[1] - bounds[0])

    def onto_own(action: Array) -> Array:
        return jnp.clip(own[:1] + factor[None] * (action - bounds[:1]), *own[:, None])

    return _with_actions(env, bounds, onto_own)


def _bound(env: Env, name: str, bound: Any) -> np.ndarray:
    found = as_bounds(bound)
    if found.shape not in ((), env.action_low.shape):
        raise ValueError(
            f"{name} has the shape {found.shape}, and actions of {env.name!r} have "
            f"{env.action_low.shape}; give that, or one number"
        )
    return np.broadcast_to(found, env.action_low.shape)


def _with_actions(env: Env, bounds: np.ndarray, function: Any) -> Env:
    """`env` with other bounds [2, A], which receives a function of actions [B, A]."""
    if not (bounds[0] < bounds[1]).all():
        raise ValueError(
            f"environment {env.name!r}: action bounds {bounds[0]} are not below {bounds[1]}; "
            "give a lower low or a higher high"
        )

    def begin(_: Key, state: PyTree, obs: PyTree, params: Params) -> tuple[Wrapped, PyTree]:
        return Wrapped(state), obs

    def step(keys: Key, outer: Wrapped, action: Array, params: Params) -> tuple[Wrapped, TimeStep]:
        state, timestep = env.step(keys, outer.state, function(action), params)
        return Wrapped(state), timestep

    return wrap(env, begin, step, action_low=bounds[0], action_high=bounds[1])


class Acting(NamedTuple):
    """The state of B environments whose actions take effect late."""

    state: PyTree  # [B, ...] of the environment itself
    actions: Array  # f32[B, longest + 1, A] the latest, the newest last
    delay: Array  # i32[B] of the episode, in steps


@remakes
def action_delay(
    env: Env, steps: Any, *, longest: int | None = None, name: str = "action_delay"
) -> Env:
    """`env`, in which actions take effect some steps late, as many throughout an episode.

    Until the first one does, the action is 0, or the bound that is nearest to 0.

    Args:
        env: any environment.
        steps: the delay, or the range (fewest, most) from which each episode draws its own,
            uniformly with both ends. The parameters name.fewest and name.most, which are rounded.
        longest: bound on the delay, also of changed parameters; None for the `most` given here.
        name: of the parameters; one for each wrapper of this kind.

    Raises:
        ValueError: a range that is none.
    """
    delays = steps_in(name, steps, 0, longest)
    rest = np.clip(np.zeros_like(env.action_low), env.action_low, env.action_high)

    def begin(keys: Key, state: PyTree, obs: PyTree, params: Params) -> tuple[Acting, PyTree]:
        resting = jnp.broadcast_to(rest[None], (keys.shape[0], env.action_dim))
        actions = filled(resting, delays.longest + 1)
        return Acting(state, actions, delays.draw(keys_of(name, keys), params)), obs

    def step(keys: Key, before: Acting, action: Array, params: Params) -> tuple[Acting, TimeStep]:
        actions = appended(before.actions, action)
        late = delayed(actions, before.delay)
        state, timestep = env.step(keys, before.state, late, of(env, params))
        return Acting(state, actions, before.delay), timestep

    return wrap(env, begin, step, delays.params)


@remakes
def action_repeat(env: Env, times: int) -> Env:
    """`env`, in which an action is taken several times in a row (also known as frame skip).

    Rewards and metrics are added. None follows the end of an episode.

    Args:
        env: any environment.
        times: at least 1.

    Returns:
        An environment whose time limit counts actions, and is that of `env` divided by `times`,
        rounded up.
    """
    times = whole_number("times", times)
    limit = env.max_episode_steps

    def begin(_: Key, state: PyTree, obs: PyTree, params: Params) -> tuple[Wrapped, PyTree]:
        return Wrapped(state), obs

    def step(keys: Key, outer: Wrapped, action: Array, params: Params) -> tuple[Wrapped, TimeStep]:
        def again(
            before: tuple[PyTree, TimeStep], index: Array
        ) -> tuple[tuple[PyTree, TimeStep], None]:
            state, sums = before
            keys_now = jax.vmap(jax.random.fold_in, (0, None))(keys, index)
            state, timestep = env.step(keys_now, state, action, params)
            metrics = {name: sums.metrics[name] + timestep.metrics[name] for name in env.metrics}
            added = timestep._replace(reward=sums.reward + timestep.reward, metrics=metrics)
            return select(sums.terminated | sums.truncated, before, (state, added)), None

        zeros, going = jnp.zeros(len(action), jnp.float32), jnp.zeros(len(action), bool)
        obs = jax.tree.map(jnp.zeros_like, batched(env.obs, len(action)))
        nothing = TimeStep(obs, zeros, going, going, dict.fromkeys(env.metrics, zeros))
        (state, sums), _ = jax.lax.scan(again, (outer.state, nothing), jnp.arange(times))
        return Wrapped(state), sums

    return wrap(
        env,
        begin,
        step,
        max_episode_steps=None if limit is None else -(-limit // times),
        render_fps=env.render_fps / times,
    )
