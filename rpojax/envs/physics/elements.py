"""Which rows of MuJoCo's arrays belong to a body, a joint, a sensor, by its name."""

import re
from typing import Any

from rpojax.validation import check_known

_FIELDS = {
    "body": "xpos xquat xmat xipos xiquat ximat cvel cacc cinert crb cfrc_int cfrc_ext "
    "xfrc_applied subtree_com subtree_linvel subtree_angmom",
    "joint": "qpos qvel qacc qacc_smooth qacc_warmstart qfrc_actuator qfrc_applied qfrc_bias "
    "qfrc_constraint qfrc_inverse qfrc_passive qfrc_smooth xanchor xaxis",
    "geom": "geom_xpos geom_xquat geom_xmat",
    "site": "site_xpos site_xquat site_xmat",
    "actuator": "ctrl actuator_force actuator_length actuator_velocity",
    "camera": "cam_xpos cam_xmat",
    "tendon": "ten_length ten_velocity",
    "sensor": "sensordata",
}
ATTRIBUTES = {
    kind: {
        re.sub("^(geom_|site_|actuator_|cam_|ten_|sensor)", "", name): name
        for name in names.split()
    }
    for kind, names in _FIELDS.items()
}
"""For each kind of element, a method of `mujoco.MjData`: its attributes, and the field of each."""

PREFIXES = {
    "body": "body",
    "jnt": "joint",
    "dof": "joint",
    "qpos0": "joint",
    "geom": "geom",
    "pair": "pair",
    "actuator": "actuator",
}
"""Kinds of element by how the names of their fields in `mujoco.MjModel` begin."""

WIDTHS = {0: (7, 6), 1: (4, 3), 2: (1, 1), 3: (1, 1)}  # of qpos and qvel, by the type of a joint


def rows_of(mj_model: Any, kind: str, element: str | int, field: str) -> Any:
    """The rows of a field that belong to an element: a number, or a slice for more than one.

    Args:
        mj_model: a `mujoco.MjModel`.
        kind: of `ATTRIBUTES` or `PREFIXES`, or "key".
        element: its name or number.
        field: of `mujoco.MjModel` or `mujoco.MjData`.

    Raises:
        ValueError: there is no such element, with the nearest.
    """
    try:
        number = getattr(mj_model, kind)(element).id
    except (KeyError, IndexError, TypeError):
        check_known(element, names_of(mj_model, kind), kind)
        raise
    if kind == "joint" and field.startswith(("q", "dof_")):
        is_position = field.startswith("qpos")
        address = mj_model.jnt_qposadr if is_position else mj_model.jnt_dofadr
        width = WIDTHS[int(mj_model.jnt_type[number])][0 if is_position else 1]
        return _rows(address[number], width)
    if kind == "sensor" and field == "sensordata":
        return _rows(mj_model.sensor_adr[number], mj_model.sensor_dim[number])
    return number


def _rows(first: Any, count: Any) -> int | slice:
    return int(first) if count == 1 else slice(int(first), int(first) + int(count))


def names_of(mj_model: Any, kind: str) -> list[str]:
    """The names of all elements of a kind that have one."""
    count = {"camera": "ncam", "joint": "njnt", "actuator": "nu", "pair": "npair"}
    named = getattr(mj_model, kind)
    numbers = range(getattr(mj_model, count.get(kind, f"n{kind}")))
    return [named(number).name for number in numbers if named(number).name]
