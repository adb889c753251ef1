"""Exported policies, read from their files."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import jax
import numpy as np
from jax import export

from rpojax.agent import contract as contracts
from rpojax.agent.contract import (
    ContractError,
    Kind,
    contract_path,
    from_text,
    named,
    require_same,
)
from rpojax.agent.inputs import as_observations, as_reset, check_carry, key_used
from rpojax.agent.numpy_policy import Arrays, forward
from rpojax.agent.onnx_graph import CONTRACT_KEY, required
from rpojax.envs.base import Env
from rpojax.types import Key
from rpojax.validation import first_line

MOST_BYTES = 2**29
"""Of a file that is read; policies have less than a hundredth."""


Run: TypeAlias = Callable[..., tuple[np.ndarray, dict[str, np.ndarray]]]
"""(obs, carry, key=None) -> (action [n, A], next carry), of arrays [n, *shape] by name."""


class ExportedPolicy:
    """A policy from a file. It needs neither the run nor its environment.

    Attributes:
        contract: what it takes and returns; see `rpojax.agent.contract`.
        env: the environment that it acts in, without dynamics.
        deterministic: whether it takes mean actions, and no keys.
    """

    def __init__(self, contract: dict[str, Any], run: Run) -> None:
        self.contract, self._run = contract, run
        self.env: Env = contracts.described(contract)
        self.deterministic: bool = contract["deterministic"]

    def __call__(
        self, obs: Any, carry: Any = None, reset: Any = None, key: Key | None = None
    ) -> tuple[Any, Any]:
        """Act, and return (actions, carry to pass with the next observations); all in NumPy.

        Args:
            obs: [..., *obs.shape] with any number of leading axes; of a Dict observation a dict of
                such, nested or by the names of the contract, in any order.
            carry: from the call before; None where all episodes begin. {} without memory.
            reset: bool[...], True where an episode begins at this observation; None for nowhere.
            key: for a stochastic StableHLO program only.

        Raises:
            ValueError: observations, a carry or reset flags of other names or shapes; a stochastic
                program without a key.
        """
        key = key_used(self.deterministic, key)
        spec = named(self.env.obs)
        by_name = named(obs, is_leaf=lambda node: not isinstance(node, dict))
        by_name, leading = as_observations(by_name, spec)
        flat = {
            name: np.asarray(leaf, spec[name].dtype).reshape(-1, *spec[name].shape)
            for name, leaf in by_name.items()
        }
        before = self._initial(len(next(iter(flat.values()))))
        if carry is not None:
            check_carry(carry, leading, self._initial(1))
            again = None if reset is None else as_reset(reset, leading).reshape(-1)
            for name, first in before.items():
                kept = np.asarray(carry[name], first.dtype).reshape(first.shape)
                if again is not None:
                    kept = np.where(again.reshape(-1, *[1] * (first.ndim - 1)), first, kept)
                before[name] = kept
        action, after = self._run(flat, before, key)
        return action.reshape(*leading, -1), {
            name: leaf.reshape(*leading, *leaf.shape[1:]) for name, leaf in after.items()
        }

    def _initial(self, count: int) -> dict[str, np.ndarray]:
        """The carry where `count` episodes begin."""
        return {
            each["name"]: np.full(
                (count, *each["shape"]), np.asarray(each.get("initial", 0.0)), each["dtype"]
            )
            for each in self.contract["carry"]
        }


def load_policy(path: str | Path) -> ExportedPolicy:
    """Read a policy that `export_policy` has written.

    Nothing in the file is run when it is read: a NumPy file holds arrays and text, an ONNX model a
    graph of ONNX's own operations, a StableHLO program XLA's.

    Args:
        path: of the file for NumPy or ONNX, or of a StableHLO program with its contract beside it.

    Returns:
        The policy, `act(obs, carry=None) -> (action, carry)`, in NumPy.

    Raises:
        ValueError: a file that is damaged, of another origin or huge, or that disagrees with its
            contract, by its name; onnxruntime is not installed.
        OSError: it cannot be read.
    """
    path = Path(path)
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(
            f"{str(path)!r} has {path.stat().st_size:,} bytes, and a policy has at most "
            f"{MOST_BYTES:,}; give a file that rpojax.export_policy has written"
        )
    data, beside = path.read_bytes(), contract_path(path)
    written = None
    if beside.exists() and beside.stat().st_size <= contracts.MOST_BYTES:
        written = from_text(beside.read_text(encoding="utf-8", errors="replace"), beside)
    kind: Kind = "onnx"
    if data.startswith(b"PK"):
        kind = "numpy"
    elif written is not None and written["kind"] == "stablehlo":
        kind = "stablehlo"
    elif CONTRACT_KEY.encode() in data:
        required("onnxruntime")
    try:
        if kind == "onnx" and CONTRACT_KEY.encode() not in data:
            raise ValueError(f"it has no {CONTRACT_KEY}")
        text, run = _OPENERS[kind](data, written)
        contract: Any = written if text is None else from_text(text, path)
        policy = ExportedPolicy(contract, run)
        zeros = jax.tree.map(lambda like: np.zeros(like.shape, like.dtype), policy.env.obs)
        policy(zeros, key=jax.random.key(0))
    except ContractError:
        raise
    except Exception as error:  # of NumPy, ONNX Runtime and JAX, of many classes
        raise ValueError(
            f"{str(path)!r} is not an exported policy, or it is damaged: {first_line(error)}; give "
            "a file that rpojax.export_policy has written, with its contract beside it"
        ) from error
    if written is not None:
        require_same(contract, path, written, beside)
    return policy


def open_bytes(kind: Kind, data: bytes, contract: dict[str, Any]) -> ExportedPolicy:
    """The policy in bytes that were made here."""
    return ExportedPolicy(contract, _OPENERS[kind](data, contract)[1])


def _open_numpy(data: bytes, written: Any) -> tuple[str | None, Run]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > MOST_BYTES:
        raise ValueError(f"its arrays have {size:,} bytes, and a policy has at most {MOST_BYTES:,}")
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    text = str(arrays.pop("contract"))
    contract = json.loads(text)

    def run(obs: Arrays, carry: Arrays, key: Key | None = None) -> Any:
        return forward(contract, arrays, obs, carry)

    return text, run


def _open_onnx(data: bytes, written: Any) -> tuple[str | None, Run]:
    runtime = required("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # policies are small
    options.log_severity_level = 4  # errors are raised
    session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    text = session.get_modelmeta().custom_metadata_map.get(CONTRACT_KEY)
    if text is None:
        raise ValueError(f"the model has no {CONTRACT_KEY} in its metadata")
    results = [each.name for each in session.get_outputs()]
    contract = json.loads(text)

    def run(obs: Arrays, carry: Arrays, key: Key | None = None) -> Any:
        feeds: Arrays = {}
        for section, given in (("observations", obs), ("carry", carry)):
            feeds |= {each["input"]: given[each["name"]] for each in contract[section]}
        made = dict(zip(results, session.run(results, feeds), strict=True))
        after = {each["name"]: made[each["output"]] for each in contract["carry"]}
        return made[contract["action"]["output"]], after

    return text, run


def _open_stablehlo(data: bytes, contract: Any) -> tuple[str | None, Run]:
    program = export.deserialize(bytearray(data))
    call = jax.jit(program.call)
    inputs = jax.tree.unflatten(program.in_tree, range(len(program.in_avals)))[0]
    seen, carried = list(named(inputs[0])), [each["name"] for each in contract["carry"]]

    def run(obs: Arrays, carry: Arrays, key: Key | None = None) -> Any:
        leaves: list[Any] = [*(obs[name] for name in seen), *(carry[name] for name in carried)]
        if carried:
            leaves.append(np.zeros(len(leaves[0]), bool))  # the carry is reset already
        leaves += [] if key is None else [key]
        args, _ = jax.tree.unflatten(program.in_tree, leaves)
        action, *after = map(np.asarray, jax.tree.leaves(call(*args)))
        return action, dict(zip(carried, after, strict=True))

    return None, run


_OPENERS: dict[str, Callable[[bytes, Any], tuple[str | None, Run]]] = {
    "numpy": _open_numpy,
    "onnx": _open_onnx,
    "stablehlo": _open_stablehlo,
}
