"""How far the propagation of eight boxes is from what the processor can do.

    python -m experiments.octet_speed N/5_9.onnx

Eight boxes are the parts of a random 512th of a random slice, as branch and bound examines them at
its third level. Counted are the multiply-adds of the affine steps alone, for all eight; the choice
of slopes comes on top. The peer is a product of 512 x 512 float64 matrices in numpy's BLAS, on one
thread, in the same run.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from threadpoolctl import threadpool_limits

import redy
from redy.branching.octet import Octet, octet, propagate
from redy.branching.packed import Packed, pack
from redy.branching.vector import LANES
from redy.formats.domains import read_domain
from redy.simplify import Selection, cut

SIZE, PRODUCTS = 512, 20
REPEATS = 20


def multiply_adds(net: Packed, eight: Octet, last: int) -> int:
    """Of the affine steps of the layers before ``last``, as ``eight`` is left by them."""
    total = 0
    for layer in range(1, last):
        units = range(net.start[layer], net.start[layer + 1])
        upper = eight.known_upper.reshape(-1, LANES)
        computed = sum(bool((upper[unit] > 0).any()) or not net.relu[unit] for unit in units)
        for block in range(net.first_block[layer], net.first_block[layer + 1]):
            j = net.source[block]
            total += computed * int(eight.alive_count[j]) * int(eight.generators[j] + 1)
    return LANES * total


def fill(eight: Octet, lower: np.ndarray, upper: np.ndarray, rng: np.random.Generator) -> None:
    """Eight parts, cut thrice, of a random 512th of a slice, of which nothing is known."""
    inputs = lower.size
    for step in range(9):
        d, middle = step % inputs, 0.5 * (lower + upper)
        side = rng.random() < 0.5
        lower, upper = lower.copy(), upper.copy()
        (lower if side else upper)[d] = middle[d]
    for part in range(LANES):
        low, high = lower.copy(), upper.copy()
        for bit in range(3):
            d = (9 + bit) % inputs
            (low if part >> bit & 1 else high)[d] = 0.5 * (low[d] + high[d])
        eight.lower[part::LANES], eight.upper[part::LANES] = low, high
    eight.known_lower[:], eight.known_upper[:] = -np.inf, np.inf


def main(
    network: Annotated[Path, typer.Argument(metavar="NET")],
    domain: Annotated[str, typer.Option(help="As redy simplify takes it.")] = "acasxu",
    sample: Annotated[int, typer.Option(help="Random slices.")] = 200,
) -> None:
    """Count and time."""
    loaded = redy.load(network).network
    net, last = pack(loaded), len(loaded.layers)
    eight, rng = octet(net), np.random.default_rng(0)
    slicing = cut(read_domain(domain, loaded.inputs), 32768, None)
    boxes = list(zip(*slicing.boxes(Selection(sample, 0).of(slicing)), strict=True))
    fill(eight, *boxes[0], rng)
    propagate(net, eight, last)  # compiles
    counted = seconds = 0.0
    for lower, upper in boxes:
        fill(eight, lower, upper, rng)
        propagate(net, eight, last)
        counted += multiply_adds(net, eight, last)
        begin = time.perf_counter()
        for _ in range(REPEATS):
            propagate(net, eight, last)
        seconds += (time.perf_counter() - begin) / REPEATS
    matrix = rng.random((SIZE, SIZE))
    with threadpool_limits(limits=1):
        matrix @ matrix
        begin = time.perf_counter()
        for _ in range(PRODUCTS):
            matrix @ matrix
        peak = PRODUCTS * SIZE**3 / (time.perf_counter() - begin)
    rate = counted / seconds
    print(f"multiply-adds of the affine steps of eight boxes: {counted / sample:,.0f}")
    print(f"microseconds for eight boxes, slopes included: {1e6 * seconds / sample:.1f}")
    print(f"affine multiply-adds a second: {rate / 1e9:.1f} G, BLAS {peak / 1e9:.1f} G")
    print(f"share of the time that the affine steps take at the speed of BLAS: {rate / peak:.1%}")


if __name__ == "__main__":
    typer.run(main)
