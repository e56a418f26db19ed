"""ONNX models that parse, and say something else than their authors meant."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import ModelProto, TensorProto, helper, numpy_helper

from redy.formats.onnx import supported_operators
from tests.fuzz.mutations import SIZES, any_of

_INTEGERS = (*SIZES, -1, -2, -(2**31), -(2**63), 5, 6, 7, 10, 13)
_REALS = (0.0, -1.0, 0.5, 1e30, -1e30, float("inf"), float("nan"), 1e-40, 3.4e38)
_OPERATORS = (*supported_operators(), "Tile", "Loop", "If", "Sigmoid", "QuantizeLinear", "Resize")
_NAMES = ("", "x", "t0", "t1", "w", "../w", "\x1b[2J", "ai.onnx", "axis", "a" * 3000)
_LIMITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**63 - 1),
}
_FEW = 4


def mutated_model(content: bytes, rng: np.random.Generator) -> bytes:
    """The model ``content`` with some of its fields changed."""
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError:
        return content
    for _ in range(int(rng.integers(1, _FEW))):
        any_of((_field, _field, _field, _operator, _wire, _constant, _external, _dimensions), rng)(
            model, rng
        )
    return bytes(model.SerializeToString())


def _messages(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if _repeated(value) else [value]:
                yield from _messages(part)


def _repeated(value: object) -> bool:
    return hasattr(value, "append")


def _field(model: ModelProto, rng: np.random.Generator) -> None:
    """Any field of any message of the model."""
    message = any_of(list(_messages(model)), rng)
    field = any_of(list(message.DESCRIPTOR.fields), rng)
    if _repeated(getattr(message, field.name)):
        _in_list(message, field, rng)
    elif field.message_type is not None:
        if rng.random() < 0.5:
            message.ClearField(field.name)
        else:
            getattr(message, field.name).SetInParent()
    else:
        setattr(message, field.name, _scalar(field, getattr(message, field.name), rng))


def _in_list(message: Message, field: FieldDescriptor, rng: np.random.Generator) -> None:
    values = getattr(message, field.name)
    place = int(rng.integers(len(values))) if len(values) else 0
    if len(values) and rng.random() < 0.3:
        del values[place]
    elif field.message_type is not None:
        if len(values) and rng.random() < 0.8:
            values.append(values[place])
        else:
            values.add()
    elif len(values) and rng.random() < 0.7:
        values[place] = _scalar(field, values[place], rng)
    else:
        values.append(_scalar(field, field.default_value or 0, rng))


def _scalar(field: FieldDescriptor, value: object, rng: np.random.Generator) -> object:
    if field.enum_type is not None:
        return any_of([known.number for known in field.enum_type.values], rng)
    if field.cpp_type in _LIMITS:
        low, high = _LIMITS[field.cpp_type]
        return max(low, min(high, any_of(_INTEGERS, rng)))
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return any_of(_REALS, rng)
    if field.type == FieldDescriptor.TYPE_BYTES:
        content = value if isinstance(value, bytes) else b""
        return any_of((content[:-1], content + b"\0", b"", rng.bytes(len(content)), b"\xff"), rng)
    return any_of(_NAMES, rng)


def _operator(model: ModelProto, rng: np.random.Generator) -> None:
    if model.graph.node:
        any_of(model.graph.node, rng).op_type = any_of(_OPERATORS, rng)


def _wire(model: ModelProto, rng: np.random.Generator) -> None:
    """A node reads another tensor of the model."""
    nodes = [node for node in model.graph.node if node.input]
    names = [name for node in model.graph.node for name in (*node.input, *node.output)]
    if nodes:
        node = any_of(nodes, rng)
        node.input[int(rng.integers(len(node.input)))] = any_of(names, rng)


def _constant(model: ModelProto, rng: np.random.Generator) -> None:
    """The numbers of an initializer are others."""
    if not model.graph.initializer:
        return
    tensor = any_of(model.graph.initializer, rng)
    if tensor.data_type == TensorProto.INT64:
        size = len(tensor.raw_data) // 8
        array = np.array([any_of(_INTEGERS, rng) for _ in range(size)], dtype=np.int64)
    else:
        size = len(tensor.raw_data) // 4
        array = rng.standard_normal(size).astype(np.float32)
        if size and rng.random() < 0.3:
            array[int(rng.integers(size))] = any_of(_REALS, rng)
    tensor.raw_data = array.tobytes()


def _external(model: ModelProto, rng: np.random.Generator) -> None:
    """An initializer, perhaps one that nothing reads, lies in another file."""
    tensor = numpy_helper.from_array(np.zeros(3, dtype=np.float32), "elsewhere")
    if model.graph.initializer and rng.random() < 0.7:
        tensor = any_of(model.graph.initializer, rng)
    else:
        tensor = model.graph.initializer.add()
        tensor.CopyFrom(numpy_helper.from_array(np.zeros(3, dtype=np.float32), "elsewhere"))
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key = "location"
    entry.value = any_of(("/etc/passwd", "../secret", "w.bin", "/dev/zero", ""), rng)


def _dimensions(model: ModelProto, rng: np.random.Generator) -> None:
    """A few bytes that ask for a large tensor: shapes that are computed, filled or expanded."""
    large = [any_of((2, 1000, 2**12, 2**16, 2**20, 2**31, 2**62), rng) for _ in range(2)]
    shape = numpy_helper.from_array(np.array([1, *large], dtype=np.int64), "much")
    model.graph.initializer.append(shape)
    names = [name for node in model.graph.node for name in node.output] or ["x"]
    operator = any_of(("ConstantOfShape", "Expand", "Reshape"), rng)
    inputs = ["much"] if operator == "ConstantOfShape" else [any_of(names, rng), "much"]
    at = int(rng.integers(len(model.graph.node) + 1))
    model.graph.node.insert(at, helper.make_node(operator, inputs, ["large"]))
    if rng.random() < 0.7:
        _wire(model, rng)
