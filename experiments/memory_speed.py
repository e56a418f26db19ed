"""What speed costs in memory: bundles of one network with ever more slices, side by side.

    python -m experiments.memory_speed 1_1.1024.redy 1_1.4096.redy 1_1.32768.redy

Of every bundle the bytes of its programs, which are those of the tables of exported C code too, and
the time of single calls and of large batches, beside onnxruntime on the original in the same run
(`redy bench`). The table, in Markdown, goes to stdout, the picture to memory_speed.png beside this
script unless --picture says otherwise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from matplotlib.figure import Figure

import redy
from experiments.fifty_slices import table
from redy.bench.run import bench

_PICTURE = Path(__file__).with_suffix(".png")


def row(report: dict[str, Any]) -> dict[str, str]:
    """One row of the table."""
    ours = next(each for each in report["contenders"] if each["simplified"])
    peer = next(each for each in report["contenders"] if each["name"] == "onnxruntime")
    largest = max(ours["batch_us_per_input"], key=int)
    return {
        "slices": f"{report['slices']}",
        "guarantee": report["guarantee"],
        "removed": f"{report['removed_mean']:.1%}",
        "MACs": f"{report['macs_mean']:.0f}",
        "MiB": f"{ours['memory_bytes'] / 2**20:.1f}",
        "one call, us": f"{ours['single_median_us']:.2f}",
        "99 %": f"{ours['single_p99_us']:.2f}",
        "times onnxruntime": f"{report['faster']['single']:.1f}",
        f"batch of {int(largest):,}, us": f"{ours['batch_us_per_input'][largest]:.3f}",
        "times the best": f"{report['faster']['batch'][largest]:.1f}",
        "onnxruntime, us": f"{peer['single_median_us']:.2f}",
    }


def draw(reports: list[dict[str, Any]], path: Path) -> None:
    """Time over memory, a line per guarantee."""
    figure = Figure(figsize=(8, 3.4), layout="tight")
    panels = figure.subplots(1, 2)
    for guarantee in dict.fromkeys(report["guarantee"] for report in reports):
        some = [report for report in reports if report["guarantee"] == guarantee]
        ours = [next(e for e in report["contenders"] if e["simplified"]) for report in some]
        size = [each["memory_bytes"] / 2**20 for each in ours]
        single = [each["single_median_us"] for each in ours]
        batch = [list(each["batch_us_per_input"].values())[-1] for each in ours]
        for panel, values in zip(panels, (single, batch), strict=True):
            panel.plot(size, values, "o-", label=guarantee)
            for report, x, y in zip(some, size, values, strict=True):
                panel.annotate(f"{report['slices']:,}", (x, y), fontsize=7)
    for panel, what in zip(panels, ("one call", "large batch, per input"), strict=True):
        panel.set(xscale="log", xlabel="MiB of programs", ylabel="us", title=what)
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    panels[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def main(
    bundles: Annotated[list[Path], typer.Argument(metavar="B.redy...")],
    most: Annotated[int, typer.Option(help="Inputs of the largest batch.")] = 1_000_000,
    picture: Annotated[Path, typer.Option()] = _PICTURE,
) -> None:
    """Measure bundles one after the other."""
    reports = [bench(redy.open(path), most=most) for path in bundles]
    print("\n".join(table([row(report) for report in reports])))
    draw(reports, picture)


if __name__ == "__main__":
    typer.run(main)
