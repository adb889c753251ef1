"""A directory on disk that holds a record and parts, written atomically and verified.

A part is a pytree that is read without the others: an item of an orbax checkpoint. What is written
gets a temporary name until it is whole, so that a process that dies leaves no partial checkpoint
under the final one. The record, in JSON, has the SHA-256 of each array and of itself: data that
has changed on disk raises an error on reading. With several processes, each writes the shards of
an array that are on its own devices, into a directory that all of them see; any number of
processes may read them.
"""

import contextlib
import glob
import hashlib
import json
import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.devices.processes import ProcessError, exchanged, in_first, is_first
from rpojax.files import clear_remains, digest_of
from rpojax.trees import is_key, is_whole_here, leaves_by_path
from rpojax.types import PyTree
from rpojax.validation import first_line

FORMAT = 2
"""Of the files. 1: all arrays in one part, up to the version 0.2.0.dev0."""


class DamagedCheckpointError(ValueError):
    """A checkpoint exists and cannot be used: something in it is missing or changed."""


def write(
    path: Path,
    parts: Mapping[str, PyTree],
    record: dict[str, Any],
    rows: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Write parts and a record at `path`, atomically for any reader.

    Args:
        path: of the directory to make; an existing one is replaced.
        parts: by name; of numpy and JAX arrays, typed PRNG keys among them.
        record: of what JSON can hold.
        rows: of each array of a part that count, from its first on; all where a part is not named.

    Raises:
        OSError: it could not be written, such as for lack of space or of permissions.
    """
    import orbax.checkpoint as ocp

    draft, plain = path.with_name(f"{path.name}.draft").absolute(), str(path.absolute())
    leaves = [
        (part, name, written(leaf, rows.get(part)))
        for part, tree in parts.items()
        for name, leaf in leaves_by_path(tree).items()
    ]
    digests: list[Any] = []  # of each process, in the first one
    exchanged([list(leaf.digests()) for *_, leaf in leaves], digests.extend)
    entries: list[dict[str, Any]] = []
    arrays: dict[str, dict[str, Any]] = {}
    for i, (part, name, leaf) in enumerate(leaves):
        entries.append(
            {
                "part": part,
                "name": name,
                "dtype": str(leaf.array.dtype),
                "shape": leaf.shape,
                "key_impl": leaf.key_impl,
                "sha256": [shard for own in digests for shard in own[i]],
            }
        )
        if leaf.array.size:  # orbax refuses others
            arrays.setdefault(part, {})[str(i)] = leaf.array  # a name may hold any character
    signed = {"format": FORMAT, "record": record, "leaves": entries}
    # OCDBT has fewer files; orbax does not find them in a path that is a pattern of `glob`.
    use_ocdbt = glob.escape(plain) == plain
    handlers = {part: ocp.PyTreeCheckpointHandler(use_ocdbt=use_ocdbt) for part in arrays}
    items = {part: ocp.args.PyTreeSave(tree) for part, tree in arrays.items()}
    items["record"] = ocp.args.JsonSave(signed | {"sha256": digest_of(signed)})
    handlers["record"] = ocp.JsonCheckpointHandler()
    try:
        with _checkpointer(set(range(jax.process_count())), handlers) as checkpointer:
            checkpointer.save(draft, args=ocp.args.Composite(**items), force=True)
        in_first(lambda: discard(path))
        in_first(lambda: draft.rename(path))
    except Exception as error:  # orbax passes on what its libraries raise
        if is_first():
            clear_remains(path.parent)
        if isinstance(error, ProcessError | jax.errors.JaxRuntimeError):
            raise  # another process failed
        reason = getattr(error, "strerror", None) or first_line(error)
        full = "No space left on device"
        reason = full if full in str(error) else reason
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
        import orbax.checkpoint as ocp

        found = {}
        with _damage_noticed(self.path), _checkpointer({jax.process_index()}, {}) as reading:
            for i, leaf in enumerate(self.leaves):
                if leaf["part"] != part:
                    continue
                array = np.zeros(leaf["shape"], jnp.dtype(leaf["dtype"]))
                if array.size:  # One at a time: orbax lets threads fail beside the first error.
                    name, as_numpy = str(i), ocp.RestoreArgs(restore_type=np.ndarray)
                    wanted = ocp.args.PyTreeRestore(
                        {name: 0}, restore_args={name: as_numpy}, partial_restore=True
                    )
                    items = ocp.args.Composite(**{part: wanted})
                    whole = reading.restore(self.path.absolute(), args=items)[part][name]
                    array = np.asarray(whole[tuple(map(slice, array.shape))])
                for place, digest in leaf["sha256"]:
                    if _digest(array[tuple(slice(*each) for each in place)]) != digest:
                        raise ValueError(f"{leaf['name']} is not what was written")
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
    with _damage_noticed(path):
        signed = json.loads((path / "record" / "metadata").read_text())
        if signed.pop("sha256") != digest_of(signed):
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


class Written(NamedTuple):
    """A leaf as it is written; typed keys as the integers that they are made of."""

    array: Any  # of numpy, or of JAX where it is spread over the devices of several processes
    shape: list[int]  # of what is to be read: an array that is spread may have more rows
    key_impl: str | None

    def digests(self) -> Iterator[tuple[list[list[int]], str]]:
        """Of the shards that this process writes, after [start, stop] for each axis."""
        if is_whole_here(self.array):
            if is_first():
                yield [[0, size] for size in self.shape], _digest(self.array)
            return
        for shard in self.array.addressable_shards:
            place = [
                list(each.indices(size)[:2])
                for each, size in zip(shard.index, self.shape, strict=True)
            ]
            if shard.replica_id == 0 and all(start < stop for start, stop in place):
                data = np.asarray(shard.data)[tuple(slice(b - a) for a, b in place)]
                yield place, _digest(data)


def written(leaf: Any, rows: int | None) -> Written:
    """A leaf, of which so many rows are written; None for all."""
    impl = str(jax.random.key_impl(leaf)) if is_key(leaf) else None
    array = leaf if impl is None else jax.random.key_data(leaf)
    shape = list(array.shape) if rows is None else [rows, *array.shape[1:]]
    if is_whole_here(array):
        array = np.asarray(array)[tuple(map(slice, shape))]
    return Written(array, shape, impl)


@contextlib.contextmanager
def _checkpointer(processes: set[int], handlers: dict[str, Any]) -> Iterator[Any]:
    """An orbax checkpointer that raises what goes wrong, and does not log it as well."""
    import orbax.checkpoint as ocp

    # Named processes wait for messages; others for a program, which may never end if one fails.
    options = ocp.options.MultiprocessingOptions(min(processes), active_processes=processes)
    handler = ocp.CompositeCheckpointHandler(
        composite_options=ocp.CompositeOptions(multiprocessing_options=options), **handlers
    )
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with ocp.Checkpointer(handler, multiprocessing_options=options) as checkpointer:
            yield checkpointer
    finally:
        logger.setLevel(level)


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
