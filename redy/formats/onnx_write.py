"""Export of networks as ONNX models of Gemm, Relu and Concat nodes, with a symbolic batch."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from redy.errors import NetworkError
from redy.formats.atomic import write_bytes
from redy.formats.onnx_build import Graph, graph_in
from redy.network.form import Layer, Network, dense

Activation: TypeAlias = Callable[[Graph, int, str, str], str]
"""Writes what becomes of the ReLU neurons' pre-activations: (graph, layer k, the tensor that holds
them, a name for what is made of them) -> the tensor that holds that."""


@dataclass(frozen=True)
class _Part:
    """Some units of a layer: the tensor that holds them and which units they are."""

    tensor: str
    units: np.ndarray


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
    graph = graph_in(dtype, input_name, output_name)
    write_layers(graph, network, input_name, output_name, relu)
    return graph.model(
        (input_name, graph.element, ["n", network.inputs]),
        (output_name, graph.element, ["n", network.outputs]),
    )


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


def relu(graph: Graph, k: int, pre: str, post: str) -> str:
    """The activation of the network itself, in any layer."""
    del k
    return graph.inner("Relu", [pre], post)


def write_layers(
    graph: Graph, network: Network, source: str, output: str, activation: Activation
) -> None:
    """Write all layers of ``network``, which reads the tensor ``source`` and makes ``output``.

    Raises:
        NetworkError: a weight is too large for the graph's type, or there are no outputs.
    """
    if network.outputs == 0:
        raise NetworkError("a network without outputs cannot be written")
    writer = _Writer(
        graph, network, output, activation, [[_Part(source, np.arange(network.inputs))]]
    )
    for k in range(1, len(network.layers) + 1):
        writer.write_layer(k)


@dataclass(frozen=True)
class _Writer:
    """Writes layer after layer; ``held`` are the tensors that hold the units of each so far."""

    graph: Graph
    network: Network
    output: str
    activation: Activation
    held: list[list[_Part]]

    def write_layer(self, k: int) -> None:
        """Write layer k."""
        layer = self.network.layers[k - 1]
        parts = []
        for neurons in (True, False):
            units = np.flatnonzero(layer.relu == neurons)
            if units.size:
                parts.append(_Part(self._write_units(k, units, neurons), units))
        self.held.append(parts)

    def _write_units(self, k: int, units: np.ndarray, neurons: bool) -> str:
        """Write the ``units`` of layer k, which are ``neurons`` or linear; returns their tensor."""
        graph, layer = self.graph, self.network.layers[k - 1]
        label = f"{k}" if units.size == layer.units else f"{k}_{'relu' if neurons else 'linear'}"
        sources, matrix = self._sources(layer, units)
        weight = graph.weight(f"W{label}", matrix, f"layer {k}: weight")
        bias = graph.weight(f"b{label}", layer.bias[units], f"layer {k}: bias")
        last = k == len(self.network.layers)
        pre = self.output if last else graph.name(f"z{label}")
        graph.node("Gemm", [graph.join(sources), weight, bias], pre, transB=1)
        return self.activation(graph, k, pre, f"h{label}") if neurons else pre

    def _sources(self, layer: Layer, units: np.ndarray) -> tuple[list[str], np.ndarray]:
        """Tensors that ``units`` of ``layer`` read, and the weights (units, columns) from them."""
        sources, blocks = [], []
        for j, weights in layer.weights.items():
            rows = dense(weights)[units]
            for part in self.held[j]:
                block = rows[:, part.units]
                if block.any():
                    sources.append(part.tensor)
                    blocks.append(block)
        if not sources:  # a constant still has to be as long as the batch
            return [self.held[0][0].tensor], np.zeros((units.size, self.network.inputs))
        return sources, np.concatenate(blocks, axis=1)
