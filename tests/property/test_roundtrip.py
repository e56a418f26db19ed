"""Random networks survive every format, and say the same as onnxruntime."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from redy.domain import Box
from redy.formats import affine
from redy.formats.affine import Affine
from redy.formats.nnet import read_nnet, write_nnet
from redy.formats.onnx import (
    import_model,
    original_outputs,
    original_preactivations,
    session,
    to_onnx,
)
from redy.network.evaluate import evaluate, preactivations
from redy.network.form import Layer, Network, dense

SETTINGS = settings(max_examples=60, deadline=None)


@st.composite
def networks(draw: st.DrawFn, *, chain: bool = False) -> Network:
    """Networks with skips, linear units, sparse weights, and layers without units or sources."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    widths = [draw(st.integers(1, 4))]
    layers = []
    depth = draw(st.integers(1, 5))
    for k in range(1, depth + 1):
        last = k == depth
        units = draw(st.integers(1 if last or chain else 0, 5))
        sources = [k - 1] if chain else draw(st.sets(st.integers(0, k - 1)))
        weights = {j: _weights(rng, units, widths[j]) for j in sources}
        relu = np.full(units, not last)
        if not chain and not last and draw(st.booleans()):
            relu = rng.random(units) < 0.5
        layers.append(Layer(weights, rng.standard_normal(units), relu))
        widths.append(units)
    return Network(widths[0], tuple(layers))


def _weights(rng: np.random.Generator, units: int, width: int) -> np.ndarray | csr_array:
    matrix = rng.standard_normal((units, width)) * 10.0 ** rng.integers(-3, 3)
    if rng.random() < 0.3:
        return csr_array(matrix * (rng.random(matrix.shape) < 0.5))
    return matrix


def points(network: Network) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((7, network.inputs))


@SETTINGS
@given(networks())
def test_export_in_onnxruntime_says_what_the_network_says(network: Network) -> None:
    content = to_onnx(network, np.float64)
    onnx.checker.check_model(onnx.ModelProto.FromString(content), full_check=True)
    x = points(network)
    found = session(content).run(None, {"input": x})[0]
    expected = evaluate(network, x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


@SETTINGS
@given(networks(), st.sampled_from([np.float32, np.float64]))
def test_exported_models_are_read_back_as_the_same_function(network: Network, dtype: type) -> None:
    imported = import_model(to_onnx(network, dtype), "net.onnx")
    x = points(network)
    expected = evaluate(imported.network, x)
    largest = max(np.abs(z).max(initial=1.0) for z in preactivations(network, x))
    tolerance = largest * (1e-4 if dtype == np.float32 else 1e-9)
    np.testing.assert_allclose(evaluate(network, x), expected, atol=tolerance)
    np.testing.assert_allclose(original_outputs(imported, x), expected, atol=tolerance)
    found = original_preactivations(imported, x)
    for theirs, ours in zip(found, preactivations(imported.network, x), strict=False):
        np.testing.assert_allclose(theirs, ours, atol=tolerance)


@SETTINGS
@given(networks(chain=True))
def test_chains_are_read_back_bit_by_bit_from_both_formats(network: Network) -> None:
    imported = import_model(to_onnx(network, np.float64), "net.onnx")
    assert imported.rounded == ()
    _assert_same(imported.network, network)
    box = Box(np.full(network.inputs, -1 / 3), np.full(network.inputs, 0.1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.nnet"
        write_nnet(network, path, box)
        again, domain, _ = read_nnet(path)
    _assert_same(again, network)
    np.testing.assert_array_equal(domain.lower, box.lower)


def _numbers() -> st.SearchStrategy[float]:
    short = st.integers(-(2**24), 2**24).map(lambda m: m * 2.0**-20)
    return st.one_of(st.just(1.0), short, st.floats(allow_nan=False, allow_infinity=False))


@st.composite
def matrices(draw: st.DrawFn, rows: int, columns: int) -> csr_array:
    entries = st.lists(
        st.one_of(st.just(0.0), _numbers()),
        min_size=rows * columns,
        max_size=rows * columns,
    )
    return csr_array(np.array(draw(entries)).reshape(rows, columns))


def _fractions(matrix: csr_array | np.ndarray) -> np.ndarray:
    array = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
    exact = [Fraction(entry) for entry in array.ravel()]
    return np.array(exact, dtype=object).reshape(array.shape)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_what_is_called_exact_is_exact_in_rationals(data: st.DataObject) -> None:
    left = data.draw(matrices(2, 3))
    right = data.draw(matrices(3, 2))
    bias = data.draw(matrices(1, 3)).toarray()[0]
    with np.errstate(all="ignore"):
        value = Affine((3,), {0: right}, bias)
        applied, apply_exact = affine.apply(left, value, (2,))
        other = Affine((2,), {0: data.draw(matrices(2, 2))}, np.ones(2))
        summed, add_exact = affine.add(applied, other)
    if apply_exact:
        expected = _fractions(left) @ _fractions(right)
        assert (_fractions(applied.terms[0]) == expected).all()
        assert (_fractions(applied.bias) == _fractions(left) @ _fractions(bias)).all()
    if add_exact:
        expected = _fractions(applied.terms[0]) + _fractions(other.terms[0])
        assert (_fractions(summed.terms[0]) == expected).all()
        assert (_fractions(summed.bias) == _fractions(applied.bias) + 1).all()


def test_products_of_float32_weights_with_a_selection_or_a_slope_are_called_exact() -> None:
    single = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    weights = csr_array(single.astype(float))
    slopes = csr_array(np.diag(np.float32([0.01, 0.1, 0.3])).astype(float))
    product, exact = affine.product(weights, slopes)
    assert exact
    assert (_fractions(product) == _fractions(weights) @ _fractions(slopes)).all()


def _assert_same(found: Network, expected: Network) -> None:
    assert len(found.layers) == len(expected.layers)
    for k, (one, other) in enumerate(zip(found.layers, expected.layers, strict=True)):
        shape = (other.units, expected.width(k))
        np.testing.assert_array_equal(dense(one.weights.get(k, np.zeros(shape))),
                                      dense(other.weights[k]))  # fmt: skip
        np.testing.assert_array_equal(one.bias, other.bias)
        np.testing.assert_array_equal(one.relu, other.relu)
