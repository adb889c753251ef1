"""One process at a time in a run's directory."""

import errno
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time

import killed
import pytest

import rpojax
from rpojax.runs import lock
from rpojax.runs.lock import DirectoryInUseError, exclusive

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
    return dict(
        line.split("=", 1) for line in (directory / NAME).read_text().splitlines() if "=" in line
    )


def left_by(directory, **changes):
    """Write a lock with the fields of this process, some of them changed."""
    with exclusive(directory):
        text = (directory / NAME).read_text()
    for name, value in changes.items():
        text = re.sub(rf"^{name}=.*$", f"{name}={value}", text, flags=re.M)
    (directory / NAME).write_text(text)


@pytest.fixture
def short_lease(monkeypatch):
    monkeypatch.setattr(lock, "LEASE_SECONDS", 1.5)
    monkeypatch.setattr(lock, "RENEWAL_SECONDS", 0.2)


def test_lock_names_its_holder_and_is_removed(tmp_path):
    for _ in range(2):
        with exclusive(tmp_path) as lease:
            assert holder(tmp_path)["pid"] == str(os.getpid())
            assert holder(tmp_path)["host"]
            lease.require_held()
        assert list(tmp_path.iterdir()) == []


def test_directory_that_was_made_for_the_lock_alone_is_removed(tmp_path):
    with pytest.raises(OSError, match="no"), exclusive(tmp_path / "new"):
        raise OSError("no")
    assert not (tmp_path / "new").exists()
    with exclusive(tmp_path / "new"):
        (tmp_path / "new" / "file").touch()
    assert (tmp_path / "new").exists()
    with pytest.raises(ValueError, match="file' is a file; give a directory"):
        exclusive(tmp_path / "new" / "file").__enter__()


def test_second_process_is_refused_with_the_holder_until_that_is_killed(tmp_path):
    process, told = killed.start(hold, tmp_path)
    try:
        assert told.poll(200)
        message = rf"in use by process {process.pid} on .*, or at once with --force \(force=True\)"
        began = time.monotonic()
        with pytest.raises(DirectoryInUseError, match=message), exclusive(tmp_path):
            pass
        assert time.monotonic() - began < lock.RENEWAL_SECONDS, "it is not waited for"
        assert holder(tmp_path)["pid"] == str(process.pid)
    finally:
        process.kill()
        process.join()
    assert (tmp_path / NAME).exists()
    with exclusive(tmp_path):
        assert holder(tmp_path)["pid"] == str(os.getpid())


def test_force_takes_the_lock_and_the_former_holder_stops(tmp_path):
    with exclusive(tmp_path) as former, exclusive(tmp_path, force=True) as lease:
        lease.require_held()
        with pytest.raises(DirectoryInUseError, match="took the directory over, by force or"):
            former.require_held()


def test_a_training_stops_when_its_directory_is_taken_over(tmp_path):
    cfg = rpojax.Config(num_envs=4, num_steps=8, num_minibatches=2, total_timesteps=32 * 10**6)

    def take_over(progress):
        if progress.updates:
            with exclusive(tmp_path / "run", force=True):
                pass
            left_by(tmp_path / "run")  # as if the other one were at work

    with pytest.raises(DirectoryInUseError, match="what this process had saved is kept"):
        rpojax.fit(cfg, checkpoint_dir=tmp_path / "run", on_chunk=take_over)


@pytest.mark.parametrize("ahead", [0, 3600])
def test_lock_that_is_not_renewed_is_taken_after_a_while(tmp_path, short_lease, ahead):
    """As one that a node left which died, perhaps before the clock was set back."""
    left_by(tmp_path, host="elsewhere")
    os.utime(tmp_path / NAME, (time.time() + ahead,) * 2)
    with (
        pytest.warns(RuntimeWarning, match=r"in use by process \d+ on elsewhere: waiting whether"),
        exclusive(tmp_path),
    ):
        assert holder(tmp_path)["host"] != "elsewhere"


def test_lock_that_is_renewed_elsewhere_is_refused(tmp_path, short_lease, monkeypatch):
    monkeypatch.setattr(lock, "_this_host", lambda: "another")  # so that this host is elsewhere
    with (
        exclusive(tmp_path),
        pytest.warns(RuntimeWarning, match="waiting whether that renews"),
        pytest.raises(DirectoryInUseError, match=r"is free 1\.5 s after its end"),
        exclusive(tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    "changes",
    [{"start": "1"}, {"pid": 2**22 + 1}],
    ids=["the number belongs to another process by now", "ended"],
)
def test_lock_of_a_process_that_ended_here_is_taken_at_once(tmp_path, changes):
    left_by(tmp_path, **changes)
    with exclusive(tmp_path):
        assert holder(tmp_path)["pid"] == str(os.getpid())


@pytest.mark.slow
@pytest.mark.parametrize("make", ["text", "link", "pipe"])
def test_what_is_no_lock_is_removed(tmp_path, make):
    """Also the locks of older versions, which are JSON."""
    if make == "text":
        (tmp_path / NAME).write_text('{"pid": 1}')
    elif make == "link":
        (tmp_path / NAME).symlink_to("/dev/zero")
    else:
        os.mkfifo(tmp_path / NAME)
    with exclusive(tmp_path):
        assert holder(tmp_path)["pid"] == str(os.getpid())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EPERM, errno.ENOSYS])
def test_a_file_system_without_links_will_do(tmp_path, monkeypatch, number):
    """Such as a mounted Drive, exFAT and some network file systems."""

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "symlink", refuse)
    left_by(tmp_path, pid=2**22 + 1)
    with exclusive(tmp_path), pytest.raises(DirectoryInUseError), exclusive(tmp_path):
        pass


HOLD = """
    import sys, time
    from pathlib import Path
    from rpojax.runs.lock import DirectoryInUseError, exclusive
    try:
        with exclusive(Path(sys.argv[1])):
            print("in", flush=True)
            time.sleep(120)
    except DirectoryInUseError:
        print("refused", flush=True)
"""


def test_processes_of_two_pid_namespaces_of_one_host_do_not_both_get_it(tmp_path):
    """The first is process 1 or 2 of its own, which does not run, or is another, in the second."""
    apart = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if not shutil.which("unshare") or subprocess.run([*apart, "true"], check=False).returncode:
        pytest.skip("this system lets the user make no PID namespace")
    code = "from rpojax.runs import lock; lock.RENEWAL_SECONDS = 0.5" + textwrap.dedent(HOLD)
    command = [*apart, sys.executable, "-c", code, str(tmp_path)]
    started = []
    try:
        for _ in range(2):
            started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            if len(started) == 1:
                assert started[0].stdout.readline() == "in\n"
        assert started[1].stdout.readline() == "refused\n"
    finally:
        for process in started:
            process.kill()
            process.communicate()


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
