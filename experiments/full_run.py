"""Run `redy simplify` as a user does, and report its time, peak memory, and what it removed.

    python experiments/full_run.py 1_1.redy NET.onnx --domain acasxu --slices 32768 --jobs 2

The first argument is the bundle to write; the rest goes to `redy simplify`. Memory is the sum of
the proportional set sizes of the process and its workers, sampled twice a second (Linux).
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import redy


def proportional_set_size(pid: int) -> int:
    """Bytes of memory of one process, shared pages counted by their share; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def descendants(pid: int) -> list[int]:
    """The process and all that it started, directly or not."""
    found, index = [pid], 0
    while index < len(found):
        for children in Path(f"/proc/{found[index]}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text(encoding="ascii").split()]
            except OSError:
                continue
        index += 1
    return found


def main() -> int:
    """Run, watch, report."""
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    out, *arguments = sys.argv[1:]
    command = [sys.executable, "-m", "redy.cli", "simplify", *arguments, "--out", out]
    start, peak = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, sum(proportional_set_size(p) for p in descendants(process.pid)))
            time.sleep(0.5)
    seconds = time.perf_counter() - start
    if process.returncode:
        return process.returncode
    summary = redy.open(out).summary
    print(f"seconds {seconds:.0f}, peak memory {peak / 2**30:.2f} GiB")
    for key in ("removed_mean", "refuted_mean", "undecided_mean"):
        print(f"{key} {summary[key]:.2%}")
    print(f"bundle {summary['bundle_bytes'] / 2**20:.2f} MiB, boxes {summary['boxes']:,}")
    print(f"macs {summary['macs_original']} -> {summary['macs_mean']:.0f} on average")
    deviation, points = summary["float_deviation_max"], summary["float_deviation_points"]
    print(f"deviation {deviation:.2g} over {points:,} points")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
