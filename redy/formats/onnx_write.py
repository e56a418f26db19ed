"""Export of networks as ONNX models of Gemm, Relu and Concat nodes, with a symbolic batch."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import EncodeError
from numpy.typing import DTypeLike
from onnx import TensorProto, helper, numpy_helper

from redy.errors import NetworkError, UnsupportedError
from redy.formats.atomic import write_bytes
from redy.network.form import Layer, Network, dense

_OPSET = 13
_IR_VERSION = 8
_MOST_BYTES = 2**31 - 2**20  # protobuf's limit, less room for the graph itself


@dataclass(frozen=True)
class _Part:
    """Some units of a layer: the tensor that holds them and which units they are."""

    tensor: str
    units: np.ndarray


@dataclass
class _Graph:
    """Nodes and initializers written so far."""

    dtype: np.dtype
    input_name: str
    output_name: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)
    joined: dict[tuple[str, ...], str] = field(default_factory=dict)
    size: int = 0

    def name(self, wanted: str) -> str:
        """``wanted``, changed where it would clash with the input's or output's name."""
        while wanted in (self.input_name, self.output_name):
            wanted += "_"
        return wanted

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append a node; returns its output."""
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def weight(self, name: str, array: np.ndarray, what: str) -> str:
        """Append an initializer, rounded to the graph's type."""
        with np.errstate(over="ignore"):
            rounded = array.astype(self.dtype)
        bad = np.argwhere(~np.isfinite(rounded))
        if len(bad):
            entry = tuple(int(i) for i in bad[0])
            raise NetworkError(
                f"{what}{list(entry)} is {array[entry]}, too large for {self.dtype}; write the "
                "model in float64"
            )
        self.size += rounded.nbytes
        if self.size > _MOST_BYTES:
            raise UnsupportedError("the network is too large for one ONNX file (2 GiB)")
        name = self.name(name)
        self.initializers.append(numpy_helper.from_array(rounded, name))
        return name

    def join(self, parts: list[_Part]) -> str:
        """One tensor with all ``parts`` side by side, made once per combination."""
        names = tuple(part.tensor for part in parts)
        if len(names) == 1:
            return names[0]
        if names not in self.joined:
            output = self.name(f"joined{len(self.joined) + 1}")
            self.joined[names] = self.node("Concat", list(names), output, axis=1)
        return self.joined[names]


def to_onnx(
    network: Network,
    dtype: DTypeLike = np.float32,
    *,
    input_name: str = "input",
    output_name: str = "output",
) -> bytes:
    """``network`` as a serialized ONNX model (n, inputs) -> (n, outputs).

    Weights are rounded to ``dtype``, float32 or float64. Layers without units are left out.

    Raises:
        NetworkError: a weight is too large for ``dtype``, or the network has no outputs.
        UnsupportedError: the model would not fit into one file.
    """
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise UnsupportedError(f"ONNX export in {kind} is not supported; use float32 or float64")
    if input_name == output_name or not input_name or not output_name:
        raise UnsupportedError("an ONNX model needs two different names for input and output")
    if network.outputs == 0:
        raise NetworkError("a network without outputs cannot be written")
    graph = _Graph(kind, input_name, output_name)
    held = [[_Part(input_name, np.arange(network.inputs))]]
    for k in range(1, len(network.layers) + 1):
        held.append(_write_layer(graph, network, k, held))
    try:
        return bytes(_model(graph, network).SerializeToString())
    except (EncodeError, ValueError) as error:
        raise UnsupportedError("the network is too large for one ONNX file (2 GiB)") from error


def write_onnx(
    network: Network,
    path: str | os.PathLike[str],
    dtype: DTypeLike = np.float32,
    *,
    input_name: str = "input",
    output_name: str = "output",
) -> None:
    """Write ``network`` to ``path``, whole or not at all; see :func:`to_onnx`.

    Raises:
        OutputError: the file cannot be written.
    """
    write_bytes(path, to_onnx(network, dtype, input_name=input_name, output_name=output_name))


def _write_layer(graph: _Graph, network: Network, k: int, held: list[list[_Part]]) -> list[_Part]:
    """Write layer k; returns the tensors that hold its units."""
    layer = network.layers[k - 1]
    parts = []
    for relu in (True, False):
        units = np.flatnonzero(layer.relu == relu)
        if units.size:
            parts.append(_Part(_write_units(graph, network, k, held, units), units))
    return parts


def _write_units(
    graph: _Graph, network: Network, k: int, held: list[list[_Part]], units: np.ndarray
) -> str:
    layer = network.layers[k - 1]
    relu = bool(layer.relu[units[0]])
    label = f"{k}" if units.size == layer.units else f"{k}_{'relu' if relu else 'linear'}"
    sources, matrix = _sources(layer, held, units, network.inputs)
    weight = graph.weight(f"W{label}", matrix, f"layer {k}: weight")
    bias = graph.weight(f"b{label}", layer.bias[units], f"layer {k}: bias")
    last = k == len(network.layers)
    pre = graph.output_name if last else graph.name(f"z{label}")
    graph.node("Gemm", [graph.join(sources), weight, bias], pre, transB=1)
    return graph.node("Relu", [pre], graph.name(f"h{label}")) if relu else pre


def _sources(
    layer: Layer, held: list[list[_Part]], units: np.ndarray, inputs: int
) -> tuple[list[_Part], np.ndarray]:
    """Tensors that ``units`` of ``layer`` read, and the weights (units, columns) from them."""
    sources, blocks = [], []
    for j, weights in layer.weights.items():
        rows = dense(weights)[units]
        for part in held[j]:
            block = rows[:, part.units]
            if block.any():
                sources.append(part)
                blocks.append(block)
    if not sources:  # a constant still has to be as long as the batch
        return held[0], np.zeros((units.size, inputs))
    return sources, np.concatenate(blocks, axis=1)


def _model(graph: _Graph, network: Network) -> onnx.ModelProto:
    element = TensorProto.FLOAT if graph.dtype == np.float32 else TensorProto.DOUBLE
    ends = [
        helper.make_tensor_value_info(name, element, ["n", size])
        for name, size in (
            (graph.input_name, network.inputs),
            (graph.output_name, network.outputs),
        )
    ]
    proto = helper.make_graph(graph.nodes, "redy", ends[:1], ends[1:], graph.initializers)
    opset = helper.make_opsetid("", _OPSET)
    return helper.make_model(
        proto, opset_imports=[opset], ir_version=_IR_VERSION, producer_name="redy"
    )
