"""The phases of neurons on slices: proved, refuted and undecided fractions, boxes and seconds.

    python -m experiments.phase_limit N/1_1.onnx N/5_9.onnx --budget 40000 --jobs 2 --out FOLDER
    python -m experiments.phase_limit N/*.onnx --sample 256 --seed 11 --budget 40000 --out FOLDER

The phase stage alone runs on all slices, or on a random sample. Bundles and stores stay in the
folder: a network whose bundle is there is not run again, one that was stopped goes on where it
was. Per network one row, with the seconds that all 32768 slices take at that pace, and one row of
means; --layers adds what became of each layer. Every refuted neuron has witnesses that were
replayed in onnxruntime; proofs hold over the reals. The table goes to stdout, progress to stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import numpy as np
import typer

import redy
from experiments.fifty_slices import short_name
from redy.edits import Edit, Status, edits_of
from redy.formats.bundle import write_run_record
from redy.formats.domains import read_domain
from redy.run.progress import for_stderr
from redy.simplify import Selection

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

KINDS = {"inactive": "#c9d8e6", "active": "#7fa7c9", "undecided": "#e8c468", "refuted": "#c05746"}
"""What may become of a neuron, and the color of its bars."""


@dataclass(frozen=True)
class Settings:
    """What is run.

    Attributes:
        folder: where stores and bundles are.
        domain: as redy simplify takes it.
        slices: of the whole domain, a power of two.
        selection: a sample of them, or None for all.
        budget, jobs: as redy simplify takes them.
    """

    folder: Path
    domain: str
    slices: int
    selection: Selection | None
    budget: int
    jobs: int


@dataclass(frozen=True, eq=False)
class Limit:
    """What became of one network's neurons.

    Attributes:
        name: of the network.
        shares: kind of :data:`KINDS` -> (layers,) fraction of the layer's neurons.
        sizes: (layers,) neurons.
        boxes: examined per slice, on average.
        slices: that were done.
        seconds: all of it took, with all processes.
    """

    name: str
    shares: dict[str, np.ndarray]
    sizes: np.ndarray
    boxes: float
    slices: int
    seconds: float

    def share(self, *kinds: str) -> float:
        """The fraction of all neurons that became one of ``kinds``."""
        return float(sum(self.shares[kind] @ self.sizes for kind in kinds) / self.sizes.sum())


def bundle_of(network: Path, settings: Settings) -> redy.Bundle:
    """The bundle of the phase stage: that of an earlier run, or a new one."""
    stem = settings.folder / f"{short_name(network)}.{settings.budget}"
    path = stem.with_name(f"{stem.name}.redy")
    if not path.exists():
        loaded = redy.load(network)
        domain = read_domain(settings.domain, loaded.network.inputs)
        print(f"redy: {network.name}", file=sys.stderr)
        bundle = redy.simplify(
            loaded,
            domain,
            slices=settings.slices,
            stages=("phase",),
            selection=settings.selection,
            jobs=settings.jobs,
            budget=settings.budget,
            store=stem.with_name(f"{stem.name}.store"),
            progress=for_stderr(),
        )
        bundle.save(path)
        write_run_record(path, {"seconds": bundle.summary["seconds"], "jobs": settings.jobs})
    return redy.open(path)


def limit_of(network: Path, settings: Settings) -> Limit:
    """Run ``network``, or read what an earlier run found."""
    bundle = bundle_of(network, settings)
    layer = np.array([k for k, _ in bundle.network.neurons])
    layers = np.unique(layer)
    edits, refuted = edits_of(bundle.status), bundle.status == Status.REFUTED
    became = {
        "inactive": edits == Edit.ZERO,
        "active": edits == Edit.IDENTITY,
        "refuted": refuted,
        "undecided": (edits == Edit.KEEP) & ~refuted,
    }
    return Limit(
        name=short_name(network),
        shares={
            kind: np.array([of[:, layer == k].mean() for k in layers])
            for kind, of in became.items()
        },
        sizes=np.array([(layer == k).sum() for k in layers]),
        boxes=float(bundle.summary["boxes"] / bundle.summary["slices_done"]),
        slices=bundle.summary["slices_done"],
        seconds=bundle.summary["seconds"],
    )


def row_of(limit: Limit, slices: int) -> str:
    """One row of the table."""
    pace = limit.seconds / limit.slices
    shares = (limit.share("inactive", "active"), limit.share("refuted"), limit.share("undecided"))
    cells = (
        limit.name,
        f"{limit.slices}",
        *(f"{share:.2%}" for share in shares),
        f"{limit.boxes:.0f}",
        f"{limit.seconds:.0f}",
        f"{1e3 * pace:.1f}",
        f"{pace * slices / 60:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def mean_row(limits: Sequence[Limit], slices: int) -> str:
    """The means of all networks."""
    shares = [
        np.mean([limit.share(*kinds) for limit in limits])
        for kinds in (("inactive", "active"), ("refuted",), ("undecided",))
    ]
    pace = np.mean([limit.seconds / limit.slices for limit in limits])
    cells = (
        "**mean**",
        "",
        *(f"**{share:.2%}**" for share in shares),
        f"{np.mean([limit.boxes for limit in limits]):.0f}",
        "",
        f"{1e3 * pace:.1f}",
        f"{pace * slices / 60:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def layer_rows(limit: Limit) -> list[str]:
    """What became of each layer."""
    rows = ["", f"{limit.name}:", "", f"| layer | {' | '.join(KINDS)} |", "| --- " * 5 + "|"]
    for k in range(len(limit.sizes)):
        shares = " | ".join(f"{limit.shares[kind][k]:.2%}" for kind in KINDS)
        rows.append(f"| {k + 1} | {shares} |")
    return rows


def bars(axes: Axes, names: Sequence[str], shares: dict[str, Sequence[float]]) -> None:
    """Stacked bars, one for each of ``names``."""
    places, bottom = np.arange(len(names)), np.zeros(len(names))
    for kind, color in KINDS.items():
        heights = 100 * np.array(shares[kind])
        axes.bar(places, heights, bottom=bottom, color=color, label=kind, width=0.8)
        bottom += heights
    for place, height in zip(places, 100 * np.array(shares["undecided"]), strict=True):
        axes.text(place, 101, f"{height:.1f}", ha="center", fontsize=7)
    axes.set_xticks(places, names, fontsize=8, rotation=90 if len(names) > 12 else 0)
    axes.set(ylim=(0, 107), ylabel="% of neurons")
    axes.spines[["top", "right"]].set_visible(False)


def draw(limits: Sequence[Limit], path: Path) -> None:
    """A panel per network, by layer, or one by network where there are many."""
    few = len(limits) <= 4
    width = 4.0 * len(limits) if few else max(5.0, 1.5 + 0.25 * len(limits))
    figure, panels = plt.subplots(
        1, len(limits) if few else 1, figsize=(width, 3.8), layout="constrained", squeeze=False
    )
    if few:
        for axes, limit in zip(panels[0], limits, strict=True):
            bars(axes, [str(k + 1) for k in range(len(limit.sizes))], limit.shares)
            axes.set(xlabel="layer")
            axes.set_title(f"{limit.name}: {limit.share('undecided'):.2%} undecided", fontsize=10)
    else:
        shares = {kind: [limit.share(kind) for limit in limits] for kind in KINDS}
        bars(panels[0, 0], [limit.name for limit in limits], shares)
        panels[0, 0].set_title("phases on slices; above, % undecided", fontsize=10)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def main(  # noqa: PLR0917 - typer reads the options from the parameters
    networks: Annotated[list[Path], typer.Argument(metavar="NET...")],
    out: Annotated[Path, typer.Option(help="Folder for stores and bundles.")],
    domain: Annotated[str, typer.Option(help="As redy simplify takes it.")] = "acasxu",
    slices: Annotated[int, typer.Option(help="Of the whole domain.")] = 32768,
    sample: Annotated[int | None, typer.Option(help="Only so many random slices.")] = None,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 0,
    budget: Annotated[int, typer.Option(help="Boxes per slice.")] = 40_000,
    jobs: Annotated[int, typer.Option(help="Processes.")] = 2,
    layers: Annotated[bool, typer.Option(help="Also by layer.")] = False,
    picture: Annotated[Path | None, typer.Option(help="A picture to draw.")] = None,
) -> None:
    """Decide the phases of all neurons on slices of networks."""
    out.mkdir(parents=True, exist_ok=True)
    selection = None if sample is None else Selection(sample, seed)
    settings = Settings(out, domain, slices, selection, budget, jobs)
    heads = ("network", "slices", "proved", "refuted", "undecided", "boxes a slice", "seconds")
    heads += ("ms a slice", f"minutes for {slices}")
    print(f"| {' | '.join(heads)} |\n{'| --- ' * len(heads)}|", flush=True)
    limits = []
    for network in networks:
        limits.append(limit_of(network, settings))
        print(row_of(limits[-1], slices), flush=True)
    if len(limits) > 1:
        print(mean_row(limits, slices))
    for limit in limits if layers else []:
        print("\n".join(layer_rows(limit)))
    if picture is not None:
        draw(limits, picture)


if __name__ == "__main__":
    typer.run(main)
