"""What simulates a MuJoCo model: MJX on any device, or MuJoCo's C engine on a CPU.

Both give what their callers read as `mujoco.mjx.Data`, in its shapes.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Params, require
from rpojax.envs.contexts import concrete_values, no_log_file, nothing_printed
from rpojax.envs.physics.engine_data import Engine
from rpojax.envs.physics.mjx_params import changed, traceable
from rpojax.types import Array, PyTree

IMPLS = ("auto", "jax", "c")
ENGINES = {"jax": "MJX", "c": "MuJoCo C", "warp": "MuJoCo Warp"}
CONTACT_FORCES = {"cacc", "cfrc_ext", "cfrc_int"}  # which MuJoCo leaves out of a step
KEPT = ("qpos", "qvel", "act", "qacc_warmstart")  # the last: where the constraint solver starts


class Physics(NamedTuple):
    """The simulations of a model, of one environment each."""

    params: Mapping[str, np.ndarray]  # default values of parameters that may be traced, by name
    start: Callable[[Array, Array, Params], Any]  # (qpos, qvel) -> data
    step: Callable[[PyTree, Array, Params], Any]  # (what was kept, controls) -> data
    kept: Callable[[Any], PyTree]  # what the next step needs of the data
    push: Callable[[PyTree, Array], PyTree]  # (what was kept, f32[k]): adds to the first k of qvel
    qpos: Callable[[PyTree], np.ndarray]  # of what was kept, [n, ...] -> [n, nq], for pictures


class _Noted:
    """Data that notes which of its fields are read."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.read.add(name)
        return self if name == "_impl" else field_of(self._data, name)


def field_of(data: Any, name: str) -> Any:
    """A field of `mujoco.mjx.Data` by name, also of those that only one engine has."""
    own = getattr(type(data), "__dataclass_fields__", (name,))
    if name in own or name.startswith("_"):
        return getattr(data, name)
    return getattr(data._impl, name)  # of `data` itself, MJX warns that they are deprecated


def impl_on_device() -> Literal["jax", "c"]:
    """The engine that is fastest where JAX computes: C on a CPU, MJX on others."""
    return "c" if jax.default_backend() == "cpu" else "jax"


def on_mjx(mj_model: Any, substeps: int, use: Callable[[Any], Any], start: str) -> Physics:
    """A model's physics in JAX, on any device.

    Args:
        mj_model: a `mujoco.MjModel` that MJX can simulate.
        substeps: of the simulation in each step.
        use: reads of the data what callers will read.
        start: what to compute of a state that was given: "forward", all that MuJoCo would; or
            "kinematics", which leaves forces, accelerations and sensors 0.
    """
    with nothing_printed():
        from mujoco import mjx

    on_device = put_on_mjx(mj_model)
    constants = jax.tree.map(np.asarray, on_device)  # of programs on any device
    noted = _Noted(constants[1])
    jax.eval_shape(lambda: use(noted))
    with_contact_forces = bool(noted.read & CONTACT_FORCES)
    kept = [name for name in KEPT if name != "act" or mj_model.na]
    kept += {"time"} & noted.read

    def model(params: Params) -> Any:
        return changed(jax.tree.map(jnp.asarray, constants[0]), params)

    def start_at(qpos: Array, qvel: Array, params: Params) -> Any:
        data = jax.tree.map(jnp.asarray, constants[1]).replace(qpos=qpos, qvel=qvel)
        own = model(params)
        if start == "forward":
            data = mjx.forward(own, data)
        else:
            data = mjx.com_vel(own, mjx.com_pos(own, mjx.kinematics(own, data)))
        return data.replace(qpos=qpos)  # MJX has normalized the quaternion, MuJoCo would not

    def step(before: PyTree, ctrl: Array, params: Params) -> Any:
        data = jax.tree.map(jnp.asarray, constants[1])
        data = data.replace(ctrl=ctrl, **dict(zip(kept, before, strict=True)))
        own = model(params)
        data = jax.lax.scan(lambda data, _: (mjx.step(own, data), None), data, length=substeps)[0]
        return mjx.rne_postconstraint(own, data) if with_contact_forces else data

    def push(before: PyTree, velocity: Array) -> PyTree:
        qpos, qvel, *others = before
        return qpos, qvel.at[: len(velocity)].add(velocity), *others

    return Physics(
        params=traceable(constants[0]),
        start=start_at,
        step=step,
        kept=lambda data: tuple(getattr(data, name) for name in kept),
        push=push,
        qpos=lambda before: before[0],
    )


def on_c(mj_model: Any, substeps: int, use: Callable[[Any], Any]) -> Physics:
    """A model's physics on MuJoCo's C engine, on a CPU; its states are MuJoCo's, to the bit."""
    defaults = traceable(mj_model)
    engine = Engine(mj_model, list(defaults), lambda engine: use(engine.data()))
    with_contact_forces = bool(engine.fields.read & CONTACT_FORCES)

    def start(qpos: Array, qvel: Array, params: Params) -> Any:
        return engine.advance(engine.data(), params, qpos=qpos, qvel=qvel)

    def step(row: Array, ctrl: Array, params: Params) -> Any:
        given = params, substeps, with_contact_forces
        return engine.advance(engine.data(row), *given, ctrl=ctrl)

    def push(row: Array, velocity: Array) -> Array:
        first = 2 * (1 + mj_model.nq)  # after the time and the positions, of two words each
        qvel = _float32(row[first : first + 2 * mj_model.nv].reshape(-1, 2))
        qvel = qvel.at[: len(velocity)].add(velocity)
        return engine.advance(engine.data(row), {}, -1, qvel=qvel).row

    return Physics(
        params=defaults,
        start=start,
        step=step,
        kept=lambda data: data.row,
        push=push,
        qpos=lambda rows: np.asarray(rows).view(np.float64)[:, 1 : 1 + mj_model.nq],
    )


def _float32(words: Array) -> Array:
    """Numbers f32[n] of float64 as their words uint32[n, 2], the low one first; cut, not rounded.

    JAX has no float64 unless `jax_enable_x64` is set. Numbers below 1e-38 become 0.
    """
    low, high = words[:, 0], words[:, 1]
    exponent = ((high >> 20) & 0x7FF).astype(jnp.int32) - 1023 + 127
    bits = (exponent.astype(jnp.uint32) << 23) | ((high & 0xFFFFF) << 3) | (low >> 29)
    bits = jnp.where(exponent > 0, bits, 0) | (high & jnp.uint32(0x80000000))
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def put_on_mjx(mj_model: Any) -> tuple[Any, Any]:
    """A `mujoco.mjx.Model` and its `mujoco.mjx.Data`; ValueError for what MJX lacks."""
    with nothing_printed():
        from mujoco import mjx

    try:
        with no_log_file(), concrete_values():  # also inside of a jit
            return mjx.put_model(mj_model, impl="jax"), mjx.make_data(mj_model, impl="jax")
    except NotImplementedError as error:
        names = _lacking(mj_model, str(error))
        require(
            False,
            f"MJX cannot simulate {names or 'the model'}: {str(error).rstrip('.')}; choose "
            'impl = "c", MuJoCo\'s own engine on a CPU, or change the model (contacts of a geom are'
            " excluded by contype and conaffinity)",
        )
        raise


ELEMENTS = {
    "mjtSensor": ("sensor_type", "sensor"),
    "mjtTrn": ("actuator_trntype", "actuator"),
    "mjtBias": ("actuator_biastype", "actuator"),
    "mjtDyn": ("actuator_dyntype", "actuator"),
    "mjtGain": ("actuator_gaintype", "actuator"),
    "mjtEq": ("eq_type", "eq"),
}
"""Fields of a model, and the kind of element, by MuJoCo's enumeration of their types."""


def _lacking(mj_model: Any, problem: str) -> str:
    """The elements of a model that an error of MJX is about, by name."""
    import mujoco
    from mujoco.mjx._src.collision_driver import geom_pairs, has_collision_fn

    types = [
        (enum, int(getattr(getattr(mujoco, enum), member)))
        for enum, member in re.findall(r"(mjt\w+)\.(mj\w+)", problem)
    ]
    found = []
    if "mjtGeom" in dict(types):
        wanted = sorted(value for _, value in types)
        for one, other, _ in geom_pairs(mj_model):
            pair = mj_model.geom_type[[one, other]]
            if sorted(pair) == wanted and ("margin" in problem or not has_collision_fn(*pair)):
                found = [
                    f"the geoms {_named(mj_model.geom(one))} and {_named(mj_model.geom(other))}"
                ]
                break
    for enum, value in types:
        field, kind = ELEMENTS.get(enum, ("", ""))
        for index in np.flatnonzero(getattr(mj_model, field) == value) if field else ():
            found.append(f"{kind} {_named(getattr(mj_model, kind)(index))}")
    if "Flex" in problem:
        found.append(f"the flex of body {_named(mj_model.body(mj_model.flex_vertbodyid[0]))}")
    if "Contact sensor" in problem:
        kind = mj_model.sensor_type == mujoco.mjtSensor.mjSENS_CONTACT
        found += [f"sensor {_named(mj_model.sensor(each))}" for each in np.flatnonzero(kind)]
    return ", ".join(found)


def _named(element: Any) -> str:
    return repr(element.name) if element.name else f"number {element.id}"
