"""Gymnasium's MuJoCo tasks on the engine that suits the device: C on a CPU, MJX on others."""

from typing import Any

import jax

from rpojax.envs.base import Env
from rpojax.envs.physics import mjx
from rpojax.envs.physics.mjx import EXTRA, PACKAGES, is_known, names

SLOW_TO_MAKE = True

__all__ = ["EXTRA", "PACKAGES", "SLOW_TO_MAKE", "is_known", "make", "names"]


def make(name: str, **params: Any) -> Env:
    """One of Gymnasium's MuJoCo tasks by name; see `rpojax.envs.physics.mjx.make`.

    `impl` is "c" where JAX computes on a CPU, unless it is given.
    """
    engine = "c" if jax.default_backend() == "cpu" else "jax"
    return mjx.make(name, **{"impl": engine, **params})
