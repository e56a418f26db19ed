"""The memory of a long run from its start to its bundle: a table of figures, and a curve.

    nice -n 10 python -m experiments.memory_curve N/1_1.onnx --slices 32768 --jobs 2 --out FOLDER

Once a second, the proportional set sizes (PSS: a shared page counts by its share) of
`redy simplify` and of all its processes but solvers are added up (Linux). The run fails if the sum
ever reaches --most GiB, or if it grows by more than --growth MiB from the second tenth of the
slices' time, when workers have loaded what they need, to the last. Putting the bundle together
comes after that, and counts for the former only.

The samples go to FOLDER/memory.csv, the picture to memory_curve.png beside this script unless
--picture says otherwise.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib.figure import Figure

from experiments.full_run import descendants, proportional_set_size

_SOLVER = b"redy.solvers.guarded"
"""In the command line of a process that asks a solver."""

_PICTURE = Path(__file__).with_suffix(".png")


@dataclass(frozen=True)
class Curve:
    """Samples of a run: (n,) seconds since its start, (n, 2) MiB of the main process and of all."""

    seconds: np.ndarray
    memory: np.ndarray
    collecting: float
    """When the last slice was finished, in seconds."""

    def means(self) -> tuple[float, float]:
        """MiB of all processes, means of the second and last tenth of the slices' time."""
        ends = self.collecting * np.array([[0.1, 0.2], [0.9, 1.0]])
        within = [(self.seconds >= first) & (self.seconds <= last) for first, last in ends]
        first, last = (float(self.memory[mask, 1].mean()) for mask in within)
        return first, last


def _memory(pid: int) -> tuple[float, float]:
    """MiB of the process, and of it and all that it started but solvers."""
    sizes = [proportional_set_size(p) for p in descendants(pid) if not _is_solver(p)]
    return sizes[0] / 2**20, sum(sizes) / 2**20


def _is_solver(pid: int) -> bool:
    try:
        return _SOLVER in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def watch(command: list[str], log: Path, every: float = 1.0) -> Curve:
    """Run ``command``, whose progress goes to ``log``; a sample ``every`` seconds until it ends."""
    samples, collecting, start = [], 0.0, time.perf_counter()
    with (
        log.open("w") as progress,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=progress) as process,
    ):
        while process.poll() is None:
            samples.append((time.perf_counter() - start, *_memory(process.pid)))
            if not collecting and "removed, 0:00:00 left" in log.read_text():
                collecting = samples[-1][0]
            time.sleep(every)
    if process.returncode:
        raise SystemExit(log.read_text())
    table = np.array(samples)
    return Curve(table[:, 0], table[:, 1:], collecting or float(table[-1, 0]))


def draw(curve: Curve, title: str, path: Path) -> None:
    """Both curves over time."""
    figure = Figure(figsize=(7, 3.2), layout="tight")
    axes = figure.subplots()
    minutes = curve.seconds / 60
    axes.plot(minutes, curve.memory[:, 1], color="#0072b2", label="all processes")
    axes.plot(minutes, curve.memory[:, 0], color="#d55e00", label="the one that keeps the store")
    axes.axvline(curve.collecting / 60, color="0.6", linestyle=":", label="all slices finished")
    axes.set(xlabel="minutes", ylabel="MiB (PSS)", title=title, xlim=0, ylim=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def main(  # noqa: PLR0917 - typer reads the options from the parameters
    net: Path,
    out: Annotated[Path, typer.Option(help="Folder of the bundle and the samples.")],
    slices: int = 32768,
    jobs: int = 2,
    slicing: str = "grid",
    most: Annotated[float, typer.Option(help="GiB that it may take at most.")] = 2.0,
    growth: Annotated[float, typer.Option(help="MiB by which it may grow.")] = 100.0,
    picture: Path = _PICTURE,
) -> None:
    """Run, watch, report."""
    out.mkdir(parents=True, exist_ok=True)
    bundle = out / "memory.redy"
    words = [str(net), "--slices", str(slices), "--slicing", slicing, "--jobs", str(jobs)]
    if net.suffix != ".nnet":
        words += ["--domain", "acasxu"]
    command = [sys.executable, "-m", "redy.cli", "simplify", *words, "--out", str(bundle)]
    curve = watch(command, out / "memory.log")
    samples = np.column_stack([curve.seconds, curve.memory])
    np.savetxt(out / "memory.csv", samples, "%.1f", ",", header="seconds,main MiB,all MiB")
    draw(curve, f"{slices} slices, --slicing {slicing}, --jobs {jobs}", picture)
    peak, (first, last) = float(curve.memory[:, 1].max()), curve.means()
    print(f"seconds {curve.seconds[-1]:.0f}, of which {curve.collecting:.0f} until the last slice")
    print(f"MiB: {first:.0f} early, {last:.0f} late, {peak:.0f} at most")
    if peak >= 1024 * most or last - first > growth:
        raise SystemExit("more memory than it may take")


if __name__ == "__main__":
    typer.run(main)
