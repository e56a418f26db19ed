"""How far a bundle's float64 answers are from the original network run by onnxruntime.

    python -m experiments.deviation BUNDLE NET --points 1000000 --faces 100000

Random single precision inputs of the bundle's slices, and inputs on the slices' faces, edges and
corners, where the dispatcher has to choose. Exit code 1 if an output deviates by more than --limit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import redy
from redy.errors import UsageError
from redy.formats.networks import Reference
from redy.network.evaluate import evaluate
from redy.search.witnesses import inner_ends

_CHUNK = 100_000


def inputs(
    bundle: redy.Bundle, count: int, rng: np.random.Generator, *, faces: bool
) -> Iterator[np.ndarray]:
    """Chunks (n, inputs) of ``count`` single precision inputs in slices of the bundle.

    With ``faces``, each coordinate of a point lies on an end of its slice with a probability drawn
    for the point, one at least. The points come slice by slice, so that few networks are built.
    """
    numbers = np.array([part.index for part in bundle.slices])
    owners = np.sort(rng.choice(numbers, size=count))
    for begin in range(0, count, _CHUNK):
        lower, upper = bundle.slicing.boxes(owners[begin : begin + _CHUNK])
        unit = rng.random(lower.shape)
        if faces:
            snapped = rng.random(unit.shape) < rng.random((len(unit), 1))
            snapped[np.arange(len(unit)), rng.integers(0, unit.shape[1], len(unit))] = True
            unit = np.where(snapped, unit.round(), unit)
        points = np.where(unit == 1.0, upper, lower + unit * (upper - lower)).astype(np.float32)
        # Rounding to single precision may leave the slice, which is the point at its faces, but
        # not the domain.
        ends = inner_ends(bundle.domain.lower, bundle.domain.upper)
        yield np.clip(points.astype(np.float64), *ends)


def main(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE")],
    net: Annotated[Path, typer.Argument(metavar="NET")],
    points: Annotated[int, typer.Option(help="Random inputs.")] = 1_000_000,
    faces: Annotated[int, typer.Option(help="Inputs on faces, edges and corners.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Draws the inputs.")] = 0,
    limit: Annotated[float, typer.Option(help="Largest deviation allowed.")] = 1e-5,
) -> None:
    """Compare a bundle with the original network; exit code 1 above the limit."""
    simplified, loaded = redy.open(bundle), redy.load(net)
    if loaded.network.sha256 != simplified.network.sha256:
        raise UsageError(f"{bundle} was not made from {net}")
    reference = Reference(loaded)
    largest_of_all = 0.0
    for what, count in (("random", points), ("faces", faces)):
        rng = np.random.default_rng([seed, what == "faces"])
        begin = time.perf_counter()
        largest, total, seen, in_float64 = 0.0, 0.0, 0, 0.0
        for chunk in inputs(simplified, count, rng, faces=what == "faces"):
            outputs = simplified(chunk)
            deviation = np.abs(outputs - reference.outputs(chunk)).max(axis=1)
            exact = np.abs(outputs - evaluate(loaded.network, chunk))
            in_float64 = max(in_float64, float(np.nan_to_num(exact, nan=np.inf).max(initial=0.0)))
            # A deviation that is not a number is the largest of all.
            largest = max(largest, float(np.nan_to_num(deviation, nan=np.inf).max(initial=0.0)))
            total, seen = total + float(deviation.sum()), seen + len(chunk)
        seconds = time.perf_counter() - begin
        mean = total / max(seen, 1)
        print(f"{what:6} {seen:8} inputs: max {largest:.3e}, mean {mean:.3e}, {seconds:.1f} s")
        print(f"       against the original evaluated in float64: max {in_float64:.3e}")
        largest_of_all = max(largest_of_all, largest)
    if not largest_of_all <= limit:
        print(f"above the limit {limit:g}")
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
