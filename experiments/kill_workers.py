"""SIGKILL random workers at random moments of `redy simplify`: every run ends, with the same bytes.

    python -m experiments.kill_workers N/1_1.onnx --kills 50 --backend loky

Runs are started until there have been as many kills as asked for; between two kills pass up to
`--pause` seconds. Linux.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import redy
from experiments.processes import descendants, is_worker


def main() -> int:
    """Kill, compare, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", type=Path)
    parser.add_argument("--domain", default="acasxu")
    parser.add_argument("--slices", default="2048")
    parser.add_argument("--budget", default="1000")
    parser.add_argument("--backend", default="loky")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--pause", type=float, default=6.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    words = [str(asked.net), "--domain", asked.domain, "--slices", asked.slices]
    words += ["--budget", asked.budget]
    draws = np.random.default_rng(asked.seed)
    kills = runs = 0
    with tempfile.TemporaryDirectory() as folder:
        reference = Path(folder) / "reference.redy"
        _wait(_start(words, reference, []))
        wanted = _digest(reference)
        while kills < asked.kills:
            out = Path(folder) / f"{runs}.redy"
            process = _start(words, out, ["--jobs", "2", "--backend", asked.backend])
            kills += _kill(process, draws, asked.kills - kills, asked.pause)
            _wait(process)
            runs += 1
            summary = redy.open(out).summary
            same = _digest(out) == wanted
            print(f"{kills} kills, {runs} runs, {summary['seconds']:.0f} s, same bytes: {same}")
            if not same:
                print(f"slices kept as they are: {summary['slices_failed']}")
                return 1
    print(f"{asked.backend}: {kills} workers killed in {runs} runs; all bundles identical")
    return 0


def _start(words: list[str], out: Path, more: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "redy.cli", "simplify", *words, *more, "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _wait(process: subprocess.Popen[bytes]) -> None:
    code = process.wait()
    if code:
        raise SystemExit(f"redy simplify ended with {code}")


def _kill(
    process: subprocess.Popen[bytes], draws: np.random.Generator, most: int, pause: float
) -> int:
    """Kill workers until ``process`` ends, or ``most`` are killed."""
    kills = 0
    while kills < most and process.poll() is None:
        time.sleep(draws.uniform(0.0, pause))
        workers = [pid for pid in descendants(process.pid) if is_worker(pid)]
        if not workers:
            continue
        try:
            os.kill(int(draws.choice(workers)), signal.SIGKILL)
        except ProcessLookupError:
            continue
        kills += 1
    return kills


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())
