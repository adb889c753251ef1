"""What the actions of an agent mean for the actuators of a MuJoCo model."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import require
from rpojax.envs.physics.elements import rows_of
from rpojax.types import Array
from rpojax.validation import Interval, numbers_in


class Controls(NamedTuple):
    """A model, and how the actions of an agent become its controls."""

    model: Any  # a mujoco.MjModel, whose actuators may be others than before
    low: np.ndarray  # f32[A]
    high: np.ndarray  # f32[A]
    control: Callable[[Array], Array]  # f32[A] -> ctrl f32[nu]


Action: TypeAlias = Callable[[Any], Controls]  # of a mujoco.MjModel


def motors(model: Any) -> Controls:
    """Actions are the controls themselves, within `ctrlrange` where it limits them."""
    low, high = model.actuator_ctrlrange.T
    limited = model.actuator_ctrllimited.astype(bool)
    return Controls(
        model,
        np.where(limited, low, -np.inf),
        np.where(limited, high, np.inf),
        lambda action: action,
    )


def position_targets(scale: Any = 1.0, default: str | int | Any = None) -> Action:
    """Actions in [-1, 1] are targets of position actuators: `default + scale * action`.

    This is what most legged robots use. Controls stay within `ctrlrange`.

    Args:
        scale: radians or metres, one number or f32[nu].
        default: positions of the actuated joints at a keyframe, by its name or number; or f32[nu];
            None for the model's `qpos0`.
    """

    def of_model(model: Any) -> Controls:
        joints = _joints(model)
        gear = model.actuator_gear[:, 0]
        if default is None or isinstance(default, str | int):
            qpos = model.qpos0
            if default is not None:
                qpos = model.key_qpos[rows_of(model, "key", default, "")]
            middle = qpos[model.jnt_qposadr[joints]]
        else:
            middle = _for_each(model, "default", default)
        sizes = _for_each(model, "scale", scale)
        middle, sizes = ((each * gear).astype(np.float32) for each in (middle, sizes))
        ones = np.ones(model.nu, np.float32)
        return Controls(
            model, -ones, ones, lambda action: jnp.asarray(middle) + jnp.asarray(sizes) * action
        )

    return of_model


def pd_torques(
    stiffness: Any, damping: Any, scale: Any = 1.0, default: str | int | Any = None
) -> Action:
    """Actions in [-1, 1] are targets of a PD law that drives the model's motors.

    In each step of the simulation, a motor has the torque `stiffness * (target - qpos) - damping *
    qvel`, within what its `ctrlrange` allows. MuJoCo computes it: the motors become position
    actuators, whose gains may be traced as `actuator_gainprm` and `actuator_biasprm`.

    Args:
        stiffness: Nm/rad or N/m, one number or f32[nu].
        damping: Nm s/rad or N s/m, one number or f32[nu].
        scale, default: as of `position_targets`.
    """

    def of_model(model: Any) -> Controls:
        import mujoco

        _joints(model)
        kinds = (model.actuator_gaintype, model.actuator_biastype, model.actuator_dyntype)
        for index, kind in enumerate(zip(*kinds, strict=True)):
            require(
                not any(kind),
                f"actuator {model.actuator(index).name!r} is no motor, and pd_torques drives motors"
                " only; use position_targets for position actuators",
            )
        kp = _for_each(model, "stiffness", stiffness, 0.0)
        kd = _for_each(model, "damping", damping, 0.0)
        gain, gear = model.actuator_gainprm[:, 0].copy(), model.actuator_gear[:, 0]
        model.actuator_forcerange[:] = model.actuator_ctrlrange * gain[:, None]
        model.actuator_forcelimited[:] = model.actuator_ctrllimited
        model.actuator_ctrllimited[:] = 0
        model.actuator_biastype[:] = mujoco.mjtBias.mjBIAS_AFFINE
        model.actuator_gainprm[:, 0] = kp / gear**2
        model.actuator_biasprm[:, 1] = -kp / gear**2
        model.actuator_biasprm[:, 2] = -kd / gear**2
        return position_targets(scale, default)(model)

    return of_model


def _for_each(model: Any, name: str, given: Any, least: float = -np.inf) -> np.ndarray:
    """A number for each actuator, f64[nu]."""
    values = numbers_in(name, given, Interval(least))
    require(
        values.shape in ((), (model.nu,)),
        f"{name} has the shape {values.shape}; give one number or one for each of the {model.nu} "
        "actuators",
    )
    return np.broadcast_to(values, (model.nu,))


def _joints(model: Any) -> np.ndarray:
    """The hinge or slide joint that each actuator moves, i64[nu]."""
    import mujoco

    kinds = (int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT))
    joints = model.actuator_trnid[:, 0]
    for index, joint in enumerate(joints):
        is_joint = model.actuator_trntype[index] in kinds
        require(
            is_joint and model.jnt_type[joint] >= int(mujoco.mjtJoint.mjJNT_SLIDE),
            f"actuator {model.actuator(index).name!r} moves no hinge or slide joint, so that there "
            "is no position to aim at; use motors",
        )
    return joints
