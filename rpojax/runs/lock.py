"""One process at a time in the directory of a run.

`filelock` is not used: its locks name no holder, and on network file systems they may lock nothing.
"""

import contextlib
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME = "run.lock"


class DirectoryInUseError(ValueError):
    """Another process trains in the directory."""


@contextlib.contextmanager
def exclusive(directory: Path, force: bool = False) -> Iterator[None]:
    """Hold the lock of a directory; it is made if it does not exist.

    The lock is a file that names host, process and start time. The lock of a process that has
    ended on this host is stale and is replaced.

    Args:
        directory: of the checkpoints.
        force: replace the lock of another process, even if it seems to run.

    Raises:
        DirectoryInUseError: another process holds the lock.
    """
    new = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    path, own = directory / NAME, _identity()
    while not _create(path, own):
        holder = _read(path)
        if holder is None:
            continue  # released in between
        if not force and _is_running(holder):
            raise DirectoryInUseError(_in_use(directory, holder))
        _remove(path, holder)
    try:
        yield
    finally:
        _remove(path, own)
        if new:
            with contextlib.suppress(OSError):  # not empty: it is in use
                directory.rmdir()


def require_unlocked(directory: Path) -> None:
    """Raise DirectoryInUseError if a process that runs holds the lock of the directory."""
    holder = _read(directory / NAME)
    if holder is not None and _is_running(holder):
        raise DirectoryInUseError(_in_use(directory, holder))


def _in_use(directory: Path, holder: dict[str, Any]) -> str:
    return (
        f"{str(directory)!r} is in use by process {holder['pid']} on {holder['host']}, started "
        f"{holder['since']}; wait for it, or stop it; if it does not run any more, remove "
        f"{str(directory / NAME)!r}"
    )


def _identity() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "start": _start_of(os.getpid()),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "id": uuid.uuid4().hex,
    }


def _create(path: Path, identity: dict[str, Any]) -> bool:
    """Make the lock in one step; False if there is one."""
    draft = path.with_name(f"{NAME}.{identity['id']}")
    draft.write_text(json.dumps(identity))
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _read(path: Path) -> dict[str, Any] | None:
    """The contents of the lock; None if there is none. An unreadable file counts as stale."""
    try:
        holder = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        holder = None
    fields = ("host", "pid", "start", "since", "id")
    if not isinstance(holder, dict) or not all(name in holder for name in fields):
        return dict.fromkeys(fields)
    return holder


def _remove(path: Path, holder: dict[str, Any]) -> None:
    """Remove the lock if it is still that of `holder`."""
    aside = path.with_name(f"{NAME}.{uuid.uuid4().hex}")
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
        if _read(aside) != holder:  # another process took over in between: give it back
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
        aside.unlink()


def _is_running(holder: dict[str, Any]) -> bool:
    """Whether the process runs; True on another host, where it is unknown."""
    if holder["host"] is None:
        return False
    if holder["host"] != socket.gethostname():
        return True
    try:
        os.kill(holder["pid"], 0)
    except (ProcessLookupError, OverflowError, TypeError):
        return False
    except PermissionError:  # of another user
        return True
    return holder["start"] == _start_of(holder["pid"])  # the same process


def _start_of(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; None if the system does not report it."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return status.rpartition(")")[2].split()[19]
