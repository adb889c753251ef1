"""What the functions of a task see of a simulation."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Params
from rpojax.envs.physics.elements import KINDS, rows_of
from rpojax.envs.physics.engines import field_of
from rpojax.types import Array, PyTree


class Data:
    """One simulation, with the attributes of `mujoco.MjData` and its access by name.

    Fields have MuJoCo's names and MJX's shapes: `data.qpos` f32[nq], `data.xpos` f32[nbody, 3],
    `data.xmat` f32[nbody, 3, 3], `data.sensordata`. `data.body("torso").xpos`,
    `data.joint("knee").qpos`, `data.geom(...)`, `data.site("tip").xpos`, `data.actuator(...)`,
    `data.camera(...)`, `data.tendon(...)` and `data.sensor("gyro").data` are as of
    `mujoco.MjData`; an element may be given by its number too.

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
        if name in KINDS:
            return lambda element: _Element(self, self._mj_model, name, element)
        return field_of(self._fields, name)


class _Element:
    """A body, joint, site, ... of a simulation."""

    def __init__(self, data: Data, mj_model: Any, kind: str, element: str | int) -> None:
        self._data, self._mj_model, self._kind = data, mj_model, kind
        self.id = rows_of(mj_model, kind, element, "")
        self.name = element

    def __getattr__(self, name: str) -> Array:
        if name.startswith("_"):
            raise AttributeError(name)
        own = KINDS[self._kind].format(name)
        try:
            values = getattr(self._data, own)
        except AttributeError:
            if own == name:
                raise
            own, values = name, getattr(self._data, name)
        rows = rows_of(self._mj_model, self._kind, self.id, own)
        return jnp.atleast_1d(values[rows])


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
