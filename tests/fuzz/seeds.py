"""Sound files of every format that redy reads, small ones, to be damaged."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import redy
from tests.onnx_models import GEMM, GEMM_WEIGHTS, PIECEWISE_WEIGHTS, around, ints, model, weights
from tests.stages import BOX, as_correction, as_line, registered, tiny

NNET = """\
// |x0 - x1| + relu(x0 + x1 + 10)
2,2,1,3,
2,3,1,
0,
-1.0,-1.0,
1.0,1.0,
0.0,0.0,0.0,
1.0,2.0,1.0,
1.0,-1.0,
-1.0,1.0,
1.0,1.0,
0.0,
0.0,
10.0,
1.0,1.0,1.0,
0.0,
"""

_RELU = ("Relu", ["t0"], {})
_OUT = {"v": weights(6, 3)}
_IMAGE = ("n", 2, 6, 6)


def onnx_files() -> list[bytes]:
    """Chains, with normalisation, convolution, skips, arithmetic of shapes, and what is lowered."""
    conv = {"k": weights(3, 2, 3, 3), "b": weights(3), "v": weights(48, 2)}
    norm = {"g": weights(3), "m": weights(3), "s": np.abs(weights(3)) + 1}
    return [
        model(around(_RELU), {**GEMM_WEIGHTS, **_OUT}),
        model(
            [
                ("Sub", ["x", "mean"], {}),
                ("Div", ["t0", "range"], {}),
                ("Gemm", ["t1", "w", "b"], {"alpha": 0.5, "transB": 1}),
                ("Relu", ["t2"], {}),
                ("MatMul", ["t3", "v"], {}),
            ],
            {**GEMM_WEIGHTS, **_OUT, "mean": weights(6), "range": np.abs(weights(6)) + 1},
        ),
        model(
            [
                ("Conv", ["x", "k", "b"], {"pads": [1, 1, 0, 0], "strides": [1, 1]}),
                ("BatchNormalization", ["t0", "g", "b", "m", "s"], {}),
                ("Relu", ["t1"], {}),
                ("AveragePool", ["t2"], {"kernel_shape": [2, 2], "strides": [1, 1]}),
                ("Flatten", ["t3"], {}),
                ("MatMul", ["t4", "v"], {}),
            ],
            {**conv, **norm},
            _IMAGE,
        ),
        model(
            [
                ("MaxPool", ["x"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
                ("Pad", ["t0", "pads"], {}),
                ("Slice", ["t1", "from", "to", "axes"], {}),
                ("Shape", ["t2"], {}),
                ("Gather", ["t3", "first"], {}),
                ("Concat", ["t4", "rest"], {"axis": 0}),
                ("Reshape", ["t2", "t5"], {}),
                ("ReduceMean", ["t6"], {"axes": [1], "keepdims": 1}),
            ],
            {
                "pads": ints(0, 0, 1, 1, 0, 0, 1, 1),
                "from": ints(0, 1),
                "to": ints(4, 5),
                "axes": ints(2, 3),
                "first": ints(0),
                "rest": ints(-1),
            },
            _IMAGE,
        ),
        model(
            around(
                ("LeakyRelu", ["t0"], {"alpha": 0.25}),
                ("PRelu", ["t1", "slope"], {}),
                ("Clip", ["t2", "low", "high"], {}),
                ("Abs", ["t3"], {}),
                ("Max", ["t4", "t0"], {}),
                ("Add", ["t5", "t1"], {}),
                ("Split", ["t6", "parts"], {"axis": 1, "outputs": ["t7", "other"]}),
                ("Concat", ["other", "t7"], {"axis": 1}),
            ),
            {**PIECEWISE_WEIGHTS, "parts": ints(2, 4)},
        ),
        model(
            [
                ("ConstantOfShape", ["shape"], {}),
                ("Expand", ["t0", "wide"], {}),
                ("Transpose", ["t1"], {"perm": [1, 0]}),
                ("Add", ["x", "t1"], {}),
                ("Unsqueeze", ["t3", "last"], {}),
                ("Squeeze", ["t4", "last"], {}),
                ("HardSigmoid", ["t5"], {"alpha": 0.5}),
                ("Neg", ["t6"], {}),
            ],
            {"shape": ints(1, 6), "wide": ints(1, 6), "last": ints(2)},
        ),
        model([GEMM], GEMM_WEIGHTS),
    ]


def _vnnlib(inputs: int) -> str:
    lines = [f"(declare-const X_{i} Real)" for i in range(inputs)] + ["(declare-const Y_0 Real)"]
    lines += [f"(assert (<= X_{i} {0.25 + i}))\n(assert (>= X_{i} -1e-1))" for i in range(inputs)]
    return "\n".join([*lines, "(assert (or (and (>= Y_0 3.99)) (and (<= Y_0 0.5))))"])


def _npy(table: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, table)
    return buffer.getvalue()


def bundles() -> list[bytes]:
    """Of a grid with lines and corrections, of a sample, of a tree of boxes, of cells."""
    found = []
    with registered("by_hand", lambda state: (as_line, as_correction)[state.index](state)):
        stages = ["phase", "by_hand"]
        options = {"guarantee": "eps=0.5", "stages": stages, "budget": 20}
        found.append(redy.simplify(tiny(), BOX, slices=2, **options))
    one = redy.simplify(tiny(), BOX, slices=4, budget=20, selection=redy.Selection(sample=2))
    tree = redy.simplify(tiny(), BOX, slices=3, slicing="adaptive", budget=20)
    cells = redy.simplify(tiny(), BOX, slices=3, slicing="mid", layer=1, budget=20)
    with TemporaryDirectory() as folder:
        for place, bundle in enumerate([*found, one, tree, cells]):
            bundle.save(Path(folder) / f"{place}")
        return [path.read_bytes() for path in sorted(Path(folder).iterdir())]


STORE_OPTIONS: tuple[dict[str, object], ...] = (
    {"slices": 2, "budget": 20},
    {"slices": 3, "slicing": "adaptive", "budget": 20},
)
"""What the stores are of, all with :func:`tests.stages.tiny`."""


def stores() -> list[bytes]:
    """Finished stores of STORE_OPTIONS."""
    found = []
    with TemporaryDirectory() as folder:
        for place, options in enumerate(STORE_OPTIONS):
            path = Path(folder) / f"{place}"
            redy.simplify(tiny(), BOX, store=path, **options)
            found.append(path.read_bytes())
    return found


TABLE = np.array([[0.25, -0.5], [1.0, 0.0], [-1.0, 0.125]])
BOUNDS = {"lower": [-1.0, -0.5], "upper": [1.0, 1]}

SEEDS: Mapping[str, Callable[[], list[bytes]]] = {
    "onnx": onnx_files,
    "nnet": lambda: [NNET.encode(), NNET.replace(",\n", "\n").encode()],
    "vnnlib": lambda: [
        _vnnlib(2).encode(),
        _vnnlib(2).replace("declare-const", "declare-fun").encode(),
    ],
    "json": lambda: [json.dumps(BOUNDS).encode(), json.dumps(BOUNDS, indent=1).encode()],
    "domain-csv": lambda: [b"lower,upper\n-1.0,1.0\n-0.5,0.5\n", b'"-1","1"\n0,0\n'],
    "csv": lambda: [b"a,b\n0.25,-0.5\n1,0\n", b"0.25,-0.5\n1e-3,0\n\n-1,0.125\n"],
    "npy": lambda: [_npy(TABLE), _npy(TABLE.astype(np.float32)), _npy(np.asfortranarray(TABLE))],
    "bundle": bundles,
    "store": stores,
}
"""Format -> files of it."""
