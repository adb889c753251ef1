"""What subcommands have in common: flags, and JSON on stdout."""

import contextlib
import dataclasses
import functools
import json
import math
import operator
import re
import typing
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import jax
import tyro

from rpojax.devices.processes import use_all_machines
from rpojax.devices.start import (
    keep_compiled_programs,
    keep_stdout_for_python,
    require_device,
    use_all_cores,
)
from rpojax.runs.settings import RECORDED
from rpojax.settings.config import Config
from rpojax.settings.declared import anything, setting, settings_of
from rpojax.settings.network_config import NetworkConfig
from rpojax.settings.run_options import RunOptions

Switch: TypeAlias = Annotated[bool, tyro.conf.FlagCreatePairsOff]  # without a --no-... beside it
RunArgument: TypeAlias = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
DirectoryArguments: TypeAlias = Annotated[
    tuple[Path, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="DIR [DIR ...]", help_behavior_hint="(at least one)"),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConfigFlags(Config):
    """`Config` as a command line can give it; only what is not plain there is narrowed here."""

    env: str = setting(
        "Pendulum-v1",
        "Name of an environment; `rpojax envs` lists them. Or the path module:object of your own, "
        "or of a function that makes it. --env-params.NAME VALUE changes one of its parameters, as "
        "in --env-params.g 1.62.",
        anything(),
    )
    env_params: tyro.conf.Suppress[Any] = ()
    network: NetworkConfig = setting(
        NetworkConfig(),
        "The built-in network; --network MODULE:OBJECT takes your own in its place.",
        anything(),
    )
    reward_shaper: str | None = setting(  # type: ignore[assignment]
        None,
        "Path module:function of a function (reward, timestep, timesteps) -> reward, applied "
        "before any scaling.",
        anything(),
    )
    symmetry: str | None = setting(  # type: ignore[assignment]
        None,
        "Path module:object of an rpojax.Symmetry; --mirror-coef weighs its loss.",
        anything(),
    )

    def __post_init__(self) -> None:
        """Convert nested settings; leave the other checks to `to_config`, outside the parser."""
        for name in ("network", "env_params"):
            convert = settings_of(Config)[name].check.convert
            object.__setattr__(self, name, convert(name, getattr(self, name)))

    def to_config(self) -> Config:
        """The settings as a `Config`; ValueError as from `Config`."""
        return Config(**vars(self))


class OptionChanges(dict[str, Any]):
    """Options of a run by name, in place of the run's own; there is a flag for each."""

    def __init__(self, **given: Any) -> None:
        super().__init__({name: value for name, value in given.items() if value is not None})


def add_rules(registry: tyro.constructors.ConstructorRegistry) -> None:
    """Let flags be as settings are declared: their help texts, and what is a whole number."""
    kept = tyro.conf.arg(help_behavior_hint="(default: the run's own)")

    @registry.struct_rule
    def settings_rule(
        info: tyro.constructors.StructTypeInfo,
    ) -> tyro.constructors.StructConstructorSpec | None:
        changes = info.type is OptionChanges
        cls: Any = RunOptions if changes else info.type
        if not (isinstance(cls, type) and issubclass(cls, Config | NetworkConfig | RunOptions)):
            return None
        declared, hints = settings_of(cls), typing.get_type_hints(cls, include_extras=True)
        types = {name: _without_functions(hint) for name, hint in hints.items()}
        if changes:
            types |= {name: Annotated[types[name] | None, kept] for name in RECORDED}
        given = info.default if isinstance(info.default, cls) else cls()
        return tyro.constructors.StructConstructorSpec(
            instantiate=info.type,
            fields=tuple(
                tyro.constructors.StructFieldSpec(
                    name=field.name,
                    type=types[field.name],
                    default=None if changes else getattr(given, field.name),
                    helptext=declared[field.name].text if field.name in declared else None,
                )
                for field in dataclasses.fields(cls)
            ),
        )

    @registry.primitive_rule
    def whole_number_rule(
        info: tyro.constructors.PrimitiveTypeInfo,
    ) -> tyro.constructors.PrimitiveConstructorSpec | None:
        if info.type is not int:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="INT",
            instance_from_str=lambda words: _whole_number(words[0]),
            is_instance=lambda value: isinstance(value, int),
            str_from_instance=lambda value: [str(value)],
        )


def _whole_number(text: str) -> int:
    """Such as 1e6 and 1_000_000, as `Config` takes them."""
    try:
        return int(text)
    except ValueError:
        with contextlib.suppress(ValueError):
            if float(text).is_integer():
                return int(float(text))
    raise ValueError(f"{text!r} is not a whole number")


def _without_functions(hint: Any) -> Any:
    """The type of a setting with the path of a function in place of a function."""
    parts = typing.get_args(hint)
    plain = [part for part in parts if "__call__" not in getattr(part, "__dict__", ())]
    return hint if len(plain) == len(parts) else functools.reduce(operator.or_, [*plain, str])


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
        if self.compilation_cache:
            keep_compiled_programs()
        else:
            jax.config.update("jax_enable_compilation_cache", False)
        require_device(self.device)

    def _use_all_devices(self) -> None:
        """A device of each core of a CPU."""
        with contextlib.suppress(RuntimeError):  # called from a program that uses JAX already
            use_all_cores()


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobFlags(JaxFlags):
    """Where JAX computes, on this machine or on several, and whether it keeps what it compiles."""

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
            keep_stdout_for_python()
        else:
            super()._use_all_devices()


def check_directory_name(flag: str, name: str) -> str:
    """The name of a directory to make; ValueError for one that leads elsewhere."""
    if name in ("", ".", "..") or re.search(r"[/\\]", name) or not name.isprintable():
        raise ValueError(
            f"{flag} = {name!r} is not the name of a directory; give one of printable characters "
            "without slashes, and the place with --output-dir"
        )
    return name


def print_json(report: dict[str, Any]) -> None:
    """One JSON object on stdout; NaN and infinity, which JSON lacks, as null."""
    print(json.dumps(_finite(report), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
