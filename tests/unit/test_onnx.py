"""Reading, writing and running ONNX models."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from redy.errors import (
    DomainError,
    FormatError,
    NetworkError,
    OutputError,
    RedyError,
    UnsupportedError,
)
from redy.formats.networks import Reference, load
from redy.formats.onnx import (
    OriginalModel,
    import_model,
    original_outputs,
    original_preactivations,
    read_onnx,
    session,
    supported_operators,
    to_onnx,
    with_preactivations,
    write_onnx,
)
from redy.network.evaluate import evaluate, preactivations
from redy.network.form import Layer, Network
from tests.onnx_models import (
    GEMM,
    GEMM_WEIGHTS,
    PIECEWISE_WEIGHTS,
    RNG,
    Node,
    around,
    check,
    ints,
    model,
    weights,
)


def refused(content: bytes, kind: type[RedyError], *parts: str) -> None:
    with pytest.raises(kind) as caught:
        import_model(content, "m.onnx")
    for part in ("m.onnx", *parts):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "parts"),
    [
        ([("Sigmoid", ["x"], {})], ("'t0'", "operator Sigmoid is not piecewise linear")),
        ([("Mul", ["x", "x"], {})], ("'t0'", "not affine")),
        ([("Div", ["w", "x"], {})], ("'t0'", "not affine")),
        ([("MatMul", ["x", "x"], {})], ("'t0'", "not affine")),
        ([("Reshape", ["x", "x"], {})], ("'t0'", "'x' must be a constant")),
        ([("Relu", ["x"], {"domain": "com.own"})], ("com.own.Relu",)),
        ([("Dropout", ["x"], {"outputs": ["a", "mask"]})], ("mask",)),
        ([("Cast", ["x"], {"to": TensorProto.INT64})], ("integers",)),
        ([("Pad", ["x", "pads"], {"mode": "wrap"})], ("wrap",)),
    ],
)
def test_unsupported_nodes_are_named(nodes: list[Node], parts: tuple[str, ...]) -> None:
    constants = {"w": weights(1, 6), "pads": ints(0, 0, 0, 0)}
    refused(model(nodes, constants), UnsupportedError, *parts)


@pytest.mark.parametrize(
    ("nodes", "parts"),
    [
        ([("Relu", ["y"], {})], ("'t0'", "'y'", "cyclic")),
        ([("Relu", ["t1"], {}), ("Relu", ["t0"], {})], ("'t0'", "'t1'")),
        ([("MatMul", ["x", "w"], {})], ("'t0'", "do not fit")),
        ([("Add", ["x", "w"], {})], ("'t0'", "broadcast")),
        ([("Reshape", ["x", "s"], {})], ("'t0'",)),
        ([("Gather", ["x", "s"], {"axis": 1})], ("'t0'",)),
        ([("Transpose", ["x"], {"perm": [0, 0]})], ("'t0'",)),
        ([("Flatten", ["x"], {"axis": 5})], ("axis 5",)),
        ([("Gemm", ["x"], {})], ("'t0'", "missing")),
        ([("Add", ["x"], {})], ("'t0'", "has 1 inputs")),
        ([("Relu", ["x"], {"outputs": ["x"]})], ("'x' is defined twice",)),
        ([("Clip", ["x", "w"], {})], ("single number",)),
        ([("LeakyRelu", ["x"], {"alpha": 1})], ("wrong type",)),
    ],
)
def test_malformed_nodes_are_named(nodes: list[Node], parts: tuple[str, ...]) -> None:
    refused(model(nodes, {"w": weights(5, 5), "s": ints(7, 2)}), FormatError, *parts)


def test_absurd_sizes_are_refused_before_memory_is_touched() -> None:
    refused(model([("Relu", ["x"], {})], shape=(1, 2**40)), UnsupportedError, "'x'")
    huge = {"s": ints(2**20, 2**20)}
    refused(model([("Expand", ["x", "s"], {})], huge), UnsupportedError, "'t0'")
    refused(model([("ConstantOfShape", ["s"], {})], huge), UnsupportedError, "'t0'")
    pads = {"s": ints(0, 2**40, 0, 0)}
    refused(model([("Pad", ["x", "s"], {})], pads), UnsupportedError, "'t0'")


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(number: float) -> None:
    w = weights(6, 2).copy()
    w[4, 1] = number
    refused(model([("MatMul", ["x", "w"], {})], {"w": w}), NetworkError, "'t0'", "'w'[4, 1]")


def test_overflow_while_composing_is_a_network_error() -> None:
    w = np.full((6, 6), 1e200)
    nodes = [("MatMul", ["x", "w"], {}), ("MatMul", ["t0", "w"], {})]
    refused(model(nodes, {"w": w}), NetworkError)


def test_zero_divisors_and_variances_are_network_errors() -> None:
    refused(model([("Div", ["x", "c"], {})], {"c": np.zeros(6, np.float32)}), NetworkError, "t0")
    params = {name: np.ones(6, np.float32) for name in "ghm"} | {"u": np.full(6, -1, np.float32)}
    nodes = [("BatchNormalization", ["x", "g", "h", "m", "u"], {})]
    refused(model(nodes, params), NetworkError, "variance")


@pytest.mark.parametrize(
    ("shape", "part"), [((2, 6), "batch of 2"), ((1, "h"), "not a fixed"), (("n",), "not a fixed")]
)
def test_batches_and_symbolic_shapes_are_refused(shape: tuple, part: str) -> None:
    refused(model([("Relu", ["x"], {})], shape=shape), UnsupportedError, "'x'", part)


def edited(change: Callable[[onnx.ModelProto], object]) -> bytes:
    proto = onnx.ModelProto.FromString(model([GEMM, ("Relu", ["t0"], {})], GEMM_WEIGHTS))
    change(proto)
    return proto.SerializeToString()


def _two_inputs(proto: onnx.ModelProto) -> None:
    proto.graph.input.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 6)))


def _two_outputs(proto: onnx.ModelProto) -> None:
    proto.graph.output.append(helper.make_tensor_value_info("t0", TensorProto.FLOAT, (1, 6)))


def _external(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].data_location = TensorProto.EXTERNAL


def _short(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].raw_data = b"1234567"


def _negative(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].dims[0] = -1


def _wide(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].dims[0] = 2**60


def _text(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].data_type = TensorProto.STRING


def _lost(proto: onnx.ModelProto) -> None:
    del proto.graph.initializer[0]


def _old(proto: onnx.ModelProto) -> None:
    proto.opset_import[0].version = 6


def _no_opset(proto: onnx.ModelProto) -> None:
    del proto.opset_import[:]


def _other_output(proto: onnx.ModelProto) -> None:
    proto.graph.output[0].name = "nowhere"


@pytest.mark.parametrize(
    ("change", "kind", "part"),
    [
        (_two_inputs, UnsupportedError, "exactly one input"),
        (_two_outputs, UnsupportedError, "exactly one output"),
        (_external, UnsupportedError, "external data is not supported"),
        (_short, FormatError, "initializer 'w'"),
        (_negative, FormatError, "negative dimension"),
        (_wide, FormatError, "initializer 'w'"),
        (_text, UnsupportedError, "STRING"),
        (_lost, FormatError, "'w'"),
        (_old, UnsupportedError, "operator set 6"),
        (_no_opset, FormatError, "no version"),
        (_other_output, FormatError, "'nowhere'"),
    ],
)
def test_bad_models_are_refused(change: Callable, kind: type[RedyError], part: str) -> None:
    refused(edited(change), kind, part)


def test_files_that_are_not_models(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file"):
        read_onnx(tmp_path / "absent.onnx")
    with pytest.raises(FormatError, match="cannot be read"):
        read_onnx(tmp_path)
    refused(b"", FormatError)
    refused(b"not a model at all", FormatError)


def test_truncated_and_corrupted_models_raise_only_our_errors() -> None:
    nodes = around(("LeakyRelu", ["t0"], {"alpha": 0.1}), ("Clip", ["t1", "low", "high"], {}))
    content = model(nodes, PIECEWISE_WEIGHTS)
    for end in range(0, len(content), 7):
        with pytest.raises(RedyError):
            import_model(content[:end], "m.onnx")
    rng = np.random.default_rng(3)
    refusals = 0
    for _ in range(600):
        broken = bytearray(content)
        for position in rng.integers(0, len(content), rng.integers(1, 4)):
            broken[position] = rng.integers(0, 256)
        try:
            import_model(bytes(broken), "m.onnx")
        except RedyError:
            refusals += 1
    assert refusals > 100


def test_published_models_are_read_exactly(shared_data: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("1_1", "3_3", "5_9"):
        imported = read_onnx(shared_data / f"acasxu_nets/ACASXU_experimental_v2a_{name}.onnx")
        assert imported.rounded == ()
        assert [layer.units for layer in imported.network.layers] == [50] * 6 + [5]
        assert len(imported.network.neurons) == 300
        points = rng.uniform(-0.5, 0.5, (500, 5)).astype(np.float32)
        exact = evaluate(imported.network, points.astype(float))
        np.testing.assert_allclose(original_outputs(imported, points), exact, atol=1e-4)
        original = original_preactivations(imported, points)
        for z, own in zip(original, preactivations(imported.network, points), strict=False):
            np.testing.assert_allclose(z, own, atol=5e-3)


def test_published_mnist_model_is_read_exactly(shared_data: Path) -> None:
    imported = read_onnx(shared_data / "mnist" / "mnist-net_256x2.onnx")
    assert imported.rounded == ()
    assert imported.operators == {"Flatten": 1, "Gemm": 3, "Relu": 2}
    points = np.random.default_rng(0).random((50, 784), dtype=np.float32)
    expected = evaluate(imported.network, points.astype(float))
    np.testing.assert_allclose(original_outputs(imported, points), expected, atol=1e-4)


def test_a_fixed_batch_is_evaluated_in_batches(shared_data: Path) -> None:
    imported = read_onnx(shared_data / "acasxu_nets" / "ACASXU_experimental_v2a_1_1.onnx")
    assert imported.port.shape == (1, 1, 1, 5)
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (200_000, 5)).astype(np.float32)
    original = OriginalModel(imported)
    assert original.batched
    outputs = original.outputs(points)
    runtime = session(imported.model)
    for i in (0, 99_999, 199_999):
        single = runtime.run(None, {"input": points[i].reshape(1, 1, 1, 5)})[0][0]
        np.testing.assert_allclose(outputs[i], single, atol=1e-4)


@pytest.mark.parametrize(
    "nodes",
    [
        [("Reshape", ["x", "s"], {}), ("MatMul", ["t0", "w"], {}), ("Relu", ["t1"], {})],
        [("ReduceMean", ["x"], {"axes": [0]}), ("Sub", ["x", "t0"], {}), ("Relu", ["t1"], {})],
        [("Transpose", ["x"], {}), ("Relu", ["t0"], {}), ("Reshape", ["t1", "s"], {})],
    ],
)
def test_models_that_mix_up_the_batch_are_run_one_by_one(nodes: list[Node]) -> None:
    content = model(nodes, {"s": ints(1, 6), "w": weights(6, 3)}, shape=(1, 6))
    assert not OriginalModel(check(content)).batched
    check(model(nodes, {"s": ints(1, 6), "w": weights(6, 3)}))


def test_vectors_without_batch_and_relu_of_the_input() -> None:
    nodes = [("Relu", ["x"], {}), ("MatMul", ["t0", "w"], {})]
    check(model(nodes, {"w": weights(6, 3)}, shape=(6,)))
    check(model(nodes, {"w": weights(6, 3)}))


def test_no_points_give_no_rows() -> None:
    imported = import_model(model([GEMM, ("Relu", ["t0"], {})], GEMM_WEIGHTS), "m.onnx")
    assert original_outputs(imported, np.zeros((0, 6))).shape == (0, 6)
    assert [z.shape for z in original_preactivations(imported, np.zeros((0, 6)))] == [(0, 6)]
    with pytest.raises(DomainError, match=r"\(n, 6\)"):
        original_outputs(imported, np.zeros((3, 5)))


def test_preactivation_model_gives_the_tensors_that_feed_the_activations() -> None:
    imported = import_model(model([GEMM, ("Relu", ["t0"], {})], GEMM_WEIGHTS), "m.onnx")
    assert imported.relu_tensors[0].tensors == ("t0",)
    points = RNG.standard_normal((4, 6)).astype(np.float32)
    post, pre = session(with_preactivations(imported)).run(None, {"x": points})
    np.testing.assert_array_equal(post, np.maximum(pre, 0))
    assert (pre < 0).any()


def test_unloadable_models_are_unsupported() -> None:
    with pytest.raises(UnsupportedError, match="onnxruntime cannot load"):
        session(b"nonsense")


def test_reference_survives_pickling(tmp_path: Path) -> None:
    write_onnx(skip_network(), tmp_path / "a.onnx")
    loaded = load(tmp_path / "a.onnx")
    points = RNG.standard_normal((5, 3))
    reference = Reference(loaded)
    before = reference.outputs(points)
    again = pickle.loads(pickle.dumps(reference))
    np.testing.assert_array_equal(again.outputs(points), before)
    assert loaded.domain is None
    assert loaded.format == "onnx"
    assert len(loaded.file_sha256) == 64


def test_unknown_network_suffix(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"\.onnx or \.nnet"):
        load(tmp_path / "net.pth")


def skip_network() -> Network:
    """Skips, linear units, an empty layer and a bias-only layer."""
    w = lambda *shape: weights(*shape).astype(float)  # noqa: E731
    return Network(
        3,
        (
            Layer({0: w(4, 3)}, w(4), np.array([1, 0, 1, 0])),
            Layer({0: w(3, 3), 1: w(3, 4)}, w(3), np.ones(3)),
            Layer({2: np.zeros((0, 3))}, np.zeros(0), np.zeros(0)),
            Layer({}, w(2), np.array([1, 0])),
            Layer({0: w(2, 3), 2: w(2, 3), 3: np.zeros((2, 0)), 4: w(2, 2)}, w(2), np.zeros(2)),
        ),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_export_of_skips_linear_units_and_empty_layers(tmp_path: Path, dtype: type) -> None:
    network = skip_network()
    path = tmp_path / "net.onnx"
    write_onnx(network, path, dtype)
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert proto.producer_name == "redy"
    points = RNG.standard_normal((20, 3)).astype(dtype)
    outputs = session(path.read_bytes()).run(None, {"input": points})[0]
    assert outputs.dtype == dtype
    np.testing.assert_allclose(outputs, evaluate(network, points.astype(float)), rtol=1e-4)


def test_export_of_a_constant_network_keeps_the_batch() -> None:
    network = Network(3, (Layer({}, np.array([1.0, 2.0]), np.zeros(2)),))
    outputs = session(to_onnx(network)).run(None, {"input": np.ones((4, 3), np.float32)})[0]
    np.testing.assert_array_equal(outputs, [[1, 2]] * 4)
    assert import_model(to_onnx(network), "m").network.sha256 == network.sha256


def test_export_under_names_that_clash_with_its_own() -> None:
    content = to_onnx(skip_network(), input_name="z2", output_name="W1_relu")
    onnx.checker.check_model(onnx.ModelProto.FromString(content), full_check=True)
    with pytest.raises(UnsupportedError, match="two different names"):
        to_onnx(skip_network(), input_name="a", output_name="a")


def test_export_refuses_weights_beyond_float32(tmp_path: Path) -> None:
    network = Network(1, (Layer({0: np.array([[1.0], [1e39]])}, np.zeros(2), np.zeros(2)),))
    with pytest.raises(NetworkError, match=r"layer 1: weight\[1, 0\] is 1e\+39"):
        write_onnx(network, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())
    write_onnx(network, tmp_path / "net.onnx", np.float64)
    with pytest.raises(UnsupportedError, match="float16"):
        write_onnx(network, tmp_path / "half.onnx", np.float16)


def test_failed_writes_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        write_onnx(skip_network(), tmp_path / "missing" / "net.onnx")
    with pytest.raises(OutputError, match="is a folder"):
        write_onnx(skip_network(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_every_supported_operator_is_listed() -> None:
    assert {"Relu", "Conv", "MaxPool", "Gemm"} <= set(supported_operators())
