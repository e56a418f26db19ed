"""ONNX files as redy reads them: the parsed graph, its constants, and nodes with typed access.

Everything here assumes that the file may be truncated, corrupted or hostile: sizes are checked
against the bytes that are there before an array is made, and every complaint names the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from redy.errors import FormatError, NetworkError, UnsupportedError
from redy.formats.affine import MOST_AXES, Affine, checked_size, count_of

Value = np.ndarray | Affine

_FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
_BYTES: dict[int, int] = {
    TensorProto.FLOAT: 4,
    TensorProto.DOUBLE: 8,
    TensorProto.FLOAT16: 2,
    TensorProto.BFLOAT16: 2,
    TensorProto.INT64: 8,
    TensorProto.INT32: 4,
    TensorProto.BOOL: 1,
}
_OLDEST_OPSET = 7


def parse(content: bytes, file: str) -> ModelProto:
    """The model in ``content``; raises FormatError or UnsupportedError naming ``file``."""
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise FormatError(
            f"{file}: is not an ONNX model, or is truncated or corrupted ({error})"
        ) from error
    graph = model.graph
    if not (graph.node or graph.output):
        raise FormatError(f"{file}: holds no ONNX graph; is it truncated or of another format?")
    if graph.sparse_initializer:
        raise UnsupportedError(f"{file}: sparse initializers are not supported; store them dense")
    if model.functions:
        # One of them may stand for a standard operator, and would be something else to onnxruntime.
        raise UnsupportedError(
            f"{file}: defines functions of its own; inline them with onnx.inliner"
        )
    for tensor in _tensors(graph):
        _refuse_external(tensor, f"{file}: tensor '{tensor.name}'")
    return model


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """All tensors of the graph, read or not; protobuf bounds how deep graphs are nested."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _refuse_external(tensor: TensorProto, where: str) -> None:
    # Whoever opens it, onnxruntime included, must not be led to another file.
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise UnsupportedError(
            f"{where}: external data is not supported; save the model as one file"
        )


def opset_of(model: ModelProto, file: str) -> int:
    """The version of the standard operator set that ``model`` uses."""
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if not versions:
        raise FormatError(f"{file}: declares no version of the standard ONNX operators")
    if len(set(versions)) > 1:
        raise FormatError(f"{file}: declares several versions of the ONNX operators: {versions}")
    if versions[0] < _OLDEST_OPSET:
        raise UnsupportedError(
            f"{file}: uses operator set {versions[0]}; convert it to {_OLDEST_OPSET} or later with "
            "onnx.version_converter"
        )
    return int(versions[0])


@dataclass(frozen=True)
class Port:
    """The one input of a model: its name, element type and shape with the batch taken as 1."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]


def sole_input(graph: GraphProto, file: str) -> Port:
    """The one graph input that is not an initializer."""
    initializers = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in initializers]
    if len(inputs) != 1:
        names = ", ".join(repr(value.name) for value in inputs) or "none"
        raise UnsupportedError(
            f"{file}: redy needs exactly one input, this model has {len(inputs)} ({names})"
        )
    tensor = inputs[0].type.tensor_type
    where = f"{file}: input '{inputs[0].name}'"
    if tensor.elem_type not in _FLOATS:
        raise UnsupportedError(f"{where} does not hold floating-point numbers")
    if not tensor.HasField("shape") or not tensor.shape.dim:
        raise UnsupportedError(f"{where} has no declared shape; export the model with one")
    shape = [
        dim.dim_value if dim.WhichOneof("value") == "dim_value" else 0 for dim in tensor.shape.dim
    ]
    if len(shape) > 1:
        if shape[0] > 1:
            raise UnsupportedError(
                f"{where} has shape {shape}, a batch of {shape[0]}; export the model with batch "
                "size 1 or a symbolic batch dimension"
            )
        shape[0] = 1
    if min(shape) < 1:
        raise UnsupportedError(
            f"{where} has a dimension beside the batch that is not a fixed positive number"
        )
    try:
        checked_size(shape)
    except UnsupportedError as error:
        raise UnsupportedError(f"{where}: {error}") from error
    return Port(inputs[0].name, _numpy_dtype(tensor.elem_type), tuple(shape))


def sole_output(graph: GraphProto, file: str) -> str:
    """The name of the one graph output."""
    names = [value.name for value in graph.output]
    if len(names) != 1:
        raise UnsupportedError(
            f"{file}: redy needs exactly one output, this model has {len(names)} "
            f"({', '.join(map(repr, names)) or 'none'})"
        )
    return str(names[0])


def constant_array(tensor: TensorProto, where: str) -> np.ndarray:
    """The numbers of ``tensor``: float64 for floating-point types, else integers or booleans."""
    if tensor.data_type not in _BYTES:
        known = dict(zip(TensorProto.DataType.values(), TensorProto.DataType.keys(), strict=True))
        name = known.get(tensor.data_type, tensor.data_type)
        raise UnsupportedError(f"{where}: holds elements of type {name}, which redy does not read")
    if min(tensor.dims, default=1) < 0:
        raise FormatError(f"{where}: has a negative dimension {list(tensor.dims)}")
    _check_length(tensor, where)
    try:
        array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, OverflowError, RuntimeError) as error:
        raise FormatError(f"{where}: is corrupted ({error})") from error
    return array.astype(np.float64) if tensor.data_type in _FLOATS else array


def _check_length(tensor: TensorProto, where: str) -> None:
    expected = count_of(tensor.dims)
    lists = (tensor.float_data, tensor.double_data, tensor.int64_data, tensor.int32_data)
    found = [float(len(numbers)) for numbers in lists if numbers]
    if tensor.HasField("raw_data"):
        found.append(len(tensor.raw_data) / _BYTES[tensor.data_type])
    if len(found) > 1:
        raise FormatError(f"{where}: holds its numbers twice, in two ways")
    if sum(found) != expected or len(tensor.dims) > MOST_AXES:
        raise FormatError(
            f"{where}: has shape {list(tensor.dims)}, {expected} numbers, but {sum(found):g} are "
            "stored"
        )


def _numpy_dtype(element: int) -> np.dtype:
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(element))


class Node:
    """One node of a graph with its input values, typed attributes and error messages."""

    def __init__(
        self, proto: NodeProto, file: str, opset: int, inputs: Sequence[Value | None]
    ) -> None:
        self.proto = proto
        self.opset = opset
        self.inputs = list(inputs)
        self.label = proto.name or next(iter(proto.output), "") or proto.op_type
        self.where = f"{file}: node '{self.label}' ({proto.op_type})"
        self._attributes: dict[str, AttributeProto] = {}
        for attribute in proto.attribute:
            if attribute.name in self._attributes:
                raise self.malformed(f"attribute '{attribute.name}' is given twice")
            self._attributes[attribute.name] = attribute

    def unsupported(self, what: str) -> UnsupportedError:
        """The error for a sound node that redy cannot represent."""
        return UnsupportedError(f"{self.where}: {what}")

    def malformed(self, what: str) -> FormatError:
        """The error for a node that contradicts the ONNX standard."""
        return FormatError(f"{self.where}: {what}")

    def has_input(self, index: int) -> bool:
        """Whether optional input ``index`` is there."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def name(self, index: int) -> str:
        """Name of the tensor at input ``index``."""
        return str(self.proto.input[index])

    def value(self, index: int) -> Value:
        """The value at input ``index``."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise self.malformed(f"its input {index} is missing")
        return found

    def constant(self, index: int) -> np.ndarray:
        """The constant at input ``index``, as stored."""
        found = self.value(index)
        if isinstance(found, Affine):
            raise self.unsupported(
                f"its input '{self.name(index)}' must be a constant, but depends on the network's "
                "input"
            )
        return found

    def weights(self, index: int) -> np.ndarray:
        """The constant at input ``index`` as float64; raises NetworkError unless all finite."""
        return self.finite(self.constant(index), index)

    def finite(self, array: np.ndarray, index: int) -> np.ndarray:
        """``array`` of input ``index`` as float64; raises NetworkError unless it is all finite."""
        numbers = np.asarray(array, dtype=np.float64)
        bad = np.argwhere(~np.isfinite(numbers))
        if len(bad):
            entry = tuple(int(i) for i in bad[0])
            raise NetworkError(
                f"{self.where}: initializer '{self.name(index)}'{list(entry)} is {numbers[entry]}; "
                "weights must be finite numbers"
            )
        return numbers

    def indices(self, index: int) -> list[int]:
        """The integers of the constant at input ``index``."""
        found = self.constant(index)
        if found.dtype.kind not in "iu":
            raise self.malformed(f"its input '{self.name(index)}' must hold integers")
        return [int(entry) for entry in found.ravel()]

    def axes(self, index: int, attribute: str = "axes") -> list[int] | None:
        """Integers given as input ``index`` (newer operator sets) or as an attribute (older)."""
        if self.has_input(index):
            return self.indices(index)
        return self.integers(attribute)

    def integer(self, name: str, default: int) -> int:
        """Integer attribute ``name``."""
        found = self._attribute(name, AttributeProto.INT)
        return default if found is None else int(found.i)

    def integers(self, name: str) -> list[int] | None:
        """Integer-list attribute ``name``, None where absent."""
        found = self._attribute(name, AttributeProto.INTS)
        return None if found is None else [int(entry) for entry in found.ints]

    def real(self, name: str, default: float) -> float:
        """Float attribute ``name``, whose float32 value float64 holds exactly."""
        found = self._attribute(name, AttributeProto.FLOAT)
        number = float(np.float32(default)) if found is None else float(found.f)
        if not np.isfinite(number):
            raise NetworkError(f"{self.where}: attribute '{name}' is {number}")
        return number

    def text(self, name: str, default: str) -> str:
        """Text attribute ``name``."""
        found = self._attribute(name, AttributeProto.STRING)
        return default if found is None else found.s.decode("utf-8", errors="replace")

    def attribute(self, name: str) -> AttributeProto | None:
        """Attribute ``name`` as the file holds it."""
        return self._attributes.get(name)

    def _attribute(self, name: str, kind: int) -> AttributeProto | None:
        found = self._attributes.get(name)
        if found is not None and found.type != kind:
            raise self.malformed(f"attribute '{name}' is of the wrong type")
        return found
