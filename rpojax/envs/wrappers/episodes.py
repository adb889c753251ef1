"""What changes from episode to episode: a time limit, drawn parameters, a curriculum."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from rpojax.envs.at_once import mapped_in_blocks, mapped_over_envs
from rpojax.envs.base import Continuation, Env, Params, TimeStep, remakes
from rpojax.envs.params import check_names, check_shape, whole_fields, whole_names
from rpojax.envs.physics.randomization import as_draw
from rpojax.envs.wrappers.wrapped import finite, of, with_outer_state, wrap
from rpojax.types import Array, Key, PyTree
from rpojax.validation import check_function, check_known


class Timed(NamedTuple):
    """The state of B environments with a time limit."""

    state: PyTree  # [B, ...] of the environment without it
    steps: Array  # i32[B] since the episode began


def with_time_limit(env: Env, max_episode_steps: int) -> Env:
    """`env`, its episodes cut off (truncated) after a number of steps.

    An episode that ends by itself on its last step is terminated, not truncated.

    Args:
        env: without a time limit.
        max_episode_steps: at least 1.
    """

    def begin(keys: Key, state: PyTree, obs: PyTree, params: Params) -> tuple[Timed, PyTree]:
        return Timed(state, jnp.zeros(keys.shape[0], jnp.int32)), obs

    def step(keys: Key, timed: Timed, action: Array, params: Params) -> tuple[Timed, TimeStep]:
        state, timestep = env.step(keys, timed.state, action, params)
        steps = timed.steps + 1
        truncated = timestep.truncated | (steps >= max_episode_steps)
        truncated &= ~timestep.terminated
        return Timed(state, steps), timestep._replace(truncated=truncated)

    return wrap(env, begin, step, max_episode_steps=max_episode_steps)


PARAMS_STREAM = 1_349_677_901
"""Folded into the key of a reset: the parameters take nothing from the reset's own numbers."""


class DrawParams(Protocol):
    """Draws parameters for one episode of one environment."""

    def __call__(self, key: Key, /) -> Mapping[str, Array]:
        """Return some of `Env.params`, by name and in their shapes."""


class Randomized(NamedTuple):
    """The state of B environments, each with parameters of its own."""

    state: PyTree  # [B, ...] of the environment itself
    params: dict[str, Array]  # f32[B, ...] of the episode


@remakes
def randomized(env: Env, draw: DrawParams | Callable[[Any, Key], tuple[Any, Any]]) -> Env:
    """`env` with parameters that are drawn at every reset, independently for each episode.

    The state holds the parameters of its episode. Those of a pool of initial states
    (`Config.resets`) are drawn with the pool, and an episode that starts in one of its states has
    the parameters of that state. The same keys give the same starts as in `env`, unless these
    depend on the parameters.

    Training with a constant draw gives the agent of `train(key, env_params=...)` with its values,
    to the last bit with `agents_at_once=1`.

    Evaluation draws parameters too. To evaluate with fixed ones, give a config with `env` itself,
    and `evaluate(..., env_params=...)`.

    Args:
        env: with parameters, such as `make("Pendulum-v1")`; `env.params` names them.
        draw: a pure function of a key, such as
            `lambda key: {"l": jax.random.uniform(key, minval=0.5, maxval=1.5)}`; or a function of
            MuJoCo Playground's form, (model, keys) -> (model, in_axes), such as that of
            `mujoco_playground.registry.get_domain_randomizer(name)`.

    Returns:
        An environment whose own `params` are those that `draw` leaves.

    Raises:
        ValueError: `env` has no parameters; `draw` returns no dictionary, none of them, an unknown
            name, or an array of another shape.
    """
    draw_params = as_draw(env, check_function("draw", draw))
    names = _names(env, "draw", "draw(key)", jax.eval_shape(draw_params, _key_spec()))

    def draw_one(key: Key) -> dict[str, Array]:
        drawn = draw_params(jax.random.fold_in(key, PARAMS_STREAM))
        arrays = {name: jnp.asarray(value, jnp.float32) for name, value in drawn.items()}
        return whole_fields(env, arrays)

    def reset_one(key: Key, params: Params) -> tuple[Randomized, PyTree]:
        drawn = draw_one(key)
        state, obs = _alone(env.reset, {**params, **drawn}, key)
        return Randomized(state, drawn), obs

    def restart_one(key: Key, ended: Any, params: Params) -> tuple[Randomized, PyTree]:
        drawn = draw_one(key)
        inner = None if ended is None else ended.state
        state, obs = _alone(env.restart, {**params, **drawn}, key, inner)
        return Randomized(state, drawn), obs

    def inherit_one(ended: Randomized, fresh: Randomized, params: Params) -> Randomized:
        assert env.continuation is not None
        inherit, own = env.continuation.inherit, {**params, **fresh.params}
        return fresh._replace(state=_alone(inherit, own, ended.state, fresh.state))

    def step_one(
        key: Key, before: Randomized, action: Array, params: Params
    ) -> tuple[Randomized, TimeStep]:
        own = {**params, **before.params}
        state, timestep = _alone(env.step, own, key, before.state, action)
        return Randomized(state, before.params), timestep

    most = env.most_at_once
    return with_outer_state(
        env,
        *mapped_over_envs(reset_one, step_one, most),
        continuation=env.continuation and _mapped(restart_one, inherit_one, most),
        params=_without(env, names),
    )


class ParamsOfLevel(Protocol):
    """Parameters of one environment at a level of a curriculum."""

    def __call__(self, level: Array, /) -> Mapping[str, Array]:
        """Return some of `Env.params`, by name and in their shapes, for a level f32[] in [0, 1]."""


class Levelled(NamedTuple):
    """The state of B environments, each at a level of its own."""

    state: PyTree  # [B, ...] of the environment itself
    level: Array  # f32[B] in [0, 1]
    score: Array  # f32[B] of the episode so far
    begins: Array  # bool[B] before the first step of an episode


@remakes
def curriculum(
    env: Env,
    params_of: ParamsOfLevel,
    *,
    raise_at: float,
    lower_at: float,
    score: str | None = None,
    step: float = 0.1,
    start: float = 0.0,
    name: str = "curriculum",
) -> Env:
    """`env`, made harder for those who succeed: its parameters follow a level from 0 to 1.

    In training each environment has a level of its own. After an episode with a score of at least
    `raise_at` it rises by `step`; after one with less than `lower_at`, or with NaN, it falls by
    `step`. The level is part of the state, and survives resets: checkpoints hold it, and a resumed
    run has the same bits. The metric "curriculum.level" is the mean level of the episodes that
    ended.

    Evaluation and rendering have level 1, the full task. To see another level, evaluate `env`
    itself with `env_params=params_of(level)`.

    The resets of the result are exact, so that the first states of episodes have the level too.
    With `Config(resets="pool")`, which is faster where a reset is slow, they are those of level 1,
    and the level acts on the steps alone.

    What is made harder is any parameter in `Env.params`, also of another wrapper: gravity, the
    strength of pushes, the range of a command.

    Args:
        env: with parameters; `env.params` names them.
        params_of: a pure function of the level, such as
            `lambda level: {"g": 10.0 * level}`.
        raise_at, lower_at: bounds on the score.
        score: name of a metric, whose sum over an episode is the score; None for the return.
        step: change of the level; start: level at the start of a training.
        name: begins the names of the parameters name.raise_at, name.lower_at, name.step and
            name.start, and of the metric name.level.

    Returns:
        An environment whose `params` are those that `params_of` leaves, and those four.

    Raises:
        ValueError: as `randomized`; an unknown metric; a number that is not finite.
    """
    specs = jax.eval_shape(
        check_function("params_of", params_of), jax.ShapeDtypeStruct((), jnp.float32)
    )
    names = _names(env, "params_of", "params_of(level)", specs)
    if score is not None:
        check_known(score, env.metrics, f"metric of {env.name}")
    given = {"raise_at": raise_at, "lower_at": lower_at, "step": step, "start": start}
    own = {f"{name}.{field}": finite(field, value) for field, value in given.items()}
    metric = f"{name}.level"

    def with_level(level: Array, params: Params) -> Params:
        values = {name: jnp.asarray(value, jnp.float32) for name, value in params_of(level).items()}
        return whole_fields(env, {**of(env, params), **values})

    def next_level(ended: Levelled | None, params: Params) -> Array:
        raise_at, lower_at, step, start = (
            jnp.float32(params.get(each, default)) for each, default in own.items()
        )
        if ended is None:
            return jnp.clip(start, 0.0, 1.0)
        raised = ended.score >= raise_at
        lowered = ~(ended.score >= lower_at)  # NaN too
        change = jnp.where(raised, step, jnp.where(lowered, -step, 0.0))
        return jnp.clip(ended.level + change, 0.0, 1.0)

    def levelled(state: PyTree, level: Array) -> Levelled:
        return Levelled(state, level, jnp.float32(0.0), jnp.array(True))

    def reset_one(key: Key, params: Params) -> tuple[Levelled, PyTree]:
        level = jnp.float32(1.0)
        state, obs = _alone(env.reset, with_level(level, params), key)
        return levelled(state, level), obs

    def restart_one(key: Key, ended: Any, params: Params) -> tuple[Levelled, PyTree]:
        level = next_level(ended, params)
        inner = None if ended is None else ended.state
        state, obs = _alone(env.restart, with_level(level, params), key, inner)
        return levelled(state, level), obs

    def inherit_one(ended: Levelled, fresh: Levelled, params: Params) -> Levelled:
        level, state = next_level(ended, params), fresh.state
        if env.continuation is not None:
            inherit, given = env.continuation.inherit, with_level(level, params)
            state = _alone(inherit, given, ended.state, fresh.state)
        return fresh._replace(state=state, level=level)

    def step_one(
        key: Key, before: Levelled, action: Array, params: Params
    ) -> tuple[Levelled, TimeStep]:
        given = with_level(before.level, params)
        state, timestep = _alone(env.step, given, key, before.state, action)
        more = timestep.reward if score is None else timestep.metrics[score]
        level = jnp.where(before.begins, before.level, 0.0)  # once in an episode
        metrics = {**timestep.metrics, metric: level}
        after = Levelled(state, before.level, before.score + more, jnp.array(False))
        return after, timestep._replace(metrics=metrics)

    most = env.most_at_once
    return with_outer_state(
        env,
        *mapped_over_envs(reset_one, step_one, most),
        own,
        continuation=_mapped(restart_one, inherit_one, most),
        params=_without(env, names) | own,
        metrics=(*env.metrics, metric),
        resets="exact",
    )


def _key_spec() -> PyTree:
    return jax.eval_shape(lambda: jax.random.key(0))


def _names(env: Env, function: str, call: str, specs: Any) -> dict[str, Any]:
    """The parameters that a function of the user returns, checked."""
    names = check_names(env, f"{function} returns", specs)
    for name, spec in names.items():
        check_shape(env, f"{call}[{name!r}]", name, spec, "return those of one environment")
    if not names:
        raise ValueError(
            f"environment {env.name!r}: {function} returns no parameters; return at least one"
        )
    return names


def _without(env: Env, names: Mapping[str, Any]) -> dict[str, Any]:
    fields = whole_names(env, names)
    return {name: value for name, value in env.params.items() if name not in fields}


def _alone(function: Any, params: Params, *arguments: PyTree) -> PyTree:
    """A function of B environments for one, whose parameters are its own."""
    batch = function(*jax.tree.map(lambda leaf: leaf[None], arguments), params)
    return jax.tree.map(lambda leaf: leaf[0], batch)


def _mapped(restart_one: Any, inherit_one: Any, most: int | None) -> Continuation:
    def restart(keys: Key, ended: PyTree | None, params: Params) -> tuple[PyTree, PyTree]:
        def one(key: Key, ended: PyTree | None) -> tuple[PyTree, PyTree]:
            return restart_one(key, ended, params)

        return mapped_in_blocks(one, most)(keys, ended)

    def inherit(ended: PyTree, fresh: PyTree, params: Params) -> PyTree:
        return mapped_in_blocks(lambda *states: inherit_one(*states, params), most)(ended, fresh)

    return Continuation(restart, inherit)
