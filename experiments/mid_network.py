"""Mid-network slicing of the MNIST networks: what is left of the suffix, by number of cells.

    python -m experiments.mid_network --budget 200

The domain is all images, [0, 1]^784 (``--domain cube``), or the hull, pixel by pixel, of the test
images of one digit (``--domain 1``); all test images in it are classified. The cells are made for
training images, so that the figures on test images are of images never seen. Networks and images
are looked for in $REDY_DATA/mnist, or ../shared/mnist.

Per network, layer, guarantee and number of cells asked for it prints how many there are, neurons of
the suffix left on average over the test images, the same with one cell, the share of test images
that no cell but the one for all the rest holds, multiply-accumulates of suffix and whole network on
average over the test images, test images classified otherwise than by the original in onnxruntime,
the largest difference of an output there, comparisons per dispatch, and seconds. What redy itself
says where cutting does not help is printed below the table.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import redy
from experiments.mnist import folder
from redy.formats.networks import LoadedNetwork, Reference
from redy.network.cost import cost
from redy.network.evaluate import evaluate
from redy.slicing.cells import Enclosed

COLUMNS = (
    "network",
    "layer",
    "guarantee",
    "cells asked",
    "cells",
    "left of the suffix",
    "with one cell",
    "in no other cell",
    "MACs of the suffix",
    "MACs of all",
    "classified otherwise",
    "largest difference",
    "comparisons",
    "s",
)


@dataclass(frozen=True)
class Images:
    """Training and test images in a domain: (n, 784) in [0, 1]."""

    domain: redy.Box
    training: np.ndarray
    test: np.ndarray

    @classmethod
    def of(cls, name: str) -> Images:
        """Those of the domain ``cube``, or of the hull of the test images of a digit."""
        training, _ = _read("mnist_train_20k.npz")
        test, labels = _read("mnist_test_10k.npz")
        if name == "cube":
            box = redy.Box(np.zeros(784), np.ones(784))
        else:
            digit = test[labels == int(name)]
            box = redy.Box(digit.min(axis=0), digit.max(axis=0))
        return cls(box, training[box.contains(training)], test[box.contains(test)])


def _read(name: str) -> tuple[np.ndarray, np.ndarray]:
    with np.load(folder() / name) as data:
        return data["X"].reshape(len(data["X"]), -1).astype(np.float64) / 255, data["y"]


@dataclass(frozen=True)
class Run:
    """One call of redy."""

    layer: int | None
    guarantee: str
    cells: int
    budget: int
    jobs: int

    def row(self, net: LoadedNetwork, images: Images) -> tuple[list[str], list[str]]:
        """Its line of the table, and what redy says of it."""
        decision = self.guarantee == "decision"
        begin = time.perf_counter()
        bundle = redy.simplify(
            net,
            images.domain,
            slicing="mid",
            slices=self.cells,
            layer=self.layer,
            weights=images.training,
            guarantee=self.guarantee,
            winner="max" if decision else None,
            budget=self.budget,
            jobs=self.jobs,
        )
        seconds = time.perf_counter() - begin
        mid = bundle.summary["mid"]
        original, found = Reference(net).outputs(images.test), bundle(images.test)
        changed = int((original.argmax(axis=1) != found.argmax(axis=1)).sum())
        cells = bundle.slice_of(images.test)
        left = (bundle.edits == redy.Edit.KEEP).sum(axis=1)[cells].mean()
        macs = np.array([part.macs for part in bundle.slices])[cells].mean()
        _, asked = bundle.slicing.tree.cell_of(_z(bundle, images))
        row = [
            Path(net.path).stem,
            str(mid["layer"]),
            self.guarantee,
            str(self.cells),
            str(mid["cells"]),
            f"{left:.1f} of {mid['suffix_neurons']}",
            str(mid["left_one_cell"]),
            f"{(cells == 0).mean():.1%}",
            f"{macs:,.0f} of {mid['macs_suffix']:,}",
            f"{mid['macs_prefix'] + macs:,.0f} of {cost(net.network).macs:,}",
            f"{changed} of {len(images.test):,}",
            "" if decision else f"{np.abs(original - found).max():.1e}",
            f"{asked.mean():.0f}",
            f"{seconds:.0f}",
        ]
        return row, mid["words"]


def _z(bundle: redy.Bundle, images: Images) -> Enclosed:
    """The layer that was cut on, for the test images."""
    return Enclosed.of(evaluate(bundle.parts.prefix, images.test), bundle.slicing.error)


def main(
    networks: Annotated[
        str, typer.Option(help="Files of the folder.")
    ] = "mnist-net_256x2.onnx,mnist-net_256x4.onnx",
    layers: Annotated[str, typer.Option(help="Hidden layers; auto: as redy chooses.")] = "auto",
    guarantees: Annotated[str, typer.Option(help="Guarantees.")] = "exact,decision",
    counts: Annotated[str, typer.Option("--cells", help="Cells asked for.")] = "1,16,256",
    domain: Annotated[str, typer.Option(help="cube, or a digit.")] = "cube",
    budget: Annotated[int, typer.Option(help="As of redy simplify.")] = 200,
    jobs: Annotated[int, typer.Option(help="As of redy simplify.")] = 1,
) -> None:
    """Print the table as Markdown."""
    images = Images.of(domain)
    fixed = int((images.domain.lower == images.domain.upper).sum())
    print(
        f"domain {domain}: {len(images.test):,} test images, {len(images.training):,} training "
        f"images, {fixed} of 784 pixels fixed; budget {budget}\n"
    )
    print(f"| {' | '.join(COLUMNS)} |")
    print(f"|{' --- |' * len(COLUMNS)}")
    said = []
    for network in networks.split(","):
        net = redy.load(folder() / network)
        depth = net.network.depth
        for name in [*range(1, depth + 1)] if layers == "all" else layers.split(","):
            layer = None if name == "auto" else int(name)
            if layer is not None and layer > depth:
                continue
            for guarantee in guarantees.split(","):
                for count in map(int, counts.split(",")):
                    run = Run(layer, guarantee, count, budget, jobs)
                    print(run, file=sys.stderr)
                    row, words = run.row(net, images)
                    print(f"| {' | '.join(row)} |", flush=True)
                    said += [f"{row[0]}, layer {row[1]}, {guarantee}, {count}: {w}" for w in words]
    print("\n" + "\n".join(said))


if __name__ == "__main__":
    typer.run(main)
