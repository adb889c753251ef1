"""What the functions of a task see of a simulation."""

from collections.abc import Collection
from typing import Any

import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Params
from rpojax.envs.physics.elements import ATTRIBUTES, rows_of
from rpojax.envs.physics.engines import field_of
from rpojax.types import Array, PyTree
from rpojax.validation import check_known


class Data:
    """One simulation, with the attributes of `mujoco.MjData` and its access by name.

    Fields have MuJoCo's names and MJX's shapes: `data.qpos` f32[nq], `data.xpos` f32[nbody, 3],
    `data.xmat` f32[nbody, 3, 3], `data.sensordata`. `data.body("torso").xpos`,
    `data.joint("knee").qpos`, `data.geom(...)`, `data.site("tip").xpos`, `data.actuator(...)`,
    `data.camera(...)`, `data.tendon(...)` and `data.sensor("gyro").data` are as of
    `mujoco.MjData`, with the attributes that `elements.ATTRIBUTES` lists; an element may be given
    by its number too. All others raise an AttributeError.

    Attributes:
        action: f32[A] of the agent, in this step; 0 at the start of an episode.
        memory: what `remember` has returned; see `from_mjcf`.
        terminated: bool[] what `terminate` has returned for this step.
        control_dt: seconds from one action to the next.
        model: fields of `mujoco.MjModel` by name, with the parameters of this environment.
    """

    def __init__(
        self,
        fields: Any,
        mj_model: Any,
        params: Params,
        action: Array,
        memory: PyTree,
        control_dt: float,
    ) -> None:
        self._fields = fields
        self._mj_model = mj_model
        self._params = params
        self.action = action
        self.memory = memory
        self.terminated = jnp.array(False)
        self.control_dt = control_dt

    @property
    def model(self) -> "_Model":
        """The model, with the parameters of this environment."""
        return _Model(self._mj_model, self._params)

    def remembering(self, memory: PyTree) -> "Data":
        """The same simulation with another memory."""
        rest = self._mj_model, self._params, self.action, memory, self.control_dt
        return Data(self._fields, *rest)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in ATTRIBUTES:
            return lambda element: _Element(self, self._mj_model, name, element)
        try:
            return field_of(self._fields, name)
        except AttributeError:
            _check_attribute("data", name, _fields_of_mujoco())
            raise


class _Element:
    """A body, joint, site, ... of a simulation."""

    def __init__(self, data: Data, mj_model: Any, kind: str, element: str | int) -> None:
        self._data, self._mj_model, self._kind = data, mj_model, kind
        self.id = rows_of(mj_model, kind, element, "")
        self.name = element

    def __getattr__(self, name: str) -> Array:
        if name.startswith("_"):
            raise AttributeError(name)
        known = ATTRIBUTES[self._kind]
        _check_attribute(f"data.{self._kind}({self.name!r})", name, known)
        rows = rows_of(self._mj_model, self._kind, self.id, known[name])
        return jnp.atleast_1d(getattr(self._data, known[name])[rows])


def _check_attribute(owner: str, name: str, known: Collection[str]) -> None:
    try:
        check_known(name, known, f"attribute of {owner}:")
    except ValueError as error:
        raise AttributeError(str(error)) from None


def _fields_of_mujoco() -> list[str]:
    import mujoco

    return [name for name in dir(mujoco.MjData) if not name.startswith("_")]


class _Model:
    """Fields of a `mujoco.MjModel` as float32, with some of them changed."""

    def __init__(self, mj_model: Any, params: Params) -> None:
        self._mj_model, self._params = mj_model, params

    def __getattr__(self, name: str) -> Any:
        if name in self._params:
            return self._params[name]
        value = getattr(self._mj_model, name)
        is_float = isinstance(value, np.ndarray) and value.dtype == np.float64
        return jnp.asarray(value, jnp.float32) if is_float else value
