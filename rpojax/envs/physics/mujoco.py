"""Gymnasium's MuJoCo tasks on the engine that suits the device: C on a CPU, MJX on others.

`fit` records which one it was, and a run that is resumed keeps it.
"""

import warnings
from typing import Any

import jax

from rpojax.envs.base import Env
from rpojax.envs.physics import mjx
from rpojax.envs.physics.engines import impl_on_device
from rpojax.envs.physics.mjx import EXTRA, PACKAGES, SLOW_TO_MAKE, is_known, names

__all__ = ["EXTRA", "PACKAGES", "SLOW_TO_MAKE", "is_known", "make", "names", "recorded"]


def make(name: str, **params: Any) -> Env:
    """One of Gymnasium's MuJoCo tasks by name; see `rpojax.envs.physics.mjx.make`.

    Warns where it takes MJX in place of the C engine, with which a run was trained on a CPU.
    """
    if params.get("impl") == "c" and impl_on_device() != "c":
        warnings.warn(
            f"{name} was simulated by MuJoCo's C engine, which needs a CPU, and JAX computes on a "
            f"{jax.default_backend()}: MJX simulates it here, with other last bits. Set "
            "JAX_PLATFORMS=cpu to evaluate as it was trained, or to resume it",
            stacklevel=2,
        )
        params["impl"] = "jax"
    return mjx.make(name, **{"impl": "auto", **params})


def recorded(params: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """`params` with an engine: theirs, that of the record before, or that of this device."""
    if params.get("impl", "auto") != "auto":
        return params
    return {**params, "impl": before.get("impl") or impl_on_device()}
