"""Which parameters of an MJX model may be traced.

Their names, shapes and meaning are MuJoCo's, of `mjModel` and `mjOption`. What MuJoCo's compiler
has derived from the default values, such as the inverse weights that scale constraints, stays as it
is; so it does in MuJoCo when a field of a compiled model is changed.
"""

from typing import Any

import numpy as np

from rpojax.envs.base import Params

OPTIONS = ("gravity",)
FLUID = ("density", "viscosity")  # forces of a medium are compiled where there is one
MODEL = (
    "body_mass",
    "body_inertia",
    "body_pos",
    "body_ipos",
    "dof_damping",
    "dof_armature",
    "dof_frictionloss",
    "jnt_stiffness",
    "jnt_range",
    "qpos0",
    "geom_friction",
    "geom_solref",
    "pair_friction",
    "actuator_gear",
    "actuator_gainprm",
    "actuator_biasprm",
    "actuator_forcerange",
)

EFFECTIVE = {
    "dof_frictionloss": "dof_frictionloss",
    "jnt_range": "jnt_limited",
    "actuator_forcerange": "actuator_forcelimited",
}
"""Fields of `MODEL` that have an effect only where another field is not 0."""


def traceable(model: Any) -> dict[str, np.ndarray]:
    """Default values of an `mjx.Model` of NumPy arrays, by MuJoCo's names."""
    fluid = FLUID if np.any([getattr(model.opt, name) for name in FLUID]) else ()
    options = {name: np.asarray(getattr(model.opt, name)) for name in (*OPTIONS, *fluid)}
    effective = [n for n in MODEL if n not in EFFECTIVE or np.any(getattr(model, EFFECTIVE[n]))]
    fields = {name: np.asarray(getattr(model, name)) for name in effective}
    return options | {name: value for name, value in fields.items() if value.size}


def name_in_c(name: str) -> str:
    """How MuJoCo's C engine names a parameter."""
    return f"opt.{name}" if name in OPTIONS + FLUID else name


def changed(model: Any, params: Params) -> Any:
    """An `mjx.Model` with some parameters changed."""
    if not params:
        return model
    options = {name: value for name, value in params.items() if name in OPTIONS + FLUID}
    others = {name: value for name, value in params.items() if name not in options}
    return model.replace(opt=model.opt.replace(**options), **others)
