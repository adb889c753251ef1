"""Parse the arguments of the command, with tyro."""

import contextlib
import io
import re
import warnings
from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

import tyro

from rpojax.cli.flags import add_settings_rule
from rpojax.cli.studies import Report, Study
from rpojax.cli.train_settings import read_settings, take_env_params, with_env_params
from rpojax.cli.trained import Eval, Export, Render
from rpojax.cli.training import Resume, Train
from rpojax.cli.views import Envs, Plot

Command: TypeAlias = Train | Resume | Study | Report | Eval | Export | Render | Plot | Envs


def parse(args: Sequence[str]) -> Command:
    """The subcommand with its flags.

    Flags take precedence over the file of `--config`, and that over a preset, whose settings
    replace the defaults.

    Raises:
        ValueError: wrong flags, a wrong file or an unknown preset; errors in settings name the file
            that holds them.
    """
    words, env_params = take_env_params(args)
    command = _parse(words, Train())
    if not isinstance(command, Train):
        if env_params:
            raise ValueError(f"--env-params.{next(iter(env_params))} is a flag of rpojax train")
        return command
    if command.config_file is None and command.preset is None:
        return with_env_params(command, env_params)
    given = read_settings(command.config_file, command.preset)
    with warnings.catch_warnings():  # tyro's, about values that Config will refuse
        warnings.simplefilter("ignore")
        command = _parse(words, given.defaults)
    assert isinstance(command, Train)
    command = with_env_params(command, env_params)
    given.check(command)
    return command


def _parse(args: Sequence[str], train: Train) -> Command:
    """The subcommand; flags of `rpojax train` that are not given are as in `train`."""
    subcommands: Any = (
        Annotated[Train, tyro.conf.subcommand("train", default=train)]
        | Annotated[Resume, tyro.conf.subcommand("resume")]
        | Annotated[Study, tyro.conf.subcommand("study")]
        | Annotated[Report, tyro.conf.subcommand("report")]
        | Annotated[Eval, tyro.conf.subcommand("eval")]
        | Annotated[Export, tyro.conf.subcommand("export")]
        | Annotated[Render, tyro.conf.subcommand("render")]
        | Annotated[Plot, tyro.conf.subcommand("plot")]
        | Annotated[Envs, tyro.conf.subcommand("envs")]
    )
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            command: Command = tyro.cli(
                subcommands,
                prog="rpojax",
                description="Robust Policy Optimization (RPO) as one XLA program.",
                args=args,
                registry=_registry(),
            )
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        raise ValueError(_on_one_line(complaint.getvalue())) from None
    return command


def _on_one_line(box: str) -> str:
    """The message in tyro's box, without the frame, the title and references to --help."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    body = "\n".join(row.strip(" │") for row in plain.splitlines()[1:])
    sections = [" ".join(section.split()) for section in re.split(r"[╰─╯]{2,}|-{3,}", body)]
    messages = [
        section
        for section in sections
        if section and not section.startswith(("Argument helptext", "For full helptext"))
    ]
    # tyro names our dataclasses where no flag is to blame
    return re.sub(r"^Error parsing (?!-)\S+: ", "", "; ".join(messages))


def _registry() -> tyro.constructors.ConstructorRegistry:
    """How tyro reads settings, and whole numbers such as 1e6 and 1_000_000, as `Config` does."""
    registry = tyro.constructors.ConstructorRegistry()
    add_settings_rule(registry)

    @registry.primitive_rule
    def whole_number(
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

    return registry


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        with contextlib.suppress(ValueError):
            if float(text).is_integer():
                return int(float(text))
    raise ValueError(f"{text!r} is not a whole number")
