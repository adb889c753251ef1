"""The adapter for Gymnasium's MuJoCo tasks, simulated by MJX.

The models are those that Gymnasium ships; `mjx_tasks.py` describes the tasks. The state of an
environment is what the simulation needs to go on, not all of MuJoCo's data: it is small to carry
and to select.
"""

import functools
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.at_once import MOST, mapped_over_envs
from rpojax.envs.base import MOST_FPS, Env, Params, TimeStep
from rpojax.envs.contexts import (
    MJX,
    concrete_values,
    levels_kept_apart,
    no_log_file,
    nothing_printed,
    standard_numpy,
)
from rpojax.envs.description import robot_of
from rpojax.envs.physics.engine_data import Engine
from rpojax.envs.physics.mjx_params import changed, traceable
from rpojax.envs.physics.mjx_tasks import TASKS, Task
from rpojax.envs.physics.mjx_terms import Moment
from rpojax.envs.physics.rendering import render_with_mujoco
from rpojax.envs.wrappers import with_time_limit
from rpojax.settings.sizes import MOST as MOST_STEPS
from rpojax.types import Array, Key, PyTree
from rpojax.validation import (
    Interval,
    as_sequence,
    check_bool,
    check_choice,
    check_known,
    numbers_in,
    whole_number,
)

PACKAGES = ("mujoco.mjx",)
EXTRA = "mjx"
SLOW_TO_MAKE = True
IMPLS = ("jax", "c")

ITERATIONS, LINE_SEARCH_ITERATIONS = 8, 8
"""Default limits of the constraint solver. The models' own, 100 (Humanoid 50, Pusher 20) and 50,
change no observation by more than float32 rounding (in Ant by nothing, in 200 steps of random
actions; Humanoid was not compared), and are three times slower, since all environments of a batch
wait for the slowest."""


class State(NamedTuple):
    """The state of one environment."""

    physics: PyTree  # MJX: qpos, qvel, qacc_warmstart; the C engine: uint32[n], see engine.py
    position: Array  # f32[2] its change is the velocity that is rewarded


def names() -> tuple[str, ...]:
    """Gymnasium's MuJoCo tasks that MJX simulates."""
    return tuple(TASKS)


def is_known(name: str) -> bool:
    """Whether there is a task of this name."""
    return name in TASKS


def make(name: str, **params: Any) -> Env:
    """One of Gymnasium's MuJoCo tasks by name.

    Args:
        name: such as "Hopper-v5".
        params: Gymnasium's keyword arguments of the task, such as `healthy_reward=0.5` or
            `frame_skip=2`; `max_episode_steps`; and `iterations` and `ls_iterations`, MuJoCo's
            limits of the constraint solver, in place of `ITERATIONS` and `LINE_SEARCH_ITERATIONS`;
            `impl`, the engine: "jax" for MJX, "c" for MuJoCo's own on a CPU, whose states are
            Gymnasium's to the bit, and whose solver has the model's own limits.

    Raises:
        ValueError: an unknown parameter, with the nearest known one; a value of another kind than
            its default.
    """
    task = TASKS[name]
    impl = check_choice(f"parameter impl of {name}", params.pop("impl", "jax"), IMPLS)
    mj_model = load_model(task)
    iterations, ls_iterations = mj_model.opt.iterations, mj_model.opt.ls_iterations
    if impl == "jax":
        use_solver_of_mjx(mj_model)
        iterations = min(iterations, ITERATIONS)
        ls_iterations = min(ls_iterations, LINE_SEARCH_ITERATIONS)
    plain = {
        "frame_skip": task.frame_skip,
        "max_episode_steps": task.max_episode_steps,
        "iterations": iterations,
        "ls_iterations": ls_iterations,
    }
    known = {**plain, **task.settings}
    for field, value in params.items():
        check_known(field, list(known), f"parameter of {name}")
        known[field] = _checked(f"parameter {field} of {name}", value, known[field])
    task = task._replace(
        frame_skip=known["frame_skip"],
        max_episode_steps=known["max_episode_steps"],
        settings={field: known[field] for field in task.settings},
    )
    mj_model.opt.iterations = known["iterations"]
    mj_model.opt.ls_iterations = known["ls_iterations"]
    return with_time_limit(simulate(name, task, mj_model, impl), task.max_episode_steps)


def load_model(task: Task) -> Any:
    """The `mujoco.MjModel` of a task, from the files of the installed gymnasium."""
    import gymnasium
    import mujoco

    folder = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
    with no_log_file():
        return mujoco.MjModel.from_xml_path(str(folder / task.xml))


def use_solver_of_mjx(mj_model: Any) -> None:
    """Give a model a constraint solver that MJX has, of the same problem."""
    import mujoco

    if mj_model.opt.solver == mujoco.mjtSolver.mjSOL_PGS:  # MJX has no such solver
        mj_model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON


class Physics(NamedTuple):
    """What computes the simulations of a task, of one environment each."""

    params: Mapping[str, np.ndarray]  # default values of parameters that may be traced, by name
    model: Callable[[Params], Any]  # whose masses positions are computed from
    start: Callable[[Array, Array, Params], Any]  # (qpos, qvel) -> data
    step: Callable[[PyTree, Array, Params], Any]  # (what was kept, action) -> data
    kept: Callable[[Any], PyTree]  # what the next step needs of the data
    qpos: Callable[[PyTree], np.ndarray]  # of what was kept, [n, ...] -> [n, nq], for pictures


def simulate(name: str, task: Task, mj_model: Any, impl: str = "jax") -> Env:
    """A task with a given model and without a time limit.

    `Env.params` are those of the model; see `rpojax.envs.physics.mjx_params`.

    Args:
        name: of the environment.
        task: with the settings to use.
        mj_model: a `mujoco.MjModel` with the bodies and joints of the task's.
        impl: the engine, "jax" or "c".
    """
    physics = on_c(task, mj_model) if impl == "c" else on_mjx(task, mj_model)
    most = None if impl == "c" else MOST
    reset_one, step_one = task_functions(task, mj_model, physics)
    step_one = jax.jit(step_one)  # so that it is traced once, for all uses of it

    def place(data: Any, states: State, index: int) -> None:
        data.qpos[:] = physics.qpos(states.physics)[index]

    obs = jax.eval_shape(reset_one, jax.eval_shape(lambda: jax.random.key(0)), {})[1]
    low, high = mj_model.actuator_ctrlrange.T
    reset, step = mapped_over_envs(reset_one, step_one, most)
    return Env(
        name=name,
        reset=reset,
        step=step,
        obs=obs,
        action_low=low,
        action_high=high,
        metrics=tuple(task.rewards),
        render=render_with_mujoco(name, mj_model, place),
        render_fps=min(1.0 / (mj_model.opt.timestep * task.frame_skip), MOST_FPS),
        control_dt=mj_model.opt.timestep * task.frame_skip,
        **robot_of(mj_model),
        most_at_once=most,
        params=physics.params,
    )


def task_functions(task: Task, mj_model: Any, physics: Physics) -> tuple[Any, Any]:
    """`reset` and `step` of one environment."""
    seconds = mj_model.opt.timestep * task.frame_skip
    qpos0, nv = mj_model.qpos0.astype(np.float32), mj_model.nv

    @standard_numpy()
    @levels_kept_apart(MJX)
    def reset_one(key: Key, params: Params) -> tuple[State, Array]:
        qpos, qvel = task.start(key, jnp.asarray(qpos0), jnp.zeros(nv), task.settings)
        data = physics.start(qpos, qvel, params)
        position = task.position(physics.model(params), data)
        return State(physics.kept(data), position), _observe(task, data)

    @standard_numpy()
    @levels_kept_apart(MJX)
    def step_one(key: Key, state: State, action: Array, params: Params) -> tuple[State, TimeStep]:
        data = physics.step(state.physics, action, params)
        position = task.position(physics.model(params), data)
        healthy = task.healthy(data, task.settings)
        velocity = (position - state.position) / seconds
        moment = Moment(data, action, velocity, healthy, mj_model.opt.timestep)
        rewards = {
            name: term(moment, task.settings).astype(jnp.float32)
            for name, term in task.rewards.items()
        }
        timestep = TimeStep(
            obs=_observe(task, data),
            reward=functools.reduce(jnp.add, rewards.values()),
            terminated=~healthy & task.settings.get("terminate_when_unhealthy", True),
            truncated=jnp.array(False),
            metrics=rewards,
        )
        return State(physics.kept(data), position), timestep

    return reset_one, step_one


def on_mjx(task: Task, mj_model: Any) -> Physics:
    """A task's physics in JAX, on any device."""
    with nothing_printed():
        from mujoco import mjx

    with concrete_values():  # also inside of a jit
        on_device = mjx.put_model(mj_model, impl="jax"), mjx.make_data(mj_model, impl="jax")
    constants = jax.tree.map(np.asarray, on_device)  # of programs on any device
    kept = ("qpos", "qvel", "qacc_warmstart")  # the last: where the constraint solver starts

    def model(params: Params) -> Any:
        return changed(jax.tree.map(jnp.asarray, constants[0]), params)

    def start(qpos: Array, qvel: Array, params: Params) -> Any:
        data = jax.tree.map(jnp.asarray, constants[1]).replace(qpos=qpos, qvel=qvel)
        # No task observes forces at its start, except for Gymnasium's double pendulum whose cart
        # starts beyond its rail (reset_noise_scale > 1). Here that force is 0 until the first step:
        # to compute it would make every reset 20 times as slow.
        own = model(params)
        data = mjx.com_vel(own, mjx.com_pos(own, mjx.kinematics(own, data)))
        return data.replace(qpos=qpos)  # MJX has normalized the quaternion, Gymnasium has not

    def step(before: PyTree, action: Array, params: Params) -> Any:
        data = jax.tree.map(jnp.asarray, constants[1])
        data = data.replace(ctrl=action, **dict(zip(kept, before, strict=True)))
        own = model(params)
        data = jax.lax.scan(
            lambda data, _: (mjx.step(own, data), None), data, length=task.frame_skip
        )[0]
        return mjx.rne_postconstraint(own, data) if task.contact_forces else data

    return Physics(
        params=traceable(constants[0]),
        model=model,
        start=start,
        step=step,
        kept=lambda data: tuple(getattr(data, name) for name in kept),
        qpos=lambda before: before[0],
    )


def on_c(task: Task, mj_model: Any) -> Physics:
    """A task's physics on MuJoCo's C engine, on a CPU; its states are MuJoCo's, to the bit."""
    defaults = traceable(mj_model)

    def model(params: Params) -> Any:
        return types.SimpleNamespace(
            body_mass=params.get("body_mass", jnp.asarray(mj_model.body_mass, jnp.float32))
        )

    def physics(engine: Engine) -> Physics:
        def step(row: Array, action: Array, params: Params) -> Any:
            given = params, task.frame_skip, task.contact_forces
            return engine.advance(engine.data(row), *given, ctrl=action)

        return Physics(
            params=defaults,
            model=model,
            start=lambda qpos, qvel, params: engine.advance(
                engine.data(), params, qpos=qpos, qvel=qvel
            ),
            step=step,
            kept=lambda data: data.row,
            qpos=lambda rows: np.asarray(rows).view(np.float64)[:, 1 : 1 + mj_model.nq],
        )

    def trace(engine: Engine) -> PyTree:
        reset_one, step_one = task_functions(task, mj_model, physics(engine))
        key = jax.random.key(0)
        state, obs = reset_one(key, {})
        return obs, step_one(key, state, jnp.zeros(mj_model.nu), {})[1]

    return physics(Engine(mj_model, list(defaults), trace))


def _observe(task: Task, data: Any) -> Array:
    """The observation, made of the parts that the settings include."""
    parts = task.observe(data, task.settings)
    shown = [
        part
        for name, part in parts.items()
        if task.settings.get(f"include_{name}_in_observation", True)
    ]
    return jnp.concatenate(shown)


def _checked(name: str, value: Any, default: Any) -> Any:
    """`value` as the kind of `default`: a truth value, a whole number, a number or two numbers."""
    if isinstance(default, bool):
        return check_bool(name, value)
    if isinstance(default, int):
        return whole_number(name, value, most=MOST_STEPS)
    if isinstance(default, float):
        number = numbers_in(name, value, Interval(-np.inf))
        if number.ndim:
            raise ValueError(f"{name} = {value!r} is not one number; give one")
        return float(number)
    pair = as_sequence(value)
    try:
        low, high = (float(bound) for bound in pair or ())
    except (TypeError, ValueError):
        raise ValueError(f"{name} = {value!r} is not a range; give two numbers") from None
    return low, high
