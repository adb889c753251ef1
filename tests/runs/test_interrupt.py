import os
import pickle
import signal
import threading

import pytest

from rpojax import TrainingInterrupted
from rpojax.runs.interrupt import (
    STOPPING,
    Interrupted,
    first_signal_noted,
    noted_signal,
    raise_if_noted,
)


@pytest.fixture(autouse=True)
def former_handlers():
    """Python's own handlers, whatever the tests are started by; as they were afterwards."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    for number in STOPPING:
        is_interrupt = number == signal.SIGINT
        signal.signal(number, signal.default_int_handler if is_interrupt else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number=signal.SIGINT):
    os.kill(os.getpid(), number)


def test_first_is_noted_and_second_stops_at_once(capfd):
    former = signal.getsignal(signal.SIGINT)
    passed = []

    def send_twice():
        with first_signal_noted():
            passed.append(noted_signal())
            send()
            passed.append(noted_signal())
            send()
            passed.append("too far")

    with pytest.raises(KeyboardInterrupt):
        send_twice()
    assert passed == [None, signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is former
    assert capfd.readouterr().err.count("a second signal stops at once") == 1


@pytest.mark.parametrize("number", STOPPING)
def test_each_signal_is_noted_by_number(number):
    with first_signal_noted():
        send(number)
        assert noted_signal() == number


@pytest.mark.parametrize("number", STOPPING)
@pytest.mark.parametrize("times", [0, 1])
def test_former_handler_is_back_afterwards(number, times):
    calls = []

    def handler(*_):
        calls.append("former")

    signal.signal(number, handler)
    with first_signal_noted():
        for _ in range(times):
            send(number)
        assert calls == []
    assert signal.getsignal(number) is handler
    send(number)
    assert calls == ["former"]


def test_nothing_is_changed_away_from_the_main_thread():
    former, found = signal.getsignal(signal.SIGINT), []

    def work():
        with first_signal_noted():
            found.extend([signal.getsignal(signal.SIGINT), noted_signal()])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [former, None]


def test_signal_that_is_ignored_stays_so():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with first_signal_noted():
        send()
        assert noted_signal() is None


def test_exception_can_be_pickled():
    error = TrainingInterrupted("stopped", None, signal.SIGTERM)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.result, copy.signal_number) == ("stopped", None, signal.SIGTERM)


def test_contexts_inside_of_another_share_what_it_notes():
    with first_signal_noted():
        with first_signal_noted():
            send(signal.SIGTERM)
        assert noted_signal() == signal.SIGTERM
        with pytest.raises(Interrupted, match="saved") as stop:
            raise_if_noted("stopped, saved")
        assert stop.value.signal_number == signal.SIGTERM
    assert noted_signal() is None
    raise_if_noted("nothing was noted")
