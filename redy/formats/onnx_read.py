"""Import of ONNX models into redy's network form by symbolic propagation.

Every tensor of the graph is a constant or an affine expression over the layers made so far; a
ReLU turns the expression that feeds it into a hidden layer. Affine operators (Flatten, Gemm,
Conv, BatchNormalization, ...) thereby vanish into weights, and residual connections become
weights from earlier layers.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from redy.errors import FormatError, NetworkError, RedyError, UnsupportedError
from redy.formats import affine, onnx_affine_operators, onnx_piecewise_operators
from redy.formats.affine import Affine
from redy.formats.atomic import read_bytes
from redy.formats.onnx_graph import (
    Node,
    Port,
    Value,
    constant_array,
    opset_of,
    parse,
    sole_input,
    sole_output,
)
from redy.formats.onnx_import import Import, Readout, layer_of
from redy.formats.onnx_operators import RULES
from redy.network.form import Network

__all__ = ["Imported", "import_model", "read_onnx", "supported_operators"]

# What malformed arguments make numpy and scipy raise inside of an operator's rule.
_ARGUMENT_ERRORS = (
    ArithmeticError,
    AttributeError,
    IndexError,
    KeyError,
    MemoryError,
    TypeError,
    ValueError,
)

# Importing the modules registers their rules.
_RULE_MODULES = (onnx_affine_operators, onnx_piecewise_operators)


@dataclass(frozen=True, eq=False)
class Imported:
    """A network read from an ONNX model, and how the two correspond.

    Args:
        network: the network in redy's form, over inputs in the row-major order of the model's.
        rounded: names of the nodes whose composition float64 could not hold exactly; empty means
            that the network is, over the reals, the very function of the file's weights.
        relu_tensors: for hidden layer k at position k - 1, where its pre-activations stand in
            the original model.
        operators: how often the model uses each operator.
        port: the model's input: name, element type, shape with the batch taken as 1.
        model: the model as the file holds it.
    """

    network: Network
    rounded: tuple[str, ...]
    relu_tensors: tuple[Readout, ...]
    operators: dict[str, int]
    port: Port
    model: bytes


def read_onnx(path: str | os.PathLike[str]) -> Imported:
    """Read the ONNX model at ``path``.

    Raises:
        FormatError: no such file, or not a sound ONNX model; file and node are named.
        UnsupportedError: an operator that is not piecewise linear, external data, several inputs
            or outputs, a batch size other than 1.
        NetworkError: a weight is not finite.
    """
    return import_model(read_bytes(path), os.fspath(path))


def import_model(content: bytes, file: str) -> Imported:
    """As :func:`read_onnx`, from the file's bytes; ``file`` names it in messages."""
    model = parse(content, file)
    opset = opset_of(model, file)
    output = sole_output(model.graph, file)
    state = Import()
    # Overflow shows as a weight that is not finite.
    with affine.room_for(len(content)), np.errstate(all="ignore"):
        port = sole_input(model.graph, file)
        values = _propagate(model, port, opset, state, file)
        return Imported(
            network=_network(values, output, port, state, file),
            rounded=tuple(state.rounded),
            relu_tensors=tuple(state.readouts),
            operators=dict(sorted(Counter(node.op_type for node in model.graph.node).items())),
            port=port,
            model=content,
        )


def supported_operators() -> tuple[str, ...]:
    """Names of the ONNX operators that can be read, sorted."""
    return tuple(sorted(RULES))


class _Values:
    """The tensors known so far; initializers are decoded when first read."""

    def __init__(self, graph: GraphProto, file: str) -> None:
        self._file = file
        self._initializers: dict[str, TensorProto] = {}
        for tensor in graph.initializer:
            if tensor.name in self._initializers:
                raise FormatError(f"{file}: initializer '{tensor.name}' is defined twice")
            self._initializers[tensor.name] = tensor
        self._known: dict[str, Value] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._known or name in self._initializers

    def __getitem__(self, name: str) -> Value:
        if name not in self._known:
            where = f"{self._file}: initializer '{name}'"
            self._known[name] = constant_array(self._initializers[name], where)
        return self._known[name]

    def __setitem__(self, name: str, value: Value) -> None:
        if name in self:
            raise FormatError(f"{self._file}: tensor '{name}' is defined twice")
        self._known[name] = value


def _propagate(model: ModelProto, port: Port, opset: int, state: Import, file: str) -> _Values:
    values = _Values(model.graph, file)
    values[port.name] = affine.identity(0, port.shape)
    for proto in model.graph.node:
        inputs = [_input(proto, name, values, file) for name in proto.input]
        node = Node(proto, file, opset, inputs)
        results = _run(state, node)
        for name, result in zip(proto.output, results, strict=False):
            if name:
                values[name] = result
    return values


def _input(proto: NodeProto, name: str, values: _Values, file: str) -> Value | None:
    if not name:
        return None
    if name not in values:
        label = proto.name or next(iter(proto.output), "")
        raise FormatError(
            f"{file}: node '{label}' ({proto.op_type}): reads tensor '{name}', which neither an "
            "initializer nor an earlier node gives; the graph is cyclic, unordered or incomplete"
        )
    return values[name]


def _run(state: Import, node: Node) -> list[Value]:
    operator, domain = node.proto.op_type, node.proto.domain
    if domain not in ("", "ai.onnx") or operator not in RULES:
        shown = operator if domain in ("", "ai.onnx") else f"{domain}.{operator}"
        raise UnsupportedError(
            f"{node.where.removesuffix(f' ({operator})')}: operator {shown} is not piecewise "
            "linear, or not one that redy reads; remove it (a final Softmax or Sigmoid does not "
            "change the order of the outputs) or replace it"
        )
    try:
        results = RULES[operator](state, node)
        state.finish_node(node, results)
    except RedyError as error:
        if str(error).startswith(node.where):
            raise
        raise type(error)(f"{node.where}: {error}") from error
    except _ARGUMENT_ERRORS as error:
        raise node.malformed(f"its inputs or attributes do not fit together ({error})") from error
    return results


def _network(values: _Values, output: str, port: Port, state: Import, file: str) -> Network:
    if output not in values:
        raise FormatError(f"{file}: no node gives the output '{output}'")
    result = values[output]
    if not isinstance(result, Affine):
        result = affine.constant(result)
    if result.size == 0:
        raise NetworkError(f"{file}: the output '{output}' is empty")
    inputs = affine.checked_size(port.shape)
    try:
        return Network(inputs, (*state.layers, layer_of(result, relu=False)))
    except NetworkError as error:
        raise NetworkError(f"{file}: {error}") from error
