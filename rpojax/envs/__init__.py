"""Environments: where they come from and what they must do."""

from rpojax.envs.base import Env, Rekey, Render, Reset, Resets, Step, TimeStep, WithParams
from rpojax.envs.check import check_env
from rpojax.envs.drawing import Draw, render_with
from rpojax.envs.params import Functions, with_traced_params
from rpojax.envs.randomization import DrawParams, randomized
from rpojax.envs.registry import from_gymnax, make, names

__all__ = [
    "Draw",
    "DrawParams",
    "Env",
    "Functions",
    "Rekey",
    "Render",
    "Reset",
    "Resets",
    "Step",
    "TimeStep",
    "WithParams",
    "check_env",
    "from_gymnax",
    "make",
    "names",
    "randomized",
    "render_with",
    "with_traced_params",
]
