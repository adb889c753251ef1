"""ONNX models of policies: of the built-in networks a recording of `numpy_policy.forward`.

NumPy's functions call the methods `__array_ufunc__` and `__array_function__` of their arguments, so
that `forward` is run on `_Recorded` values, which make a node of each call. There is no second
description of the networks. Modules of a user's own go through the package jax2onnx.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from rpojax.agent.numpy_policy import forward
from rpojax.core.acting import play
from rpojax.core.model import Model
from rpojax.types import TrainState
from rpojax.validation import first_line, show
from rpojax.version import __version__

OPSET, IR_VERSION = 18, 8  # of ONNX 1.13, so that runtimes from 2023 on take the models
MODULE_OPSET = 21  # the earliest that jax2onnx is tested with
CONTRACT_KEY = "rpojax.contract"  # of the model's metadata
BATCH = "batch"  # the symbol of the first axis of all inputs and outputs

_UFUNCS = {
    np.add: "Add",
    np.subtract: "Sub",
    np.multiply: "Mul",
    np.divide: "Div",
    np.matmul: "MatMul",
    np.maximum: "Max",
    np.minimum: "Min",
    np.negative: "Neg",
    np.absolute: "Abs",
    np.tanh: "Tanh",
    np.exp: "Exp",
    np.log: "Log",
    np.sqrt: "Sqrt",
}


def required(package: str, remedy: str = "pip install 'rpojax[onnx]'") -> Any:
    """An optional package; ValueError with the command that installs it."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ValueError(f"{package} is not installed; run: {remedy}") from error


def recorded_model(contract: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    """The `onnx.ModelProto` of a policy with layers, for any batch size.

    Args:
        contract: with "observations", "carry" and "layers", as `rpojax.agent.contract` makes it.
        arrays: that the layers name.
    """
    graph = _Graph(arrays)
    obs = {each["name"]: graph.input(each) for each in contract["observations"]}
    carry = {each["name"]: graph.input(each) for each in contract["carry"]}
    action, after = forward(contract, arrays, obs, carry)
    graph.output(contract["action"], action)
    for each in contract["carry"]:
        graph.output(each, after[each["name"]])
    return graph.model()


def with_contract(model: Any, text: str) -> bytes:
    """The bytes of an `onnx.ModelProto` with a contract in its metadata."""
    del model.metadata_props[:]
    model.metadata_props.add(key=CONTRACT_KEY, value=text)
    model.producer_name, model.producer_version = "rpojax", __version__
    return model.SerializeToString()


def model_of_module(model: Model, state: TrainState, contract: dict[str, Any]) -> Any:
    """The `onnx.ModelProto` of a policy whose network is a module of the user's own.

    Raises:
        ValueError: jax2onnx is not installed, or it cannot translate the program.
    """
    converter = required("jax2onnx", "pip install jax2onnx")
    obs: Any = jax.tree.structure(model.env.obs)
    carry: Any = jax.tree.structure(model.network.initial_carry((1,)))
    described = [*contract["observations"], *contract["carry"]]

    def act(*leaves: Any) -> tuple[Any, ...]:
        seen, before = leaves[: obs.num_leaves], leaves[obs.num_leaves :]
        given = obs.unflatten(seen), carry.unflatten(before)
        action, after = play(model, state, *given, reset=None, key=None)
        return action, *jax.tree.leaves(after)

    try:
        made = converter.to_onnx(
            act,
            [jax.ShapeDtypeStruct((BATCH, *each["shape"]), each["dtype"]) for each in described],
            model_name="policy",
            opset=MODULE_OPSET,
            input_names=[each["input"] for each in described],
            output_names=[each["output"] for each in (contract["action"], *contract["carry"])],
        )
    except Exception as error:  # of another package
        raise ValueError(
            f"network = {show(model.cfg.network)} cannot be translated by jax2onnx "
            f"({type(error).__name__}: {first_line(error)}); give format = 'stablehlo', or a "
            "NetworkConfig"
        ) from error
    return made


class _Graph:
    """An ONNX graph that grows."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self._onnx = required("onnx")
        self._names = {id(array): name for name, array in arrays.items()}
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._constants: dict[str, Any] = {}

    def input(self, described: dict[str, Any]) -> "_Recorded":
        name, shape = described["input"], (BATCH, *described["shape"])
        self._inputs.append(self._value(name, described["dtype"], shape))
        return _Recorded(self, name, shape)

    def output(self, described: dict[str, Any], value: "_Recorded") -> None:
        name, shape = described["output"], (BATCH, *described["shape"])
        self._nodes.append(self._onnx.helper.make_node("Identity", [value.name], [name]))
        self._outputs.append(self._value(name, described["dtype"], shape))

    def node(self, kind: str, inputs: Sequence[Any], outputs: int = 1, **attributes: Any) -> Any:
        names = [f"{kind.lower()}_{len(self._nodes)}_{index}" for index in range(outputs)]
        given = [self._name(value) for value in inputs]
        self._nodes.append(self._onnx.helper.make_node(kind, given, names, **attributes))
        made = [_Recorded(self, name) for name in names]
        return made if outputs > 1 else made[0]

    def model(self) -> Any:
        graph = self._onnx.helper.make_graph(
            self._nodes, "policy", self._inputs, self._outputs, list(self._constants.values())
        )
        opset = self._onnx.helper.make_opsetid("", OPSET)
        model = self._onnx.helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        self._onnx.checker.check_model(model, full_check=True)
        return model

    def _value(self, name: str, dtype: str, shape: Sequence[Any]) -> Any:
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self._onnx.helper.make_tensor_value_info(name, kind, shape)

    def _name(self, value: Any) -> str:
        """The name of a value in the graph; arrays and numbers become constants of it."""
        if isinstance(value, _Recorded):
            return value.name
        name = self._names.get(id(value), f"constant_{len(self._constants)}")
        array = np.asarray(value, np.int64 if isinstance(value, list) else np.float32)
        self._constants[name] = self._onnx.numpy_helper.from_array(array, name)
        return name


class _Recorded(np.lib.mixins.NDArrayOperatorsMixin):
    """A value of the graph that NumPy's functions take for an array."""

    def __init__(self, graph: _Graph, name: str, shape: tuple[Any, ...] = ()) -> None:
        self._graph, self.name = graph, name
        self.shape = shape  # of inputs; no more is asked for

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def astype(self, dtype: Any) -> "_Recorded":
        kind = required("onnx").helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        made = self._graph.node("Cast", [self], to=kind)
        made.shape = self.shape
        return made

    def reshape(self, *shape: Any) -> "_Recorded":
        axes = [0 if size == BATCH else size for size in shape]  # 0 keeps an axis
        return self._graph.node("Reshape", [self, axes])

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs or ufunc not in _UFUNCS:
            return NotImplemented
        return self._graph.node(_UFUNCS[ufunc], inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function is np.clip:
            x, low, high = args
            return np.minimum(np.maximum(x, low), high)
        if function is np.concatenate:
            return self._graph.node("Concat", args[0], axis=kwargs["axis"])
        if function is np.mean:
            return self._graph.node("ReduceMean", [args[0], [kwargs["axis"]]], keepdims=1)
        if function is np.split:
            return self._graph.node("Split", [args[0]], args[1], axis=-1, num_outputs=args[1])
        return NotImplemented
