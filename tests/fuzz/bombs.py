"""Small files that ask for much: memory, time, or both."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import numpy as np
from onnx import numpy_helper

from redy.formats.bundle import _HEADER
from tests.bundle_files import Tensors, file_of, stream, tensors_of
from tests.fuzz.bundle_mutations import sealed
from tests.fuzz.seeds import NNET, bundles
from tests.onnx_models import ints, model

_ONE = numpy_helper.from_array(np.ones(1, dtype=np.float32))
_SIZES = (300_000, 1_000_000, 4_000_000, 2**31, 2**62)

Bombs = Mapping[str, Callable[[], bytes]]


def _of_size(n: int) -> Bombs:
    """Models of a few hundred bytes that ask for tensors of ``n`` numbers, or many of them."""
    side = max(9, int(n**0.5))
    return {
        "filled": lambda: model([_fill()], {"s": ints(n)}),
        "filled in two": lambda: model([_fill()], {"s": ints(n, n)}),
        "often filled": lambda: _many([("ConstantOfShape", ["s"], {})] * 300, {"s": ints(n)}),
        "dense": lambda: model([_fill(), ("MatMul", ["x", "t0"], {})], {"s": ints(6, n)}),
        "dense twice": lambda: model(
            [
                _fill(),
                ("MatMul", ["x", "t0"], {}),
                ("Relu", ["t1"], {}),
                ("ConstantOfShape", ["r"], {"value": _ONE}),
                ("MatMul", ["t2", "t3"], {}),
            ],
            {"s": ints(6, side), "r": ints(side, side)},
        ),
        "composed": lambda: model(
            [_fill(), ("MatMul", ["x", "t0"], {}), _fill("r"), ("MatMul", ["t1", "t2"], {})],
            {"s": ints(6, side), "r": ints(side, side)},
        ),
        "expanded": lambda: model(
            [
                ("Unsqueeze", ["x", "last"], {}),
                ("Expand", ["t0", "s"], {}),
                ("Relu", ["t1"], {}),
                ("Abs", ["t2"], {}),
                ("LeakyRelu", ["t3"], {}),
            ],
            {"s": ints(1, 6, n // 6), "last": ints(2)},
        ),
        "summed": lambda: model(
            [
                ("Unsqueeze", ["x", "last"], {}),
                ("Expand", ["t0", "s"], {}),
                ("ReduceSum", ["t1"], {}),
                ("Expand", ["t2", "s"], {}),
                ("Add", ["t1", "t3"], {}),
            ],
            {"s": ints(1, 6, n // 6), "last": ints(2)},
        ),
        "convolved": lambda: model(
            [_fill(), ("Conv", ["x", "t0"], {"pads": [2, 2, 2, 2]}), ("Relu", ["t1"], {})],
            {"s": ints(n // 25_600 + 1, 16, 5, 5)},
            ("n", 16, 8, 8),
        ),
        "pooled": lambda: model(
            [("MaxPool", ["x"], {"kernel_shape": [8, 8]})], {}, ("n", 1, side // 8, side // 8)
        ),
        "averaged": lambda: model(
            [("AveragePool", ["x"], {"kernel_shape": [8, 8]})], {}, ("n", 1, side // 8, side // 8)
        ),
        "one maximum": lambda: model([("GlobalMaxPool", ["x"], {})], {}, ("n", 1, side, side)),
        "gathered": lambda: model(
            [
                ("ConstantOfShape", ["s"], {}),
                ("Cast", ["t0"], {"to": 7}),
                ("Gather", ["x", "t1"], {"axis": 1}),
                ("Relu", ["t2"], {}),
                ("Gather", ["t3", "t1"], {"axis": 1}),
            ],
            {"s": ints(n)},
        ),
        "padded": lambda: model([("Pad", ["x", "p"], {})], {"p": ints(0, 0, 0, n)}),
        "wide input": lambda: model([("Relu", ["x"], {}), ("Abs", ["t0"], {})], {}, ("n", n)),
        "chain": lambda: _many([("Relu", ["x"], {})] * 60, {}, ("n", n)),
        "sums": lambda: _many([("Add", ["x", "x"], {})] * 200, {}, ("n", n)),
    }


def _fill(name: str = "s") -> tuple:
    return ("ConstantOfShape", [name], {"value": _ONE})


def _many(nodes: list, constants: dict, shape: tuple = ("n", 6)) -> bytes:
    """``nodes``, each of which reads what the one before it gives instead of "x"."""
    chained = [
        (operator, [f"t{i - 1}" if name == "x" and i else name for name in inputs], dict(given))
        for i, (operator, inputs, given) in enumerate(nodes)
    ]
    return model(chained, constants, shape)


def _skips(layers: int) -> bytes:
    """Every sum reads all ReLUs before it."""
    nodes: list = [("Relu", ["x"], {})]
    for i in range(layers):
        nodes += [("Relu", [f"t{2 * i}"], {}), ("Add", [f"t{2 * i}", f"t{2 * i + 1}"], {})]
    return model(nodes, {}, ("n", 2))


def models() -> dict[str, bytes]:
    """All models that ask for much."""
    found = {f"{name}, {n}": build() for n in _SIZES for name, build in _of_size(n).items()}
    axes = model([_fill()], {"s": ints(*[2**62] * 20_000)})
    return {**found, "skips": _skips(1500), "axes": axes, "steps": _steps(20_000)}


def _steps(count: int) -> bytes:
    return _many([("Neg", ["x"], {})] * count, {})


def texts() -> dict[str, bytes]:
    """Domains and networks as text, by file name."""
    declared = "".join(f"(declare-const X_{i} Real)" for i in range(2)) + "(declare-const Y_0 Real)"
    deep, atoms = 95, " ".join(["(<= X_0 1.0)"] * 60_000)
    many = "(assert (>= X_0 0.1))\n" * 60_000
    return {
        "deep.vnnlib": f"{declared}(assert {'(and ' * deep}{atoms}{')' * deep})".encode(),
        "nested.vnnlib": f"{declared}(assert {'(' * 500_000}".encode(),
        "long.vnnlib": (declared + many).encode(),
        "word.vnnlib": ("a" * 2_000_000).encode(),
        "quoted.vnnlib": b'"' + b"|" * 1_000_000,
        "digits.vnnlib": f"{declared}(assert (<= X_0 {'9' * 1_000_000}))".encode(),
        "index.vnnlib": b"(declare-const X_999999999 Real)",
        "nested.json": b'{"lower": ' + b"[" * 1_000_000,
        "digits.json": b'{"lower": [' + b"9" * 1_000_000 + b'], "upper": [1]}',
        "columns.csv": b"1," * 1_000_000,
        "digits.csv": b"9" * 1_000_000 + b",1",
        "quoted.csv": b'"' + b"1,1\n" * 250_000,
        "digits.nnet": NNET.replace("10.0,", "1" * 1_000_000 + ",").encode(),
        "almost.nnet": NNET.replace("10.0,", "9" * 1_000_000 + "x,").encode(),
        "layers.nnet": NNET.replace("2,2,1,3,", "2147483647,2,1,3,", 1).encode(),
        "units.nnet": NNET.replace("2,3,1,", "2,2147483647,1,", 1).encode(),
        "commas.nnet": NNET.replace("2,3,1,", "," * 1_000_000, 1).encode(),
    }


def bundle_bombs() -> dict[str, bytes]:
    """Bundles with a right checksum."""
    grid, *_, tree, _ = (tensors_of(content) for content in bundles())
    counts = {"counts": [2**26, 1]}
    return {
        "slices": file_of(_described({**grid, "slices": np.arange(2, dtype="<u4")}, counts)),
        "counts": file_of(_described(grid, {"counts": [10**4000] * 2})),
        "evidence": file_of({**grid, "evidence.reasons": stream(np.zeros(2**28, dtype="u1"))}),
        "positions": file_of(
            _described({**grid, "evidence.pool": stream(np.zeros(2**28, dtype="u1"))}, pool=65534)
        ),
        "many slices": file_of(_widened(grid)),
        "halves": file_of({**tree, "slicing.cuts": np.tile(np.array([1], "<u2"), 2**20)}),
        "inputs": file_of(_many_inputs(grid)),
        "header": sealed((2**60).to_bytes(8, "little") + b"{}"),
        "deep header": sealed((10**6).to_bytes(8, "little") + b"[" * 10**6),
        "deep": file_of({**grid, "description": np.frombuffer(b"[" * 10**6, dtype="u1")}),
        "empty": sealed(b"")[: _HEADER.size],
    }


def _described(
    tensors: Tensors, slicing: dict[str, object] | None = None, **others: object
) -> Tensors:
    description = json.loads(tensors["description"].tobytes())
    description.update(others)
    description["slicing"].update(slicing or {})
    text = json.dumps(description).encode()
    return {**tensors, "description": np.frombuffer(text, dtype="u1")}


def _widened(tensors: Tensors) -> Tensors:
    """A hundred thousand slices of a network of a hundred thousand neurons: ten billion edits."""
    slices, neurons = 100_000, 100_000
    network = {
        "layer.1.bias": np.zeros(neurons),
        "layer.1.relu": np.ones(neurons, dtype="u1"),
        "layer.1.from.0": np.zeros((neurons, 2)),
        "layer.2.from.1": np.zeros((2, neurons)),
    }
    edits = {
        "edits.number": np.zeros(slices, dtype="<u4"),
        "edits.packed": np.zeros((1, neurons // 4), dtype="u1"),
        "edits.lines": np.zeros((0, 2), dtype="<f4"),
        "edits.correction": np.zeros(slices, dtype="<u4"),
        "eps_proved": np.zeros(slices),
        "folded": np.zeros((slices, 1), dtype="u1"),
        "evidence.reasons": stream(np.zeros(2**28, dtype="u1")),
    }
    return _described({**tensors, **network, **edits}, {"counts": [slices, 1]})


def _many_inputs(tensors: Tensors) -> Tensors:
    """A network that reads none of its hundred thousand inputs."""
    inputs = 100_000
    ends = [["0x0p+0"] * inputs, ["0x1p+0"] * inputs]
    network = {name: tensor for name, tensor in tensors.items() if name != "layer.1.from.0"}
    network["edits.corrections"] = np.zeros((0, 2, inputs + 1), dtype="<f4")
    network["edits.correction"] = np.zeros(2, dtype="<u4")
    slicing: dict[str, object] = {"domain": ends, "counts": [2] + [1] * (inputs - 1)}
    return _described(network, slicing, inputs=inputs, layers=[[], [1]])
