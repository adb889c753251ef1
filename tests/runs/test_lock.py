"""One process at a time in a run's directory."""

import json
import multiprocessing
import os
import re

import pytest

from rpojax.runs import lock
from rpojax.runs.lock import DirectoryInUseError, exclusive, require_unlocked

NAME = lock.NAME


def hold(directory, connection):
    with exclusive(directory):
        connection.send("held")
        connection.recv()


@pytest.fixture
def held(tmp_path):
    """A directory whose lock another process holds, and that process."""
    directory = tmp_path / "run"
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=hold, args=(directory, theirs))
    process.start()
    try:
        assert ours.poll(60)
        yield directory, process, ours
    finally:
        process.kill()
        process.join()


def holder(directory):
    return json.loads((directory / NAME).read_text())


def test_lock_names_its_holder_and_is_removed(tmp_path):
    with exclusive(tmp_path):
        content = holder(tmp_path)
        assert content["pid"] == os.getpid()
        assert content["host"]
    assert list(tmp_path.iterdir()) == []


def test_directory_that_was_made_for_the_lock_alone_is_removed(tmp_path):
    with pytest.raises(OSError, match="no"), exclusive(tmp_path / "new"):
        raise OSError("no")
    assert not (tmp_path / "new").exists()


def test_second_process_is_refused_with_the_holder(held):
    directory, process, _ = held
    remedy = re.escape(f"remove {str(directory / NAME)!r}")
    message = rf"in use by process {process.pid} on .*, started 20\d\d-.* {remedy}"
    with pytest.raises(DirectoryInUseError, match=message), exclusive(directory):
        pass
    with pytest.raises(DirectoryInUseError, match=message):
        require_unlocked(directory)
    assert holder(directory)["pid"] == process.pid


def test_lock_can_be_taken_once_it_is_released(held):
    directory, process, connection = held
    connection.send("go")
    process.join(60)
    with exclusive(directory):
        assert holder(directory)["pid"] == os.getpid()


def test_lock_of_a_killed_process_is_stale(held):
    directory, process, _ = held
    process.kill()
    process.join()
    assert (directory / NAME).exists()
    require_unlocked(directory)
    with exclusive(directory):
        assert holder(directory)["pid"] == os.getpid()


def test_force_takes_the_lock_of_a_process_that_seems_to_run(held):
    directory = held[0]
    with exclusive(directory, force=True):
        assert holder(directory)["pid"] == os.getpid()


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
    with exclusive(tmp_path):
        content = holder(tmp_path)
    (tmp_path / NAME).write_text(json.dumps(content | changes))
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


def race(directory, connection):
    try:
        with exclusive(directory):
            connection.send("in")
            connection.recv()
    except DirectoryInUseError:
        connection.send("refused")


def test_of_several_processes_that_find_a_stale_lock_one_gets_it(held):
    directory, process, _ = held
    process.kill()
    process.join()
    context = multiprocessing.get_context("spawn")
    pipes = [multiprocessing.Pipe() for _ in range(4)]
    racers = [context.Process(target=race, args=(directory, theirs)) for _, theirs in pipes]
    try:
        for racer in racers:
            racer.start()
        answers = []
        for ours, _ in pipes:
            assert ours.poll(60)
            answers.append(ours.recv())
        assert sorted(answers) == ["in", "refused", "refused", "refused"]
    finally:
        for racer in racers:
            racer.kill()
            racer.join()
