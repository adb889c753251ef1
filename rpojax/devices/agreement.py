"""Calls that all processes of a job must make alike."""

import dataclasses
import functools
import hashlib
import inspect
import json
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import jax
import numpy as np

from rpojax.devices.processes import exchanged, several
from rpojax.settings.config import Config
from rpojax.settings.plain import COMPARED, fields_to_plain, objects_in, to_plain
from rpojax.trees import is_key, is_whole_here, leaves_by_path

F = TypeVar("F", bound=Callable[..., Any])

SHOWN = 60  # characters of a value, or numbers of an array
OBJECT = "object "  # before a description


def called_alike(call: str, *own: str) -> Callable[[F], F]:
    """Let a function raise ValueError in all processes where one calls it with other arguments.

    The error names what differs. Objects, such as functions, are compared by their descriptions,
    and a difference is a warning. Arrays that are spread over the processes are the same in all.

    Args:
        call: its name, for the message.
        own: arguments that may differ.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def checked(*args: Any, **named: Any) -> Any:
            if several():
                given = signature.bind(*args, **named).arguments
                _check(call, {n: each for n, each in given.items() if n not in own})
            return function(*args, **named)

        return cast(F, checked)

    return decorate


class JittedAlike:
    """A jitted function that is checked as by `called_alike`, but for calls within a program."""

    def __init__(self, call: str, function: jax.stages.Wrapped) -> None:
        self._call, self._function = call, function

    def __call__(self, *args: Any) -> Any:
        """The function's results."""
        if not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(args)):
            _check(self._call, {f"argument {place}": each for place, each in enumerate(args)})
        return self._function(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


def _check(call: str, arguments: Mapping[str, Any]) -> None:
    leaves = leaves_by_path({name: _by_field(each) for name, each in arguments.items()}, True)
    told = {name: _digest(leaf) for name, leaf in leaves.items()}
    plain, described = exchanged(told, _differences)
    if plain:
        raise ValueError(f"{call} is not called alike in all processes: {plain[0]}; give all alike")
    if described:
        warnings.warn(
            f"{call} may not be called alike in all processes: {described[0]}. {COMPARED}; "
            "make sure that they compute the same",
            stacklevel=4,
        )


def _by_field(tree: Any) -> Any:
    """A pytree, with what is no pytree as its fields by name."""

    def expanded(leaf: Any) -> Any:
        if isinstance(leaf, Config):
            return fields_to_plain(leaf)
        if not dataclasses.is_dataclass(leaf) or isinstance(leaf, type):
            return leaf
        names = [field.name for field in dataclasses.fields(leaf)]
        return {name: _by_field(getattr(leaf, name)) for name in names if name[0] != "_"}

    return jax.tree.map(expanded, tree)


def _digest(leaf: Any) -> str:
    """A leaf as text that tells it apart from others, and shows its value if that is short."""
    if isinstance(leaf, jax.Array | np.ndarray):
        kind = f"{leaf.dtype}{list(leaf.shape)}"
        if not is_whole_here(leaf):
            return kind
        array = np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
        shown = json.dumps(array.tolist()) if array.size <= SHOWN else kind
        data = array.tobytes()
    else:
        plain = os.fspath(leaf) if isinstance(leaf, os.PathLike) else to_plain(leaf)
        objects = "; ".join(objects_in(plain).values())
        shown = f"{OBJECT}{objects}" if objects else json.dumps(plain)
        data = shown.encode()
    if len(shown) <= SHOWN:
        return shown
    return f"{shown[:SHOWN]}... ({hashlib.sha256(data).hexdigest()[:8]})"


def _differences(told: list[dict[str, str]]) -> tuple[list[str], list[str]]:
    """Arguments in which a process differs from the first one, as text; then likewise objects."""
    plain: list[str] = []
    described: list[str] = []
    for index, other in enumerate(told[1:], 1):
        for name in told[0] | other:
            ours, theirs = (each.get(name, "not given") for each in (told[0], other))
            if ours != theirs:
                text = f"{name} = {ours} in process 0, and {theirs} in process {index}"
                both = ours.startswith(OBJECT) and theirs.startswith(OBJECT)
                (described if both else plain).append(text)
    return plain, described
