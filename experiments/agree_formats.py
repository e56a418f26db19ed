"""A bundle's exports of all slices against its dispatcher, and their time against the original.

    python -m experiments.agree_formats B.redy --points 1000000

Half of the points are anywhere in the domain, half on faces of slices or next to them, rounded to
the export's precision first. Slices have to be the same for every point, in the bundle, its
evaluator, the ONNX model and the C code; outputs are compared in pairs, and the guarantee is
checked against the original network. Times are of onnxruntime
with one thread, the original network written by redy in the same precision and measured in turn
with the export. Exit code 1 if a slice differs, or an output by more than rounding.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated

import numpy as np
import onnxruntime
import typer

import redy
from experiments.agree import near_faces
from experiments.c_reader import Reader
from redy.dispatch.export import write_whole
from redy.formats.onnx import session, to_onnx
from redy.network.evaluate import evaluate

_AT_ONCE = 100_000
_RUN_AT_ONCE = 20_000
_BATCHES = (1, 100, 10_000)
_ROUNDS = 15
_ROUND_SECONDS = 0.05
_DTYPES = {32: np.float32, 64: np.float64}
_ROUNDING = {32: 1e-4, 64: 1e-11}
"""What rounding may change outputs by, relative to the largest one: far more than it does."""


def drawn(
    bundle: redy.Bundle, count: int, dtype: type[np.floating], rng: np.random.Generator
) -> np.ndarray:
    """At most ``count`` points of the domain, half of them near faces, in ``dtype``."""
    points = bundle.domain.sample(count, rng)
    points[::2] = near_faces(bundle, points[::2], rng)
    single = points.astype(dtype)
    return single[bundle.domain.contains(single.astype(np.float64))]


def run(model: onnxruntime.InferenceSession, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outputs and slices of ``x``, in pieces: all values of all layers are held at a time."""
    starts = range(0, len(x), _RUN_AT_ONCE)
    pieces = [model.run(["output", "slice"], {"input": x[i : i + _RUN_AT_ONCE]}) for i in starts]
    return np.concatenate([y for y, _ in pieces]), np.concatenate([s for _, s in pieces])


def kept(bundle: redy.Bundle, points: np.ndarray, outputs: np.ndarray, slack: float) -> np.ndarray:
    """Where the guarantee holds of ``outputs``, up to ``slack`` of rounding: (n,) bool."""
    original = evaluate(bundle.network, points)
    promise = bundle.guarantee
    if promise.kind != "decision":
        return np.asarray(np.abs(outputs - original).max(axis=1) <= promise.eps + slack)
    sign = 1.0 if promise.winner == "min" else -1.0
    ordered = np.sort(sign * original, axis=1)
    unique = ordered[:, 1] - ordered[:, 0] > slack
    same = (sign * outputs).argmin(axis=1) == (sign * original).argmin(axis=1)
    return np.asarray(same | ~unique)


def agree(
    bundle: redy.Bundle,
    model: onnxruntime.InferenceSession,
    code: Reader | None,
    count: int,
    precision: int,
    seed: int,
) -> bool:
    """Compare what evaluates ``bundle`` at ``count`` points, and say how they compare."""
    rng = np.random.default_rng(seed)
    evaluator = bundle.evaluator(precision=precision)
    compared = wrong = broken = 0
    apart: dict[str, float] = {}
    scale = 0.0
    while compared < count:
        x = drawn(bundle, min(_AT_ONCE, count - compared), _DTYPES[precision], rng)
        found, slices = run(model, x)
        exact = x.astype(np.float64)
        owners = bundle.slice_of(exact)
        wrong += int((slices != owners).sum()) + int((evaluator.slice_of(x) != owners).sum())
        outputs = {"bundle": bundle(exact), "onnx": found, "python": evaluator(x)}
        if code is not None:
            said, outputs["c"] = code(x)
            wrong += int((said[:, 1] != owners).sum())
        scale = max(scale, float(np.abs(outputs["bundle"]).max()))
        slack = _ROUNDING[precision] * scale
        for one, two in combinations(outputs, 2):
            far = float(np.abs(outputs[one] - outputs[two]).max())
            apart[f"{one} and {two}"] = max(far, apart.get(f"{one} and {two}", 0.0))
        for each in outputs.values():
            broken += int((~kept(bundle, exact, each, slack)).sum())
        compared += len(x)
    print(f"float{precision}: {compared} points, another slice at {wrong}")
    for pair, far in apart.items():
        print(f"float{precision}: {pair} are {far:.3g} apart at most")
    print(f"float{precision}: the guarantee {bundle.guarantee} fails at {broken}, up to rounding")
    return wrong == 0 and broken == 0 and max(apart.values()) <= _ROUNDING[precision] * scale


def seconds(calls: list[Callable[[], object]]) -> list[float]:
    """Of each of ``calls``, the median time of one call, all being measured in turn."""
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    for _ in range(_ROUNDS):
        for own, call in zip(times, calls, strict=True):
            count, start = 0, perf_counter()
            while perf_counter() - start < _ROUND_SECONDS:
                call()
                count += 1
            own.append((perf_counter() - start) / count)
    return [float(np.median(own)) for own in times]


def compare_times(
    bundle: redy.Bundle, model: onnxruntime.InferenceSession, precision: int, seed: int
) -> None:
    """Print the time of ``model`` and of the original network in batches of several sizes."""
    dtype = _DTYPES[precision]
    before = session(to_onnx(bundle.network, dtype))
    points = drawn(bundle, 2 * max(_BATCHES), dtype, np.random.default_rng(seed))
    for size in _BATCHES:
        batch = {"input": points[:size]}
        ours, theirs = seconds(
            [lambda b=batch: model.run(["output"], b), lambda b=batch: before.run(["output"], b)]
        )
        print(
            f"float{precision}, {size} inputs at once: {1e6 * ours:.1f} us a call, "
            f"{1e6 * ours / size:.2f} us an input; the original {1e6 * theirs:.1f} and "
            f"{1e6 * theirs / size:.2f}; {ours / theirs:.1f} times"
        )


def main(
    bundle: Path,
    points: Annotated[int, typer.Option(help="How many.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Draws them.")] = 0,
    compiler: Annotated[str, typer.Option(help="Of the exported C code; empty for none.")] = "cc",
) -> None:
    """Compare the exports of a bundle with it."""
    opened = redy.open(bundle)
    print(f"{bundle}: {opened.slicing.slices} slices, {bundle.stat().st_size} bytes")
    agreed = True
    for precision in _DTYPES:
        with TemporaryDirectory() as folder:
            out = Path(folder) / "all.onnx"
            start = perf_counter()
            write_whole(opened, out, precision=precision, slices=True)
            made, start = perf_counter() - start, perf_counter()
            model = session(out.read_bytes())
            code = None
            if compiler and shutil.which(compiler):
                command = [compiler, "-std=c99", "-O1"]
                code = Reader(opened.content, Path(folder), precision, command)
            print(
                f"float{precision}: {out.stat().st_size} bytes, written in {made:.2f} s, "
                f"loaded in {perf_counter() - start:.2f} s"
            )
            agreed &= agree(opened, model, code, points, precision, seed)
        compare_times(opened, model, precision, seed)
    raise typer.Exit(int(not agreed))


if __name__ == "__main__":
    typer.run(main)
