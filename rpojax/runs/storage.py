"""A directory on disk that holds a record and parts, written atomically and verified.

A part is a pytree that is read without the others. What is written gets a temporary name until it
is whole, so that a process that dies leaves no partial checkpoint under the final one. The record,
in JSON, has the SHA-256 of each array and of itself: data that has changed on disk raises an error
on reading. With several processes, each writes the shards of an array that are on its own devices,
into a directory that all of them see; any number of processes may read them.

The arrays are in NumPy's .npz files, which any later version can read. orbax would write them too,
but not verify them, and its files and its API change.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.devices.host_arrays import is_whole_here
from rpojax.devices.processes import exchanged, in_first, is_first
from rpojax.trees import is_key, leaves_by_path
from rpojax.types import PyTree
from rpojax.validation import first_line

FORMAT = 2
"""Of the files. 1: all arrays in one part, written by orbax, up to the version 0.2.0.dev0."""

RECORD = "record.json"
_REMAINS = re.compile(r".*\.(draft|discarded)")


class DamagedCheckpointError(ValueError):
    """A checkpoint exists and cannot be used: something in it is missing or changed."""


def write(
    path: Path, parts: Mapping[str, PyTree], record: dict[str, Any], rows: int | None = None
) -> None:
    """Write parts and a record at `path`, atomically for any reader.

    Args:
        path: of the directory to make; an existing one is replaced.
        parts: by name; of numpy and JAX arrays, typed PRNG keys among them.
        record: of what JSON can hold.
        rows: of each array that count, from its first on; None for all.

    Raises:
        OSError: it could not be written, such as for lack of space or of permissions.
    """
    draft = path.with_name(f"{path.name}.draft")
    leaves = [
        (part, name, written(leaf, rows))
        for part, tree in parts.items()
        for name, leaf in leaves_by_path(tree).items()
    ]
    shards: list[Any] = []  # of each process, in the first one
    try:
        in_first(lambda: _make_anew(draft))
        exchanged(_write_shards(draft, leaves), lambda found: shards.extend(found))
        in_first(lambda: _complete(draft, path, _signed(leaves, shards, record)))
    except OSError as error:
        if is_first():
            shutil.rmtree(draft, ignore_errors=True)
        reason = error.strerror or first_line(error)
        raise OSError(f"checkpoint {path} could not be written: {reason}") from error


class Stored(NamedTuple):
    """What `write` has put at a path: its record, and the parts that can be read."""

    path: Path
    record: dict[str, Any]
    leaves: list[dict[str, Any]]  # what the record says of each

    def read(self, part: str, expected: PyTree, lenient: bool = False, remedy: str = "") -> PyTree:
        """The pytree of a part, each array compared with its digest.

        Args:
            part: its name.
            expected: a pytree of the same structure, of arrays or `jax.ShapeDtypeStruct`.
            lenient: where the part lacks a leaf, return the array that `expected` has; drop leaves
                that `expected` lacks, with a warning.
            remedy: ends the message of the ValueError.

        Returns:
            A tree like `expected` of numpy arrays; typed keys are JAX arrays.

        Raises:
            DamagedCheckpointError: something is missing or changed.
            ValueError: it is undamaged, and differs from what is expected.
        """
        wanted, found = leaves_by_path(expected), self._found(part)
        for name in wanted | found:
            has, wants = (
                _kind(leaves[name]) if name in leaves else "absent" for leaves in (found, wanted)
            )
            if has != wants and not (lenient and "absent" in (has, wants)):
                raise ValueError(
                    f"{self.path} is undamaged, but {name} in its part {part!r} is {has}, where "
                    f"this version of rpojax or of the environment expects {wants}{remedy}"
                )
        unknown = ", ".join(name for name in found if name not in wanted)
        if unknown:
            warnings.warn(
                f"{self.path} holds {unknown} in its part {part!r}, which this version of rpojax "
                "does not know; it is left out",
                RuntimeWarning,
                stacklevel=2,
            )
        leaves = [found.get(name, leaf) for name, leaf in wanted.items()]
        return jax.tree.unflatten(jax.tree.structure(expected), leaves)

    def _found(self, part: str) -> dict[str, Any]:
        """The leaves of a part by name, each compared with its digest."""
        found = {}
        with _damage_noticed(self.path), contextlib.ExitStack() as stack:
            files: dict[str, Any] = {}
            for leaf in self.leaves:
                if leaf["part"] != part:
                    continue
                array = np.zeros(leaf["shape"], jnp.dtype(leaf["dtype"]))
                for file, key, place, digest in leaf["shards"]:
                    if file not in files:
                        files[file] = stack.enter_context(np.load(self.path / file))
                    data = files[file][key]
                    if _digest(data) != digest:
                        raise ValueError(f"{leaf['name']} is not what was written")
                    array[tuple(slice(*each) for each in place)] = data.view(array.dtype)
                impl = leaf["key_impl"]
                found[leaf["name"]] = (
                    jax.random.wrap_key_data(jnp.asarray(array), impl=impl) if impl else array
                )
        return found


def opened(path: Path) -> Stored:
    """What is stored at `path`; reads the record only.

    Raises:
        DamagedCheckpointError: the record is missing or changed.
        ValueError: it has another format than that of this version.
    """
    former = path / "record" / "metadata"  # of the format 1
    with _damage_noticed(path):
        signed = json.loads((former if former.exists() else path / RECORD).read_text())
        if signed.pop("sha256") != _digest_of(signed):
            raise ValueError("its record is not what was written")
    record, number = signed["record"], signed.get("format", 1)
    if number != FORMAT:
        writer = record.get("versions", {}).get("rpojax", "unknown")
        raise ValueError(
            f"{path} has the format {number}, and this version of rpojax reads the format "
            f"{FORMAT}; read it with the version that wrote it ({writer})"
            + (", or a newer one" if number > FORMAT else "; its training can be repeated here")
        )
    return Stored(path, record, signed["leaves"])


def discard(path: Path) -> None:
    """Remove a checkpoint if it exists; at no time is a part of it left under its name."""
    if path.exists():
        doomed = path.with_name(f"{path.name}.discarded")
        shutil.rmtree(doomed, ignore_errors=True)
        path.rename(doomed)
        shutil.rmtree(doomed)


def set_aside(path: Path) -> Path:
    """Rename a damaged checkpoint, so that it is no longer counted as one; returns its new path."""
    aside = path.with_name(f"{path.name}.damaged")
    shutil.rmtree(aside, ignore_errors=True)
    return path.rename(aside)


def clear_remains(directory: Path) -> None:
    """Remove what a process that died while it wrote or discarded has left."""
    for entry in directory.iterdir():
        if _REMAINS.fullmatch(entry.name):
            shutil.rmtree(entry, ignore_errors=True)


class Written(NamedTuple):
    """A leaf as it is written; typed keys as the integers that they are made of."""

    array: Any  # of numpy, or of JAX where it is spread over the devices of several processes
    shape: list[int]  # of what is to be read: an array that is spread may have more rows
    key_impl: str | None

    def shards(self) -> Iterator[tuple[list[list[int]], np.ndarray]]:
        """What this process writes: its place, [start, stop] for each axis, and the data."""
        if is_whole_here(self.array):
            if is_first():
                yield [[0, size] for size in self.shape], self.array
            return
        for shard in self.array.addressable_shards:
            place = [
                list(each.indices(size)[:2])
                for each, size in zip(shard.index, self.shape, strict=True)
            ]
            if shard.replica_id == 0 and all(start < stop for start, stop in place):
                yield place, np.asarray(shard.data)[tuple(slice(b - a) for a, b in place)]


def written(leaf: Any, rows: int | None) -> Written:
    """A leaf, of which so many rows are written; None for all."""
    impl = str(jax.random.key_impl(leaf)) if is_key(leaf) else None
    array = leaf if impl is None else jax.random.key_data(leaf)
    shape = list(array.shape) if rows is None else [rows, *array.shape[1:]]
    if is_whole_here(array):
        array = np.asarray(array)[tuple(map(slice, shape))]
    return Written(array, shape, impl)


def _make_anew(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()


def _write_shards(draft: Path, leaves: list[tuple[str, str, Written]]) -> list[Any]:
    """Write the shards of this process, a file for each part; returns where each is."""
    arrays: dict[str, dict[str, np.ndarray]] = {}
    shards: list[Any] = []  # [leaf, [file, key, [start, stop] for each axis, digest]]
    for number, (part, _, leaf) in enumerate(leaves):
        file = f"{part}.{jax.process_index()}.npz"
        for place, data in leaf.shards():
            key = str(len(shards))  # not its name, which may hold any character
            arrays.setdefault(file, {})[key] = data
            shards.append([number, [file, key, place, _digest(data)]])
    for file, content in arrays.items():
        with (draft / file).open("wb") as stream:
            np.savez(stream, allow_pickle=False, **content)
            _to_disk(stream)
    return shards


def _signed(
    leaves: list[tuple[str, str, Written]], shards: list[Any], record: dict[str, Any]
) -> dict[str, Any]:
    """What the record file holds, with its own digest."""
    entries = [
        {
            "part": part,
            "name": name,
            "dtype": str(leaf.array.dtype),
            "shape": leaf.shape,
            "key_impl": leaf.key_impl,
            "shards": [shard for own in shards for number, shard in own if number == i],
        }
        for i, (part, name, leaf) in enumerate(leaves)
    ]
    signed = {"format": FORMAT, "record": record, "leaves": entries}
    return signed | {"sha256": _digest_of(signed)}


def _complete(draft: Path, path: Path, signed: dict[str, Any]) -> None:
    """Write the record, and give the directory its final name."""
    with (draft / RECORD).open("w") as stream:
        json.dump(signed, stream)
        _to_disk(stream)
    discard(path)
    draft.rename(path)


def _to_disk(stream: Any) -> None:
    stream.flush()
    os.fsync(stream.fileno())


@contextlib.contextmanager
def _damage_noticed(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError:
        raise
    except Exception as error:  # damaged files raise errors of many kinds
        what = "is damaged" if path.exists() else "was removed meanwhile; load the run again"
        raise DamagedCheckpointError(f"{path} {what}: {first_line(error)}") from error


def _kind(leaf: Any) -> str:
    return f"{leaf.dtype}{list(leaf.shape)}"


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def _digest_of(signed: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(signed, sort_keys=True).encode()).hexdigest()
