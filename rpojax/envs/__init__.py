"""Environments: where they come from and what they must do."""

from rpojax.envs.base import Env, TimeStep, auto_reset
from rpojax.envs.check import check_env
from rpojax.envs.registry import from_gymnax, make, names

__all__ = ["Env", "TimeStep", "auto_reset", "check_env", "from_gymnax", "make", "names"]
