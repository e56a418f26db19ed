"""Small ONNX models for tests, and their comparison with onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from redy.formats.onnx import (
    Imported,
    import_model,
    original_outputs,
    original_preactivations,
    session,
)
from redy.network.evaluate import evaluate, preactivations

Node = tuple[str, Sequence[str], dict]
RNG = np.random.default_rng(7)


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def model(
    nodes: Sequence[Node],
    constants: dict[str, np.ndarray] | None = None,
    shape: Sequence[int | str] = ("n", 6),
    opset: int = 13,
    outputs: Sequence[str] | None = None,
) -> bytes:
    """A model of a chain of nodes: node i is named and gives "t<i>"; "x" is the input."""
    made = []
    for i, (operator, inputs, attributes) in enumerate(nodes):
        named = attributes.pop("outputs", [f"t{i}"]) if "outputs" in attributes else [f"t{i}"]
        made.append(helper.make_node(operator, inputs, named, name=f"t{i}", **attributes))
    last = outputs or [made[-1].output[0]]
    graph = helper.make_graph(
        made,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in last],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in (constants or {}).items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
    ).SerializeToString()


def check(content: bytes, *, scale: float = 1.0, count: int = 40) -> Imported:
    """Import and compare outputs and pre-activations with onnxruntime."""
    imported = import_model(content, "m.onnx")
    network = imported.network
    points = (scale * RNG.standard_normal((count, network.inputs))).astype(np.float32)
    runtime = session(content)
    port = imported.port
    rows = [runtime.run(None, {port.name: p.reshape(port.shape)})[0].ravel() for p in points]
    np.testing.assert_allclose(evaluate(network, points.astype(float)), rows, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(original_outputs(imported, points), rows, rtol=1e-4, atol=1e-4)
    found = original_preactivations(imported, points)
    expected = list(preactivations(network, points.astype(float)))[:-1]
    assert len(found) == len(expected) == len(imported.relu_tensors)
    for ours, theirs in zip(expected, found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    return imported


GEMM = ("Gemm", ["x", "w", "b"], {})
GEMM_WEIGHTS = {"w": weights(6, 6), "b": weights(6)}


PIECEWISE_WEIGHTS = {
    **GEMM_WEIGHTS,
    "v": weights(6, 3),
    "q": weights(6, 6),
    "slope": np.linspace(-0.5, 0.75, 6, dtype=np.float32),
    "low": np.float32(-0.3),
    "high": np.float32(1.5),
    "zero": np.float32(0),
}


def around(*middle: Node) -> list[Node]:
    """Gemm, the given nodes from "t0" on, and a final MatMul."""
    nodes = [GEMM, *middle]
    return [*nodes, ("MatMul", [f"t{len(nodes) - 1}", "v"], {})]


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)
