"""The entry point: parse the arguments, run the subcommand, print user errors on one line."""

import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from rpojax.cli.parsing import parse
from rpojax.devices.memory import out_of_memory_explained
from rpojax.devices.processes import ProcessError, errors_shared, is_first
from rpojax.version import __version__


def main(args: Sequence[str] | None = None) -> None:
    """Run the command.

    User errors print one line and exit with status 2. A signal that stops the training exits with
    128 and its number: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP. Where another process of
    the job failed, the status is 1. Other exceptions keep their traceback. `rpojax --version`
    prints the version.

    Args:
        args: the arguments after `rpojax`; None for those of the process.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        words = sys.argv[1:] if args is None else list(args)
        if words == ["--version"]:
            print(f"rpojax {__version__}")
            return
        try:
            with errors_shared(alike=(KeyboardInterrupt,)), out_of_memory_explained():
                parse(words)()
        except ProcessError as error:
            _leave(1, error)
        except (ValueError, OSError, MemoryError) as error:
            _leave(2, error)
        except KeyboardInterrupt as stop:
            number = getattr(stop, "signal_number", signal.SIGINT)
            _leave(128 + number, (str(stop) or "stopped") if is_first() else None)


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
