"""Which rows of MuJoCo's arrays belong to a body, a joint, a sensor, by its name."""

from typing import Any

from rpojax.validation import check_known

KINDS = {
    "body": "{}",
    "joint": "{}",
    "geom": "geom_{}",
    "site": "site_{}",
    "actuator": "actuator_{}",
    "camera": "cam_{}",
    "tendon": "ten_{}",
    "sensor": "sensor{}",
}
"""Kinds of element, as methods of `mujoco.MjData`; and the field of `mujoco.MjData` that is an
attribute of such an element. Attributes such as `ctrl` of an actuator have the field's own name."""

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
        kind: of `KINDS` or `PREFIXES`.
        element: its name or number.
        field: of `mujoco.MjModel` or `mujoco.MjData`.

    Raises:
        ValueError: there is no such element, with the nearest.
    """
    named = getattr(mj_model, kind)
    if isinstance(element, str):
        try:
            number = named(element).id
        except KeyError:
            check_known(element, names_of(mj_model, kind), kind)
            raise
    else:
        number = named(element).id
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
