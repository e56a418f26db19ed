"""One ONNX model of all slices: what is outside, what does not fit, which operators it has."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from redy.dispatch.bundle import Bundle
from redy.domain import Box
from redy.edits import Edits
from redy.errors import NetworkError, UnsupportedError, UsageError
from redy.formats import onnx_build
from redy.formats.onnx import session, to_onnx
from redy.formats.onnx_build import graph_in
from redy.formats.onnx_sliced import sliced_to_onnx
from redy.formats.onnx_trees import write_lookup
from redy.network.evaluate import evaluate
from redy.network.form import Layer, Network
from redy.slicing.grid import Grid
from redy.slicing.lookup import GridLookup
from tests.sliced import bundle_of, run
from tests.unit.test_fold import plain, random_edits, random_network

BOX = Box([-1.0, 0.1], [1.0, 0.6])
GRID = Grid(BOX, (4, 3))
TYPES = [np.float32, np.float64]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """Wrong edits of all kinds, so that slices differ."""
    rng = np.random.default_rng(5)
    network = random_network(rng)
    return bundle_of(network, GRID, random_edits(rng, network, GRID.slices))


def beyond(dtype: type) -> np.ndarray:
    """Points outside, some of them hardly."""
    largest = np.finfo(dtype).max
    lower, upper = BOX.lower.astype(dtype), BOX.upper.astype(dtype)
    points = np.tile((lower + upper) / 2, (9, 1))
    points[0, 0] = np.nextafter(upper[0], dtype(np.inf))
    points[1, 1] = np.nextafter(np.nextafter(lower[1], dtype(-np.inf)), dtype(-np.inf))
    points[2] = [2.0, -3.0]
    points[3, 1] = largest / 1e6
    points[4, 0] = -largest / 1e6
    points[5, 0] = np.inf
    points[6, 1] = -np.inf
    points[7, 0] = np.nan
    points[8, 1] = np.nan
    return points


@pytest.mark.parametrize("dtype", TYPES)
def test_outputs_outside_are_not_a_number(bundle: Bundle, dtype: type) -> None:
    outputs, slices = run(bundle, beyond(dtype))
    assert np.isnan(outputs).all()
    assert (slices == -1).all()


@pytest.mark.parametrize("way", ["nan", "original", "clamp"])
def test_single_precision_may_round_ends_to_the_outside(bundle: Bundle, way: str) -> None:
    rounded = np.stack([BOX.lower, BOX.upper]).astype(np.float32)
    near = [rounded, *(np.nextafter(rounded, np.float32(v)) for v in (-np.inf, np.inf))]
    columns = np.concatenate(near).T
    points = np.array([[a, b] for a in columns[0] for b in columns[1]])
    inside = BOX.contains(points.astype(np.float64))
    assert inside[:2].tolist() == [True, False]  # 0.1 is rounded up, and 0.6 too
    _, slices = run(bundle, points, way)
    expected = np.ones(len(points), dtype=bool) if way == "clamp" else inside
    np.testing.assert_array_equal(slices >= 0, expected)
    np.testing.assert_array_equal(slices[inside], bundle.slice_of(points[inside]))


@pytest.mark.parametrize("dtype", TYPES)
def test_clamped_to_the_domain(bundle: Bundle, dtype: type) -> None:
    points = beyond(dtype)
    outputs, slices = run(bundle, points, "clamp")
    nearest = points[:7].astype(np.float64).clip(BOX.lower, BOX.upper)
    np.testing.assert_allclose(outputs[:7], bundle(nearest), rtol=1e-5, atol=1e-5)
    assert (slices[:7] == bundle.slice_of(nearest)).all()
    assert np.isnan(outputs[7:]).all()
    assert (slices[7:] == -1).all()


@pytest.mark.parametrize("dtype", TYPES)
def test_the_original_outside(bundle: Bundle, dtype: type) -> None:
    points = beyond(dtype)
    outputs, slices = run(bundle, points, "original")
    expected = session(to_onnx(bundle.network, dtype)).run(None, {"input": points[:5]})[0]
    np.testing.assert_array_equal(outputs[:5], expected)
    assert np.isnan(outputs[5:]).all()
    assert (slices == -1).all()
    inside = BOX.sample(100, np.random.default_rng(1)).astype(dtype)
    inside = inside[BOX.contains(inside.astype(np.float64))]
    np.testing.assert_allclose(
        run(bundle, inside, "original")[0], bundle(inside), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("way", ["clamp", "original", "nan"])
def test_another_runtime(bundle: Bundle, way: str) -> None:
    """The reference implementation of the standard (onnx 1.23 has none of trees in float64)."""
    anywhere = BOX.sample(40, np.random.default_rng(2)).astype(np.float32)
    points = np.concatenate([anywhere, beyond(np.float32)[:3]])
    content = sliced_to_onnx(bundle.content, np.float32, outside=way, slices=True)
    outputs, slices = ReferenceEvaluator(onnx.load_from_string(content)).run(
        None, {"input": points}
    )
    expected, numbers = run(bundle, points, way)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(slices, numbers)


@pytest.mark.parametrize("dtype", TYPES)
def test_the_model_keeps_the_standard(bundle: Bundle, dtype: type) -> None:
    model = onnx.load_from_string(sliced_to_onnx(bundle.content, dtype))
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {"", "ai.onnx.ml"}
    assert [port.name for port in model.graph.output] == ["output"]
    loaded = session(model.SerializeToString())
    assert [port.shape for port in loaded.get_inputs()] == [["n", 2]]
    empty = loaded.run(None, {"input": np.empty((0, 2), dtype=dtype)})[0]
    assert empty.shape == (0, bundle.network.outputs)
    assert empty.dtype == dtype


@pytest.mark.parametrize("counts", [(1, 1), (1, 3), (300, 1)])
def test_inputs_that_are_not_cut_and_inputs_that_are_cut_often(counts: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    network, grid = random_network(rng), Grid(BOX, counts)
    many = bundle_of(network, grid, random_edits(rng, network, grid.slices))
    edges = np.repeat(BOX.lower[None], 301, axis=0)
    edges[:, 0] = np.linspace(-1, 1, 301)
    points = np.concatenate([BOX.sample(50, rng), edges])
    outputs, slices = run(many, points)
    assert (slices == grid.slice_of(points)).all()
    np.testing.assert_allclose(outputs, many(points), rtol=1e-12, atol=1e-12)


def test_a_network_without_neurons() -> None:
    affine = Network(2, (Layer({0: np.eye(2)}, np.ones(2), np.zeros(2, bool)),))
    corrected = Edits(
        np.zeros(0, np.uint8), np.zeros(0, np.uint8), np.zeros((0, 2)), np.array([[0, 1, 2.0]] * 2)
    )
    plain_one = Edits.none(affine)
    both = bundle_of(affine, Grid(BOX, (2, 1)), [plain_one, corrected])
    outputs, _ = run(both, np.array([[-0.5, 0.5], [0.5, 0.5]]))
    np.testing.assert_array_equal(outputs, [[0.5, 1.5], [4.0, 4.0]])


def test_without_edits_it_is_the_original() -> None:
    network = random_network(np.random.default_rng(3))
    none = bundle_of(network, GRID, [plain([0] * len(network.neurons))] * GRID.slices)
    points = BOX.sample(20, np.random.default_rng(4))
    np.testing.assert_allclose(run(none, points)[0], evaluate(network, points), rtol=1e-13)


def test_a_domain_that_single_precision_misses() -> None:
    network = random_network(np.random.default_rng(3))
    thin = Box([-1.0, 0.1], [1.0, 0.1])
    one = bundle_of(network, Grid(thin, (2, 1)), random_edits(np.random.default_rng(0), network, 2))
    with pytest.raises(UnsupportedError, match=r"input 1: .* export with --precision 64"):
        sliced_to_onnx(one.content, np.float32)
    points = np.array([[0.5, 0.1]])
    np.testing.assert_allclose(run(one, points)[0], one(points), rtol=1e-12)


def test_weights_beyond_single_precision() -> None:
    layers = (
        Layer({0: np.array([[1e39, 0.0]])}, np.zeros(1), np.ones(1, bool)),
        Layer({1: np.ones((1, 1))}, np.zeros(1), np.zeros(1, bool)),
    )
    large = bundle_of(Network(2, layers), Grid(BOX, (1, 1)), [plain([1])])
    with pytest.raises(NetworkError, match="too large for float32"):
        sliced_to_onnx(large.content, np.float32)


def test_what_is_refused(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="--outside wrap: give nan, clamp, original"):
        sliced_to_onnx(bundle.content, outside="wrap")
    with pytest.raises(UnsupportedError, match="float16"):
        sliced_to_onnx(bundle.content, np.float16)
    edges = tuple(np.linspace(0.0, 1.0, count) for count in (2**12 - 1, 2**13))
    with pytest.raises(UnsupportedError, match="at most 16777216 slices"):
        write_lookup(graph_in(np.float64, "input"), GridLookup(edges), "input")
    monkeypatch.setattr(onnx_build, "_MOST_BYTES", 500)
    with pytest.raises(UnsupportedError, match="2 GiB"):
        sliced_to_onnx(bundle.content)
