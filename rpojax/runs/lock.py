"""One process at a time in the directory of a run or of a study.

The lock is a lease of `filelock`: a file that is created exclusively, without hard links, names
host, PID namespace and process, and is renewed by its modification time. Optuna's journal lock
names no holder and is not renewed, so that it cannot tell a process that ended from a slow one.
"""

import contextlib
import functools
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

NAME = "run.lock"
LEASE_SECONDS = 120.0
"""How long a lock that is not renewed blocks others; network file systems may show it 60 s late."""
RENEWAL_SECONDS = 10.0


class DirectoryInUseError(ValueError):
    """Another process trains in the directory."""


class Lease:
    """The lock of a directory, held by this process."""

    def __init__(self, directory: Path) -> None:
        from filelock import SoftFileLease

        self.directory = directory
        self._file = SoftFileLease(
            directory / NAME,
            lease_duration=LEASE_SECONDS,
            heartbeat_interval=RENEWAL_SECONDS,
            thread_local=False,
        )

    def require_held(self) -> None:
        """Raise DirectoryInUseError if another process has taken the directory over."""
        holder = self._file.owner
        if holder is not None and holder.token != self._file.token:
            raise DirectoryInUseError(
                f"{self._in_use()}. It took the directory over, by force or because this process "
                f"did not run for {LEASE_SECONDS:g} s; what this process had saved is kept"
            )

    def _acquire(self, force: bool) -> None:
        from filelock import LeaseSettingsMismatch, Timeout

        if force:
            self._file.force_break()
        try:
            self._file.acquire(
                timeout=2 * LEASE_SECONDS, poll_interval=0.2, cancel_check=self._refusal()
            )
        except (Timeout, LeaseSettingsMismatch) as error:
            raise DirectoryInUseError(
                f"{self._in_use()}; wait for it, or stop it; if it does not run any more, the "
                f"directory is free {LEASE_SECONDS:g} s after its end, or at once with --force "
                "(force=True)"
            ) from error

    def _refusal(self) -> Callable[[], bool]:
        """A function that says whether the holder is known to run; called again and again.

        `filelock` itself takes the lock of a process that has ended here, and one that is not
        renewed.
        """
        seen: list[float] = []

        def refused() -> bool:
            holder = self._file.owner
            if holder is None:
                return False
            if holder.hostname == _this_host():
                return True
            with contextlib.suppress(OSError):  # released in between
                seen.append((self.directory / NAME).lstat().st_mtime)
            if len(seen) == 1:
                warnings.warn(
                    f"{self._in_use()}: waiting whether that renews its lock, for up to "
                    f"{LEASE_SECONDS:g} s",
                    RuntimeWarning,
                    stacklevel=2,
                )
            return len(set(seen)) > 1

        return refused

    def _in_use(self) -> str:
        holder = self._file.owner
        named = "another process"
        if holder is not None:
            named = f"process {holder.pid} on {holder.hostname.partition('?')[0]}"
        return f"{str(self.directory)!r} is in use by {named}"


@contextlib.contextmanager
def exclusive(
    directory: Path, force: bool = False, *, remove_empty: bool = False
) -> Iterator[Lease]:
    """Hold the lock of a directory; it is made if it does not exist.

    A process that has ended on this host leaves a lock that is replaced at once. One that ended
    elsewhere, such as on a node that died, leaves a lock that is replaced after `LEASE_SECONDS` of
    waiting; no clocks are compared. A process that runs renews its lock every `RENEWAL_SECONDS`.

    Args:
        directory: of the run or the study.
        force: replace the lock of another process at once, even if it seems to run.
        remove_empty: remove the directory at the end if it is empty, also if it existed before.

    Raises:
        DirectoryInUseError: another process holds the lock.
        ValueError: a file is in place of the directory.
    """
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"{str(directory)!r} is a file; give a directory")
    remove_empty |= not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    lease = Lease(directory)
    try:
        lease._acquire(force)
        try:
            yield lease
        finally:
            with contextlib.suppress(OSError):  # the directory is gone
                lease._file.release()
    finally:
        if remove_empty:
            with contextlib.suppress(OSError):  # not empty: it is in use
                directory.rmdir()


@functools.cache
def _this_host() -> str:
    """The name of this host and PID namespace in a lock."""
    from filelock import SoftFileLease

    with tempfile.TemporaryDirectory() as place, SoftFileLease(Path(place, NAME)) as lease:
        holder = lease.owner
    assert holder is not None
    return holder.hostname
