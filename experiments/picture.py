"""Draw a bundle: where in the domain neurons are left, and what became of each layer's neurons.

    python experiments/picture.py 1_1.redy 1_1.png --inputs 0,1

The left panel averages over all inputs but the two named; the right one over all slices.
"""

from __future__ import annotations

import argparse

import matplotlib as mpl
import numpy as np

import redy
from redy.edits import Edit, Status, edits_of
from redy.slicing.grid import Grid

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

COLORS = {"zero": "#c9d8e6", "linear": "#7fa7c9", "unknown": "#e8c468", "both phases": "#c05746"}


def left_map(axes: Axes, bundle: redy.Bundle, inputs: tuple[int, int]) -> None:
    """Percentage of neurons left, by the two ``inputs``."""
    grid = bundle.slicing
    if not isinstance(grid, Grid):
        raise SystemExit("the map needs a grid")
    left = np.full(grid.slices, np.nan)
    left[bundle.done] = 100 * (bundle.edits == Edit.KEEP).mean(axis=1)
    others = tuple(d for d in range(len(grid.counts)) if d not in inputs)
    table = np.nanmean(left.reshape(grid.counts), axis=others)
    if inputs[0] < inputs[1]:
        table = table.T
    x, y = inputs
    mesh = axes.pcolormesh(grid.edges[x], grid.edges[y], table, cmap="magma_r", vmin=0)
    axes.figure.colorbar(mesh, ax=axes, label="% of neurons left")
    axes.set(xlabel=f"input {x}", ylabel=f"input {y}", title="what is left, over the domain")


def layer_bars(axes: Axes, bundle: redy.Bundle) -> None:
    """Stacked bars per layer: proved zero, proved linear, undecided, shown in both phases."""
    layer_of = np.array([k for k, _ in bundle.network.neurons])
    layers = np.unique(layer_of)
    edits = edits_of(bundle.status)
    kept = edits == Edit.KEEP
    parts = {
        "zero": edits == Edit.ZERO,
        "linear": edits == Edit.IDENTITY,
        "unknown": kept & (bundle.status != Status.REFUTED),
        "both phases": bundle.status == Status.REFUTED,
    }
    bottom = np.zeros(len(layers))
    for name, mask in parts.items():
        share = np.array([100 * mask[:, layer_of == k].mean() for k in layers])
        axes.bar(layers, share, bottom=bottom, color=COLORS[name], label=name, width=0.7)
        bottom += share
    axes.set(
        xlabel="layer", ylabel="% of neurons, mean over slices", title="what neurons proved to be"
    )
    axes.legend(loc="lower center", ncols=2, fontsize=8, framealpha=0.9)


def main() -> None:
    """Read the bundle, draw both panels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("out")
    parser.add_argument("--inputs", default="0,1", help="the two inputs of the map")
    arguments = parser.parse_args()
    bundle = redy.open(arguments.bundle)
    x, y = (int(part) for part in arguments.inputs.split(","))
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    left_map(left, bundle, (x, y))
    layer_bars(right, bundle)
    figure.savefig(arguments.out, dpi=110)


if __name__ == "__main__":
    main()
