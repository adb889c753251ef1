"""From the network of a config to an `ActorCritic`; flax.linen modules and nnx modules."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Env
from rpojax.networks.base import ActorCritic, Outputs, reset_carry
from rpojax.networks.builtin import builtin_network
from rpojax.settings.network_config import NetworkConfig, PolicyDistribution
from rpojax.settings.values import ImportPath
from rpojax.trees import batched, is_key, leading_axes, leaves_by_path, same_avals
from rpojax.types import Array, Key, PyTree
from rpojax.validation import check_choice, first_line

BATCH = 5  # observations that a module is checked with


def make_network(network: Any, env: Env, obs: PyTree | None = None) -> ActorCritic:
    """The network for an environment.

    Args:
        network: a `NetworkConfig`; a flax.linen module; or a function that takes `nnx.Rngs` and
            returns an nnx module. A module is called with obs [..., *obs.shape] and returns
            (mean [..., A], log_std [..., A] or [A], value [...] or [..., 1]). One that has a
            method `initial_carry(batch_shape)` is recurrent: it is called with (carry, obs), each
            with one leading axis, and returns (carry, (mean, log_std, value)). Its policy is
            Gaussian unless it has an attribute `distribution`, such as "tanh_gaussian".
        env: gives the shapes.
        obs: pytree of `jax.ShapeDtypeStruct`, one observation as the network is called with it: in
            float32 where observations are normalised. None for `env.obs`.

    Raises:
        ValueError: not a network, one with state besides its parameters, wrong output shapes, or
            keys that the observations do not have.
    """
    obs = env.obs if obs is None else obs
    if isinstance(network, ImportPath):
        network = network.object
    if isinstance(network, NetworkConfig):
        return builtin_network(network, env)
    if isinstance(network, nn.Module):
        return _from_linen(network, env, obs)
    if callable(network) and not _is_nnx(network):
        return _from_nnx(network, env, obs)
    raise ValueError(
        f"network = {network!r} is not a NetworkConfig or a flax.linen module; for an nnx module, "
        "give a function that builds it, such as lambda rngs: MyModule(rngs=rngs), so that each "
        "seed has its own initial parameters"
    )


class Module(NamedTuple):
    """A user's module as functions."""

    network: Any  # as it was given, for messages
    init: Callable[[Key], PyTree]
    call: Callable[..., Any]  # (params, obs) or, if it is recurrent, (params, carry, obs)
    initial_carry: Callable[[tuple[int, ...]], PyTree] | None  # None without memory
    distribution: PolicyDistribution


def _from_linen(module: nn.Module, env: Env, obs: PyTree) -> ActorCritic:
    """The network of a linen module."""
    example = jax.tree.map(lambda leaf: np.zeros((1, *leaf.shape), leaf.dtype), obs)
    initial_carry = getattr(module, "initial_carry", None)

    def init(key: Key) -> PyTree:
        carry = () if initial_carry is None else (initial_carry((1,)),)
        variables = module.init(key, *carry, example)
        _require_stateless(module, set(variables) - {"params"})
        return variables.get("params", {})

    def call(params: PyTree, *inputs: PyTree) -> Any:
        return module.apply({"params": params}, *inputs)

    distribution = _distribution_of(module)
    return _as_network(Module(module, init, call, initial_carry, distribution), env, obs)


def _from_nnx(factory: Callable[[Any], Any], env: Env, obs: PyTree) -> ActorCritic:
    """The network of the nnx modules that a function makes."""
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
    distribution = _distribution_of(module)
    return _as_network(Module(factory, init, call, initial_carry, distribution), env, obs)


def _is_nnx(network: Any) -> bool:
    """Whether it is an nnx module, rather than a function that makes one."""
    from flax import nnx

    return isinstance(network, nnx.Module)


def _distribution_of(module: Any) -> Any:
    """What a module's attribute of that name says."""
    name = f"the attribute distribution of the network {type(module).__name__}"
    given = getattr(module, "distribution", "gaussian")
    return check_choice(name, given, get_args(PolicyDistribution))


def _require_stateless(module: Any, collections: set[str]) -> None:
    if collections:
        raise ValueError(
            f"network = {type(module).__name__} keeps state besides its parameters "
            f"({', '.join(sorted(collections))}); give one without batch statistics or dropout"
        )


def _as_network(module: Module, env: Env, obs: PyTree) -> ActorCritic:
    """The network of a module, whose parameters and outputs are checked first."""
    problem = _problem(module, env, obs)
    if problem is not None:
        raise ValueError(f"network = {module.network!r} {problem}")
    _, init, call, initial_carry, distribution = module
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

        obs, carry = jax.tree.map(merge, (obs, carry))
        begins = None if reset is None else merge(reset)
        carry, outputs = call(params, reset_carry(carry, initial_carry((batch,)), begins), obs)
        results = _outputs(outputs), carry
        return jax.tree.map(lambda leaf: leaf.reshape(*leading, *leaf.shape[1:]), results)

    def unroll(params: PyTree, obs: PyTree, carry: PyTree, reset: Array) -> Outputs:
        def step(carry: PyTree, inputs: tuple[PyTree, Array]) -> tuple[PyTree, Outputs]:
            outputs, carry = apply_recurrent(params, inputs[0], carry, inputs[1])
            return carry, outputs

        return jax.lax.scan(step, carry, (obs, reset))[1]

    return ActorCritic(init, apply_recurrent, unroll, initial_carry, distribution)


def _outputs(returned: tuple[Array, Array, Array]) -> Outputs:
    """A module's outputs in the form of `Outputs`: log_std for each sample, value without axis."""
    mean, log_std, value = returned
    if value.ndim == mean.ndim:
        value = value[..., 0]
    return Outputs(mean, jnp.broadcast_to(log_std, mean.shape), value)


def _problem(module: Module, env: Env, obs: PyTree) -> str | None:
    """Why training cannot take a module's parameters or outputs; None if it can."""
    batch = batched(obs, BATCH)
    params = jax.eval_shape(lambda: module.init(jax.random.key(0)))
    for name, leaf in leaves_by_path(params, simple=True).items():
        if leaf.dtype not in (jnp.float32, jnp.float64):  # float64 under `jax_enable_x64`
            return (
                f"has the parameter {name} in {leaf.dtype}, and parameters are trained in float32; "
                "keep param_dtype=float32, and set dtype=bfloat16 to compute in it"
            )
    initial_carry = module.initial_carry
    if initial_carry is None:
        outputs = jax.eval_shape(module.call, params, batch)
        wrong = _wrong_outputs(env, (BATCH,), outputs)
        return wrong or _problem_in_rollouts(module, env, obs, params)
    carry = jax.eval_shape(lambda: initial_carry((BATCH,)))
    if any(leaf.shape[:1] != (BATCH,) for leaf in jax.tree.leaves(carry)):
        return (
            f"has an initial_carry(({BATCH},)) that returns {carry}; begin the shape of each array "
            "with batch_shape"
        )
    returned = jax.eval_shape(module.call, params, carry, batch)
    if not (isinstance(returned, tuple) and len(returned) == 2):
        return (
            f"is recurrent and returns {returned!r}; return the tuple "
            f"(carry, {_wanted_outputs(env, (BATCH,))})"
        )
    if not same_avals(carry, returned[0]):
        return (
            f"turns a carry of {carry} into one of {returned[0]}; return the same shapes and "
            "dtypes as initial_carry"
        )
    return _wrong_outputs(env, (BATCH,), returned[1])


def _problem_in_rollouts(module: Module, env: Env, obs: PyTree, params: PyTree) -> str | None:
    """Why a feed-forward module cannot take [T, B, ...], as the critic is given."""
    steps = 4
    try:
        outputs = jax.eval_shape(module.call, params, batched(batched(obs, BATCH), steps))
        problem = _wrong_outputs(env, (steps, BATCH), outputs)
    except Exception as error:  # of the user's module
        problem = f"raises {type(error).__name__} ({first_line(error)})"
    if problem is None:
        return None
    path, leaf = max(leaves_by_path(obs).items(), key=lambda named: len(named[1].shape))
    where, rank = f"obs{path}", len(leaf.shape)
    flat = f"{where}.reshape(*{where}.shape[:-{rank}], -1)" if rank else f"{where}[..., None]"
    return (
        f"with the observations of a rollout, [T, B, ...], {problem}; let it take any number of "
        f"leading axes, as {flat} does"
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
    actions, one = (*leading, env.action_dim), (env.action_dim,)
    allowed = {"mean": [actions], "log_std": [actions, one], "value": [leading, (*leading, 1)]}
    for (name, shapes), output in zip(allowed.items(), outputs, strict=True):
        if output.shape not in shapes:
            return f"returns {name} of shape {output.shape}; return {wanted}"
    return None
