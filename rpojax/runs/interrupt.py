"""Signals that end a training cleanly: the current chunk finishes, and the run is saved."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from rpojax.types import TrainResult

_NOTE = b"\nrpojax: finishing the current updates, then stopping; a second signal stops at once\n"
STOPPING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class TrainingInterrupted(KeyboardInterrupt):
    """A signal ended a training between two updates; the message says how to resume it.

    Attributes:
        result: what was trained so far, metrics [N, updates].
        signal_number: SIGINT (Ctrl-C), SIGTERM or SIGHUP.
    """

    def __init__(
        self, message: str, result: TrainResult, signal_number: int = signal.SIGINT
    ) -> None:
        super().__init__(message)
        self.result = result
        self.signal_number = signal_number

    def __reduce__(self) -> tuple[Any, ...]:  # so that it can be pickled
        return type(self), (str(self), self.result, self.signal_number)


@contextlib.contextmanager
def first_signal_noted() -> Iterator[Callable[[], int | None]]:
    """Note the first Ctrl-C, SIGTERM or SIGHUP inside; a second one acts as it does outside.

    Yields a function that returns the number of the signal, or None. A signal is not handled
    outside the main thread, where Python allows no handlers, nor where it is ignored or handled
    outside of Python.
    """
    noted: list[int] = []
    former: dict[int, Any] = {}

    def note(signal_number: int, frame: FrameType | None) -> None:
        noted.append(signal_number)
        restore()
        with contextlib.suppress(OSError):
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, _NOTE)

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, handler)

    if threading.current_thread() is threading.main_thread():
        for number in STOPPING:
            handler = signal.getsignal(number)
            if handler not in (None, signal.SIG_IGN):
                former[number] = handler
                signal.signal(number, note)
    try:
        yield lambda: noted[0] if noted else None
    finally:
        restore()
