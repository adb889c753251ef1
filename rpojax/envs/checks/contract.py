"""The static contract of an environment: what can be checked without running it."""

import inspect
import math
import re
import weakref
from collections.abc import Mapping
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Env, Params, Problem, Resets, TimeStep, naming, require
from rpojax.trees import batched, leaves_by_path
from rpojax.types import Array, Key, PyTree
from rpojax.validation import first_line

NUM_ENVS = 3  # any number must work

_conforming: "weakref.WeakSet[Env]" = weakref.WeakSet()  # tracing physics takes seconds
METRIC = re.compile(r"[\w ./-]+")  # columns of CSV files and tags of charts
_REAL = jnp.bool_, jnp.integer, jnp.floating

_OF_ONE_EPISODE = (
    "step is of one episode, and TimeStep has no final_obs: return TimeStep(obs, reward, "
    "terminated, truncated) with the observation that the action led to, and leave resets to rpojax"
)


def check_contract(env: Env) -> None:
    """Raise ValueError where the description of an environment and its functions disagree.

    Checked by abstract evaluation, so that nothing is compiled or run: bounds, the time limit,
    and the structure, shapes and dtypes of all that `reset` and `step` return. `check_env` checks
    the values as well.
    """
    if env in _conforming:
        return
    with naming(env.name):
        _check_bounds(env)
        _check_fields(env)
        _check_arguments(env)
        _check_functions(env)
    _conforming.add(env)


def check_traced_params(env: Env) -> None:
    """Raise ValueError where `reset` and `step` with traced parameters differ in what they return.

    Checked by abstract evaluation, like `check_contract`, which leaves it out because tracing
    physics takes seconds.
    """
    if not env.params:
        return

    def functions(params: Params, keys: Key, action: Array) -> PyTree:
        state, obs = env.reset(keys, params)
        return {"reset": (state, obs), "step": env.step(keys, state, action, params)}

    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), NUM_ENVS))
    action = jax.ShapeDtypeStruct((NUM_ENVS, env.action_dim), jnp.float32)
    specs = {
        name: jax.ShapeDtypeStruct(each.shape, each.dtype) for name, each in env.params.items()
    }
    with naming(env.name):
        traced = jax.eval_shape(functions, specs, keys, action)
        for function, result in jax.eval_shape(functions, {}, keys, action).items():
            difference = first_difference(function, traced[function], result)
            require(difference is None, f"with traced parameters, {difference}")


def first_difference(part: str, got: PyTree, wanted: PyTree, source: str = "") -> str | None:
    """The first leaf that differs in shape or dtype, such as "obs['x'] from step is ..."."""
    if not same_structure(got, wanted):
        return f"{part}{source} is {describe(got)}, and should be {describe(wanted)}"
    leaves = jax.tree_util.tree_leaves_with_path(got)
    for (path, leaf), like in zip(leaves, jax.tree.leaves(wanted), strict=True):
        if leaf.shape != like.shape or leaf.dtype != like.dtype:
            where = part + jax.tree_util.keystr(path) + source
            return f"{where} is {describe(leaf)}, and should be {describe(like)}"
    return None


def same_structure(a: PyTree, b: PyTree) -> bool:
    """Whether two trees have the same containers and keys."""
    structure: Any = jax.tree.structure(a)
    return bool(structure == jax.tree.structure(b))


def describe(tree: PyTree) -> str:
    """A pytree with its leaves as `float32[3,2]`."""
    leaves, structure = jax.tree.flatten(tree)
    texts = [_Bare(f"{leaf.dtype}{list(leaf.shape)}".replace(" ", "")) for leaf in leaves]
    return str(jax.tree.unflatten(structure, texts))


class _Bare(str):
    """A string shown without quotes inside of containers."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def is_real(dtype: Any) -> bool:
    """Whether arrays of this dtype hold real numbers or truth values."""
    return any(jnp.issubdtype(dtype, kind) for kind in _REAL)


def _check_bounds(env: Env) -> None:
    low, high = env.action_low, env.action_high
    require(
        low.shape == high.shape and low.ndim == 1,
        f"action bounds differ in shape or are not vectors: action_low has the shape {low.shape}, "
        f"action_high {high.shape}; give both as [A]",
    )
    require(low.size, "actions have no dimensions; give at least one")
    require(
        (low < high).all(),  # False for NaN
        f"action_low is not below action_high everywhere: {low} and {high}; swap or correct them",
    )


def _check_fields(env: Env) -> None:
    require(
        env.resets in get_args(Resets),
        f"resets = {env.resets!r} is not allowed; give one of {', '.join(get_args(Resets))}",
    )
    limit = env.max_episode_steps
    whole = isinstance(limit, int | np.integer) and not isinstance(limit, bool)
    require(
        limit is None or (whole and limit >= 1),
        f"max_episode_steps = {limit!r} is not allowed; give a whole number of at least 1, or "
        "None for no limit",
    )
    require(
        isinstance(env.metrics, tuple)
        and len(set(env.metrics)) == len(env.metrics)
        and all(isinstance(name, str) and METRIC.fullmatch(name) for name in env.metrics),
        f"metrics = {env.metrics!r} is not allowed; give a tuple of different names of letters, "
        'digits, spaces and _ - . / such as ("reward/forward", "success")',
    )
    leaves = jax.tree_util.tree_leaves_with_path(env.obs)
    require(leaves, "obs has no leaves; observations need at least one array")
    for path, leaf in leaves:
        where = "obs" + jax.tree_util.keystr(path)
        require(
            hasattr(leaf, "shape") and hasattr(leaf, "dtype"),
            f"{where} is described by {leaf!r}; give a jax.ShapeDtypeStruct",
        )
        require(
            math.prod(leaf.shape),
            f"{where} has the shape {leaf.shape}, which holds no numbers; remove it",
        )
        require(
            is_real(leaf.dtype),
            f"{where} has the dtype {leaf.dtype}; observations are real numbers",
        )


def _check_arguments(env: Env) -> None:
    wanted = {"reset": ("keys", "params"), "step": ("keys", "state", "action", "params")}
    for function, arguments in wanted.items():
        try:
            signature = inspect.signature(getattr(env, function))
        except ValueError:  # of a builtin
            continue
        try:
            signature.bind(*arguments)
        except TypeError as error:
            raise Problem(
                f"{function} takes {signature}, and is called as {function}"
                f"({', '.join(arguments)}) with params {{}} or changed values of Env.params; give "
                "it these arguments"
            ) from error


def _check_functions(env: Env) -> None:
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), NUM_ENVS))
    state, obs = _pair("reset", jax.eval_shape(env.reset, keys, {}), "(state, obs)")
    _check_same("obs", "reset", obs, env.obs)
    for path, leaf in leaves_by_path(state).items():
        require(
            leaf.shape[:1] == (NUM_ENVS,),
            f"state{path} from reset is {describe(leaf)}, here with B = {NUM_ENVS}; give each leaf "
            "of the state a leading axis [B]",
        )

    next_state, timestep = _step(env, keys, state)
    difference = first_difference("state", next_state, state)
    require(
        difference is None,
        f"step changes the state: {difference} as reset makes it; a scan needs one structure, "
        "with the same shapes and dtypes",
    )
    scalar, flag = jax.ShapeDtypeStruct((), jnp.float32), jax.ShapeDtypeStruct((), jnp.bool_)
    specs = {"obs": env.obs, "reward": scalar, "terminated": flag, "truncated": flag}
    for part, spec in specs.items():
        _check_same(part, "step", getattr(timestep, part), spec)
    for name in env.metrics:
        _check_same(f"metrics[{name!r}]", "step", timestep.metrics[name], scalar)
    if env.rekey is not None:
        difference = first_difference("state", jax.eval_shape(env.rekey, keys, state), state)
        require(difference is None, f"rekey changes the state: {difference}")
    if env.continuation is not None:
        restart, inherit = env.continuation
        for ended in (None, state):
            led_to = _pair("restart", jax.eval_shape(restart, keys, ended, {}), "(state, obs)")
            difference = first_difference("(state, obs)", led_to, (state, obs))
            require(difference is None, f"restart starts otherwise than reset: {difference}")
        difference = first_difference("state", jax.eval_shape(inherit, state, state, {}), state)
        require(difference is None, f"inherit changes the state: {difference}")


def _pair(function: str, result: Any, wanted: str) -> tuple[PyTree, PyTree]:
    count = len(result) if isinstance(result, tuple) else 1
    require(
        count == 2,
        f"{function} returns {count} value{'s' * (count != 1)}, and should return 2: {wanted}",
    )
    return result[0], result[1]


def _step(env: Env, keys: PyTree, state: PyTree) -> tuple[PyTree, TimeStep]:
    """Specs of what `step` returns, which is a state and a `TimeStep` of the present kind."""
    action = jax.ShapeDtypeStruct((NUM_ENVS, env.action_dim), jnp.float32)
    try:
        result = jax.eval_shape(env.step, keys, state, action, {})
    except (TypeError, ValueError, AttributeError) as error:
        if "final_obs" in str(error):  # named in a call of TimeStep or of its _replace, or read
            raise Problem(f"{_OF_ONE_EPISODE} ({error})") from error
        if "not a valid JAX type" in str(error):
            raise Problem(f"step returns what is no array: {first_line(error)}") from error
        raise
    next_state, timestep = _pair("step", result, "(state, TimeStep)")
    require(
        isinstance(timestep, TimeStep),
        f"step returns a {type(timestep).__name__}; return (state, rpojax.envs.TimeStep(...))",
    )
    metrics = timestep.metrics
    # Five values by position, with final_obs as the second, leave the flags in its place.
    flags = getattr(metrics, "dtype", None) == jnp.bool_
    require(not flags, _OF_ONE_EPISODE)
    require(
        isinstance(metrics, Mapping) and set(metrics) == set(env.metrics),
        f"metrics from step is {describe(metrics)}; give a dictionary from the names in "
        f"Env.metrics, {env.metrics}, to f32[B]",
    )
    return next_state, timestep


def _check_same(part: str, source: str, got: PyTree, spec: PyTree) -> None:
    difference = first_difference(part, got, batched(spec, NUM_ENVS), f" from {source}")
    require(difference is None, f"{difference}; B = {NUM_ENVS} in this check")
