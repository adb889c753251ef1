"""Many agents over all devices: cores of a CPU, GPUs, TPU cores."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rpojax.devices.agreement import JittedAlike
from rpojax.devices.processes import several
from rpojax.trees import is_key, leaves_by_path
from rpojax.types import PyTree
from rpojax.validation import nearest_divisor

AXIS = "agents"
ENVS_AXIS = "envs"
"""Mesh axes: over agents, and over the environments of an agent that several devices share."""


def name_of(function: Callable[..., Any]) -> str:
    """The name that a program of this function has in logs and profiles."""
    name: str = getattr(getattr(function, "func", function), "__name__", "run")
    return name


def sharded_vmap(
    function: Callable[..., PyTree],
    in_axes: Any = 0,
    devices: Sequence[jax.Device] | None = None,
    donate_argnums: tuple[int, ...] = (),
    devices_per_agent: int = 1,
) -> jax.stages.Wrapped:
    """`jax.jit(jax.vmap(function, in_axes))` with the mapped axis spread over devices.

    The devices do not communicate, except for those that share an agent. An axis that the number of
    devices does not divide is padded with copies, whose results are dropped. To see how much memory
    a training takes on each device, call `memory_analysis()` of
    `sharded_vmap(train).lower(keys).compile()`.

    Args:
        function: such as `make_train(cfg)`.
        in_axes: as in `jax.vmap`, with axis 0 or None throughout; all outputs are mapped.
        devices: to use; None for all of the default platform.
        donate_argnums: as in `jax.jit`: arguments whose memory may be reused for the results.
        devices_per_agent: as in the config that the function was made with; it divides the number
            of devices.

    Raises:
        ValueError: an `in_axes` other than 0 and None; devices that cannot be grouped; when it is
            called: mapped arrays of different lengths, or none; other arguments in another process.

    Example:
        rpojax.use_all_cores()
        results = rpojax.sharded_vmap(rpojax.make_train(cfg))(jax.random.split(key, 64))
    """
    chosen = jax.devices() if devices is None else list(devices)
    if any(axis not in (0, None) for axis in jax.tree.leaves(in_axes, is_leaf=_is_none)):
        raise ValueError(f"in_axes = {in_axes!r} maps an axis other than 0; move it to the front")
    mapped = jax.vmap(function, in_axes)
    mesh = agents_mesh(chosen, devices_per_agent)

    def run(*args: Any) -> PyTree:
        prefix = tuple(in_axes) if isinstance(in_axes, list) else in_axes
        axes = jax.tree.broadcast(prefix, args, is_leaf=_is_none)
        specs = _map(lambda axis: PartitionSpec() if axis is None else PartitionSpec(AXIS), axes)
        count = _mapped_size(axes, args)
        rows = _padded_rows(count, mesh.shape[AXIS])
        if len(rows) != count:
            args = _map(lambda axis, leaf: leaf if axis is None else leaf[rows], axes, args)
        results = mapped_over(
            mapped, mesh=mesh, axis_names={AXIS}, in_specs=specs, out_specs=PartitionSpec(AXIS)
        )(*args)
        if len(rows) != count:
            results = jax.tree.map(lambda leaf: leaf[:count], results)
        return results

    run.__name__ = name_of(function)
    jitted: Any = jax.jit(run, donate_argnums=donate_argnums)
    return JittedAlike("sharded_vmap", jitted) if several() else jitted


def mapped_over(function: Callable[..., PyTree], **options: Any) -> Callable[..., PyTree]:
    """`jax.shard_map(function, **options, check_vma=False)`, for arrays without elements too.

    MuJoCo's states have some, and the compiler of jaxlib 0.11.2 crashes where one is an argument of
    a `shard_map` over several devices. Each has a length of 1 on the way in, in place of 0.
    """

    def on_devices(*args: Any) -> PyTree:
        leaves, tree = jax.tree.flatten(args)
        shapes = [jnp.shape(leaf) for leaf in leaves]
        filled = [
            leaf if 0 not in shape else jnp.zeros([max(n, 1) for n in shape], leaf.dtype)
            for leaf, shape in zip(leaves, shapes, strict=True)
        ]

        def of_share(*args: Any) -> PyTree:
            leaves = [
                leaf[tuple(slice(None if n else 0) for n in shape)] if 0 in shape else leaf
                for leaf, shape in zip(jax.tree.leaves(args), shapes, strict=True)
            ]
            return function(*jax.tree.unflatten(tree, leaves))

        of_share.__name__ = name_of(function)
        mapped = jax.shard_map(of_share, check_vma=False, **options)
        return mapped(*jax.tree.unflatten(tree, filled))

    return on_devices


def shard(tree: PyTree, devices_per_agent: int = 1) -> PyTree:
    """Arrays [N, ...] over all devices as `sharded_vmap` returns them, padded with copies.

    The result is [M, ...], where M is the least multiple of the number of devices, or of groups of
    devices that share an agent, that is at least N. `unpad` undoes it. With several processes, each
    passes the same whole arrays.
    """
    sharding = agents_sharding(devices_per_agent)
    return put(padded(tree, sharding.mesh.shape[AXIS]), sharding)


def put(tree: PyTree, shardings: PyTree) -> PyTree:
    """`jax.device_put`, on the devices of several processes too.

    Args:
        tree: of arrays that each process has whole, or that are spread over all of them.
        shardings: a prefix of the tree.
    """
    if jax.process_count() == 1:
        return jax.device_put(tree, shardings)
    return jax.tree.map(
        lambda sharding, part: jax.tree.map(lambda leaf: _spread(leaf, sharding), part),
        shardings,
        tree,
    )


def _spread(leaf: Any, sharding: NamedSharding) -> Any:
    """An array over the devices of all processes, each of which supplies its own part."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        there = leaf.sharding.is_equivalent_to(sharding, leaf.ndim)
        return leaf if there else reshard(leaf, sharding)
    if is_key(leaf):
        data = _spread(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    array = np.asarray(leaf)
    return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)


def reshard(tree: PyTree, sharding: NamedSharding) -> PyTree:
    """Arrays with another sharding over the devices of all processes, which all must call it."""
    return jax.jit(_same, out_shardings=sharding)(tree)


def _same(tree: PyTree) -> PyTree:
    return tree


def agents_sharding(devices_per_agent: int = 1) -> NamedSharding:
    """The axis of agents spread over all devices."""
    return NamedSharding(agents_mesh(jax.devices(), devices_per_agent), PartitionSpec(AXIS))


def agents_mesh(devices: Sequence[jax.Device], devices_per_agent: int) -> Mesh:
    """The mesh [agents], or [agents, envs] where several devices share an agent.

    Raises:
        ValueError: the devices cannot be grouped.
    """
    if devices_per_agent == 1:
        return Mesh(np.asarray(devices), (AXIS,))
    if len(devices) % devices_per_agent:
        nearest = nearest_divisor(len(devices), devices_per_agent)
        raise ValueError(
            f"devices_per_agent = {devices_per_agent} does not divide the {len(devices)} devices "
            f"that agents are spread over; the nearest that does is devices_per_agent = {nearest}"
        )
    return Mesh(np.asarray(devices).reshape(-1, devices_per_agent), (AXIS, ENVS_AXIS))


def padded(tree: PyTree, num_groups: int) -> PyTree:
    """Arrays [N, ...] padded with copies of their first rows to a multiple of `num_groups`."""
    count = len(jax.tree.leaves(tree)[0])
    rows = _padded_rows(count, num_groups)
    return tree if len(rows) == count else jax.tree.map(lambda leaf: leaf[rows], tree)


def unpad(tree: PyTree, count: int) -> PyTree:
    """The first `count` rows of arrays [M, ...]; arrays of that length stay as they are."""
    return jax.tree.map(lambda leaf: leaf if len(leaf) == count else leaf[:count], tree)


def _padded_rows(count: int, num_groups: int) -> np.ndarray:
    """Indices of `count` rows, then of the first ones again, up to a multiple of `num_groups`."""
    return np.arange(-(-count // num_groups) * num_groups) % count


def _is_none(leaf: Any) -> bool:
    return leaf is None


def _map(function: Callable[..., Any], axes: Any, *trees: Any) -> Any:
    return jax.tree.map(function, axes, *trees, is_leaf=_is_none)


def _mapped_size(axes: Any, args: tuple[Any, ...]) -> int:
    """The length of the mapped axis; ValueError where it is not the same everywhere."""
    mapped = _map(lambda axis, leaf: None if axis is None else leaf, axes, args)
    first: dict[tuple[int, ...], str] = {}  # array of each length
    for path, leaf in leaves_by_path(mapped, simple=True).items():
        first.setdefault(leaf.shape[:1], f"{leaf.shape} in argument {path}")
    if len(first) != 1 or () in first:
        raise ValueError(
            f"the mapped arrays have the shapes {', '.join(first.values()) or '(there are none)'}; "
            "give them first axes of one length, and in_axes of None to what all agents share"
        )
    ((count,),) = first
    return count
