"""From the environment that a config names to an `Env`."""

import contextlib
import difflib
import functools
import importlib.util
from typing import Any, Protocol

import jax

from rpojax.envs.base import Env, naming, remade_by
from rpojax.envs.checks.contract import check_contract
from rpojax.envs.contexts import concrete_values
from rpojax.settings.values import import_path

FAMILIES = {
    "gymnax": "rpojax.envs.gymnax.family",
    "brax": "rpojax.envs.physics.brax",
    "mjx": "rpojax.envs.physics.mjx",
    "mujoco": "rpojax.envs.physics.mujoco",
    "playground": "rpojax.envs.physics.playground",
}
"""Adapter modules by the prefix of their environments' names; each is imported when it is used.

To add a family, add its adapter here; see `Family` for what the module defines.
"""

DEFAULT_FAMILY = "gymnax"  # whose names need no prefix

ENVS_KEPT = 16
"""Environments that `make` keeps by name, the latest ones: physics models take seconds to build,
and a program is not traced again for the same `Env`."""

_kept: dict[tuple[Any, ...], Env] = {}  # the newest last


class Family(Protocol):
    """What an adapter module defines. Importing it must not import the family's packages."""

    PACKAGES: tuple[str, ...]  # that it imports, such as ("mujoco_playground",)
    EXTRA: str | None  # of rpojax that installs them; None: rpojax itself needs them
    SLOW_TO_MAKE: bool  # seconds for each environment, as physics models take

    def names(self) -> tuple[str, ...]:
        """The environments that can be trained in, without the prefix. May import the packages."""

    def is_known(self, name: str, /) -> bool:
        """Whether the packages have an environment of this name."""

    def make(self, name: str, /, **params: Any) -> Env:
        """The environment of a known name, with some of its parameters changed."""

    # A module whose `make` chooses for the device also has recorded(params, before) -> params,
    # which settles the choice for the record of a run: as it was before, if the run was resumed.


def make(env: Any, **params: Any) -> Env:
    """The `Env` for a name, for an object with a known interface, or for an `Env` itself.

    Objects are told apart by their attributes: those of gymnax's interface have `reset_env`; those
    of Brax's and of MuJoCo Playground's have `reset`, `step` and `action_size`, and Playground's
    have `mjx_model` too. `from_gymnax`, `from_brax` and `from_playground` take more arguments.

    Each is checked against the static contract (shapes, dtypes, bounds, structure) by abstract
    evaluation; `check_env` runs the environment as well. The same name and parameters give the same
    `Env`, as long as it is among the last `ENVS_KEPT`.

    Args:
        env: a name such as "brax/ant", where gymnax's need no prefix; the import path
            "module:object" of an environment, or of a function of `params` that makes one; or an
            object.
        params: for a name only: the environment's own parameters, such as `g=9.81`.

    Raises:
        ValueError: an unknown name (with the nearest), a family that is not installed (with the
            extra to install), discrete actions, no environment, or one that breaks the contract.
    """
    if isinstance(env, str):
        return _kept_or_made(env, params)
    if params:
        raise ValueError(
            f"params = {params!r} can change an environment given by name only; set them on the "
            "object instead"
        )
    if isinstance(env, Env):
        check_contract(env)
        return env
    family = _family_of(env)
    try:
        made: Env = getattr(_module(family), f"from_{family}")(env)
    except ValueError as error:
        taken = f"{type(env).__name__} was taken for an environment with {family}'s interface"
        raise ValueError(f"{error} ({taken})") from error
    return made


def recorded_params(env: Any, params: Any, before: Any = ()) -> dict[str, Any]:
    """`params` of `make` for the record of a run, with what a family chooses for the device.

    Args:
        env: of a config; params: its `env_params`.
        before: those that the run was recorded with, whose choices stay; () for a new run.
    """
    family = family_and_name(env)[0] if isinstance(env, str) else None
    choose: Any = getattr(_module(family), "recorded", None) if family else None
    return dict(params) if choose is None else choose(dict(params), dict(before))


def names() -> list[str]:
    """Names of the environments that come with the installed packages and can be trained in."""
    return [full_name(family, name) for family in FAMILIES for name in names_of(family)]


def names_of(family: str) -> tuple[str, ...]:
    """The names of one family without its prefix; none if it is not installed."""
    return () if how_to_install(family) else _module(family).names()


def is_slow_to_make(family: str) -> bool:
    """Whether `make` takes seconds for each environment of a family."""
    return _module(family).SLOW_TO_MAKE


def full_name(family: str, name: str) -> str:
    """What `make` takes; gymnax's names need no prefix."""
    return name if family == DEFAULT_FAMILY else f"{family}/{name}"


def family_and_name(name: str) -> tuple[str | None, str]:
    """The family that a name has as its prefix, and the rest of it; None and the name without."""
    prefix, slash, short = name.partition("/")
    return (prefix, short) if slash and prefix in FAMILIES else (None, name)


def how_to_install(family: str) -> str | None:
    """The command that installs what a family needs; None where it is installed."""
    module = _module(family)
    if module.EXTRA is None or all(map(_is_installed, module.PACKAGES)):
        return None
    return f"pip install 'rpojax[{module.EXTRA}]'"


def _family_of(env: Any) -> str:
    """The family whose interface an object has; ValueError if it has none."""
    if any(hasattr(env, method) for method in ("reset_env", "step_env")):
        return "gymnax"
    if all(hasattr(env, name) for name in ("reset", "step", "action_size")):
        return "playground" if hasattr(env, "mjx_model") else "brax"
    gymnasium = hasattr(env, "action_space") and hasattr(env, "reset")
    raise ValueError(
        f"env = {env!r} is no environment; give a name, an rpojax.envs.Env, or an object with the "
        "interface of gymnax (reset_env, step_env, action_space), Brax or MuJoCo Playground "
        "(reset, step, action_size)"
        + "; Gymnasium's environments are not written in JAX"
        * gymnasium
    )


def _kept_or_made(name: str, params: dict[str, Any]) -> Env:
    if not all(map(_is_plain, params.values())):  # such as an array, which may be traced
        return _made(name, params)
    x64: bool = jax.config.jax_enable_x64  # type: ignore[attr-defined]
    key = (name, repr(sorted(params.items())), x64)
    env = _kept.pop(key, None)
    if env is None:
        with concrete_values():  # inside a jit too, it is no part of the program
            env = _made(name, params)
    _kept[key] = env
    while len(_kept) > ENVS_KEPT:
        del _kept[next(iter(_kept))]
    return env


def _made(name: str, params: dict[str, Any]) -> Env:
    env = remade_by(functools.partial(make, name, **params), _make_by_name(name, params))
    check_contract(env)
    return env


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _make_by_name(name: str, params: dict[str, Any]) -> Env:
    path = import_path(name)
    if path is not None:
        found = path.object
        made_by = callable(found) and not isinstance(found, Env)
        return make(found(**params)) if made_by else make(found, **params)
    given, short = family_and_name(name)
    prefix = given or DEFAULT_FAMILY
    family = _module(prefix)
    if command := how_to_install(prefix):
        missing = [package for package in family.PACKAGES if not _is_installed(package)]
        raise ValueError(
            f"environment {name!r} needs {' and '.join(missing)}, not installed here; "
            f"run: {command}"
        )
    if not family.is_known(short):
        nearest = difflib.get_close_matches(name, _names_to_suggest(), n=1, cutoff=0.5)
        suggestion = f"did you mean {nearest[0]!r}? Known" if nearest else "known"
        listed = ", ".join(full_name(prefix, each) for each in family.names())
        raise ValueError(
            f"unknown environment {name!r}; {suggestion}: {listed}. {_other_families(prefix)}"
            "Environments that are not written in JAX, such as Gymnasium's and Isaac's, cannot be "
            "trained in"
        )
    with naming(short):
        return family.make(short, **params)


def _names_to_suggest() -> list[str]:
    """`names`, and those of families that are not installed where they are known without them."""
    found = []
    for family in FAMILIES:
        with contextlib.suppress(ImportError):
            found += [full_name(family, name) for name in _module(family).names()]
    return found


def _other_families(family: str) -> str:
    """Where there are more environments, as sentences."""
    commands = {other: how_to_install(other) for other in FAMILIES if other != family}
    return "".join(
        f"More are named {other}/...: {'run ' + command if command else 'see `rpojax envs`'}. "
        for other, command in commands.items()
    )


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # the package that this one lies in
        return False


def _module(family: str) -> Family:
    return importlib.import_module(FAMILIES[family])
