"""What adaptive slices remove, beside as many slices of a grid: a table and a picture.

    python -m experiments.adaptive_curve N/1_1.onnx N/5_9.onnx --out FOLDER --jobs 2

Each network is simplified under each guarantee with ever more slices by `redy simplify`, as a user
would; the bundles stay in the folder. A run whose bundle is there already is not repeated, one that
was stopped goes on where it was. Figures are means by volume. With --grid-sample K, only K random
slices of a large grid are simplified, which all count alike; adaptive ones are always all there.
The table, in Markdown, goes to stdout, the picture to adaptive_curve.png beside this script unless
--picture says otherwise.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from matplotlib.figure import Figure

import redy
from experiments.fifty_slices import short_name, table

SLICINGS = ("grid", "adaptive")
_PICTURE = Path(__file__).with_suffix(".png")


@dataclass(frozen=True)
class Run:
    """One point of a curve."""

    net: Path
    guarantee: str
    slicing: str
    slices: int

    def bundle(self, folder: Path) -> Path:
        """Where its bundle is."""
        of = self.guarantee.replace("=", "_")
        return folder / f"{short_name(self.net)}.{of}.{self.slicing}.{self.slices}.redy"

    def command(self, folder: Path, budget: int, jobs: int, grid_sample: int) -> list[str]:
        """What makes it."""
        options: dict[str, object] = {
            "slicing": self.slicing,
            "slices": self.slices,
            "guarantee": self.guarantee,
            "budget": budget,
            "jobs": jobs,
            "out": self.bundle(folder),
        }
        if self.net.suffix != ".nnet":
            options["domain"] = "acasxu"
        if self.slicing == "grid" and 0 < grid_sample < self.slices:
            options["sample"] = grid_sample
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return [sys.executable, "-m", "redy.cli", "simplify", str(self.net), *words]


def figures(runs: Sequence[Run], folder: Path) -> dict[Run, dict[str, Any]]:
    """The summaries of those bundles that are there."""
    paths = {run: run.bundle(folder) for run in runs}
    return {run: redy.open(path).summary for run, path in paths.items() if path.exists()}


def rows(found: dict[Run, dict[str, Any]]) -> Iterator[dict[str, str]]:
    """One row per network, guarantee and number of slices."""
    for adaptive in [run for run in found if run.slicing == "adaptive"]:
        grid = found.get(Run(adaptive.net, adaptive.guarantee, "grid", adaptive.slices))
        here = found[adaptive]
        seconds = here["seconds"]
        yield {
            "network": short_name(adaptive.net),
            "guarantee": adaptive.guarantee,
            "slices": str(adaptive.slices),
            "removed, grid": "" if grid is None else f"{grid['removed_mean']:.2%}",
            "removed, adaptive": f"{here['removed_mean']:.2%}",
            "undecided": f"{here['undecided_mean']:.2%}",
            "MACs, grid": "" if grid is None else f"{grid['macs_mean']:.0f}",
            "MACs, adaptive": f"{here['macs_mean']:.0f} of {here['macs_original']}",
            "minutes": "" if seconds is None else f"{seconds / 60:.1f}",
            "bundle, MiB": f"{here['bundle_bytes'] / 2**20:.2f}",
        }


def draw(found: dict[Run, dict[str, Any]], path: Path) -> None:
    """A panel per guarantee; a line per network and slicing."""
    guarantees = list(dict.fromkeys(run.guarantee for run in found))
    nets = list(dict.fromkeys(run.net for run in found))
    figure = Figure(figsize=(1 + 3.6 * len(guarantees), 3.6), layout="tight")
    panels = figure.subplots(1, len(guarantees), sharey=True, squeeze=False)
    for panel, guarantee in zip(panels[0], guarantees, strict=True):
        for colour, net in zip(("#0072b2", "#d55e00", "#009e73"), nets, strict=False):
            for slicing, style in zip(SLICINGS, ("o--", "o-"), strict=True):
                line = sorted(
                    (run.slices, 100 * found[run]["removed_mean"])
                    for run in found
                    if (run.net, run.guarantee, run.slicing) == (net, guarantee, slicing)
                )
                if line:
                    name = f"{short_name(net)}, {slicing}"
                    panel.plot(*zip(*line, strict=True), style, color=colour, label=name)
        panel.set(xscale="log", xlabel="slices", title=guarantee)
        panel.set_xticks(sorted({run.slices for run in found}))
        panel.set_xticklabels(str(count) for count in sorted({run.slices for run in found}))
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("neurons removed, % by volume")
    panels[0][0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def main(  # noqa: PLR0917 - typer reads the options from the parameters
    nets: Annotated[list[Path], typer.Argument(metavar="NET...")],
    out: Annotated[Path, typer.Option(help="Folder of the bundles; made if it is not there.")],
    guarantee: Annotated[
        list[str], typer.Option(help="A guarantee; may be given several times.")
    ] = ["exact", "eps=1e-3", "decision"],  # noqa: B006 - read only
    slices: Annotated[list[int], typer.Option(help="May be given several times.")] = [  # noqa: B006
        1024,
        4096,
        32768,
    ],
    budget: Annotated[int, typer.Option(help="Boxes per slice and stage.")] = 9000,
    jobs: Annotated[int, typer.Option(help="Processes.")] = 2,
    grid_sample: Annotated[int, typer.Option(help="Slices of a larger grid; 0 for all.")] = 1024,
    only: Annotated[bool, typer.Option(help="Only report what is there.")] = False,
    picture: Annotated[Path, typer.Option()] = _PICTURE,
) -> None:
    """Simplify networks on grids and adaptive slices, and print one table."""
    out.mkdir(parents=True, exist_ok=True)
    runs = [
        Run(net, each, slicing, count)
        for net in nets
        for each in guarantee
        for count in slices
        for slicing in SLICINGS
    ]
    for run in runs:
        if not only and not run.bundle(out).exists():
            print(f"{run.bundle(out).name}:", file=sys.stderr)
            command = run.command(out, budget, jobs, grid_sample)
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = figures(runs, out)
    print("\n".join(table(list(rows(found)))))
    draw(found, picture)


if __name__ == "__main__":
    typer.run(main)
