"""Damaged files of every format: only documented errors, in bounded time and memory.

    python -m experiments.fuzz                    100,000 files, and every bit of a bundle
    python -m experiments.fuzz --scale 0.01 --formats onnx,store

Case N of a format is the same file at every run; ``python -m tests.fuzz.guard FORMAT N`` reads it
again.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import redy
from redy.errors import FormatError
from tests.fuzz.guard import Tally, run
from tests.fuzz.seeds import bundles

CASES = {
    "onnx": 40_000, "nnet": 10_000, "vnnlib": 8_000, "json": 6_000, "domain-csv": 3_000,
    "csv": 4_000, "npy": 4_000, "bundle": 20_000, "store": 5_000, "bombs": 115,
}  # fmt: skip
"""Damaged files of each format: 100,000 in all, most where there is most to get wrong."""


def main() -> int:
    """Run what the command line asks for; 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--formats", default=",".join(CASES), help="which, with commas")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the cases")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    given = parser.parse_args()
    print("| format | files | read | refused, by error | slowest, s | largest process, MiB | s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    found = 0
    for name in given.formats.split(","):
        count = max(1, round(CASES[name] * given.scale))
        begin = time.perf_counter()
        tally = run(name, range(given.first, given.first + count))
        print(_row(name, tally, time.perf_counter() - begin), flush=True)
        found += len(tally.failures)
        for number, what in tally.failures:
            print(f"{name} {number}: {what}", file=sys.stderr, flush=True)
    if given.scale >= 1.0 and "bundle" in given.formats:
        flipped = every_bit()
        print(f"\nEvery single one of the {flipped:,} bits of a bundle, changed, was noticed.")
    print(f"\n{found} findings.")
    return int(found > 0)


def _row(name: str, tally: Tally, seconds: float) -> str:
    errors = ", ".join(
        f"{outcome} {count:,}"
        for outcome, count in sorted(tally.outcomes.items())
        if outcome != "read"
    )
    return (
        f"| {name} | {tally.cases:,} | {tally.outcomes['read']:,} | {errors} | "
        f"{tally.slowest[0]:.2f} | {tally.largest / 2**20:.0f} | {seconds:.0f} |"
    )


def every_bit() -> int:
    """Change every single bit of a small bundle; returns how many. All must be noticed."""
    flipped = 0
    with TemporaryDirectory() as folder:
        path = Path(folder) / "b.redy"
        altered = bytearray(bundles()[0])
        for bit in range(8 * len(altered)):
            altered[bit // 8] ^= 1 << bit % 8
            path.write_bytes(altered)
            try:
                redy.open(path)
            except FormatError:
                altered[bit // 8] ^= 1 << bit % 8
                flipped += 1
                continue
            raise AssertionError(f"bit {bit} of a bundle was changed, and nothing was noticed")
    return flipped


if __name__ == "__main__":
    sys.exit(main())
