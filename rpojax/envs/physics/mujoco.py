"""Gymnasium's MuJoCo tasks on the engine that suits the device: C on a CPU, MJX on others."""

from typing import Any

from rpojax.envs.base import Env
from rpojax.envs.physics import mjx
from rpojax.envs.physics.mjx import EXTRA, PACKAGES, SLOW_TO_MAKE, is_known, names

__all__ = ["EXTRA", "PACKAGES", "SLOW_TO_MAKE", "is_known", "make", "names"]


def make(name: str, **params: Any) -> Env:
    """One of Gymnasium's MuJoCo tasks by name; see `rpojax.envs.physics.mjx.make`."""
    return mjx.make(name, **{"impl": "auto", **params})
