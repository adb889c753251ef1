"""Files that are written in one step, and read only if they are regular ones."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

LARGEST_TEXT = 64 * 2**20  # bytes
_REMAINDER = re.compile(
    r"\..*\.\d+\.draft(\.\w+)?|.*\.(draft.*|discarded|\d+\.partial)|run\.lock\.[\w.]+"
)
"""Drafts of `replaced`, of orbax (which lengthens their names) and of older versions."""


class DamagedFileError(ValueError):
    """A file exists and cannot be used: it is not what was written."""


@contextlib.contextmanager
def replaced(path: str | Path) -> Iterator[Path]:
    """A new file beside `path`, which is put in its place when the context ends without error.

    Readers see the old file or the whole new one. A link is replaced, and what it leads to stays.
    """
    path = Path(path)
    draft = path.with_name(f".{path.stem}.{os.getpid()}.draft{path.suffix}")
    try:
        draft.unlink(missing_ok=True)
        yield draft
        draft.replace(path)
    except OSError as error:
        if error.filename in (str(draft), draft):
            error.filename = str(path)  # the name that the user knows
        raise
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in one step."""
    with replaced(path) as draft:
        draft.write_text(text, encoding="utf-8")


def require_regular(path: Path) -> None:
    """Raise ValueError for a link, a pipe, a device or a directory in place of a file."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise ValueError(f"{str(path)!r} is not a regular file; remove it")


def read_text(path: Path) -> str:
    """The text of a regular file of at most `LARGEST_TEXT` bytes.

    Raises:
        ValueError: it is no such file, or not text.
        OSError: it cannot be read; FileNotFoundError if there is none.
    """
    require_regular(path)
    with path.open("rb") as file:
        content = file.read(LARGEST_TEXT + 1)
    if len(content) > LARGEST_TEXT:
        raise ValueError(f"{str(path)!r} has more than {LARGEST_TEXT} bytes; remove it")
    return content.decode()


def write_signed(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON object with a digest of itself, in one step; missing directories are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(values | {"sha256": digest_of(values)}))


def read_signed(path: Path, unsigned: Collection[str] = ()) -> dict[str, Any]:
    """What `write_signed` wrote.

    Args:
        path: of the file.
        unsigned: the keys of a file of older versions, which has no digest; none for no such files.

    Raises:
        DamagedFileError: it is something else.
        OSError: it cannot be read; FileNotFoundError if there is none.
    """
    try:
        values = json.loads(read_text(path))
        if not isinstance(values, dict):
            raise ValueError("it holds no object")
        of_older_versions = bool(unsigned) and set(values) == set(unsigned)
        if not of_older_versions and values.pop("sha256", None) != digest_of(values):
            raise ValueError("it is not what was written")
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{str(path)!r} cannot be read: {error}") from error
    return values


def digest_of(values: dict[str, Any]) -> str:
    """The SHA-256 of a JSON object."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def clear_remains(directory: Path) -> None:
    """Remove what a process that died while it wrote or discarded has left."""
    for entry in directory.glob("*"):
        if is_remainder(entry.name):
            remove(entry)


def is_remainder(name: str) -> bool:
    """Whether a file or directory is unfinished work of a process that died."""
    return _REMAINDER.fullmatch(name) is not None


def remove(path: Path) -> None:
    """Remove a file, a link or a directory, as far as this is allowed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
