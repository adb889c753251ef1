"""Signals that end a training cleanly: what is being done is finished, and the run is saved."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from rpojax.devices.processes import exchanged
from rpojax.types import TrainResult

_NOTE = b"\nrpojax: finishing the current step, then stopping; a second signal stops at once\n"
STOPPING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)

_noted: list[int] = []  # signals since the outermost `first_signal_noted` was entered
_handling = threading.Event()  # whether it is entered


class Interrupted(KeyboardInterrupt):
    """A signal ended the work between two steps; the message says what is saved.

    Attributes:
        signal_number: SIGINT (Ctrl-C), SIGTERM or SIGHUP.
    """

    def __init__(self, message: str, signal_number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.signal_number = signal_number

    def __reduce__(self) -> tuple[Any, ...]:  # so that it can be pickled
        return type(self), (str(self), self.signal_number)


class TrainingInterrupted(Interrupted):
    """A signal ended a training between two updates; the message says how to resume it.

    Attributes:
        result: what was trained so far, metrics [N, updates].
        signal_number: SIGINT (Ctrl-C), SIGTERM or SIGHUP.
    """

    def __init__(
        self, message: str, result: TrainResult, signal_number: int = signal.SIGINT
    ) -> None:
        super().__init__(message, signal_number)
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.result, self.signal_number)


def noted_signal() -> int | None:
    """The signal that was noted, in this process; None if there was none."""
    return _noted[0] if _noted else None


def raise_if_noted(message: str) -> None:
    """Raise Interrupted if a signal was noted in any process; all of them call this together."""
    number = exchanged(noted_signal(), lambda each: next(filter(None, each), None))
    if number is not None:
        raise Interrupted(message, number)


@contextlib.contextmanager
def first_signal_noted() -> Iterator[None]:
    """Note the first Ctrl-C, SIGTERM or SIGHUP inside; a second one acts as it does outside.

    `noted_signal` and `raise_if_noted` tell. Inside of another one, it does nothing. A signal is
    not handled outside the main thread, where Python allows no handlers, nor where it is ignored or
    handled outside of Python.
    """
    if _handling.is_set() or threading.current_thread() is not threading.main_thread():
        yield
        return
    former: dict[int, Any] = {}

    def note(signal_number: int, frame: FrameType | None) -> None:
        _noted.append(signal_number)
        restore()
        with contextlib.suppress(OSError):
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, _NOTE)

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, handler)

    _handling.set()
    try:
        for number in STOPPING:
            handler = signal.getsignal(number)
            if handler not in (None, signal.SIG_IGN):
                former[number] = handler
                signal.signal(number, note)
        yield
    finally:
        restore()
        _handling.clear()
        _noted.clear()
