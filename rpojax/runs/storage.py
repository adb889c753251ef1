"""A directory on disk that holds a pytree and a record, written atomically and verified.

orbax writes under a temporary name and renames, so that a process that dies leaves no partial
checkpoint under the final name. The record, in JSON, has the SHA-256 of each array and of itself:
data that has changed on disk raises an error on reading. With several processes, each writes
the parts of an array that are on its own devices, into a directory that all of them see; any
number of processes may read them.
"""

import contextlib
import hashlib
import json
import logging
import re
import shutil
from collections.abc import Iterator
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

_REMAINS = re.compile(r".*(\.orbax-checkpoint-tmp.*|\.discarded)")


class DamagedCheckpointError(ValueError):
    """A checkpoint exists and cannot be used: something in it is missing or changed."""


def write(path: Path, tree: PyTree, record: dict[str, Any], rows: int | None = None) -> None:
    """Write arrays and a record at `path`, atomically for any reader.

    Args:
        path: of the directory to make; an existing one is replaced.
        tree: of numpy and JAX arrays, typed PRNG keys among them.
        record: of what JSON can hold.
        rows: of each array that count, from its first on; None for all.

    Raises:
        OSError: it could not be written, such as for lack of space or of permissions.
    """
    import orbax.checkpoint as ocp

    leaves = {name: _written(leaf, rows) for name, leaf in leaves_by_path(tree).items()}
    signed = {"record": record, "leaves": _entries(leaves)}
    # Numbered, because names may hold any character; orbax refuses arrays of size 0.
    arrays = {str(i): leaf.array for i, leaf in enumerate(leaves.values()) if leaf.array.size}
    try:
        in_first(lambda: discard(path))
        with _checkpointer() as checkpointer:
            checkpointer.save(
                path.absolute(),
                args=ocp.args.Composite(
                    arrays=ocp.args.PyTreeSave(arrays),
                    record=ocp.args.JsonSave(signed | {"sha256": _digest_of(signed)}),
                ),
            )
    except Exception as error:  # orbax passes on what its libraries raise
        if is_first():
            clear_remains(path.parent)
        full = "No space left on device"
        reason = full if full in str(error) else first_line(error)
        raise OSError(f"checkpoint {path} could not be written: {reason}") from error


def read_record(path: Path) -> dict[str, Any]:
    """The record at `path`; DamagedCheckpointError if it is missing or changed."""
    return _read_signed(path)["record"]


def read_tree(path: Path, expected: PyTree) -> PyTree:
    """The pytree at `path`, each array compared with its digest.

    Args:
        path: where `write` put it.
        expected: a pytree of the same structure, of arrays or `jax.ShapeDtypeStruct`.

    Returns:
        A tree like `expected` of numpy arrays; typed keys are JAX arrays.

    Raises:
        DamagedCheckpointError: something is missing or changed.
        ValueError: it is undamaged, and differs from what is expected.
    """
    leaves = _read_leaves(path)
    kinds = {name: _kind(leaf) for name, leaf in leaves_by_path(expected).items()}
    found = {name: _kind(leaf) for name, leaf in leaves.items()}
    for name in kinds | found:
        if kinds.get(name) != found.get(name):
            raise ValueError(
                f"{path} is undamaged, but {name} is {found.get(name)} in it, where "
                f"{kinds.get(name)} is expected by this version of rpojax or of the environment; "
                "use the versions in its record"
            )
    return jax.tree.unflatten(jax.tree.structure(expected), [leaves[name] for name in kinds])


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


@contextlib.contextmanager
def _checkpointer() -> Iterator[Any]:
    """An orbax checkpointer that raises what goes wrong, and does not log it as well."""
    import orbax.checkpoint as ocp

    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
            yield checkpointer
    finally:
        logger.setLevel(level)


def _read_signed(path: Path) -> dict[str, Any]:
    import orbax.checkpoint as ocp

    try:
        with _checkpointer() as checkpointer:
            restored = checkpointer.restore(
                path.absolute(), args=ocp.args.Composite(record=ocp.args.JsonRestore())
            )
        signed = dict(restored.record)
        if signed.pop("sha256") != _digest_of(signed):
            raise ValueError("its record is not what was written")
    except PermissionError:
        raise
    except Exception as error:  # the errors for damaged files are not documented
        raise DamagedCheckpointError(f"{path} is damaged: {first_line(error)}") from error
    return signed


def _read_leaves(path: Path) -> dict[str, Any]:
    """The leaves by name, each compared with its digest."""
    import orbax.checkpoint as ocp

    entries = _read_signed(path)["leaves"]
    filled = [str(i) for i, entry in enumerate(entries) if 0 not in entry["shape"]]
    as_numpy = {number: ocp.RestoreArgs(restore_type=np.ndarray) for number in filled}
    leaves = {}
    try:
        with _checkpointer() as checkpointer:
            arrays = checkpointer.restore(
                path.absolute(),
                args=ocp.args.Composite(arrays=ocp.args.PyTreeRestore(restore_args=as_numpy)),
            ).arrays
        for i, entry in enumerate(entries):
            empty = np.zeros(entry["shape"], jnp.dtype(entry["dtype"]))
            array = np.asarray(arrays.get(str(i), empty))[tuple(map(slice, entry["shape"]))]
            if any(_digest(array[_slices(part)]) != digest for part, digest in entry["sha256"]):
                raise ValueError(f"{entry['name']} is not what was written")
            impl = entry["key_impl"]
            leaves[entry["name"]] = (
                jax.random.wrap_key_data(jnp.asarray(array), impl=impl) if impl else array
            )
    except PermissionError:
        raise
    except Exception as error:  # the errors for damaged files are not documented
        raise DamagedCheckpointError(f"{path} is damaged: {first_line(error)}") from error
    return leaves


class _Written(NamedTuple):
    """A leaf as it is written; typed keys as the integers that they are made of."""

    array: Any  # of numpy, or of JAX where it is spread over the devices of several processes
    shape: list[int]  # of what is to be read: an array that is spread may have more rows
    key_impl: str | None


def _written(leaf: Any, rows: int | None) -> _Written:
    impl = str(jax.random.key_impl(leaf)) if is_key(leaf) else None
    array = leaf if impl is None else jax.random.key_data(leaf)
    shape = list(array.shape) if rows is None else [rows, *array.shape[1:]]
    if is_whole_here(array):
        array = np.asarray(array)[tuple(map(slice, shape))]
    return _Written(array, shape, impl)


def _entries(leaves: dict[str, _Written]) -> list[dict[str, Any]]:
    """What the record says of each leaf; the digests are those of its parts, from all processes."""
    digests: list[Any] = []  # stays empty in all processes but the first, which writes the record
    exchanged([_digests(leaf) for leaf in leaves.values()], digests.extend)
    return [
        {
            "name": name,
            "dtype": str(leaf.array.dtype),
            "shape": leaf.shape,
            "sha256": [part for parts in digests for part in parts[i]],
            "key_impl": leaf.key_impl,
        }
        for i, (name, leaf) in enumerate(leaves.items())
    ]


def _digests(leaf: _Written) -> list[tuple[list[list[int]], str]]:
    """The parts of a leaf that this process writes: [start, stop] for each axis, and a digest."""
    if is_whole_here(leaf.array):
        whole = [[0, size] for size in leaf.shape], _digest(leaf.array)
        return [whole] if is_first() else []
    parts = []
    for shard in leaf.array.addressable_shards:
        part = [
            list(each.indices(size)[:2]) for each, size in zip(shard.index, leaf.shape, strict=True)
        ]
        if shard.replica_id == 0 and all(start < stop for start, stop in part):
            own = tuple(slice(stop - start) for start, stop in part)
            parts.append((part, _digest(np.asarray(shard.data)[own])))
    return parts


def _slices(part: list[list[int]]) -> tuple[slice, ...]:
    return tuple(slice(*each) for each in part)


def _kind(leaf: Any) -> str:
    return f"{leaf.dtype}{list(leaf.shape)}"


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def _digest_of(signed: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(signed, sort_keys=True).encode()).hexdigest()
