"""How much of an MNIST network is redundant around test images, with and without a solver.

    python -m experiments.mnist --images 5 --budget 50

The domain is the L-infinity ball of radius eps around an image X / 255, clipped to [0, 1], as in
the benchmark mnistfc of VNN-COMP 2021. Its 784 inputs are too many to cut, so what decides is CROWN
and the solver of the stage ``milp``. The images are the first ones of the test set that the network
classifies right. Networks and images are looked for in $REDY_DATA/mnist, or ../shared/mnist.

Per radius and guarantee it prints the share of neurons removed by the default stages alone and
with ``milp`` after ``phase``, both with seconds, the share that rests on a solver's word, and how
many of the domains end without any neuron.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import redy
from redy.criteria import Effort, chosen_stages
from redy.edits import Edits
from redy.formats.networks import LoadedNetwork
from redy.guarantee import Guarantee
from redy.network.evaluate import evaluate
from redy.pipeline import Pipeline
from redy.report import solver_trusted

CHECKED = 1000
"""Points at which each result is compared with the network in onnxruntime."""


@dataclass(frozen=True)
class Figures:
    """What one call of redy found: fractions of all neurons, and seconds."""

    removed: float
    trusted: float
    seconds: float

    @classmethod
    def of(
        cls, net: LoadedNetwork, box: redy.Box, guarantee: str, stages: list[str], effort: Effort
    ) -> Figures:
        """Simplify ``net`` on the one slice ``box``."""
        pipeline = Pipeline(
            net,
            effort,
            Guarantee.parse(guarantee, "max" if guarantee == "decision" else None),
            stages,
        )
        begin = time.perf_counter()
        (result,) = pipeline.run([0], box.lower[None], box.upper[None])
        seconds = time.perf_counter() - begin
        edits = result.edits or Edits.exact(net.network, result.status)
        trusted = solver_trusted([result], result.status[None], edits.criteria[None], np.ones(1))
        return cls(edits.removed / edits.codes.size, trusted, seconds)


def folder() -> Path:
    """Where networks and images are."""
    given = os.environ.get("REDY_DATA")
    return (Path(given) if given else Path(__file__).resolve().parents[2] / "shared") / "mnist"


def images(net: LoadedNetwork, count: int) -> list[np.ndarray]:
    """The first ``count`` test images that ``net`` classifies right: (784,) in [0, 1] each."""
    with np.load(folder() / "mnist_test_10k.npz") as data:
        x, labels = data["X"][: 100 + 2 * count], data["y"][: 100 + 2 * count]
    points = x.reshape(len(x), -1).astype(np.float64) / 255
    right = evaluate(net.network, points).argmax(axis=1) == labels
    return list(points[right][:count])


def ball(image: np.ndarray, eps: float) -> redy.Box:
    """The images within ``eps`` of ``image``."""
    return redy.Box(np.clip(image - eps, 0, 1), np.clip(image + eps, 0, 1))


def main(
    network: Annotated[str, typer.Option(help="A file of the folder.")] = "mnist-net_256x2.onnx",
    count: Annotated[int, typer.Option("--images", help="How many.")] = 5,
    radii: Annotated[str, typer.Option("--eps", help="Radii.")] = "0.01,0.02,0.03,0.05",
    budget: Annotated[int, typer.Option(help="As of redy simplify.")] = 50,
    time_limit: Annotated[float | None, typer.Option(help="As of redy simplify.")] = None,
    solver: Annotated[str, typer.Option(help="As of redy simplify.")] = "auto",
) -> None:
    """Print the table as Markdown."""
    net = redy.load(folder() / network)
    points = images(net, count)
    effort = Effort(budget, time_limit, CHECKED, solver)
    print(f"{network}, {count} images, budget {budget}, solver {solver}\n")
    print("| eps | guarantee | removed | s | with milp | s | on a solver's word | no neuron left |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for eps in map(float, radii.split(",")):
        for guarantee in ("exact", "decision"):
            pairs = []
            for number, image in enumerate(points, start=1):
                print(f"eps {eps}, {guarantee}, image {number}", file=sys.stderr)
                box = ball(image, eps)
                first, *rest = chosen_stages(Guarantee.parse(guarantee))
                both = ([first, *rest], [first, "milp", *rest])
                pairs.append([Figures.of(net, box, guarantee, each, effort) for each in both])
            print(f"| {eps} | {guarantee} | {_cells(pairs)} |", flush=True)


def _cells(pairs: list[list[Figures]]) -> str:
    """Means over the images, of both ways."""
    without, asked = (
        np.mean([[f.removed, f.seconds, f.trusted] for f in way], axis=0)
        for way in zip(*pairs, strict=True)
    )
    emptied = sum(f.removed == 1.0 for _, f in pairs)
    cells = [
        f"{without[0]:.1%}",
        f"{without[1]:.1f}",
        f"{asked[0]:.1%}",
        f"{asked[1]:.1f}",
        f"{asked[2]:.1%}",
        f"{emptied} of {len(pairs)}",
    ]
    return " | ".join(cells)


if __name__ == "__main__":
    typer.run(main)
