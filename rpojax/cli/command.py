"""The entry point: parse the arguments with tyro, run the subcommand, print errors on one line."""

import contextlib
import dataclasses
import io
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn, TypeAlias, cast

import tyro

from rpojax.cli.flags import add_rules
from rpojax.cli.studies import Report, Study
from rpojax.cli.train_settings import read_settings, take_env_params, take_network
from rpojax.cli.trained import Eval, Export, Play, Render
from rpojax.cli.training import Resume, Train
from rpojax.cli.views import Envs, Plot
from rpojax.devices.memory import out_of_memory_explained
from rpojax.devices.processes import ProcessError, errors_shared, is_first
from rpojax.runs.interrupt import Interrupted
from rpojax.settings.network_config import NetworkConfig
from rpojax.version import __version__

Command: TypeAlias = Train | Resume | Study | Report | Eval | Export | Play | Render | Plot | Envs


def main(args: Sequence[str] | None = None) -> None:
    """Run the command.

    User errors print one line and exit with status 2. A signal that stops the training exits with
    128 and its number: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP. Where another process of
    the job failed, the status is 1. Other exceptions keep their traceback. `rpojax --version`
    prints the version. Where the reader of stdout leaves, as `head` does, the work goes on.

    Args:
        args: the arguments after `rpojax`; None for those of the process.
    """
    with warnings.catch_warnings(), contextlib.redirect_stdout(_Lasting(sys.stdout)):
        warnings.showwarning = _show_warning
        words = sys.argv[1:] if args is None else list(args)
        if os.getcwd() not in sys.path:  # the place of one's own environments, after all others
            sys.path.append(os.getcwd())
        if words == ["--version"]:
            print(f"rpojax {__version__}")
            return
        try:
            with errors_shared(alike=(Interrupted,)), out_of_memory_explained():
                parse(words)()
        except ProcessError as error:
            _leave(1, error)
        except (ValueError, OSError, MemoryError) as error:
            _leave(2, error)
        except KeyboardInterrupt as stop:
            number = getattr(stop, "signal_number", signal.SIGINT)
            _leave(128 + number, (str(stop) or "stopped") if is_first() else None)
        finally:
            sys.stdout.flush()


class _Lasting:
    """A stream that drops what is written to it after its reader has left."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._call(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._call(self._stream.flush)

    def _call(self, function: Callable[..., Any], *args: Any) -> None:
        try:
            function(*args)
        except BrokenPipeError:
            with open(os.devnull, "wb") as nothing:  # takes what is in buffers, too
                os.dup2(nothing.fileno(), self._stream.fileno())


def _leave(status: int, message: Any) -> NoReturn:
    """End the process with one line, or without a word for None."""
    if message is not None:
        print(f"rpojax: {_on_one_line(message)}", file=sys.stderr)
    sys.exit(status)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning on one line, without the place in the code that gives it."""
    if is_first():
        print(f"rpojax: warning: {_on_one_line(message)}", file=sys.stderr)


def _on_one_line(message: Any) -> str:
    """The text without line breaks; what a terminal would interpret is escaped."""
    text = " ".join(str(message).split())
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def parse(args: Sequence[str]) -> Command:
    """The subcommand with its flags.

    Flags take precedence over the file of `--config`, and that over a preset, whose settings
    replace the defaults.

    Raises:
        ValueError: wrong flags, a wrong file or an unknown preset; errors in settings name the file
            that holds them.
    """
    words, env_params = take_env_params(args)
    words, network = take_network(words)
    command = _parse(words, Train())
    if not isinstance(command, Train):
        if env_params or network:
            flag = f"env-params.{next(iter(env_params))}" if env_params else "network"
            raise ValueError(f"--{flag} is a flag of rpojax train")
        return command
    given = None
    if command.config_file is not None or command.preset is not None:
        given = read_settings(command.config_file, command.preset)
        with warnings.catch_warnings():  # tyro's, about values that Config will refuse
            warnings.simplefilter("ignore")
            command = _parse(words, given.defaults)
        assert isinstance(command, Train)
        network = network or given.network
    merged = dict(command.config.env_params) | env_params
    config = dataclasses.replace(command.config, env_params=merged)
    if network is not None:
        if config.network != NetworkConfig():
            raise ValueError(
                f"network = {str(network)!r} replaces the built-in network; leave --network.* out"
            )
        config = dataclasses.replace(config, network=cast(Any, network))
    command = dataclasses.replace(command, config=config)
    if given is not None:
        given.check(command)
    return command


def _parse(args: Sequence[str], train: Train) -> Command:
    """The subcommand; flags of `rpojax train` that are not given are as in `train`."""
    subcommands: Any = Annotated[Train, tyro.conf.subcommand("train", default=train)]
    for each in (Resume, Study, Report, Eval, Export, Play, Render, Plot, Envs):
        subcommands |= Annotated[each, tyro.conf.subcommand(each.__name__.lower())]
    registry = tyro.constructors.ConstructorRegistry()
    add_rules(registry)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            command: Command = tyro.cli(
                subcommands,
                prog="rpojax",
                description="Robust Policy Optimization (RPO) as one XLA program.",
                args=args,
                registry=registry,
            )
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        raise ValueError(_unboxed(complaint.getvalue())) from None
    return command


def _unboxed(box: str) -> str:
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
