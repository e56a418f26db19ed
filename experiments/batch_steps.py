"""Where the time of a large batch goes: finding slices, short programs, sorting, all others.

    python -m experiments.batch_steps B.redy --points 1000000

Nanoseconds per input of each kernel of a batch, on one thread in single precision, medians of seven
rounds in turn, and of the batch as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import typer

import redy
from redy.bench.measure import inputs_of
from redy.branching.compiled import call
from redy.dispatch import kernels

_ROUNDS = 7


def main(
    bundle: Path,
    points: Annotated[int, typer.Option(help="Inputs of the batch.")] = 1_000_000,
) -> None:
    """Time the kernels of a batch one by one."""
    opened = redy.open(bundle)
    evaluator: Any = opened.evaluator(precision=32)
    for _ in evaluator.prepare():
        pass
    inputs = inputs_of(opened.domain, points, None)
    outputs = np.empty((points, opened.network.outputs), np.float32)
    owners, order = np.empty(points, np.int32), np.empty(points, np.int32)
    start = np.empty(opened.slicing.slices + 1, np.int64)
    tables = evaluator.tables
    rooms, short = evaluator._rooms, evaluator._programs.short  # noqa: SLF001 - the steps are private
    steps: dict[str, Callable[[], object]] = {
        "finding slices": lambda: call(kernels.find_many, inputs, owners, *rooms.finding, *tables),
        "short programs": lambda: call(
            kernels.evaluate_short, inputs, owners, outputs, short, rooms.one, *tables
        ),
        "sorting by slice": lambda: call(kernels.sort_by_slice, owners, start, order),
        "other programs": lambda: call(
            kernels.evaluate_sorted, inputs, outputs, start, order, rooms.many, *tables
        ),
        "all": lambda: evaluator(inputs, outputs),
    }
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(_ROUNDS + 1):
        for name, step in steps.items():
            begin = perf_counter()
            step()
            taken[name].append(perf_counter() - begin)
    for name, seconds in taken.items():
        print(f"{name:17} {1e9 * np.median(seconds[1:]) / points:6.1f} ns")
    counts = np.diff(start)[np.diff(start) > 0]
    print(f"{counts.sum() / points:.1%} of the inputs have other programs, {len(counts)} slices")


if __name__ == "__main__":
    typer.run(main)
