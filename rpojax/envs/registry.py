"""From what a config names to an `Env`."""

import difflib
import functools
import importlib
from typing import Any, Protocol

from rpojax.envs.base import Env
from rpojax.envs.contract import check_contract

FAMILIES = {"gymnax": "rpojax.envs.gymnax"}
"""Adapter modules by the prefix of their environments' names; each is imported when it is used.

To add a family, add its adapter here; see `Family` for what the module defines.
"""

DEFAULT_FAMILY = "gymnax"  # whose names need no prefix


class Family(Protocol):
    """What an adapter module defines. Importing it must not import the family's package."""

    NAMES: tuple[str, ...]  # those that can be trained in, without the prefix

    def is_known(self, name: str, /) -> bool:
        """Whether the package has an environment of this name."""

    def make(self, name: str, /, **params: Any) -> Env:
        """The environment of a known name, with some of its parameters changed."""


def make(env: Any, **params: Any) -> Env:
    """The `Env` for a name, for an object with gymnax's interface, or for an `Env` itself.

    Each is checked against the static contract (shapes, dtypes, bounds, structure) by abstract
    evaluation; `check_env` runs the environment as well.

    Args:
        env: a name such as "Pendulum-v1" or "gymnax/Pendulum-v1", or an object.
        params: for a name only: the environment's own parameters, such as `g=9.81`.

    Raises:
        ValueError: an unknown name (with the nearest), discrete actions, no environment, or one
            that breaks the contract.
    """
    if isinstance(env, str):
        made = _make_by_name(env, params)
        object.__setattr__(made, "remake", functools.partial(make, env, **params))
    elif params:
        raise ValueError(
            f"params = {params!r} can change an environment given by name only; set them on the "
            "object instead"
        )
    elif isinstance(env, Env):
        made = env
    else:
        return from_gymnax(env)
    check_contract(made)
    return made


def from_gymnax(env: Any, params: Any = None, name: str | None = None) -> Env:
    """The `Env` for an object with gymnax's interface and its parameters.

    See `rpojax.envs.gymnax.from_gymnax` for what is understood and what is refused.
    """
    from rpojax.envs import gymnax as adapter

    made = adapter.from_gymnax(env, params, name)
    check_contract(made)
    return made


def names() -> list[str]:
    """Names of the environments that come with the installed packages and can be trained in."""
    return [name for family in FAMILIES for name in _names_of(family)]


def _make_by_name(name: str, params: dict[str, Any]) -> Env:
    prefix, slash, short = name.partition("/")
    if not slash or prefix not in FAMILIES:
        prefix, short = DEFAULT_FAMILY, name
    family = _family(prefix)
    if not family.is_known(short):
        nearest = difflib.get_close_matches(name, names(), n=1, cutoff=0.5)
        suggestion = f"did you mean {nearest[0]!r}? Known" if nearest else "known"
        raise ValueError(
            f"unknown environment {name!r}; {suggestion}: {', '.join(names())}. Environments "
            "that are not written in JAX, such as Gymnasium's and Isaac's, cannot be trained in"
        )
    return family.make(short, **params)


def _names_of(prefix: str) -> list[str]:
    shown = "" if prefix == DEFAULT_FAMILY else f"{prefix}/"
    return [f"{shown}{name}" for name in _family(prefix).NAMES]


def _family(prefix: str) -> Family:
    return importlib.import_module(FAMILIES[prefix])
