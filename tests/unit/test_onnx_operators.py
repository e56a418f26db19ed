"""ONNX operators against onnxruntime, and which compositions are exact."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

from redy.formats.onnx import import_model
from tests.onnx_models import (
    GEMM,
    GEMM_WEIGHTS,
    PIECEWISE_WEIGHTS,
    Node,
    around,
    check,
    ints,
    model,
    weights,
)

PIECEWISE: dict[str, tuple[Node, ...]] = {
    "relu": (("Relu", ["t0"], {}),),
    "leaky": (("LeakyRelu", ["t0"], {"alpha": 0.1}),),
    "prelu": (("PRelu", ["t0", "slope"], {}),),
    "clip": (("Clip", ["t0", "low", "high"], {}),),
    "relu6": (("Clip", ["t0", "zero", "high"], {}),),
    "clip low": (("Clip", ["t0", "low"], {}),),
    "clip high": (("Clip", ["t0", "", "high"], {}),),
    "abs": (("Abs", ["t0"], {}),),
    "hard sigmoid": (("HardSigmoid", ["t0"], {}),),
    "max": (("MatMul", ["t0", "q"], {}), ("Max", ["t0", "t1", "x"], {})),
    "max with constant": (("Max", ["slope", "t0"], {}),),
    "min": (("MatMul", ["t0", "q"], {}), ("Min", ["t0", "t1", "x"], {})),
    "min with constant": (("Min", ["t0", "slope"], {}),),
    "residual": (("Relu", ["t0"], {}), ("Add", ["t1", "t0"], {}), ("Relu", ["t2"], {})),
    "two branches": (("Relu", ["t0"], {}), ("Neg", ["t0"], {}), ("Relu", ["t2"], {}),
                     ("Sub", ["t1", "t3"], {})),
}  # fmt: skip


@pytest.mark.parametrize("name", PIECEWISE)
def test_piecewise_linear_operators_match_onnxruntime(name: str) -> None:
    imported = check(model(around(*PIECEWISE[name]), PIECEWISE_WEIGHTS))
    assert imported.network.neurons


AFFINE: dict[str, tuple[list[Node], dict]] = {
    "add sub": ([("Add", ["x", "c"], {}), ("Sub", ["c", "t0"], {})], {}),
    "mul": ([("Mul", ["c", "x"], {})], {}),
    "div": ([("Div", ["x", "c"], {})], {}),
    "neg": ([("Neg", ["x"], {})], {}),
    "sum mean": ([("Sum", ["x", "c", "x"], {}), ("Mean", ["t0", "x"], {})], {}),
    "gemm": (
        [("Gemm", ["x", "w", "b"], {"alpha": 0.5, "beta": 2.0, "transB": 1})],
        {"w": weights(4, 6), "b": weights(4)},
    ),
    "gemm transposed": ([("Gemm", ["w", "x"], {"transB": 1})], {"w": weights(4, 6)}),
    "matmul left": (
        [("Reshape", ["x", "s"], {}), ("MatMul", ["w", "t0"], {})],
        {"s": ints(1, 3, 2), "w": weights(4, 3)},
    ),
    "matmul right": (
        [("Reshape", ["x", "s"], {}), ("MatMul", ["t0", "w"], {})],
        {"s": ints(1, 3, 2), "w": weights(2, 5)},
    ),
    "matmul batch": (
        [("Reshape", ["x", "s"], {}), ("MatMul", ["t0", "w"], {})],
        {"s": ints(0, 3, -1), "w": weights(4, 2, 5)},
    ),
    "matmul vector": ([("MatMul", ["x", "w"], {})], {"w": weights(6)}),
    "transpose": (
        [("Reshape", ["x", "s"], {}), ("Transpose", ["t0"], {"perm": [0, 2, 1]}),
         ("Flatten", ["t1"], {})],
        {"s": ints(0, 3, 2)},
    ),
    "squeeze": ([("Unsqueeze", ["x", "s"], {}), ("Squeeze", ["t0", "s"], {})], {"s": ints(1)}),
    "concat": ([("Concat", ["x", "t", "x"], {"axis": 1})], {"t": weights(1, 2)}),
    "slice": ([("Slice", ["x", "a", "e", "k", "p"], {})],
              {"a": ints(-1), "e": ints(-9), "k": ints(1), "p": ints(-2)}),
    "gather": ([("Gather", ["x", "s"], {"axis": 1})], {"s": ints(3, 0, -1, 3)}),
    "split": ([("Split", ["x", "s"], {"axis": 1, "outputs": ["p", "q"]}),
               ("Concat", ["q", "p"], {"axis": 1})], {"s": ints(2, 4)}),
    "pad": ([("Pad", ["x", "s", "z"], {})], {"s": ints(0, 1, 0, 2), "z": np.float32(0.5)}),
    "reflect": ([("Pad", ["x", "s"], {"mode": "reflect"})], {"s": ints(0, 1, 0, 2)}),
    "expand": ([("Unsqueeze", ["x", "o"], {}), ("Expand", ["t0", "s"], {})],
               {"o": ints(1), "s": ints(1, 3, 6)}),
    "reduce": ([("ReduceMean", ["x"], {"axes": [1]}), ("Sub", ["x", "t0"], {})], {}),
    "reduce sum": ([("ReduceSum", ["x", "s"], {"keepdims": 0})], {"s": ints(1)}),
    "identity": ([("Identity", ["x"], {}), ("Dropout", ["t0"], {}),
                  ("Cast", ["t1"], {"to": TensorProto.FLOAT})], {}),
    "shape arithmetic": (
        [("Shape", ["x"], {}), ("Gather", ["t0", "i"], {}), ("Div", ["t1", "two"], {}),
         ("Concat", ["m", "t2", "two"], {"axis": 0}), ("Reshape", ["x", "t3"], {})],
        {"i": ints(1), "two": ints(2), "m": ints(-1)},
    ),
    "constants": (
        [("Constant", [], {"value_floats": [1.0] * 6}), ("Mul", ["t0", "c"], {}),
         ("Add", ["x", "t1"], {})], {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", AFFINE)
def test_affine_operators_vanish_and_match_onnxruntime(name: str) -> None:
    nodes, constants = AFFINE[name]
    constants = {"c": np.array([0.5, 2, -4, 1, 8, 3], np.float32), **constants}
    imported = check(model(nodes, constants, shape=(1, 6)))
    assert imported.network.depth == 0


def test_older_operator_sets_give_axes_as_attributes() -> None:
    nodes = [
        ("Unsqueeze", ["x"], {"axes": [1]}),
        ("Slice", ["t0"], {"starts": [1], "ends": [5], "axes": [2]}),
        ("Pad", ["t1"], {"pads": [0, 0, 1, 0, 0, 1]}),
        ("Squeeze", ["t2"], {"axes": [1]}),
        ("Clip", ["t3"], {"min": -0.5, "max": 0.5}),
    ]
    check(model(nodes, opset=9))


IMAGE = (1, 2, 6, 6)
IMAGES: dict[str, tuple[Node, dict]] = {
    "conv": (("Conv", ["x", "k", "b"], {"pads": [1, 0, 1, 2], "strides": [2, 1]}),
             {"k": weights(3, 2, 3, 3), "b": weights(3)}),
    "depthwise": (("Conv", ["x", "k"], {"group": 2, "dilations": [2, 1]}),
                  {"k": weights(4, 1, 2, 3)}),
    "same": (("Conv", ["x", "k"], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
             {"k": weights(3, 2, 3, 3)}),
    "average": (("AveragePool", ["x"], {"kernel_shape": [2, 2], "strides": [2, 2]}), {}),
    "average padded": (("AveragePool", ["x"], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}), {}),
    "average with pad": (
        ("AveragePool", ["x"],
         {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}), {}),
    "global": (("GlobalAveragePool", ["x"], {}), {}),
    "global max": (("GlobalMaxPool", ["x"], {}), {}),
    "max pool": (("MaxPool", ["x"], {"kernel_shape": [2, 2], "strides": [2, 2]}), {}),
    "max pool padded": (
        ("MaxPool", ["x"], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}), {}),
    "reduce max": (("ReduceMax", ["x"], {"axes": [1, -1]}), {}),
    "norm": (("BatchNormalization", ["x", "g", "h", "m", "u"], {}),
             {"g": weights(2), "h": weights(2), "m": weights(2), "u": np.float32([0.5, 2])}),
}  # fmt: skip


@pytest.mark.parametrize("name", IMAGES)
def test_image_operators_match_onnxruntime(name: str) -> None:
    node, constants = IMAGES[name]
    nodes = [node, ("Relu", ["t0"], {}), ("Flatten", ["t1"], {})]
    check(model(nodes, constants, shape=IMAGE))


def test_max_pool_of_a_convolution_keeps_it_once() -> None:
    nodes = [
        ("Conv", ["x", "k"], {}),
        ("MaxPool", ["t0"], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("Relu", ["t1"], {}),
        ("Conv", ["t2", "j"], {}),
    ]
    constants = {"k": weights(3, 2, 3, 3), "j": weights(2, 3, 2, 2)}
    imported = check(model(nodes, constants, shape=IMAGE))
    assert imported.rounded == ()
    assert not imported.network.layers[0].relu.any()


def test_exactly_composed_models_are_not_listed_as_rounded() -> None:
    nodes = [
        GEMM,
        ("LeakyRelu", ["t0"], {"alpha": 0.01}),
        ("MatMul", ["t1", "v"], {}),
        ("Relu", ["t2"], {}),
    ]
    imported = check(model(nodes, {**GEMM_WEIGHTS, "v": weights(6, 3)}))
    assert imported.rounded == ()


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([("MatMul", ["x", "w"], {}), ("MatMul", ["t0", "w"], {})], ("t1",)),
        ([("Sub", ["x", "b"], {}), ("MatMul", ["t0", "w"], {})], ("t1",)),
        ([("Div", ["x", "b"], {})], ("t0",)),
        ([("Add", ["x", "b"], {}), ("Sub", ["t0", "tiny"], {})], ("t1",)),
        ([("Mul", ["x", "b"], {}), ("Mul", ["t0", "b"], {}), ("Mul", ["t1", "b"], {})], ("t2",)),
        ([("Mul", ["x", "half"], {}), ("Div", ["t0", "half"], {})], ()),
        ([("Add", ["x", "b"], {}), ("MatMul", ["half", "t0"], {})], ()),
    ],
)
def test_rounded_nodes_are_named(nodes: list[Node], expected: tuple[str, ...]) -> None:
    constants = {
        **GEMM_WEIGHTS,
        "tiny": np.full(6, 1e-30, np.float32),
        "half": np.float32([[0.5]]),
    }
    assert import_model(model(nodes, constants), "m.onnx").rounded == expected


def test_weights_are_those_of_the_file() -> None:
    nodes = [GEMM, ("Relu", ["t0"], {}), ("Gemm", ["t1", "v"], {"transB": 1})]
    v = weights(3, 6)
    network = import_model(model(nodes, {**GEMM_WEIGHTS, "v": v}), "m.onnx").network
    np.testing.assert_array_equal(network.layers[0].weights[0], GEMM_WEIGHTS["w"].T)
    np.testing.assert_array_equal(network.layers[0].bias, GEMM_WEIGHTS["b"])
    np.testing.assert_array_equal(network.layers[1].weights[1], v)
