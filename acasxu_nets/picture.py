"""The advisory over the plane around the own aircraft: the solution beside the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from . import encounter, network_files

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from .encounter import Array
    from .network_files import Layers

COLOURS = ("#f2f2f2", "#9ecae1", "#fdbe85", "#2171b5", "#d94701")
PSI, V_OWN, V_INT = np.pi / 2, 600.0, 600.0  # the intruder flies to the left, as fast
AHEAD, ASIDE = (-15_000.0, 40_000.0), (-40_000.0, 20_000.0)  # ft
PIXELS = 180


def draw(layers: Layers, path: Path) -> None:
    """Write the picture as a small PNG."""
    states = _grid()
    maps = {
        "solution": encounter.advisory_costs(states),
        "network": network_files.evaluate(layers, encounter.normalise(states)),
    }
    figure = Figure(figsize=(9.0, 4.8), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (title, costs) in zip(axes, maps.items(), strict=True):
        _draw_map(axis, title, costs.argmin(axis=1))
    axes[0].set_ylabel("intruder ahead (1000 ft)")
    patches = [
        Patch(facecolor=c, edgecolor="grey", label=a)
        for c, a in zip(COLOURS, encounter.ADVISORIES, strict=True)
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=5, frameon=False)
    canvas.print_png(path)


def _grid() -> Array:
    """States (PIXELS ** 2, 5), rows from behind to ahead, columns from left to right."""
    ahead, aside = np.linspace(*AHEAD, PIXELS), np.linspace(ASIDE[1], ASIDE[0], PIXELS)
    x, y = (z.ravel() for z in np.meshgrid(ahead, aside, indexing="ij"))
    other = [np.full(x.size, value) for value in (PSI, V_OWN, V_INT)]
    return np.stack([np.hypot(x, y), np.arctan2(y, x), *other], axis=1)


def _draw_map(axis: Axes, title: str, advisory: NDArray[np.intp]) -> None:
    """One panel; the own aircraft is the triangle and flies up."""
    extent = (-ASIDE[1] / 1000, -ASIDE[0] / 1000, AHEAD[0] / 1000, AHEAD[1] / 1000)
    axis.imshow(
        advisory.reshape(PIXELS, PIXELS),
        cmap=ListedColormap(COLOURS),
        vmin=0,
        vmax=4,
        origin="lower",
        extent=extent,
        interpolation="nearest",
    )
    axis.plot(0, 0, marker="^", color="black", markersize=7)
    axis.annotate("", (2, -12), (9, -12), arrowprops={"arrowstyle": "->"})
    axis.text(10, -12, "intruder's heading", va="center", fontsize=8)
    axis.set_title(title)
    axis.set_xlabel("intruder to the right (1000 ft)")
