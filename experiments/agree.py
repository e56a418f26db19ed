"""Random inputs through a bundle's dispatcher and through the original: do they agree?

    python -m experiments.agree B.redy NET --points 1000000

Half of the points are anywhere in the domain, half on faces of slices: in some coordinates at an
end of the slice they were drawn in, or next to one. Both networks are evaluated in float64, the
original also as onnxruntime does it. Exit code 1 if the guarantee is broken by more than rounding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import redy
from redy.formats.networks import Reference
from redy.network.evaluate import evaluate
from redy.network.winner import winners_changed
from redy.tolerances import DIFFERENT

_AT_ONCE = 250_000


def near_faces(bundle: redy.Bundle, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """``points`` with some coordinates moved to ends of their slices, or to the next float64."""
    lower, upper = bundle.slicing.boxes(bundle.slicing.slice_of(points))
    ends = np.where(rng.random(points.shape) < 0.5, lower, upper)
    toward = np.where(rng.random(points.shape) < 0.5, np.inf, -np.inf)
    ends = np.where(rng.random(points.shape) < 0.3, ends, np.nextafter(ends, toward))
    moved = np.where(rng.random(points.shape) < 0.4, ends, points)
    return np.asarray(moved.clip(bundle.domain.lower, bundle.domain.upper))


def main(
    bundle: Path,
    net: Path,
    points: Annotated[int, typer.Option(help="How many.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Draws them.")] = 0,
) -> None:
    """Compare a bundle with its original."""
    opened, loaded = redy.open(bundle), redy.load(net)
    reference, rng, promised = Reference(loaded), np.random.default_rng(seed), opened.guarantee
    largest = deviation = 0.0
    changed = 0
    for start in range(0, points, _AT_ONCE):
        x = opened.domain.sample(min(_AT_ONCE, points - start), rng)
        x[::2] = near_faces(opened, x[::2], rng)
        ours, precise, original = opened(x), evaluate(loaded.network, x), reference.outputs(x)
        largest = max(largest, float(np.abs(ours - precise).max()))
        deviation = max(deviation, float(np.abs(ours - original).max()))
        rounding = DIFFERENT * float(np.abs(precise).max())
        changed += winners_changed(precise, ours, promised.winner, rounding)
    print(f"{bundle}: {opened.slicing.slices} slices, guarantee {promised}, {points} points")
    print(f"largest difference of an output, in float64: {largest:.3g}")
    print(f"largest deviation from onnxruntime: {deviation:.3g}")
    print(f"another winner: at {changed} points")
    allowed = promised.eps + 1e-9
    raise typer.Exit(int(changed > 0 if promised.kind == "decision" else largest > allowed))


if __name__ == "__main__":
    typer.run(main)
