"""Reading and writing .nnet networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from redy.domain import Box
from redy.errors import (
    DomainError,
    FormatError,
    NetworkError,
    OutputError,
    RedyError,
    UnsupportedError,
)
from redy.formats.networks import Reference, load
from redy.formats.nnet import NnetHeader, read_nnet, write_nnet
from redy.formats.onnx import read_onnx
from redy.network.evaluate import evaluate, preactivations
from redy.network.form import Layer, Network

GOOD = """\
// A comment
// Licence: none
2,2,1,3,
2,3,1,
0,
-1.0,0.0,
1.0,10.0,
0.0,5.0,1.0,
2.0,10.0,3.0,
1.0,0.1,
2.0,-0.2,
3.0,0.3e-1,
0.1,
0.2,
0.3,
1,-2,.5,
-7.25,
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "net.nnet"
    path.write_text(text)
    return path


def test_weights_header_and_normalised_domain(tmp_path: Path) -> None:
    network, domain, header = read_nnet(written(tmp_path, GOOD))
    first, last = network.layers
    np.testing.assert_array_equal(first.weights[0], [[1, 0.1], [2, -0.2], [3, 0.03]])
    np.testing.assert_array_equal(first.bias, [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(last.weights[1], [[1, -2, 0.5]])
    np.testing.assert_array_equal(last.bias, [-7.25])
    assert first.relu.all()
    assert not last.relu.any()
    np.testing.assert_array_equal(domain.lower, [-0.5, -0.5])
    np.testing.assert_array_equal(domain.upper, [0.5, 0.5])
    assert header.comments == ("A comment", "Licence: none")
    np.testing.assert_array_equal(header.physical(domain.upper), [1, 10])


@pytest.mark.parametrize(
    "change",
    [
        str.upper,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text + "\n",
        lambda text: text.replace(",\n", "\n"),
        lambda text: text.replace(",", " , "),
    ],
)
def test_harmless_variations_are_read(tmp_path: Path, change) -> None:
    plain = read_nnet(written(tmp_path, GOOD))[0]
    assert read_nnet(written(tmp_path, change(GOOD)))[0].sha256 == plain.sha256


@pytest.mark.parametrize(
    ("old", "new", "kind", "line", "part"),
    [
        ("2,2,1,3,", "2,2,1,", FormatError, 3, "expected 4 numbers"),
        ("2,2,1,3,", "2,2,1.5,3,", FormatError, 3, "whole"),
        ("2,2,1,3,", "2,3,1,3,", FormatError, 4, "do not fit"),
        ("2,2,1,3,", "0,2,1,3,", FormatError, 3, "at least one"),
        ("2,2,1,3,", "999999999,2,1,3,", FormatError, 3, "do not fit into a file"),
        ("2,3,1,", "2,3,4,1,", FormatError, 4, "expected 3"),
        ("2,3,1,", "2,999999,1,", FormatError, 13, "expected 2"),
        ("1.0,10.0,", "1.0,-10.0,", DomainError, 7, "input 1"),
        ("0.0,5.0,1.0,", "0.0,5.0,", FormatError, 8, "means"),
        ("2.0,10.0,3.0,", "2.0,0.0,3.0,", NetworkError, 9, "range 1 is 0"),
        ("2.0,10.0,3.0,", "2.0,-1,3.0,", NetworkError, 9, "positive"),
        ("2.0,-0.2,", "2.0,nan,", NetworkError, 11, "layer 1, weights of unit 1: nan"),
        ("2.0,-0.2,", "-Inf,1,", NetworkError, 11, "finite"),
        ("2.0,-0.2,", "1e999,1,", NetworkError, 11, "too large"),
        ("2.0,-0.2,", "2.0,1_0,", FormatError, 11, "'1_0' is not a number"),
        ("2.0,-0.2,", "2.0,,-0.2,", FormatError, 11, "expected 2"),
        ("2.0,-0.2,", "2.0,abc,", FormatError, 11, "'abc'"),
        ("-7.25,", "-7.25", FormatError, 17, "comma"),
        ("-7.25,\n", "", FormatError, 16, "truncated"),
        ("-7.25,", "-7.25,\n1,", FormatError, 18, "more numbers"),
    ],
)
def test_bad_lines_are_named(
    tmp_path: Path, old: str, new: str, kind: type[RedyError], line: int, part: str
) -> None:
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(kind) as caught:
        read_nnet(path)
    assert f"{path}: line {line}" in str(caught.value)
    assert part in str(caught.value)


def test_every_truncation_and_corruption_raises_only_our_errors(tmp_path: Path) -> None:
    for end in range(len(GOOD) - 1):
        with pytest.raises(RedyError):
            read_nnet(written(tmp_path, GOOD[:end]))
    rng = np.random.default_rng(5)
    refusals = 0
    path = tmp_path / "net.nnet"
    for _ in range(400):
        broken = bytearray(GOOD.encode())
        broken[rng.integers(len(broken))] = rng.integers(256)
        path.write_bytes(bytes(broken))
        try:
            read_nnet(path)
        except RedyError:
            refusals += 1
    assert refusals > 100


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file"):
        read_nnet(tmp_path / "absent.nnet")
    (tmp_path / "binary.nnet").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(FormatError, match="not a text file"):
        read_nnet(tmp_path / "binary.nnet")
    with pytest.raises(FormatError, match="truncated"):
        read_nnet(written(tmp_path, ""))


def test_round_trip_keeps_header_and_weights(tmp_path: Path) -> None:
    network, _, header = read_nnet(written(tmp_path, GOOD))
    write_nnet(network, tmp_path / "copy.nnet", header)
    again, domain, copied = read_nnet(tmp_path / "copy.nnet")
    assert again.sha256 == network.sha256
    assert copied.comments == header.comments
    for name in ("minimums", "maximums", "means", "ranges"):
        np.testing.assert_array_equal(getattr(copied, name), getattr(header, name))
    np.testing.assert_array_equal(domain.upper, header.domain.upper)


def test_a_box_serves_as_header(tmp_path: Path) -> None:
    network = read_nnet(written(tmp_path, GOOD))[0]
    box = Box(np.array([-1 / 3, 0.1]), np.array([1 / 3, 0.7]))
    write_nnet(network, tmp_path / "copy.nnet", box)
    domain = read_nnet(tmp_path / "copy.nnet")[1]
    np.testing.assert_array_equal(domain.lower, box.lower)
    np.testing.assert_array_equal(domain.upper, box.upper)


def chain(*, skip: bool = False, linear: bool = False, empty: bool = False) -> Network:
    units = 0 if empty else 2
    hidden = Layer({0: np.ones((units, 2))}, np.zeros(units), np.full(units, not linear))
    weights = {1: np.ones((1, units))} | ({0: np.ones((1, 2))} if skip else {})
    return Network(2, (hidden, Layer(weights, np.zeros(1), np.zeros(1))))


@pytest.mark.parametrize(
    ("network", "part"),
    [
        (chain(skip=True), "layer 2 reads layer 0"),
        (chain(linear=True), "layer 1 has linear units"),
        (chain(empty=True), "layer 1 has no units"),
    ],
)
def test_only_plain_chains_are_written(tmp_path: Path, network: Network, part: str) -> None:
    box = Box(np.zeros(2), np.ones(2))
    with pytest.raises(UnsupportedError, match=part) as caught:
        write_nnet(network, tmp_path / "net.nnet", box)
    assert ".onnx" in str(caught.value)
    with pytest.raises(DomainError, match="3 inputs"):
        write_nnet(chain(), tmp_path / "net.nnet", Box(np.zeros(3), np.ones(3)))
    with pytest.raises(OutputError, match="does not exist"):
        write_nnet(chain(), tmp_path / "none" / "net.nnet", box)
    assert not list(tmp_path.iterdir())


def test_published_nnet_and_onnx_are_the_same_network(shared_data: Path) -> None:
    for name in ("1_1", "5_9"):
        stem = shared_data / "acasxu_nets" / f"ACASXU_experimental_v2a_{name}"
        ours, domain, _ = read_nnet(stem.with_suffix(".nnet"))
        theirs = read_onnx(stem.with_suffix(".onnx")).network
        for k, (one, other) in enumerate(zip(ours.layers, theirs.layers, strict=True)):
            # The ONNX file holds the decimals as float32.
            np.testing.assert_array_equal(np.float32(one.weights[k]), other.weights[k])
            np.testing.assert_array_equal(np.float32(one.bias), other.bias)
        points = domain.sample(200, np.random.default_rng(0))
        np.testing.assert_allclose(evaluate(ours, points), evaluate(theirs, points), atol=1e-4)


def test_published_nnet_round_trip_and_reference(shared_data: Path, tmp_path: Path) -> None:
    loaded = load(shared_data / "acasxu_nets" / "ACASXU_experimental_v2a_2_3.nnet")
    assert loaded.header is not None
    assert loaded.domain is not None
    assert loaded.rounded == ()
    assert "Creative Commons" in " ".join(loaded.header.comments)
    write_nnet(loaded.network, tmp_path / "copy.nnet", loaded.header)
    assert read_nnet(tmp_path / "copy.nnet")[0].sha256 == loaded.network.sha256
    points = loaded.domain.sample(300, np.random.default_rng(1))
    reference = Reference(loaded)
    np.testing.assert_allclose(
        reference.outputs(points), evaluate(loaded.network, points), atol=1e-12
    )
    found = reference.preactivations(points)
    assert len(found) == loaded.network.depth
    for z, own in zip(found, preactivations(loaded.network, points), strict=False):
        np.testing.assert_allclose(z, own, atol=1e-10)


def test_header_of_a_box_needs_no_normalisation() -> None:
    header = NnetHeader.of(Box(np.array([1.0]), np.array([2.0])))
    np.testing.assert_array_equal(header.domain.lower, [1])
    assert header.inputs == 1
