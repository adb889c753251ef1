"""Networks that a user brings: flax.linen modules and nnx modules."""

import math
from collections.abc import Callable
from typing import Any, Protocol, cast, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Env
from rpojax.networks.base import ActorCritic, Outputs, reset_carry
from rpojax.settings.network_config import PolicyDistribution
from rpojax.trees import batched, is_key, leading_axes, leaves_by_path, same_avals
from rpojax.types import Array, Key, PyTree
from rpojax.validation import check_choice, first_line

BATCH = 5  # observations that a module is checked with


class Call(Protocol):
    """Calls a module."""

    def __call__(self, params: PyTree, /, *inputs: PyTree) -> Any:
        """Return what the module returns for `obs` or, if it is recurrent, `carry, obs`."""


def from_linen(module: nn.Module, env: Env, obs: PyTree) -> ActorCritic:
    """The network of a linen module; see `rpojax.networks.make_network`."""
    example = jax.tree.map(lambda leaf: np.zeros((1, *leaf.shape), leaf.dtype), obs)
    initial_carry = getattr(module, "initial_carry", None)

    def init(key: Key) -> PyTree:
        carry = () if initial_carry is None else (initial_carry((1,)),)
        variables = module.init(key, *carry, example)
        _require_stateless(module, set(variables) - {"params"})
        return variables.get("params", {})

    def call(params: PyTree, *inputs: PyTree) -> Any:
        return module.apply({"params": params}, *inputs)

    return _checked(module, env, obs, init, call, initial_carry, _distribution(module))


def from_nnx(factory: Callable[[Any], Any], env: Env, obs: PyTree) -> ActorCritic:
    """The network of the modules that a function makes; see `rpojax.networks.make_network`."""
    from flax import nnx

    def make(key: Key) -> Any:
        return factory(nnx.Rngs(key if is_key(key) else jax.random.wrap_key_data(key)))

    try:
        module = nnx.eval_shape(lambda: make(jax.random.key(0)))
    except TypeError as error:
        raise ValueError(
            f"network = {factory!r} is not a function of nnx.Rngs ({error}); give a "
            "NetworkConfig, a flax.linen module (an instance, not its class), or a function such "
            "as lambda rngs: MyModule(rngs=rngs)"
        ) from error
    if not isinstance(module, nnx.Module):
        raise ValueError(
            f"network = {factory!r} made {type(module).__name__}, which is not an nnx module; "
            "give a function of nnx.Rngs that returns one"
        )
    graph, _, *rest = nnx.split(module, nnx.Param, ...)
    _require_stateless(module, {type(leaf).__name__ for _, leaf in nnx.to_flat_state(rest[0])})

    def init(key: Key) -> PyTree:
        return nnx.to_pure_dict(nnx.state(make(key), nnx.Param))

    def call(params: PyTree, *inputs: PyTree) -> Any:
        state = nnx.state(module, nnx.Param)
        nnx.replace_by_pure_dict(state, params)
        return nnx.merge(graph, state)(*inputs)

    initial_carry = getattr(module, "initial_carry", None)
    return _checked(factory, env, obs, init, call, initial_carry, _distribution(module))


def is_nnx_module(network: Any) -> bool:
    """Whether it is an nnx module, rather than a function that makes one."""
    from flax import nnx

    return isinstance(network, nnx.Module)


def _checked(
    network: Any,
    env: Env,
    obs: PyTree,
    init: Callable[[Key], PyTree],
    call: Call,
    initial_carry: Callable[[tuple[int, ...]], PyTree] | None,
    distribution: PolicyDistribution,
) -> ActorCritic:
    """The network of a module, whose parameters and outputs have been checked."""
    _check_module(network, env, obs, init, call, initial_carry)
    if initial_carry is None:

        def apply(
            params: PyTree, obs: PyTree, carry: PyTree = (), reset: Array | None = None
        ) -> tuple[Outputs, PyTree]:
            return _outputs(call(params, obs)), ()

        return ActorCritic(init, apply, distribution=distribution)

    def apply_recurrent(
        params: PyTree, obs: PyTree, carry: PyTree = (), reset: Array | None = None
    ) -> tuple[Outputs, PyTree]:
        leading = leading_axes(obs, env.obs)
        batch = math.prod(leading)

        def merge(leaf: Array) -> Array:
            return leaf.reshape(batch, *leaf.shape[len(leading) :])

        def split(leaf: Array) -> Array:
            return leaf.reshape(*leading, *leaf.shape[1:])

        obs, carry = jax.tree.map(merge, (obs, carry))
        begins = None if reset is None else merge(reset)
        carry = reset_carry(carry, initial_carry((batch,)), begins)
        carry, outputs = call(params, carry, obs)
        return jax.tree.map(split, (_outputs(outputs), carry))

    def unroll(params: PyTree, obs: PyTree, carry: PyTree, reset: Array) -> Outputs:
        def step(carry: PyTree, inputs: tuple[PyTree, Array]) -> tuple[PyTree, Outputs]:
            outputs, carry = apply_recurrent(params, inputs[0], carry, inputs[1])
            return carry, outputs

        return jax.lax.scan(step, carry, (obs, reset))[1]

    return ActorCritic(init, apply_recurrent, unroll, initial_carry, distribution)


def _distribution(module: Any) -> PolicyDistribution:
    """What a module's attribute of that name says."""
    name = f"the attribute distribution of the network {type(module).__name__}"
    given = getattr(module, "distribution", "gaussian")
    return cast(PolicyDistribution, check_choice(name, given, get_args(PolicyDistribution)))


def _outputs(returned: tuple[Array, Array, Array]) -> Outputs:
    """A module's outputs in the form of `Outputs`: log_std for each sample, value without axis."""
    mean, log_std, value = returned
    if value.ndim == mean.ndim:
        value = value[..., 0]
    return Outputs(mean, jnp.broadcast_to(log_std, mean.shape), value)


def _require_stateless(module: Any, collections: set[str]) -> None:
    if collections:
        raise ValueError(
            f"network = {type(module).__name__} keeps state besides its parameters "
            f"({', '.join(sorted(collections))}); give one without batch statistics or dropout"
        )


def _check_module(
    network: Any,
    env: Env,
    obs: PyTree,
    init: Callable[[Key], PyTree],
    call: Call,
    initial_carry: Callable[[tuple[int, ...]], PyTree] | None,
) -> None:
    """Raise ValueError for parameters or outputs that training cannot take."""
    batch = batched(obs, BATCH)
    params = jax.eval_shape(lambda: init(jax.random.key(0)))
    _require_float32(network, params)
    if initial_carry is None:
        _require(network, _wrong_outputs(env, (BATCH,), jax.eval_shape(call, params, batch)))
        _check_rollout(network, env, obs, params, call)
        return
    carry = jax.eval_shape(lambda: initial_carry((BATCH,)))
    if any(leaf.shape[:1] != (BATCH,) for leaf in jax.tree.leaves(carry)):
        raise ValueError(
            f"network = {network!r}: initial_carry(({BATCH},)) returns {carry}; begin the shape of "
            "each of its arrays with batch_shape"
        )
    returned = jax.eval_shape(call, params, carry, batch)
    if not (isinstance(returned, tuple) and len(returned) == 2):
        raise ValueError(
            f"network = {network!r} is recurrent and returns {returned!r}; return the tuple "
            f"(carry, {_wanted_outputs(env, (BATCH,))})"
        )
    after, outputs = returned
    if not same_avals(carry, after):
        raise ValueError(
            f"network = {network!r} turns a carry of {carry} into one of {after}; return one "
            "of the same shapes and dtypes as initial_carry gives"
        )
    _require(network, _wrong_outputs(env, (BATCH,), outputs))


def _check_rollout(network: Any, env: Env, obs: PyTree, params: PyTree, call: Call) -> None:
    """Raise ValueError unless a feed-forward module takes [T, B, ...], as the critic is given."""
    steps = 4
    try:
        outputs = jax.eval_shape(call, params, batched(batched(obs, BATCH), steps))
        problem = _wrong_outputs(env, (steps, BATCH), outputs)
    except Exception as error:  # of the user's module
        problem = f"raises {type(error).__name__} ({first_line(error)})"
    if problem is None:
        return
    path, leaf = max(leaves_by_path(obs).items(), key=lambda named: len(named[1].shape))
    where, rank = f"obs{path}", len(leaf.shape)
    flat = f"{where}.reshape(*{where}.shape[:-{rank}], -1)" if rank else f"{where}[..., None]"
    raise ValueError(
        f"network = {network!r} with the observations of a rollout, [T, B, ...], {problem}; let "
        f"it take any number of leading axes, as {flat} does"
    )


def _require(network: Any, problem: str | None) -> None:
    if problem is not None:
        raise ValueError(f"network = {network!r} {problem}")


def _require_float32(network: Any, params: PyTree) -> None:
    """Raise ValueError for parameters that gradient steps would turn into float32."""
    for name, leaf in leaves_by_path(params, simple=True).items():
        if leaf.dtype not in (jnp.float32, jnp.float64):  # float64 under `jax_enable_x64`
            raise ValueError(
                f"network = {network!r} has the parameter {name} in {leaf.dtype}, and parameters "
                "are trained in float32; keep param_dtype=float32, and set dtype=bfloat16 to "
                "compute in it"
            )


def _wanted_outputs(env: Env, leading: tuple[int, ...]) -> str:
    axes, count = (separator.join(map(str, leading)) for separator in (", ", " x "))
    return (
        f"(mean [{axes}, {env.action_dim}], log_std [{axes}, {env.action_dim}] or "
        f"[{env.action_dim}], value [{axes}] or [{axes}, 1]) for {count} observations of "
        f"{env.name!r}"
    )


def _wrong_outputs(env: Env, leading: tuple[int, ...], outputs: Any) -> str | None:
    """What is wrong with a module's outputs for observations with these leading axes, if any."""
    wanted = _wanted_outputs(env, leading)
    if not (isinstance(outputs, tuple) and len(outputs) == 3):
        return f"returns {outputs!r}; return the tuple {wanted}"
    allowed: dict[str, list[tuple[int, ...]]] = {
        "mean": [(*leading, env.action_dim)],
        "log_std": [(*leading, env.action_dim), (env.action_dim,)],
        "value": [leading, (*leading, 1)],
    }
    for (name, shapes), output in zip(allowed.items(), outputs, strict=True):
        if output.shape not in shapes:
            return f"returns {name} of shape {output.shape}; return {wanted}"
    return None
