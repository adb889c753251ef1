"""The family of Gymnasium's MuJoCo tasks: `gymnasium_tasks.py` describes them."""

from pathlib import Path
from typing import Any

import numpy as np

from rpojax.envs.base import Env
from rpojax.envs.physics.engines import IMPLS
from rpojax.envs.physics.gymnasium_tasks import TASKS
from rpojax.envs.physics.mjcf import from_mjcf, load_model
from rpojax.settings.sizes import MOST as MOST_STEPS
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

SOLVER = {"iterations": None, "ls_iterations": None}
TEXTS = ("xml_file", "main_body")  # the body may be given by its number as well


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
        params: Gymnasium's keyword arguments of the task, such as `healthy_reward=0.5`,
            `frame_skip=2`, or `xml_file="robot.xml"`, the model of another robot;
            `max_episode_steps`; and `impl` ("jax" by default), `iterations` and `ls_iterations`, as
            of `from_mjcf`. With `impl="c"`, states are Gymnasium's to the bit.

    Raises:
        ValueError: an unknown parameter, with the nearest known one; a value of another kind than
            its default; a model without the joints and bodies that the task reads.
    """
    task = TASKS[name]
    impl: Any = check_choice(f"parameter impl of {name}", params.pop("impl", "jax"), IMPLS)
    known = {
        "xml_file": task.xml,
        "frame_skip": task.frame_skip,
        "max_episode_steps": task.max_episode_steps,
        **SOLVER,
        **task.settings,
    }
    for field, value in params.items():
        check_known(field, list(known), f"parameter of {name}")
        known[field] = _checked(field, f"parameter {field} of {name}", value, known[field])
    mj_model = load_model(model_path(known["xml_file"]))
    return from_mjcf(
        mj_model,
        **task.functions({field: known[field] for field in task.settings}),
        control_dt=mj_model.opt.timestep * known["frame_skip"],
        max_episode_steps=known["max_episode_steps"],
        name=name,
        impl=impl,
        **{field: known[field] for field in SOLVER},
        # No task observes forces at its start, except for Gymnasium's double pendulum whose cart
        # starts beyond its rail (reset_noise_scale > 1). Here that force is 0 until the first step:
        # to compute it would make every reset 20 times as slow.
        start_from="kinematics",
    )


def model_path(xml_file: str) -> str:
    """The path of a model, as Gymnasium finds it: among its own, unless it begins with . / or ~."""
    import gymnasium

    if xml_file.startswith((".", "/", "~")):
        return xml_file
    return str(Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / xml_file)


def _checked(field: str, name: str, value: Any, default: Any) -> Any:
    """`value` as the kind of `default`: text, a truth value, a whole number, one or two numbers."""
    if isinstance(value, str | Path) and field in TEXTS:
        return str(value)
    if isinstance(default, str):
        raise ValueError(f"{name} = {value!r} is no path; give the path of an MJCF file")
    if isinstance(default, bool):
        return check_bool(name, value)
    if default is None or isinstance(default, int):
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
