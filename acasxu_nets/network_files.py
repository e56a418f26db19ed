"""The network as arrays, and its two files: .onnx (float32) and .nnet (text with a header)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from . import encounter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    Layers = list[tuple[NDArray[np.float32], NDArray[np.float32]]]  # weights (out, in), biases

SIZES = (5, 50, 50, 50, 50, 50, 50, 5)
ABOUT = (
    "redy_acas: trained by redy's acasxu_nets/train.py. Not the published ACAS Xu, not certified"
)


def activations(layers: Layers, x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Post-activations of every hidden layer, then the outputs, each (n, units)."""
    found = []
    for weights, biases in layers[:-1]:
        x = np.maximum(x @ weights.T + biases, 0)
        found.append(x)
    weights, biases = layers[-1]
    return [*found, x @ weights.T + biases]


def evaluate(layers: Layers, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Outputs (n, 5) of normalised inputs (n, 5), in float32."""
    return activations(layers, x)[-1]


def write_onnx(layers: Layers, path: Path) -> None:
    """MatMul, Add, Relu per layer, on normalised inputs; checked before it is written."""
    nodes, constants, last = [], [], "input"
    for k, (weights, biases) in enumerate(layers, start=1):
        final = k == len(layers)
        constants.append(numpy_helper.from_array(np.ascontiguousarray(weights.T), f"W{k}"))
        constants.append(numpy_helper.from_array(biases, f"b{k}"))
        nodes.append(helper.make_node("MatMul", [last, f"W{k}"], [f"product{k}"]))
        last = "output" if final else f"z{k}"
        nodes.append(helper.make_node("Add", [f"product{k}", f"b{k}"], [last]))
        if not final:
            nodes.append(helper.make_node("Relu", [last], [f"h{k}"]))
            last = f"h{k}"
    graph = helper.make_graph(nodes, "redy_acas", [_port("input")], [_port("output")], constants)
    model = helper.make_model(
        graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)], doc_string=ABOUT
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _port(name: str) -> onnx.ValueInfoProto:
    """An input or output of shape (n, 5)."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 5])


def write_nnet(layers: Layers, path: Path) -> None:
    """The .nnet text format; nine significant digits give every float32 back exactly."""
    lines = [
        f"// {ABOUT}",
        "// Neural Network File Format by Kyle Julian, Stanford 2016",
        _row([len(layers), SIZES[0], SIZES[-1], max(SIZES)]),
        _row(SIZES),
        "0,",
        _row(encounter.LOWER),
        _row(encounter.UPPER),
        _row([*encounter.MEAN, 0.0]),
        _row([*encounter.RANGE, 1.0]),
    ]
    for weights, biases in layers:
        lines += [_row(row, ".9g") for row in weights]
        lines += [_row([bias], ".9g") for bias in biases]
    path.write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")


def _row(values: Iterable[float], style: str = "") -> str:
    """Numbers separated by commas, with the trailing comma of the format."""
    return "".join(f"{value:{style}}," for value in values)


def read_nnet(path: Path) -> Layers:
    """The layers of a .nnet file written by ``write_nnet``."""
    lines = [r for r in path.read_text(encoding="ascii").splitlines() if not r.startswith("//")]
    sizes = [int(size) for size in lines[1].split(",")[:-1]]
    rows, layers = iter(lines[7:]), []
    for units in sizes[1:]:
        weights = [next(rows).split(",")[:-1] for _ in range(units)]
        biases = [next(rows).split(",")[0] for _ in range(units)]
        layers.append((np.array(weights, dtype=np.float32), np.array(biases, dtype=np.float32)))
    return layers


def read_onnx(path: Path) -> Layers:
    """The layers of an .onnx file written by ``write_onnx``, after the format's own check."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    arrays = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    return [(arrays[f"W{k}"].T, arrays[f"b{k}"]) for k in range(1, len(SIZES))]
