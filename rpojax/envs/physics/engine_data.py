"""What tasks read as `mujoco.mjx.Data`, on MuJoCo's C engine."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.contexts import tracing_lock
from rpojax.envs.physics.engine import Simulator, make_simulator
from rpojax.envs.physics.mjx_params import name_in_c
from rpojax.types import Array

MATRICES = ("xmat", "ximat", "geom_xmat", "site_xmat", "cam_xmat")  # [n, 3, 3] in MJX, [n, 9] in C
INPUTS = (
    "qpos",
    "qvel",
    "act",
    "ctrl",
    "qacc_warmstart",
    "qfrc_applied",
    "xfrc_applied",
    "mocap_pos",
    "mocap_quat",
    "time",
)
"""Fields that a task may replace; all others follow from them."""


class Fields:
    """The fields of `mujoco.MjData` that the functions of a task read, in MJX's shapes.

    A task is traced once on `EngineData` that notes which fields it reads. The simulator then
    returns these and no others.
    """

    def __init__(self, example: Any) -> None:
        self._example = example  # mujoco.MjData
        self.read: set[str] = set()

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a field; AttributeError where the C engine does not give it."""
        value: Any = getattr(self._example, name, None)
        if not isinstance(value, float) and getattr(value, "dtype", None) != np.float64:
            raise AttributeError(
                f"data.{name} is not a field that MuJoCo's C engine gives to tasks, an array of "
                'float64 in mujoco.MjData; choose impl = "jax"'
            )
        shape = np.shape(value)
        return (*shape[:-1], 3, 3) if name in MATRICES else shape

    def noted(self, name: str) -> Array:
        """Zeros of the shape of a field, which is noted as read."""
        shape = self.shape(name)
        self.read.add(name)
        return jnp.zeros(shape)

    def at_reset(self) -> dict[str, Array]:
        """Those that are read, in MuJoCo's default state."""
        return {
            name: jnp.asarray(getattr(self._example, name), jnp.float32).reshape(self.shape(name))
            for name in sorted(self.read)
        }


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EngineData:
    """One simulation, with the attributes of `mujoco.mjx.Data` that tasks use."""

    row: Array  # uint32[n] of the simulator
    values: Mapping[str, Array]  # fields after the last step, in MJX's shapes
    engine: "Engine" = dataclasses.field(metadata={"static": True})

    def __getattr__(self, name: str) -> Array:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.values[name] if name in self.values else self.engine.fields.noted(name)

    @property
    def _impl(self) -> "EngineData":
        return self

    def replace(self, **changes: Array) -> "EngineData":
        """A copy with some inputs replaced; what follows from them is as before."""
        for name in changes:
            if name not in INPUTS:
                raise AttributeError(
                    f"data.replace({name}=...): MuJoCo's C engine takes {', '.join(INPUTS)}; "
                    'choose impl = "jax"'
                )
        known = {name: value for name, value in changes.items() if name in self.values}
        written = self.engine.advance(self, {}, -1, False, **changes)
        return dataclasses.replace(self, row=written.row, values={**self.values, **known})


class Engine:
    """The C engine for the functions of one task.

    Args:
        model: a `mujoco.MjModel`.
        params: that may be traced, by the names of `mjx_params.traceable`.
        trace: calls the functions of the task with this engine, so that it learns which fields they
            read.
    """

    def __init__(self, model: Any, params: Sequence[str], trace: Callable[["Engine"], Any]) -> None:
        import mujoco

        self.fields = Fields(mujoco.MjData(model))
        self._simulator: Simulator | None = None
        jax.eval_shape(functools.partial(trace, self))
        names = [name_in_c(name) for name in params]
        self._simulator = make_simulator(model, sorted(self.fields.read), names)

    def data(self, row: Array | None = None) -> EngineData:
        """A simulation; in MuJoCo's default state without a row."""
        if self._simulator is None:
            return EngineData(jnp.zeros(2, jnp.uint32), {}, self)
        if row is None:
            return EngineData(jnp.asarray(self._simulator.row), self.fields.at_reset(), self)
        return EngineData(row, {}, self)

    def advance(
        self,
        data: EngineData,
        params: Mapping[str, Array],
        substeps: int = 0,
        contact_forces: bool = False,
        **inputs: Array,
    ) -> EngineData:
        """So many times `mj_step`; see `Advance`."""
        if self._simulator is None:
            return EngineData(data.row, {}, self)
        changed = {name_in_c(name): value for name, value in params.items()}
        row, values = self._simulator.advance(data.row, inputs, changed, substeps, contact_forces)
        shaped = {name: value.reshape(self.fields.shape(name)) for name, value in values.items()}
        return EngineData(row, shaped, self)


@contextlib.contextmanager
def in_place_of_mjx(engine: Engine, modules: Any, params: Mapping[str, Array]) -> Iterator[None]:
    """While it lasts, tasks of MuJoCo Playground are traced on the C engine.

    What they call advances `EngineData`: `mjx.step`, `mjx.forward`, and `step` and `make_data` of
    Playground's own module. One thread traces at a time.

    Args:
        engine: of the task.
        modules: `mujoco_playground._src.mjx_env`, by which tasks reach `mjx` too.
        params: that are changed, by name.
    """

    def forward(model: Any, data: EngineData) -> EngineData:
        return engine.advance(data, params)

    def step(model: Any, data: EngineData) -> EngineData:
        return engine.advance(data, params, substeps=1)

    def step_often(model: Any, data: EngineData, action: Array, n_substeps: int = 1) -> EngineData:
        return engine.advance(data, params, n_substeps, ctrl=action)

    def make_data(model: Any, **given: Any) -> EngineData:
        inputs = {  # one mocap body's position [3] is as good as [1, 3]
            name: jnp.reshape(given[name], engine.fields.shape(name))
            for name in INPUTS
            if given.get(name) is not None
        }
        return engine.data().replace(**inputs)

    with contextlib.ExitStack() as stack:
        stack.enter_context(tracing_lock)
        for owner, name, function in (
            (modules.mjx, "forward", forward),
            (modules.mjx, "step", step),
            (modules, "step", step_often),
            (modules, "make_data", make_data),
        ):
            stack.enter_context(mock.patch.object(owner, name, function))
        yield
