"""The entry: parse, run, and say on one line what the user has to change."""

import re
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import jax

from rpojax.cli.parsing import parse
from rpojax.version import __version__


def main(args: Sequence[str] | None = None) -> None:
    """Run the command.

    User errors print one line and exit with status 2; Ctrl-C exits with 130. Other exceptions keep
    their traceback. `rpojax --version` prints the version.

    Args:
        args: the words behind `rpojax`; None for those of the process.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        words = sys.argv[1:] if args is None else list(args)
        if words == ["--version"]:
            print(f"rpojax {__version__}")
            return
        try:
            parse(words)()
        except (ValueError, OSError) as error:
            _leave(2, error)
        except KeyboardInterrupt as stop:
            _leave(130, str(stop) or "stopped")
        except jax.errors.JaxRuntimeError as error:
            if not re.search("RESOURCE_EXHAUSTED|out of memory", str(error), re.IGNORECASE):
                raise
            size = re.search(r"allocating \S+ ?[a-z]*", str(error), re.IGNORECASE)
            while_what = f" while {size[0]}" if size else ""
            _leave(
                2,
                f"out of memory{while_what}; give smaller --num-envs, --num-steps or --num-seeds",
            )


def _leave(status: int, message: Any) -> NoReturn:
    """End the process with one line."""
    print(f"rpojax: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(status)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning on one line, without the place in the code that gives it."""
    print(f"rpojax: warning: {' '.join(str(message).split())}", file=sys.stderr)
