"""Environments made of a MuJoCo model and a few functions."""

import functools
import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.at_once import MOST, mapped_over_envs
from rpojax.envs.base import MOST_FPS, Env, Params, TimeStep, naming, require
from rpojax.envs.checks.contract import check_contract
from rpojax.envs.contexts import MJX, levels_kept_apart, no_log_file, standard_numpy
from rpojax.envs.description import robot_of
from rpojax.envs.dtypes import as_arrays
from rpojax.envs.physics.actions import Action, motors
from rpojax.envs.physics.data import Data
from rpojax.envs.physics.elements import rows_of
from rpojax.envs.physics.engines import ENGINES, IMPLS, impl_on_device, on_c, on_mjx
from rpojax.envs.physics.rendering import render_with_mujoco
from rpojax.envs.wrappers import with_time_limit
from rpojax.ops.noise import symmetric_uniform
from rpojax.settings.sizes import MOST as MOST_STEPS
from rpojax.types import Array, Key, PyTree
from rpojax.validation import (
    Interval,
    as_mapping,
    as_sequence,
    check_choice,
    check_function,
    number_in,
    numbers_in,
    show,
    whole_number,
)

ITERATIONS, LINE_SEARCH_ITERATIONS = 8, 8
"""Default limits of MJX's constraint solver. The models' own, 100 (Humanoid 50, Pusher 20) and 50,
change no observation by more than float32 rounding (in Ant by nothing, in 200 steps of random
actions; Humanoid was not compared), and are three times slower, since all environments of a batch
wait for the slowest."""

ANY = Interval(-np.inf)
MEMORY_STREAM = 1_802_201_963
"""Folded into the key of a reset: `remember` takes nothing from the numbers of `start`."""

Term: TypeAlias = Callable[[Data], Any]  # a number or a truth value
Noise: TypeAlias = float | Callable[[Key, tuple[int, ...]], Array]


class Start(Protocol):
    """Draws where an episode starts."""

    def __call__(self, key: Key, model: Any, /) -> tuple[Array, Array]:
        """Return qpos f32[nq] and qvel f32[nv] for a `mujoco.MjModel`."""


class Remember(Protocol):
    """Makes what an environment remembers until the next step, beside the simulation."""

    def __call__(self, key: Key, data: Data, /) -> PyTree:
        """Return a pytree of arrays.

        `data.memory` is what this function has returned before, and None where the episode starts.
        """


class State(NamedTuple):
    """The state of one environment."""

    physics: PyTree  # MJX: qpos, qvel, qacc_warmstart, ...; the C engine: uint32[n], see engine.py
    memory: PyTree  # what `remember` has returned; None without it


def from_mjcf(
    model: Any,
    *,
    control_dt: float,
    observe: Callable[[Data], PyTree] | Mapping[str, Callable[[Data], Array]],
    reward: Mapping[str, tuple[float, Term]],
    start: Start | None = None,
    terminate: Term | None = None,
    remember: Remember | None = None,
    action: Action = motors,
    metrics: Mapping[str, Term] | None = None,
    max_episode_steps: int = 1000,
    name: str | None = None,
    impl: Literal["auto", "jax", "c"] = "auto",
    iterations: int | None = None,
    ls_iterations: int | None = None,
    start_from: Literal["forward", "kinematics"] = "forward",
) -> Env:
    """An environment made of a MuJoCo model and a few functions.

    The functions are pure, of one environment, and take a `Data`: the fields of `mujoco.MjData` by
    MuJoCo's names, and `action`, `memory`, `terminated`, `control_dt`, `model`. In each step, after
    the simulation, `terminate`, the terms of `reward`, `metrics`, then `remember`, and at last
    `observe` are called: the first four see the memory from before the step, and `observe` the new
    one. As in MuJoCo, `qpos` is that of the step's end, and what follows from positions, such as
    `xpos`, is one substep older.

    Rendering, a time limit, parameters of the model that may be traced (`Env.params`), limits of
    the solver, and blocks of environments for a CPU's cache come with it. Training resets from a
    pool, unless `start_from` is "kinematics" or `Config.resets` says otherwise.

    Args:
        model: the path of an MJCF or URDF file, XML text, a `mujoco.MjSpec` or a `mujoco.MjModel`.
        control_dt: seconds from one action to the next, a multiple of the model's timestep.
        observe: what the agent sees, an array or a pytree; or a table of named parts, which becomes
            a dictionary (see `NetworkConfig.actor_keys`).
        reward: (weight, term) by name. The reward is their weighted sum; each product is a metric.
        start: positions and velocities at the start of an episode; `start_at()` by default.
        terminate: whether the episode has come to a terminal state; None: it never does.
        remember: the task's own state between steps, such as a command or the last action.
        action: what actions mean: `motors` (controls as they are), `position_targets(...)`,
            `pd_torques(...)`, or a function from a `mujoco.MjModel` to `Controls`.
        metrics: more numbers of each step by name, beside the terms of the reward.
        max_episode_steps: the time limit, which truncates.
        name: of the environment; None for the model's.
        impl: "jax" for MJX, which runs everywhere; "c" for MuJoCo's own engine, on a CPU; "auto"
            for "c" where JAX computes on a CPU, and "jax" elsewhere.
        iterations, ls_iterations: limits of the constraint solver; None: the model's own in C, and
            at most `ITERATIONS` and `LINE_SEARCH_ITERATIONS` on MJX.
        start_from: what MJX computes of the start of an episode: "forward", all that MuJoCo would;
            "kinematics" is faster, and leaves forces, accelerations and sensors 0.

    Raises:
        ValueError: a model that MuJoCo refuses or that MJX cannot simulate (with the element and
            the remedy); `control_dt` is no multiple of the timestep; a term that is no number;
            an argument that is no function, or a start of other shapes.
    """
    mj_model = load_model(model)
    name = name or mj_model.names[: mj_model.names.index(b"\0")].decode() or "mjcf"
    if check_choice("impl", impl, IMPLS) == "auto":
        impl = impl_on_device()
    check_choice("start_from", start_from, ("forward", "kinematics"))
    with naming(name):
        seen: Any = observe
        if as_mapping(observe) is not None:
            seen = functools.partial(_table, _functions("observe", observe))
        controls = check_function("action", action)(mj_model)
        mj_model = controls.model
        substeps = _substeps(control_dt, mj_model.opt.timestep)
        _limit_solver(mj_model, impl, iterations, ls_iterations)
        task = _Task(
            mj_model,
            substeps * mj_model.opt.timestep,
            start_at() if start is None else check_function("start", start),
            check_function("observe", seen),
            _checked_reward(reward),
            None if terminate is None else check_function("terminate", terminate),
            None if remember is None else check_function("remember", remember),
            _functions("metrics", metrics or {}),
        )
        if impl == "c":
            physics = on_c(mj_model, substeps, task.use)
        else:
            physics = on_mjx(mj_model, substeps, task.use, start_from)

        @standard_numpy()
        @levels_kept_apart(MJX)
        def reset_one(key: Key, params: Params) -> tuple[State, PyTree]:
            fields = physics.start(*task.places(key), params)
            memory_key = None if remember is None else jax.random.fold_in(key, MEMORY_STREAM)
            action = jnp.zeros(controls.low.shape)
            memory, obs = task.begin(memory_key, task.data(fields, params, action, None))
            return State(physics.kept(fields), memory), obs

        @jax.jit  # so that it is traced once, for all uses of it
        @standard_numpy()
        @levels_kept_apart(MJX)
        def step_one(
            key: Key, state: State, action: Array, params: Params
        ) -> tuple[State, TimeStep]:
            fields = physics.step(state.physics, controls.control(action), params)
            data = task.data(fields, params, action, state.memory)
            memory, timestep = task.judge(key, data)
            return State(physics.kept(fields), memory), timestep

        def place(data: Any, states: State, index: int) -> None:
            data.qpos[:] = physics.qpos(states.physics)[index]

        def push_one(state: State, velocity: Array) -> State:
            return state._replace(physics=physics.push(state.physics, velocity))

        most = None if impl == "c" else MOST
        reset, step = mapped_over_envs(reset_one, step_one, most)
        key = jax.eval_shape(lambda: jax.random.key(0))
        env = Env(
            name=name,
            reset=reset,
            step=step,
            obs=jax.eval_shape(reset_one, key, {})[1],
            action_low=controls.low,
            action_high=controls.high,
            metrics=(*task.reward, *task.metrics),
            resets="pool" if start_from == "forward" else "exact",
            push=jax.vmap(push_one),
            render=render_with_mujoco(name, mj_model, place),
            render_fps=min(1.0 / task.control_dt, MOST_FPS),
            control_dt=task.control_dt,
            **robot_of(mj_model),
            engine=ENGINES[impl],
            most_at_once=most,
            params=physics.params,
            model=mj_model,
        )
    limit = whole_number("max_episode_steps", max_episode_steps, most=MOST_STEPS)
    limited = with_time_limit(env, limit)
    check_contract(limited)
    return limited


def _functions(field: str, given: Any) -> dict[str, Callable[[Data], Any]]:
    """Functions of Data by name."""
    table = as_mapping(given)
    require(table is not None, f"{field} = {show(given)} is no table; give functions by name")
    return {
        name: check_function(f"{field}[{name!r}]", each) for name, each in (table or {}).items()
    }


def _checked_reward(reward: Any) -> dict[str, tuple[float, Term]]:
    """Weights and terms by name."""
    terms = as_mapping(reward)
    require(
        bool(terms),
        f"reward = {show(reward)} has no terms; give a table of (weight, function of Data) by name,"
        ' such as {"height": (1.0, lambda data: data.qpos[2])}',
    )
    checked = {}
    for name, pair in (terms or {}).items():
        items = as_sequence(pair) or []
        require(
            len(items) == 2 and callable(items[1]),
            f"reward[{name!r}] = {show(pair)} is not (weight, function of Data); give a number and "
            "a function",
        )
        checked[name] = number_in(f"the weight of reward[{name!r}]", items[0], ANY), items[1]
    return checked


def start_at(keyframe: str | int | None = None, *, qpos: Noise = 0.0, qvel: Noise = 0.0) -> Start:
    """Episodes that start around a position, for `from_mjcf(start=...)`.

    Args:
        keyframe: of the model, by name or number; None for its `qpos0`, at rest.
        qpos: what is added to positions: uniform numbers of at most this size, or what a function
            of (key, shape) returns, such as `lambda *args: 0.1 * jax.random.normal(*args)`.
        qvel: the same for velocities.

    Raises:
        ValueError: a size that is no number, or negative.
    """
    for field, noise in (("qpos", qpos), ("qvel", qvel)):
        if not callable(noise):
            numbers_in(field, noise, Interval(0.0))

    def start(key: Key, model: Any) -> tuple[Array, Array]:
        frame = (model.qpos0, np.zeros(model.nv))
        if keyframe is not None:
            number = rows_of(model, "key", keyframe, "")
            frame = (model.key_qpos[number], model.key_qvel[number])
        keys = jax.random.split(key)
        positions, velocities = (
            jnp.asarray(values, jnp.float32) + _noise(noise, each, np.shape(values))
            for values, noise, each in zip(frame, (qpos, qvel), keys, strict=True)
        )
        return positions, velocities

    return start


def _noise(noise: Noise, key: Key, shape: tuple[int, ...]) -> Array:
    if callable(noise):
        return noise(key, shape)
    return symmetric_uniform(key, shape, noise)


class _Task(NamedTuple):
    """The functions of a task, with what they are told."""

    mj_model: Any
    control_dt: float
    start: Start
    observe: Callable[[Data], PyTree]
    reward: dict[str, tuple[float, Term]]
    terminate: Term | None
    remember: Remember | None
    metrics: dict[str, Term]

    def places(self, key: Key) -> tuple[Array, Array]:
        """Positions f32[nq] and velocities f32[nv] where an episode starts."""
        made = as_sequence(self.start(key, self.mj_model)) or ()
        parts = tuple(jnp.asarray(part) for part in made)
        shapes, expected = tuple(map(jnp.shape, parts)), ((self.mj_model.nq,), (self.mj_model.nv,))
        require(
            shapes == expected,
            f"start returns arrays of the shapes {shapes}; return (qpos, qvel), {expected}",
        )
        return parts[0], parts[1]

    def data(self, fields: Any, params: Params, action: Array, memory: PyTree) -> Data:
        return Data(fields, self.mj_model, params, action, memory, self.control_dt)

    def begin(self, key: Key | None, data: Data) -> tuple[PyTree, PyTree]:
        """The memory and the observation of a start."""
        memory = self._memory(key, data)
        return memory, as_arrays("obs", self.observe(data.remembering(memory)))

    def judge(self, key: Key, data: Data) -> tuple[PyTree, TimeStep]:
        """The memory and the TimeStep that a step leads to."""
        if self.terminate is not None:
            data.terminated = _number("terminate", self.terminate(data)).astype(bool)
        rewards = {
            name: weight * _number(f"reward[{name!r}]", term(data))
            for name, (weight, term) in self.reward.items()
        }
        others = {
            name: _number(f"metrics[{name!r}]", term(data)) for name, term in self.metrics.items()
        }
        memory, obs = self.begin(key, data)
        timestep = TimeStep(
            obs=obs,
            reward=functools.reduce(operator.add, rewards.values()),
            terminated=data.terminated,
            truncated=jnp.array(False),
            metrics=rewards | others,
        )
        return memory, timestep

    def use(self, fields: Any) -> PyTree:
        """Read of some data what the functions read."""
        with standard_numpy():
            action, key = jnp.zeros(self.mj_model.nu), jax.random.key(0)
            memory, obs = self.begin(key, self.data(fields, {}, action, None))
            return obs, self.judge(key, self.data(fields, {}, action, memory))

    def _memory(self, key: Any, data: Data) -> PyTree:
        return None if self.remember is None else as_arrays("memory", self.remember(key, data))


def _table(parts: Mapping[str, Callable[[Data], Array]], data: Data) -> dict[str, Array]:
    return {name: part(data) for name, part in parts.items()}


def _number(where: str, value: Any) -> Array:
    """A term f32[]."""
    value = jnp.asarray(value)
    require(
        value.shape == (),
        f"{where} has the shape {value.shape}; return one number, such as the sum",
    )
    return value.astype(jnp.float32)


def load_model(model: Any) -> Any:
    """A `mujoco.MjModel` of one's own, from all that `from_mjcf` takes as a model."""
    import mujoco

    is_text = isinstance(model, str) and model.lstrip().startswith("<")
    try:
        with no_log_file():
            if is_text:
                return mujoco.MjModel.from_xml_string(model)
            if isinstance(model, str | Path):
                return mujoco.MjModel.from_xml_path(str(Path(model).expanduser()))
            if isinstance(model, mujoco.MjSpec):
                return model.compile()
    except ValueError as error:
        source = "the XML text" if is_text else repr(model)
        raise ValueError(f"model: MuJoCo refuses {source}: {error}") from error
    if isinstance(model, mujoco.MjModel):
        return model.__copy__()
    raise ValueError(
        f"model = {show(model)} is no model; give the path of an MJCF file, XML text, a "
        "mujoco.MjSpec or a mujoco.MjModel"
    )


def _substeps(control_dt: float, timestep: float) -> int:
    control_dt = number_in("control_dt", control_dt, Interval(0.0, low_allowed=False))
    count = round(control_dt / timestep)
    require(
        count >= 1 and np.isclose(count * timestep, control_dt, rtol=1e-6),
        f"control_dt = {control_dt} is no multiple of the model's timestep = {timestep}; give one",
    )
    return count


def _limit_solver(
    mj_model: Any, impl: str, iterations: int | None, ls_iterations: int | None
) -> None:
    import mujoco

    option = mj_model.opt
    most = (MOST_STEPS, MOST_STEPS) if impl == "c" else (ITERATIONS, LINE_SEARCH_ITERATIONS)
    if impl == "jax" and option.solver == mujoco.mjtSolver.mjSOL_PGS:  # MJX has no such solver
        option.solver = mujoco.mjtSolver.mjSOL_NEWTON
    for field, value, limit in zip(
        ("iterations", "ls_iterations"), (iterations, ls_iterations), most, strict=True
    ):
        if value is not None:
            value = whole_number(field, value, most=MOST_STEPS)
        setattr(option, field, min(getattr(option, field), limit) if value is None else value)
