"""Exported C code under sanitizers, fed with bytes that are no sensible inputs.

    python -m experiments.fuzz_c B.redy --inputs 10000000

The code is compiled with the address and undefined-behaviour sanitizers, for float and double, and
reads random bit patterns (infinities, numbers that are none, denormals), numbers on, next to and
far from the faces of slices, and coordinates of the domain mixed with these. What it returns is
compared with what the dispatcher says of every input: refused or not, and which slice. Prints
counts; the exit code is 1 if a sanitizer or a comparison found something.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import redy
from experiments.c_reader import REALS, Reader
from redy.dispatch.entering import ends_in

SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]
WHOLE = {32: np.uint32, 64: np.uint64}


def hostile(bundle: redy.Bundle, count: int, precision: int, seed: int) -> np.ndarray:
    """(count, inputs) of every kind."""
    rng = np.random.default_rng(seed)
    real, whole = REALS[precision], WHOLE[precision]
    domain = bundle.domain
    shape = count, domain.dimension
    lower, upper = ends_in(domain, np.dtype(real)).reshape(2, -1)
    good = (lower + (upper - lower) * rng.random(shape)).astype(real).clip(lower, upper)
    low, high = bundle.slicing.boxes(rng.integers(bundle.slicing.slices, size=count))
    faces = np.where(rng.random(shape) < 0.5, low, high).astype(real)
    beside = np.nextafter(faces, rng.choice(np.array([-np.inf, np.inf], real), size=shape))
    bits = rng.integers(np.iinfo(whole).max, size=shape, dtype=whole, endpoint=True).view(real)
    special = rng.choice(
        np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, np.finfo(real).max, 5e-324], real), size=shape
    )
    kinds = [good, faces, beside, bits, special]
    row = rng.choice(len(kinds), size=(count, 1), p=[0.4, 0.3, 0.3, 0.0, 0.0])
    spoilt = rng.choice(len(kinds), size=shape, p=[0, 0.3, 0.3, 0.3, 0.1])
    kind = np.where(rng.random(shape) < 0.08, spoilt, row)
    return np.ascontiguousarray(np.choose(kind, kinds))


def expected(bundle: redy.Bundle, points: np.ndarray) -> np.ndarray:
    """(n,) the slice, -1 outside of the domain, -2 where a coordinate before that is no number."""
    with np.errstate(invalid="ignore"):  # signalling ones are among them
        wide = points.astype(np.float64)
    missing = np.isnan(wide)
    outside = ~((wide >= bundle.domain.lower) & (wide <= bundle.domain.upper)) & ~missing
    first = np.argmax(missing | outside, axis=1)
    said = np.where(missing[np.arange(len(points)), first], -2, -1)
    good = ~(missing | outside).any(axis=1)
    said[good] = bundle.slice_of(wide[good])
    return said


def main(
    path: Annotated[Path, typer.Argument(metavar="B.redy")],
    inputs: Annotated[int, typer.Option(help="For each precision.")] = 10_000_000,
    seed: Annotated[int, typer.Option()] = 0,
    compiler: Annotated[str, typer.Option(help="With sanitizers.")] = "cc",
) -> None:
    """Feed exported code with anything."""
    if shutil.which(compiler) is None:
        raise typer.BadParameter(f"there is no {compiler}")
    bundle, wrong = redy.open(path), 0
    with tempfile.TemporaryDirectory() as folder:
        for precision in REALS:
            options = ["-std=c99", "-O1", *SANITIZERS]
            code = Reader(bundle.content, Path(folder), precision, [compiler, *options])
            done = refused = 0
            while done < inputs:
                points = hostile(bundle, min(500_000, inputs - done), precision, seed + done)
                said, _ = code(points)
                slices = expected(bundle, points)
                wrong += int((said[:, 1] != slices).sum())
                wrong += int((said[:, 0] != np.minimum(slices, 0)).sum())
                wrong += int(((said[:, 2] < 0) != (slices < 0)).sum())
                refused += int((slices < 0).sum())
                done += len(points)
            print(
                f"{path.name}, {precision} bit: {done:,} inputs, {refused:,} of them refused, "
                f"{wrong} differences, no finding of a sanitizer",
                flush=True,
            )
    raise typer.Exit(int(wrong > 0))


if __name__ == "__main__":
    typer.run(main)
