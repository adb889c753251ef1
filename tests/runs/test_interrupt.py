import os
import signal
import threading

import pytest

from rpojax.runs.interrupt import first_interrupt_noted


def press():
    os.kill(os.getpid(), signal.SIGINT)


def test_first_is_noted_and_second_stops_at_once(capfd):
    former = signal.getsignal(signal.SIGINT)
    passed = []

    def press_twice():
        with first_interrupt_noted() as noted:
            passed.append(noted())
            press()
            passed.append(noted())
            press()
            passed.append("too far")

    with pytest.raises(KeyboardInterrupt):
        press_twice()
    assert passed == [False, True]
    assert signal.getsignal(signal.SIGINT) is former
    assert capfd.readouterr().err.count("Ctrl-C again stops at once") == 1


@pytest.mark.parametrize("presses", [0, 1])
def test_former_handler_is_back_afterwards(presses):
    calls = []

    def handler(*_):
        calls.append("former")

    before = signal.signal(signal.SIGINT, handler)
    try:
        with first_interrupt_noted():
            for _ in range(presses):
                press()
            assert calls == []
        assert signal.getsignal(signal.SIGINT) is handler
        press()
        assert calls == ["former"]
    finally:
        signal.signal(signal.SIGINT, before)


def test_nothing_is_changed_away_from_the_main_thread():
    former, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with first_interrupt_noted() as noted:
            seen.extend([signal.getsignal(signal.SIGINT), noted()])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [former, False]


def test_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with first_interrupt_noted() as noted:
            press()
            assert not noted()
    finally:
        signal.signal(signal.SIGINT, before)
