"""Flags that several subcommands have."""

import contextlib
import dataclasses
import functools
import operator
import os
import re
import sys
import typing
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import jax
import tyro

from rpojax.devices.processes import use_all_machines
from rpojax.devices.sharding import use_all_cores
from rpojax.runs.settings import RECORDED
from rpojax.settings.config import Config
from rpojax.settings.declared import anything, setting, settings_of
from rpojax.settings.network_config import NetworkConfig
from rpojax.settings.run_options import RunOptions

Switch: TypeAlias = Annotated[bool, tyro.conf.FlagCreatePairsOff]  # without a --no-... beside it
RunArgument: TypeAlias = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]

JAX_MIN_COMPILE_SECONDS = 1.0  # JAX's default: programs that compile faster are not kept


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConfigFlags(Config):
    """`Config` as a command line can give it; only what is not plain there is narrowed here."""

    env: str = setting(
        "Pendulum-v1",
        "Name of an environment; `rpojax envs` lists them. --env-params.NAME VALUE changes one of "
        "its parameters, as in --env-params.g 1.62.",
        anything(),
    )
    env_params: tyro.conf.Suppress[Any] = ()
    network: NetworkConfig = setting(NetworkConfig(), "The built-in network.", anything())
    reward_shaper: tyro.conf.Suppress[None] = None

    def __post_init__(self) -> None:
        """Convert nested settings; leave the other checks to `to_config`, outside the parser."""
        for name in ("network", "env_params"):
            convert = settings_of(Config)[name].check.convert
            object.__setattr__(self, name, convert(name, getattr(self, name)))

    def to_config(self) -> Config:
        """The settings as a `Config`; ValueError as from `Config`."""
        names = [field.name for field in dataclasses.fields(self)]
        return Config(**{name: getattr(self, name) for name in names})


class OptionChanges(dict[str, Any]):
    """Options of a run by name, in place of the run's own; there is a flag for each."""


def add_settings_rule(registry: tyro.constructors.ConstructorRegistry) -> None:
    """Let flags take their help texts from the declared settings of a dataclass."""

    @registry.struct_rule
    def settings_rule(
        info: tyro.constructors.StructTypeInfo,
    ) -> tyro.constructors.StructConstructorSpec | None:
        cls = info.type
        if cls is OptionChanges:
            return _option_changes_spec()
        if not (isinstance(cls, type) and issubclass(cls, Config | NetworkConfig | RunOptions)):
            return None
        hints = typing.get_type_hints(cls, include_extras=True)
        types = {name: _without_functions(hint) for name, hint in hints.items()}
        given = info.default if isinstance(info.default, cls) else cls()
        defaults = {field.name: getattr(given, field.name) for field in dataclasses.fields(cls)}
        return _spec(cls, cls, types, defaults)


def _spec(
    instantiate: Callable[..., Any],
    declaring: type[Any],
    types: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> tyro.constructors.StructConstructorSpec:
    """A flag for each of `defaults`, with the help texts of the class that declares them."""
    declared = settings_of(declaring)
    return tyro.constructors.StructConstructorSpec(
        instantiate=instantiate,
        fields=tuple(
            tyro.constructors.StructFieldSpec(
                name=name,
                type=types[name],
                default=default,
                helptext=declared[name].text if name in declared else None,
            )
            for name, default in defaults.items()
        ),
    )


def _option_changes_spec() -> tyro.constructors.StructConstructorSpec:
    kept = tyro.conf.arg(help_behavior_hint="(default: the run's own)")
    types = {
        name: Annotated[given | None, kept] if name in RECORDED else given
        for name, given in typing.get_type_hints(RunOptions).items()
    }

    def instantiate(**given: Any) -> OptionChanges:
        return OptionChanges({name: one for name, one in given.items() if one is not None})

    return _spec(instantiate, RunOptions, types, dict.fromkeys(settings_of(RunOptions)))


def _without_functions(hint: Any) -> Any:
    """The type of a setting without the functions that it may be in Python."""
    parts = typing.get_args(hint)
    plain = [part for part in parts if "__call__" not in getattr(part, "__dict__", ())]
    return hint if len(plain) == len(parts) else functools.reduce(operator.or_, plain)


@dataclasses.dataclass(frozen=True, kw_only=True)
class JaxFlags:
    """Where JAX computes, and whether it keeps what it compiles."""

    device: Annotated[str | None, tyro.conf.arg(metavar="STR")] = None
    """Kind of device: "cpu", "gpu", "tpu", or what else JAX may know; None: the best there is."""
    compilation_cache: bool = True
    """Keep compiled programs, so that the next start with the same settings need not compile: in
    JAX_COMPILATION_CACHE_DIR, or rpojax/xla in the user's directory for caches."""

    def start_jax(self) -> None:
        """Set up JAX; ValueError if there is no such device."""
        if self.device is not None:
            # JAX takes no "gpu" here unless it knows GPUs of each make; it prefers them by itself.
            jax.config.update("jax_platforms", "cpu" if self.device == "cpu" else "")
        self._use_all_devices()
        self._keep_programs()
        try:
            usual = jax.devices()
        except (RuntimeError, AssertionError) as error:  # the type depends on what is missing
            asked = jax.config.values["jax_platforms"]
            raise ValueError(
                f"JAX finds no device to run on, with JAX_PLATFORMS = {asked!r}; install JAX for "
                f"that device, or unset the variable ({type(error).__name__}: {error})"
            ) from error
        if self.device is None:
            return
        try:
            is_available = jax.devices(self.device)[0] in usual
        except RuntimeError:
            is_available = False
        if not is_available:
            raise ValueError(
                f"device = {self.device!r} is not available, JAX runs on {usual[0].platform!r}; "
                "leave it out, or install JAX for that device"
            )

    def _use_all_devices(self) -> None:
        """A device of each core of a CPU."""
        with contextlib.suppress(RuntimeError):  # called from a program that uses JAX already
            use_all_cores()

    def _keep_programs(self) -> None:
        if not self.compilation_cache:
            jax.config.update("jax_enable_compilation_cache", False)
            return
        if jax.config.values["jax_compilation_cache_dir"] is None:
            try:
                directory = _cache_directory()
                directory.mkdir(parents=True, exist_ok=True)
            except (OSError, RuntimeError) as error:
                warnings.warn(
                    f"compiled programs are not kept: {error}", RuntimeWarning, stacklevel=2
                )
                return
            jax.config.update("jax_compilation_cache_dir", str(directory))
        least = "jax_persistent_cache_min_compile_time_secs"
        if jax.config.values[least] == JAX_MIN_COMPILE_SECONDS:
            jax.config.update(least, 0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobFlags(JaxFlags):
    """The same, for what several processes may do together."""

    distributed: Switch = False
    """Train with the other processes of this job, on the devices of all of them, as detected on
    SLURM, Open MPI, Kubernetes and TPU pods."""
    coordinator: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None
    """The same, where nothing is detected: address of the first process, with a free port."""
    num_processes: int | None = None
    """How many processes there are, with --coordinator."""
    process_id: int | None = None
    """Which of them this is, from 0 on, with --coordinator."""

    def _use_all_devices(self) -> None:
        """The devices of all processes, if there are several."""
        job = (self.coordinator, self.num_processes, self.process_id)
        if self.distributed or any(given is not None for given in job):
            use_all_machines(*job)
            _keep_stdout_for_python()
        else:
            super()._use_all_devices()


def _keep_stdout_for_python() -> None:
    """Let what C++ code prints go to stderr: the transport between CPUs says how it connects."""
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(stdout, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)


def _cache_directory() -> Path:
    """Where a user's compiled programs are, by the XDG Base Directory Specification."""
    caches = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(caches) if os.path.isabs(caches) else Path.home() / ".cache") / "rpojax" / "xla"


def check_directory_name(flag: str, name: str) -> str:
    """The name of a directory to make; ValueError for one that leads elsewhere."""
    if name in ("", ".", "..") or re.search(r"[/\\\x00]", name):
        raise ValueError(
            f"{flag} = {name!r} is not the name of a directory; give one without slashes, and the "
            "place with --output-dir"
        )
    return name
