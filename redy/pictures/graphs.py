"""The networks of an almost linear and of a complex slice, side by side.

As figure 10 of Lahav and Katz, "Pruning and Slicing Neural Networks using Formal Verification"
(FMCAD 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D

from redy.dispatch.bundle import Bundle
from redy.network.cost import cost
from redy.network.form import Network, dense
from redy.pictures.style import BLACK, BLUE, ORANGE, VERMILION

EDGES = 20_000
"""More than these, the largest of all, would be one grey area."""

_FEW = 500
"""Fewer edges than these are told apart one by one."""

_MANY = 16
"""Columns beyond which there is no room to say what each holds."""

_TOP = 0.66
"""Nodes stand between -0.5 and 0.5; curves go a little beyond."""


@dataclass(frozen=True, eq=False)
class Graph:
    """A network as nodes in columns, and its largest weights as edges.

    Attributes:
        relu: per column, the input first and the output last, which units have a ReLU: (units,).
        ends: (edges, 4) int64: column and unit that is read, column and unit that reads.
        strength: (edges,) absolute weight, as a share of the largest that the reading layer has.
        weights: how many weights are not zero; no fewer than edges.
    """

    relu: tuple[np.ndarray, ...]
    ends: np.ndarray
    strength: np.ndarray
    weights: int


def graph(network: Network) -> Graph:
    """``network`` as a graph of at most ``EDGES`` edges."""
    relu = (np.zeros(network.inputs, dtype=bool), *(layer.relu for layer in network.layers))
    ends, strength = [np.zeros((0, 4), dtype=np.int64)], [np.zeros(0)]
    for k, layer in enumerate(network.layers, start=1):
        blocks = {j: np.abs(dense(matrix)) for j, matrix in layer.weights.items()}
        largest = max((float(b.max(initial=0.0)) for b in blocks.values()), default=0.0)
        for j, block in blocks.items():
            reading, read = np.nonzero(block)
            columns = np.full((2, reading.size), [[j], [k]])
            ends.append(np.stack([columns[0], read, columns[1], reading], axis=1))
            strength.append(block[reading, read] / largest)
    all_ends, all_strengths = np.concatenate(ends), np.concatenate(strength)
    strongest = np.sort(np.argsort(-all_strengths, kind="stable")[:EDGES])
    return Graph(relu, all_ends[strongest], all_strengths[strongest], len(all_ends))


def example_slices(neurons: np.ndarray, done: np.ndarray) -> tuple[int, ...]:
    """An almost linear slice of ``done`` (m,) and a complex one; ``neurons`` (m,) are left in them.

    The first with the fewest but not none, where there is one, and the first with the most; one
    slice where these are the same.
    """
    some = np.flatnonzero(neurons > 0)
    fewest = int(some[neurons[some].argmin()]) if some.size else 0
    return tuple(dict.fromkeys((int(done[fewest]), int(done[neurons.argmax()]))))


def chosen_slices(bundle: Bundle, asked: tuple[int, ...]) -> tuple[int, ...]:
    """The slices to draw: ``asked``, or else :func:`example_slices`."""
    return asked or example_slices(bundle.network_neurons, bundle.done)


def draw(into: FigureBase, bundle: Bundle, slices: tuple[int, ...]) -> None:
    """Draw the networks of ``slices`` on an empty figure."""
    panels = into.subplots(1, len(slices), squeeze=False)[0]
    original = cost(bundle.base)
    for axes, index in zip(panels, slices, strict=True):
        part = bundle.slices[index]
        shown = graph(part.network)
        _draw_graph(axes, shown)
        axes.set_title(
            f"slice {index}: {part.cost.neurons} of {original.neurons} neurons\n"
            f"{part.macs:,} of {original.macs:,} multiply-accumulates{_rest(shown)}",
            fontsize=9,
        )
    into.legend(handles=_legend(), loc="outside lower center", ncols=5)


def _rest(shown: Graph) -> str:
    few = len(shown.strength) < shown.weights
    return f", the {len(shown.strength):,} largest weights drawn" if few else ""


def _draw_graph(axes: Axes, shown: Graph) -> None:
    places = [_column(k, len(relu)) for k, relu in enumerate(shown.relu)]
    _draw_edges(axes, shown, places)
    last = len(places) - 1
    for k, (place, relu) in enumerate(zip(places, shown.relu, strict=True)):
        size = float(np.clip(900.0 / max(len(relu), 1), 3.0, 34.0))
        if k in {0, last}:
            axes.scatter(place[:, 0], place[:, 1], s=size, c=BLACK, marker="s", zorder=3)
            continue
        kept, linear = place[relu], place[~relu]
        axes.scatter(kept[:, 0], kept[:, 1], s=size, c=VERMILION, zorder=3)
        look: dict[str, Any] = {"facecolors": "white", "edgecolors": BLUE, "marker": "D"}
        axes.scatter(linear[:, 0], linear[:, 1], s=size, zorder=3, **look)
    axes.set_xticks(range(last + 1), [_label(shown, k) for k in range(last + 1)])
    axes.tick_params(length=0, labelsize=8 if last < 9 else 6)
    axes.set(yticks=[], xlim=(-0.4, last + 0.4), ylim=(-_TOP, _TOP))
    axes.spines[:].set_visible(False)


def _label(shown: Graph, k: int) -> str:
    """A column's name and what it holds."""
    relu, last = shown.relu[k], len(shown.relu) - 1
    if k in {0, last}:
        return f"{'output' if k else 'input'}\n{len(relu)}"
    if last > _MANY:
        return str(k)
    linear = f"\n{int((~relu).sum())} linear" if not relu.all() else ""
    return f"layer {k}\n{int(relu.sum())} ReLU{linear}"


def _column(k: int, units: int) -> np.ndarray:
    """Where the units of column k stand: (units, 2), the first on top."""
    span = 0.5 * min(1.0, (units - 1) / 10)
    return np.stack([np.full(units, float(k)), np.linspace(span, -span, units)], axis=1)


def _draw_edges(axes: Axes, shown: Graph, places: list[np.ndarray]) -> None:
    """Straight lines to the next column; curves that bend outwards past the columns between."""
    skips = shown.ends[:, 2] - shown.ends[:, 0] > 1
    faintest, darkest = (0.2, 0.95) if len(shown.ends) < _FEW else (0.02, 0.45)
    for chosen, colour in ((skips, ORANGE), (~skips, BLACK)):
        ends, strength = shown.ends[chosen], shown.strength[chosen]
        if not len(ends):
            continue
        start = np.array([places[j][i] for j, i in ends[:, :2]])
        end = np.array([places[k][i] for k, i in ends[:, 2:]])
        colours = np.tile(to_rgba(colour), (len(ends), 1))
        colours[:, 3] = faintest + (darkest - faintest) * strength
        lines = LineCollection(list(_curves(start, end)), colors=list(colours), linewidths=0.7)
        # Thousands of vector lines would make a page of many megabytes.
        lines.set_rasterized(len(shown.ends) >= _FEW)
        axes.add_collection(lines)


def _curves(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Quadratic curves from ``start`` to ``end`` (edges, 2) each: (edges, points, 2)."""
    middle = 0.5 * (start + end)
    columns = end[:, :1] - start[:, :1]
    height = np.minimum(0.97 * _TOP, np.abs(middle[:, 1:]) + 0.08 + 0.05 * columns)
    bent = 2.0 * np.copysign(height, middle[:, 1:]) - middle[:, 1:]
    control = np.where(columns > 1.0, np.concatenate([middle[:, :1], bent], axis=1), middle)
    t = np.linspace(0.0, 1.0, 17)[None, :, None]
    return np.asarray(
        (1 - t) ** 2 * start[:, None] + 2 * t * (1 - t) * control[:, None] + t**2 * end[:, None]
    )


def _legend() -> list[Line2D]:
    def mark(shape: str, face: str, edge: str, label: str) -> Line2D:
        return Line2D(
            [],
            [],
            linestyle="none",
            marker=shape,
            markersize=5,
            markerfacecolor=face,
            markeredgecolor=edge,
            label=label,
        )

    return [
        mark("s", BLACK, BLACK, "input, output"),
        mark("o", VERMILION, VERMILION, "ReLU neuron left"),
        mark("D", "white", BLUE, "linear unit"),
        Line2D([], [], color=BLACK, linewidth=1, label="weight"),
        Line2D([], [], color=ORANGE, linewidth=1, label="weight past a layer (folded)"),
    ]
