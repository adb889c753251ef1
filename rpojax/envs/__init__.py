"""Environments: where they come from and what they must do."""

from rpojax.envs.base import Env, Rekey, Render, Reset, Resets, Step, TimeStep
from rpojax.envs.check import check_env
from rpojax.envs.drawing import Draw, render_with
from rpojax.envs.registry import from_gymnax, make, names

__all__ = [
    "Draw",
    "Env",
    "Rekey",
    "Render",
    "Reset",
    "Resets",
    "Step",
    "TimeStep",
    "check_env",
    "from_gymnax",
    "make",
    "names",
    "render_with",
]
