"""Which parameters of an MJX model may be traced.

Their names, shapes and meaning are MuJoCo's, of `mjModel` and `mjOption`. Constants that MuJoCo
derives from them, such as the inverse weights that scale constraints, follow as by `mj_setConst`:
see `with_derived_constants`.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.envs.base import Params
from rpojax.envs.contexts import concrete_values, nothing_printed
from rpojax.types import Array

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

REFERENCE = (
    "body_mass",
    "body_inertia",
    "body_pos",
    "body_quat",
    "body_ipos",
    "body_iquat",
    "jnt_pos",
    "jnt_axis",
    "qpos0",
    "site_pos",
    "site_quat",
    "dof_armature",
    "tendon_armature",
)
"""Fields on which the constants of `with_derived_constants` depend."""


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
    model = model.replace(opt=model.opt.replace(**options), **others)
    moment_arms = "actuator_gear" in params and _has_muscles(model)
    return with_derived_constants(model) if moment_arms or {*REFERENCE} & {*params} else model


def with_derived_constants(model: Any) -> Any:
    """An `mjx.Model` with the constants recomputed that MuJoCo derives from its other fields.

    They are those of `mj_setConst` that MJX computes with: at qpos0, the inverse weights of bodies,
    degrees of freedom and tendons (which scale constraints), the mean and the diagonal of the
    inertia matrix, lengths of tendons, accelerations that unit forces of actuators give (for
    muscles), and anchors of connect constraints; and masses of subtrees. They cost about as much as
    a substep, for each set of values.

    Left as they are: positions of cameras and lights that track bodies, and the sizes in
    `model.stat`, which only viewers use; what MuJoCo's compiler alone computes, such as masses and
    bounding spheres from the sizes of geoms, springs' lengths of tendons, damping from a damping
    ratio, and length ranges of muscles. Fields by which MJX chooses what it compiles, such as
    `body_simple`, are those of the default values.

    Args:
        model: an `mjx.Model` in JAX; fields may be traced.
    """
    import mujoco
    from mujoco import mjx

    masses = jnp.asarray(_ancestors(model)) @ model.body_mass
    model = model.replace(body_subtreemass=masses)
    if not model.nv:
        return model
    data = jax.tree.map(jnp.asarray, _empty_data()).replace(qpos=model.qpos0)
    tendons = {"ten_length": model.ntendon, "_impl.ten_J": (model.ntendon, model.nv)}
    data = data.tree_replace({name: jnp.zeros(shape) for name, shape in tendons.items()})
    if model.nmocap:
        is_mocap = model.body_mocapid >= 0
        data = data.replace(
            mocap_pos=model.body_pos[is_mocap], mocap_quat=model.body_quat[is_mocap]
        )
    data = mjx.com_pos(model, mjx.kinematics(model, data))
    data = mjx.crb(model, mjx.tendon(model, data))
    inertia_of_bodies = jnp.diagonal(mjx.full_m(model, data))
    data = mjx.transmission(model, mjx.tendon_armature(model, data))
    inertia = mjx.full_m(model, data)
    inverse = _inverse(inertia)

    def inverse_weight(jacobian: Array) -> Array:
        """The diagonal of J M^-1 J', [n] of [n, nv]."""
        return jnp.sum((jacobian @ inverse) * jacobian, axis=-1)

    bodies = jnp.arange(model.nbody)
    linear, angular = jax.vmap(mjx.jac, (None, None, 0, 0))(model, data, data.xipos, bodies)
    rows = jnp.stack([linear, angular], axis=1)  # [nbody, 2, nv, 3]
    of_bodies = inverse_weight(jnp.swapaxes(rows, 2, 3)).mean(axis=-1)
    of_dofs = jnp.asarray(_joint_means(model)) @ jnp.diagonal(inverse)
    slides = model.body_simple == 2  # bodies that only slide: MuJoCo takes their masses
    inverse_mass = 1.0 / jnp.maximum(model.body_mass, mujoco.mjMINVAL)
    of_slides = jnp.stack([inverse_mass, jnp.zeros(model.nbody)], axis=1)
    changes = {
        "body_invweight0": jnp.where(slides[:, np.newaxis], of_slides, of_bodies),
        "dof_invweight0": jnp.where(
            slides[model.dof_bodyid], inverse_mass[model.dof_bodyid], of_dofs
        ),
        "dof_M0": inertia_of_bodies,
        "stat": model.stat.replace(meaninertia=jnp.diagonal(inertia).mean()),
    }
    if model.ntendon:
        changes["tendon_length0"] = data.ten_length
        changes["tendon_invweight0"] = inverse_weight(data._impl.ten_J)
    if model.nu:
        moments = data._impl.actuator_moment
        changes["actuator_acc0"] = jnp.linalg.norm(moments @ inverse, axis=-1)
    return _with_anchors(model.replace(**changes), data)


def _inverse(matrix: Array) -> Array:
    """The inverse of a symmetric positive definite matrix, [n, n], by Gauss-Jordan elimination.

    `jnp.linalg.inv` calls LAPACK, whose batched decompositions wait for threads of the pool in
    which XLA runs them on a CPU. Two of them in one program hold all threads of two cores, and wait
    for ever.
    """
    size = len(matrix)

    def eliminate(index: Array, rows: Array) -> Array:  # such a matrix needs no pivots
        row = rows[index] / rows[index, index]
        return (rows - jnp.outer(rows[:, index], row)).at[index].set(row)

    rows = jnp.concatenate([matrix, jnp.eye(size, dtype=matrix.dtype)], axis=1)
    return jax.lax.fori_loop(0, size, eliminate, rows)[:, size:]


def _with_anchors(model: Any, data: Any) -> Any:
    """The model with the second anchors of constraints that connect bodies, at the pose of data."""
    import mujoco

    equality = mujoco.mjtEq.mjEQ_CONNECT, mujoco.mjtObj.mjOBJ_BODY
    found = np.flatnonzero((model.eq_type == equality[0]) & (model.eq_objtype == equality[1]))
    if not found.size:
        return model
    one, other = model.eq_obj1id[found], model.eq_obj2id[found]
    anchors = jnp.einsum("nij,nj->ni", data.xmat[one], model.eq_data[found, :3]) + data.xpos[one]
    anchors = jnp.einsum("nji,nj->ni", data.xmat[other], anchors - data.xpos[other])
    return model.replace(eq_data=model.eq_data.at[found, 3:6].set(anchors))


@functools.cache
def _empty_data() -> Any:
    """An `mjx.Data` of numpy arrays for no bodies, into which a pose is put."""
    import mujoco

    with nothing_printed():
        from mujoco import mjx
    with concrete_values():
        data = mjx.make_data(mujoco.MjModel.from_xml_string("<mujoco/>"), impl="jax")
        return jax.tree.map(np.asarray, data)


def _ancestors(model: Any) -> np.ndarray:
    """1 where a body is in the subtree of another, f32[other, body]."""
    inside = np.eye(model.nbody, dtype=np.float32)
    for body in range(model.nbody - 1, 0, -1):
        inside[model.body_parentid[body]] += inside[body]
    return inside


def _joint_means(model: Any) -> np.ndarray:
    """Means over the degrees of freedom of a joint that are alike, f32[nv, nv]: three at a time."""
    import mujoco

    means = np.eye(model.nv, dtype=np.float32)
    triples = {int(mujoco.mjtJoint.mjJNT_FREE): 2, int(mujoco.mjtJoint.mjJNT_BALL): 1}
    for kind, first in zip(model.jnt_type, model.jnt_dofadr, strict=True):
        for start in range(first, first + 3 * triples.get(int(kind), 0), 3):
            means[start : start + 3, start : start + 3] = 1 / 3
    return means


def _has_muscles(model: Any) -> bool:
    import mujoco

    return bool(np.any(model.actuator_gaintype == mujoco.mjtGain.mjGAIN_MUSCLE))
