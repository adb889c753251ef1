"""Actor-critic networks: the built-in perceptrons, and any flax module of a user's own."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rpojax.config import NetworkConfig
from rpojax.envs.base import Env
from rpojax.types import Array, Key, PyTree


class Outputs(NamedTuple):
    """What a network says of observations [..., *obs.shape]."""

    mean: Array  # [..., A] of the policy, unperturbed
    log_std: Array  # [..., A]
    value: Array  # [...]


class ActorCritic(NamedTuple):
    """A network as pure functions. Outputs that are not used cost nothing: XLA drops them."""

    init: Callable[[Key], PyTree]
    apply: Callable[[PyTree, PyTree], Outputs]  # (params, obs [..., *obs.shape])


def make_network(network: Any, env: Env) -> ActorCritic:
    """The network for an environment.

    Args:
        network: a `NetworkConfig`; a flax.linen module; or a function that takes `nnx.Rngs` and
            returns an nnx module. A module is called with obs [..., *obs.shape] and returns
            (mean [..., A], log_std [..., A] or [A], value [...] or [..., 1]).
        env: gives the shapes.

    Raises:
        ValueError: not a network, one with state besides its parameters, or wrong output shapes.
    """
    if isinstance(network, NetworkConfig):
        module = MLPActorCritic(network, env.action_dim)
        init = functools.partial(_init_orthogonal, module, env)
        made = _from_linen(module, env)._replace(init=init)
    elif isinstance(network, nn.Module):
        made = _from_linen(network, env)
    elif callable(network) and not _is_nnx_module(network):
        made = _from_nnx(network)
    else:
        remedy = "a function that makes it, such as lambda rngs: MyModule(rngs=rngs)"
        raise ValueError(
            f"network = {network!r} is not a NetworkConfig or a flax.linen module; "
            f"of an nnx module, give {remedy}, so that each seed starts anew"
        )
    checked = made._replace(apply=functools.partial(_apply, made.apply))
    _check_outputs(network, checked, made.apply, env)
    return checked


class MLPActorCritic(nn.Module):
    """Multilayer perceptrons for the mean and the value, and one free log_std for each action.

    Kernels are made anew by `_init_orthogonal`.
    """

    config: NetworkConfig
    action_dim: int

    @nn.compact
    def __call__(self, obs: PyTree) -> Outputs:
        """Outputs for obs: pytree of [..., d]; leaves are joined along the last axis."""
        inputs = jnp.concatenate(
            [leaf.astype(jnp.float32) for leaf in jax.tree.leaves(obs)], axis=-1
        )
        if self.config.shared_torso:
            actor = critic = self._torso("torso", inputs)
        else:
            actor, critic = self._torso("actor", inputs), self._torso("critic", inputs)
        mean = _dense(self.action_dim, "mean")(actor)
        value = _dense(1, "value")(critic)
        log_std = self.param(
            "log_std", nn.initializers.constant(self.config.log_std_init), (self.action_dim,)
        )
        return Outputs(mean, log_std, value[..., 0])

    def _torso(self, name: str, hidden: Array) -> Array:
        activation: Callable[[Array], Array] = getattr(nn, self.config.activation)
        for index, size in enumerate(self.config.hidden_sizes):
            hidden = activation(_dense(size, f"{name}_{index}", _product)(hidden))
        return hidden


def _dense(features: int, name: str, dot_general: Callable[..., Array] | None = None) -> nn.Dense:
    return nn.Dense(features, kernel_init=nn.initializers.zeros, name=name, dot_general=dot_general)


def _product(inputs: Array, kernel: Array, *_: Any, **__: Any) -> Array:
    """Inputs [..., n] @ kernel [n, m], as the `dot_general` of nn.Dense."""
    return _matmul(inputs, kernel)


@jax.custom_vjp
def _matmul(inputs: Array, kernel: Array) -> Array:
    """A product whose gradient for the kernel, inputs^T @ error, runs faster on a CPU.

    XLA:CPU has fast kernels for rows times a matrix and a slow path for contracting over the
    samples; a transpose that it must write out first takes it to the fast one (measured: updates
    take 0.93x the time).
    """
    return inputs @ kernel


def _matmul_forward(inputs: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return inputs @ kernel, (inputs, kernel)


def _matmul_backward(saved: tuple[Array, Array], error: Array) -> tuple[Array, Array]:
    inputs, kernel = saved
    samples = inputs.reshape(-1, inputs.shape[-1])
    transposed = jax.lax.platform_dependent(
        samples.T, cpu=jax.lax.optimization_barrier, default=lambda x: x
    )
    return error @ kernel.T, transposed @ error.reshape(-1, error.shape[-1])


_matmul.defvjp(_matmul_forward, _matmul_backward)


KERNEL_SCALE = {"mean": 0.01, "value": 1.0}  # of hidden layers sqrt(2)


def _init_orthogonal(module: MLPActorCritic, env: Env, key: Key) -> PyTree:
    """Parameters of the perceptrons: orthogonal kernels, biases 0.

    One draw for all kernels and one orthogonalisation for all of a shape: each of either is a
    loop to compile, and compiling them one by one would take a second.
    """
    shapes = jax.eval_shape(_from_linen(module, env).init, key)
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    params["log_std"] += module.config.log_std_init
    names_of_shape: dict[tuple[int, ...], list[str]] = {}
    for name in sorted(params.keys() - {"log_std"}):
        names_of_shape.setdefault(params[name]["kernel"].shape, []).append(name)
    sizes = [len(names) * math.prod(shape) for shape, names in names_of_shape.items()]
    draws = jnp.split(jax.random.normal(key, (sum(sizes),)), np.cumsum(sizes)[:-1])
    for (shape, names), noise in zip(names_of_shape.items(), draws, strict=True):
        kernels = jax.vmap(orthogonal)(noise.reshape(len(names), *shape))
        for name, kernel in zip(names, kernels, strict=True):
            params[name]["kernel"] = KERNEL_SCALE.get(name, math.sqrt(2.0)) * kernel
    return params


def orthogonal(noise: Array) -> Array:
    """A matrix with orthonormal rows or columns (whichever are fewer) from a Gaussian one.

    It is Haar-distributed: the product of the Householder reflections of Gaussian vectors of
    decreasing length, Stewart (1980), https://doi.org/10.1137/0717034. Matrix-vector products
    alone: the QR that jax.nn.initializers.orthogonal calls deadlocks XLA's CPU backend when it is
    batched.

    Args:
        noise: [rows, columns] from a standard normal.
    """
    rows, columns = noise.shape
    long, short = max(rows, columns), min(rows, columns)
    index = jnp.arange(long)
    vectors = noise.reshape(short, long)
    vectors = jnp.where(index[None] >= jnp.arange(short)[:, None], vectors, 0.0)
    signs = jnp.where(jnp.diagonal(vectors) < 0.0, -1.0, 1.0)

    def reflect(step: Array, matrix: Array) -> Array:
        """Reflect along vector + sign * |vector| e, which maps the vector onto the axis e."""
        column = short - 1 - step
        length = jnp.sqrt(jnp.sum(jnp.square(vectors[column])))
        normal = vectors[column] + jnp.where(index == column, signs[column] * length, 0.0)
        projection = (normal @ matrix) * (2.0 / jnp.sum(jnp.square(normal)))
        return matrix - normal[:, None] * projection[None]

    matrix = jax.lax.fori_loop(0, short, reflect, jnp.eye(long, short))
    matrix = -matrix * signs[None]  # as if from a QR whose R has a positive diagonal
    return matrix if rows >= columns else matrix.T


def _from_linen(module: nn.Module, env: Env) -> ActorCritic:
    example = jax.tree.map(lambda leaf: np.zeros((1, *leaf.shape), leaf.dtype), env.obs)

    def init(key: Key) -> PyTree:
        variables = module.init(key, example)
        _require_stateless(module, set(variables) - {"params"})
        return variables.get("params", {})

    def apply(params: PyTree, obs: PyTree) -> Any:
        return module.apply({"params": params}, obs)

    return ActorCritic(init, apply)


def _from_nnx(factory: Callable[[Any], Any]) -> ActorCritic:
    from flax import nnx

    def make(key: Key) -> Any:
        typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
        return factory(nnx.Rngs(key if typed else jax.random.wrap_key_data(key)))

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

    def apply(params: PyTree, obs: PyTree) -> Any:
        state = nnx.state(module, nnx.Param)
        nnx.replace_by_pure_dict(state, params)
        return nnx.merge(graph, state)(obs)

    return ActorCritic(init, apply)


def _apply(apply: Callable[[PyTree, PyTree], Any], params: PyTree, obs: PyTree) -> Outputs:
    """A module's outputs in the form of `Outputs`: log_std for each sample, value without axis."""
    mean, log_std, value = apply(params, obs)
    if value.ndim == mean.ndim:
        value = value[..., 0]
    return Outputs(mean, jnp.broadcast_to(log_std, mean.shape), value)


def _is_nnx_module(network: Any) -> bool:
    from flax import nnx

    return isinstance(network, nnx.Module)


def _require_stateless(module: Any, collections: set[str]) -> None:
    if collections:
        raise ValueError(
            f"network = {type(module).__name__} keeps state besides its parameters "
            f"({', '.join(sorted(collections))}); give one without batch statistics or dropout"
        )


def _check_outputs(
    network: Any, made: ActorCritic, apply: Callable[[PyTree, PyTree], Any], env: Env
) -> None:
    batch = 5
    obs = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((batch, *leaf.shape), leaf.dtype), env.obs)
    params = jax.eval_shape(lambda: made.init(jax.random.key(0)))
    raw = jax.eval_shape(apply, params, obs)
    wanted = (
        f"(mean [{batch}, {env.action_dim}], log_std [{batch}, {env.action_dim}] or "
        f"[{env.action_dim}], value [{batch}] or [{batch}, 1]) for {batch} observations of "
        f"{env.name!r}"
    )
    if not (isinstance(raw, tuple) and len(raw) == 3):
        raise ValueError(f"network = {network!r} returns {raw!r}; return the tuple {wanted}")
    allowed: dict[str, list[tuple[int, ...]]] = {
        "mean": [(batch, env.action_dim)],
        "log_std": [(batch, env.action_dim), (env.action_dim,)],
        "value": [(batch,), (batch, 1)],
    }
    for (name, shapes), output in zip(allowed.items(), raw, strict=True):
        if output.shape not in shapes:
            raise ValueError(
                f"network = {network!r} returns {name} of shape {output.shape}; return {wanted}"
            )
