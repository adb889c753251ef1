"""One process at a time in a run's directory."""

import json
import os
import re
import time

import killed
import pytest

from rpojax.runs import lock
from rpojax.runs.lock import DirectoryInUseError, exclusive, require_unlocked

NAME = lock.NAME


def hold(directory, told):
    """Take the lock and keep it, or say that it was refused."""
    try:
        with exclusive(directory):
            told.send("in")
            time.sleep(600)
    except DirectoryInUseError:
        told.send("refused")


def holder(directory):
    return json.loads((directory / NAME).read_text())


def left_by(directory, **changes):
    """Write a lock with the fields of this process, some of them changed."""
    with exclusive(directory):
        content = holder(directory)
    (directory / NAME).write_text(json.dumps(content | changes))


def test_lock_names_its_holder_and_is_removed(tmp_path):
    for _ in range(2):
        with exclusive(tmp_path):
            content = holder(tmp_path)
            assert content["pid"] == os.getpid()
            assert content["host"]
        assert list(tmp_path.iterdir()) == []


def test_directory_that_was_made_for_the_lock_alone_is_removed(tmp_path):
    with pytest.raises(OSError, match="no"), exclusive(tmp_path / "new"):
        raise OSError("no")
    assert not (tmp_path / "new").exists()


def test_second_process_is_refused_with_the_holder_until_that_is_killed(tmp_path):
    process, told = killed.start(hold, tmp_path)
    try:
        assert told.poll(200)
        remedy = re.escape(f"remove {str(tmp_path / NAME)!r}")
        message = rf"in use by process {process.pid} on .*, started 20\d\d-.* {remedy}"
        with pytest.raises(DirectoryInUseError, match=message), exclusive(tmp_path):
            pass
        with pytest.raises(DirectoryInUseError, match=message):
            require_unlocked(tmp_path)
        assert holder(tmp_path)["pid"] == process.pid
    finally:
        process.kill()
        process.join()
    assert (tmp_path / NAME).exists()
    require_unlocked(tmp_path)
    with exclusive(tmp_path):
        assert holder(tmp_path)["pid"] == os.getpid()


def test_force_takes_the_lock_of_a_process_that_seems_to_run(tmp_path):
    left_by(tmp_path, host="elsewhere")
    with exclusive(tmp_path, force=True):
        assert holder(tmp_path)["pid"] == os.getpid()


@pytest.mark.parametrize(
    ("changes", "running"),
    [
        ({"host": "elsewhere"}, True),  # cannot be known
        ({"start": "1"}, False),  # the number belongs to another process by now
        ({"pid": 2**22 + 1}, False),
        ({"pid": "x"}, False),
    ],
)
def test_stale_locks_are_told_from_others(tmp_path, changes, running):
    left_by(tmp_path, **changes)
    if running:
        with pytest.raises(DirectoryInUseError, match="on elsewhere"):
            require_unlocked(tmp_path)
    else:
        require_unlocked(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "\x00"])
def test_lock_that_says_nothing_is_stale(tmp_path, text):
    (tmp_path / NAME).write_text(text)
    with exclusive(tmp_path):
        assert holder(tmp_path)["pid"] == os.getpid()


def test_of_several_processes_that_find_a_stale_lock_one_gets_it(tmp_path):
    left_by(tmp_path, pid=2**22 + 1)
    started = [killed.start(hold, tmp_path) for _ in range(4)]
    try:
        assert all(told.poll(200) for _, told in started)
        answers = sorted(told.recv() for _, told in started)
        assert answers == ["in", "refused", "refused", "refused"]
    finally:
        for process, _ in started:
            process.kill()
            process.join()
