"""Programs of one agent on several devices, and how its arrays are divided among them.

The function of an agent is mapped by `jax.shard_map` over the axis of its environments; what the
devices communicate is explicit (`core/device_axis.py`). `sharded_vmap` maps agents over the
other axis of the mesh, [agents, envs].
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rpojax.devices.sharding import AXIS, ENVS_AXIS, agents_mesh, mapped_over, name_of, padded, put
from rpojax.programs.agent_states import AgentStates
from rpojax.settings.config import Config
from rpojax.types import PyTree, TrainState

ON_ALL: Any = PartitionSpec()
DIVIDED: Any = PartitionSpec(ENVS_AXIS)
STATE = TrainState(
    params=ON_ALL,
    opt_state=ON_ALL,
    learning_rate=ON_ALL,
    obs_stats=ON_ALL,
    reward_stats=ON_ALL,
    value_stats=ON_ALL,
    env_state=DIVIDED,
    obs=DIVIDED,
    reset=DIVIDED,
    carry=DIVIDED,
    discounted_return=DIVIDED,
    episode=DIVIDED,
    key=ON_ALL,
    update_count=ON_ALL,
)
"""Which fields of a state are divided among the devices of its agent."""
AGENT = AgentStates(STATE, ON_ALL, ON_ALL, ON_ALL)


def spread(
    cfg: Config, function: Callable[..., PyTree], in_specs: PyTree, out_specs: PyTree
) -> Callable[..., PyTree]:
    """`function` of one agent, on `cfg.devices_per_agent` devices.

    Within `sharded_vmap` the devices are those of its mesh; without, the first ones of JAX.

    Args:
        cfg: gives the number of devices; the function itself for one.
        function: of core/, of one device's share.
        in_specs, out_specs: of its arguments and results, as for `jax.shard_map`.

    Raises:
        ValueError: there are too few devices, or `sharded_vmap` was given another number.
    """
    num_devices = cfg.devices_per_agent
    if num_devices == 1:
        return function
    _require_devices(num_devices)

    def on_devices(*args: PyTree) -> PyTree:
        mapped = mapped_over(
            function,
            mesh=_mesh(num_devices),
            axis_names={ENVS_AXIS},
            in_specs=in_specs,
            out_specs=out_specs,
        )
        return mapped(*args)

    on_devices.__name__ = name_of(function)
    return on_devices


def place(cfg: Config, states: AgentStates) -> AgentStates:
    """N agents where the programs of `fit` have them, padded with copies as by `shard`."""
    shardings = agents_shardings(cfg.devices_per_agent)
    return put(padded(states, jax.device_count() // cfg.devices_per_agent), shardings)


def agents_shardings(devices_per_agent: int) -> AgentStates:
    """Where the leaves [N, ...] of `AgentStates` are, over all devices: a prefix of its tree."""
    mesh = agents_mesh(jax.devices(), devices_per_agent)
    if devices_per_agent == 1:
        return NamedSharding(mesh, PartitionSpec(AXIS))  # type: ignore[return-value]
    return jax.tree.map(
        lambda spec: NamedSharding(mesh, PartitionSpec(AXIS, *spec)),
        AGENT,
        is_leaf=lambda node: isinstance(node, PartitionSpec),
    )


def _mesh(num_devices: int) -> Any:
    """The mesh that a function of one agent is mapped over; None for that of `sharded_vmap`."""
    outer = jax.sharding.get_abstract_mesh()
    if not outer.manual_axes:
        return Mesh(np.asarray(jax.devices()[:num_devices]), (ENVS_AXIS,))
    if outer.shape.get(ENVS_AXIS) == num_devices:
        return None
    raise ValueError(
        f"devices_per_agent = {num_devices} does not agree with the mesh {dict(outer.shape)} that "
        f"agents are mapped over; give sharded_vmap(..., devices_per_agent={num_devices})"
    )


def _require_devices(num_devices: int) -> None:
    devices = jax.devices()
    if num_devices > len(devices):
        raise ValueError(
            f"devices_per_agent = {num_devices} is more than JAX has here, {len(devices)} of "
            f"{devices[0].platform!r}; give at most {len(devices)}, or, for cores of a CPU, call "
            "rpojax.use_all_cores() right after the imports"
        )
