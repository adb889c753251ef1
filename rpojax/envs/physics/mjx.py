"""The adapter for Gymnasium's MuJoCo tasks, simulated by MJX.

The models are those that Gymnasium ships; `mjx_tasks.py` describes the tasks. The state of an
environment is what the simulation needs to go on, not all of MuJoCo's data: it is small to carry
and to select.
"""

import functools
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
from rpojax.envs.physics.mjx_params import changed, traceable
from rpojax.envs.physics.mjx_tasks import TASKS, Task
from rpojax.envs.physics.mjx_terms import Moment
from rpojax.envs.physics.rendering import render_with_mujoco
from rpojax.envs.wrappers import with_time_limit
from rpojax.settings.sizes import MOST as MOST_STEPS
from rpojax.types import Array, Key
from rpojax.validation import (
    Interval,
    as_sequence,
    check_bool,
    check_known,
    numbers_in,
    whole_number,
)

PACKAGES = ("mujoco.mjx",)
EXTRA = "mjx"
SLOW_TO_MAKE = True

ITERATIONS, LINE_SEARCH_ITERATIONS = 8, 8
"""Default limits of the constraint solver. The models' own, 100 (Humanoid 50, Pusher 20) and 50,
change no observation by more than float32 rounding (in Ant by nothing, in 200 steps of random
actions; Humanoid was not compared), and are three times slower, since all environments of a batch
wait for the slowest."""


class State(NamedTuple):
    """The state of one environment."""

    qpos: Array  # f32[nq]
    qvel: Array  # f32[nv]
    qacc_warmstart: Array  # f32[nv] where the constraint solver starts
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
            limits of the constraint solver, in place of `ITERATIONS` and `LINE_SEARCH_ITERATIONS`.

    Raises:
        ValueError: an unknown parameter, with the nearest known one; a value of another kind than
            its default.
    """
    task = TASKS[name]
    mj_model = load_model(task)
    plain = {
        "frame_skip": task.frame_skip,
        "max_episode_steps": task.max_episode_steps,
        "iterations": min(mj_model.opt.iterations, ITERATIONS),
        "ls_iterations": min(mj_model.opt.ls_iterations, LINE_SEARCH_ITERATIONS),
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
    return with_time_limit(simulate(name, task, mj_model), task.max_episode_steps)


def load_model(task: Task) -> Any:
    """The `mujoco.MjModel` of a task, from the files of the installed gymnasium."""
    import gymnasium
    import mujoco

    folder = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
    with no_log_file():
        mj_model = mujoco.MjModel.from_xml_path(str(folder / task.xml))
    if mj_model.opt.solver == mujoco.mjtSolver.mjSOL_PGS:  # MJX has no such solver
        mj_model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON  # of the same problem
    return mj_model


def simulate(name: str, task: Task, mj_model: Any) -> Env:
    """A task with a given model and without a time limit.

    `Env.params` are those of the model; see `rpojax.envs.physics.mjx_params`.

    Args:
        name: of the environment.
        task: with the settings to use.
        mj_model: a `mujoco.MjModel` with the bodies and joints of the task's.
    """
    with nothing_printed():
        from mujoco import mjx

    with concrete_values():  # also inside of a jit
        on_device = mjx.put_model(mj_model, impl="jax"), mjx.make_data(mj_model, impl="jax")
    constants = jax.tree.map(np.asarray, on_device)  # of programs on any device
    seconds = mj_model.opt.timestep * task.frame_skip

    @standard_numpy()
    @levels_kept_apart(MJX)
    def reset_one(key: Key, params: Params) -> tuple[State, Array]:
        model, data = jax.tree.map(jnp.asarray, constants)
        model = changed(model, params)
        qpos, qvel = task.start(key, model.qpos0, data.qvel, task.settings)
        data = data.replace(qpos=qpos, qvel=qvel)
        # No task observes forces at its start, except for Gymnasium's double pendulum whose cart
        # starts beyond its rail (reset_noise_scale > 1). Here that force is 0 until the first step:
        # to compute it would make every reset 20 times as slow.
        data = mjx.com_vel(model, mjx.com_pos(model, mjx.kinematics(model, data)))
        data = data.replace(qpos=qpos)  # MJX has normalized the quaternion, Gymnasium has not
        state = State(qpos, qvel, data.qacc_warmstart, task.position(model, data))
        return state, _observe(task, data)

    @jax.jit  # so that it is traced once, for all uses of it
    @standard_numpy()
    @levels_kept_apart(MJX)
    def step_one(key: Key, state: State, action: Array, params: Params) -> tuple[State, TimeStep]:
        model, data = jax.tree.map(jnp.asarray, constants)
        model = changed(model, params)
        *moving, before = state
        data = data.replace(ctrl=action, **dict(zip(State._fields, moving, strict=False)))
        data = jax.lax.scan(
            lambda data, _: (mjx.step(model, data), None), data, length=task.frame_skip
        )[0]
        if task.contact_forces:
            data = mjx.rne_postconstraint(model, data)
        position = task.position(model, data)
        healthy = task.healthy(data, task.settings)
        moment = Moment(data, action, (position - before) / seconds, healthy)
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
        return State(data.qpos, data.qvel, data.qacc_warmstart, position), timestep

    def place(data: Any, states: State, index: int) -> None:
        data.qpos[:] = states.qpos[index]

    obs = jax.eval_shape(reset_one, jax.eval_shape(lambda: jax.random.key(0)), {})[1]
    low, high = mj_model.actuator_ctrlrange.T
    reset, step = mapped_over_envs(reset_one, step_one, MOST)
    return Env(
        name=name,
        reset=reset,
        step=step,
        obs=obs,
        action_low=low,
        action_high=high,
        metrics=tuple(task.rewards),
        render=render_with_mujoco(name, mj_model, place),
        render_fps=min(1.0 / seconds, MOST_FPS),
        most_at_once=MOST,
        params=traceable(constants[0]),
    )


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
