"""Ctrl-C that lets a training come to a good end."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from rpojax.types import TrainResult

_NOTE = b"\nrpojax: finishing what is under way, then stopping; Ctrl-C again stops at once\n"


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C has ended a training between two updates; the text says how to go on with it."""

    def __init__(self, message: str, result: TrainResult) -> None:
        super().__init__(message)
        self.result = result  # what was trained so far, metrics [S, updates]


@contextlib.contextmanager
def first_interrupt_noted() -> Iterator[Callable[[], bool]]:
    """Inside, the first Ctrl-C is only noted; the second does what it did outside.

    Yields a function that tells whether there was one. Does nothing away from the main thread,
    where Python allows no handlers, or where SIGINT is ignored or handled outside of Python.
    """
    former = signal.getsignal(signal.SIGINT)
    on_main_thread = threading.current_thread() is threading.main_thread()
    if not on_main_thread or former in (None, signal.SIG_IGN):
        yield lambda: False
        return
    noted = threading.Event()

    def note(signal_number: int, frame: FrameType | None) -> None:
        noted.set()
        signal.signal(signal.SIGINT, former)
        with contextlib.suppress(OSError):
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, _NOTE)

    signal.signal(signal.SIGINT, note)
    try:
        yield noted.is_set
    finally:
        signal.signal(signal.SIGINT, former)
