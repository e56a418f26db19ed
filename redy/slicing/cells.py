"""Cells of a hidden layer: boxes of its pre-activations z, fitted to points, and how one is found.

The points are told apart by the signs of a few neurons, as in a decision tree. For the points of
every node a set of neurons is chosen whose phase is the same at most of them, and their *cell* is
the box where these neurons have that phase; it may be narrowed to what the points inside of it
reach. A point that is not in the cell of its leaf may still be in that of a node above it, which
asks for less.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Enclosed:
    """Points of z, each known to lie between two numbers: (n, units) each."""

    lower: np.ndarray
    upper: np.ndarray

    @classmethod
    def of(cls, computed: np.ndarray, error: np.ndarray) -> Enclosed:
        """What is within ``error`` (units,) of ``computed`` (n, units), rounded outward."""
        return cls(np.nextafter(computed - error, -np.inf), np.nextafter(computed + error, np.inf))

    def signs(self, gap: np.ndarray) -> np.ndarray:
        """int8: the sign of what is at least ``gap`` (units,) from zero for certain, else 0."""
        return (self.lower >= gap).astype(np.int8) - (self.upper <= -gap).astype(np.int8)

    def of_rows(self, rows: np.ndarray) -> Enclosed:
        """Some of the points."""
        return Enclosed(self.lower[rows], self.upper[rows])


@dataclass(frozen=True, eq=False)
class CellTree:
    """Cells, and a tree of signs that says which of them a point may lie in.

    Attributes:
        unit: (nodes,) integers, the unit whose sign a node asks for; node 0 is the root.
        child: (nodes, 2) integers, the node to go to if the unit is negative, and if it is not; two
            zeros where the tree ends.
        cell: (nodes,) integers, the cell of the node's points; 0 if none is worth having.
        lower, upper: (cells, units) float64, infinite where a cell has no end. Cell 0 has none.

    Raises:
        ValueError: the parts do not fit together, or the nodes are no tree.
    """

    unit: np.ndarray
    child: np.ndarray
    cell: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    def __post_init__(self) -> None:
        if not (self._cells_fit() and self._nodes_fit()):
            raise ValueError("the tree of cells does not fit together")

    def _cells_fit(self) -> bool:
        return bool(
            self.lower.dtype == self.upper.dtype == np.float64
            and self.lower.ndim == 2
            and self.lower.shape == self.upper.shape
            and len(self.lower) >= 1
            and np.isneginf(self.lower[0]).all()
            and np.isposinf(self.upper[0]).all()
            and (self.lower <= self.upper).all()
        )

    def _nodes_fit(self) -> bool:
        nodes, inner = len(self.unit), self.child > 0
        return bool(
            all(array.dtype.kind == "i" for array in (self.unit, self.child, self.cell))
            and self.unit.shape == self.cell.shape == (nodes,)
            and self.child.shape == (nodes, 2)
            and ((self.unit >= 0) & (self.unit < self.lower.shape[1])).all()
            and ((self.cell >= 0) & (self.cell < self.cells)).all()
            and (inner.all(axis=1) | (self.child == 0).all(axis=1)).all()
            # Every node but the root is the child of one node, which comes before it.
            and np.array_equal(np.sort(self.child[inner]), np.arange(1, max(1, nodes)))
            and (~inner | (self.child > np.arange(nodes)[:, None])).all()
        )

    @property
    def cells(self) -> int:
        """Number of cells, cell 0 included."""
        return len(self.lower)

    @property
    def asked(self) -> list[int]:
        """The units whose signs the tree asks for, ascending."""
        return sorted(set(self.unit[self.child[:, 0] > 0].tolist()))

    @cached_property
    def _parent(self) -> np.ndarray:
        parent = np.full(len(self.unit), -1)
        inner = np.flatnonzero(self.child[:, 0])
        parent[self.child[inner]] = inner[:, None]
        return parent

    @cached_property
    def _ends(self) -> np.ndarray:
        """(cells,) how many ends each cell has."""
        return np.asarray(np.isfinite(self.lower).sum(axis=1) + np.isfinite(self.upper).sum(axis=1))

    def cell_of(self, points: Enclosed) -> tuple[np.ndarray, np.ndarray]:
        """The cell of each point: (n,) int64, and the comparisons that it took to find it, (n,).

        The nodes are tried from the leaf to the root: a point's cell is the first one that holds
        all that it may be; else cell 0.
        """
        cell = np.zeros(len(points.lower), dtype=np.int64)
        if not len(self.unit):
            return cell, cell.copy()
        node, taken = self._leaf_of(points.lower)
        rows = np.arange(cell.size)
        while rows.size:
            tried = self.cell[node[rows]]
            taken[rows] += self._ends[tried]
            inside = (tried > 0) & self._holds(tried, points.of_rows(rows))
            cell[rows[inside]] = tried[inside]
            node[rows] = self._parent[node[rows]]
            rows = rows[~inside & (node[rows] >= 0)]
        return cell, taken

    def _holds(self, cells: np.ndarray, points: Enclosed) -> np.ndarray:
        """Whether each of ``cells`` (n,) holds all that its point may be; false for NaN: (n,)."""
        above, below = points.lower >= self.lower[cells], points.upper <= self.upper[cells]
        return np.asarray((above & below).all(axis=1))

    def _leaf_of(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The leaf of each of ``z`` (n, units), and how many signs that took: (n,) int64 each.

        Any leaf would be right; that of a point's sign is likely to have a cell that holds it.
        """
        node, taken = np.zeros((2, len(z)), dtype=np.int64)
        rows = np.flatnonzero(self.child[node, 0])
        while rows.size:
            here = node[rows]
            side = (z[rows, self.unit[here]] >= 0).astype(np.int64)
            node[rows] = self.child[here, side]
            taken[rows] += 1
            rows = rows[self.child[node[rows], 0] > 0]
        return node, taken


def fit(
    points: Enclosed, neurons: np.ndarray, gap: np.ndarray, cells: int, *, narrow: bool = False
) -> CellTree:
    """At most ``cells`` cells, cell 0 included, fitted to ``points``.

    That leaf is cut next where, and by the neuron by which, the number of points and neurons that
    are not of the phase that prevails in their leaf falls most.

    Args:
        points: (n, units).
        neurons: the units that have phases; the others are linear.
        gap: (units,) the cells end so far from zero: z >= gap, z <= -gap.
        cells: how many.
        narrow: also end cells where the points inside of them do, for every neuron that may be
            active.
    """
    signs = points.signs(gap)[:, neurons]
    nodes = [_Node.of(signs, np.arange(len(signs)))] if cells > 1 else []
    child = [[0, 0] for _ in nodes]
    while nodes and len(nodes) + 2 < cells:
        best = max(range(len(nodes)), key=lambda n: 0.0 if child[n][0] else nodes[n].gain)
        node = nodes[best]
        if child[best][0] or node.gain <= 0.0:
            break
        active = signs[node.rows, node.cut] >= 0
        for side, rows in enumerate((node.rows[~active], node.rows[active])):
            child[best][side] = len(nodes)
            nodes.append(_Node.of(signs, rows))
            child.append([0, 0])
    ends = np.full((2, 1 + len(nodes), gap.size), np.inf)
    ends[0] = -np.inf
    cell: list[int] = []
    for node in nodes:
        phases = _prevailing(signs[node.rows])
        cell.append(max(cell, default=0) + 1 if phases.any() else 0)
        if cell[-1]:
            inside = node.rows[((signs[node.rows] == phases) | (phases == 0)).all(axis=1)]
            held = points.of_rows(inside) if narrow else None
            ends[:, cell[-1], neurons] = _ends(phases, gap[neurons], neurons, held)
    count = 1 + max(cell, default=0)
    return CellTree(
        neurons[np.array([node.cut for node in nodes], dtype=np.int64)].astype(np.int32),
        np.array(child, dtype=np.int32).reshape(-1, 2),
        np.array(cell, dtype=np.int32),
        ends[0, :count],
        ends[1, :count],
    )


def _ends(
    phases: np.ndarray, gap: np.ndarray, neurons: np.ndarray, held: Enclosed | None
) -> np.ndarray:
    """The ends (2, neurons) of a cell with ``phases``, narrowed to the points ``held``."""
    lower = np.where(phases > 0, gap, -np.inf)
    upper = np.where(phases < 0, -gap, np.inf)
    if held is not None:
        # Below zero all is the same to a ReLU, so that only what is above has to be narrow.
        lower = np.where(phases > 0, held.lower[:, neurons].min(axis=0), lower)
        highest = np.maximum(held.upper[:, neurons].max(axis=0), gap)
        upper = np.where(phases < 0, upper, highest)
    return np.stack([lower, upper])


@dataclass(frozen=True, eq=False)
class _Node:
    """Points ``rows``, the neuron ``cut`` to tell them apart by, and what that gains."""

    rows: np.ndarray
    cut: int
    gain: float

    @classmethod
    def of(cls, signs: np.ndarray, rows: np.ndarray) -> _Node:
        """The best cut of all, from how often two neurons are active together."""
        active = (signs[rows] >= 0).astype(np.float32)
        count = active.sum(axis=0, dtype=np.float64)
        both = (active.T @ active).astype(np.float64)  # (cut, neuron); exact, as counts are
        above, below = count[:, None], len(rows) - count[:, None]
        wrong = np.minimum(both, above - both).sum(axis=1)
        rest = count[None] - both
        wrong += np.minimum(rest, below - rest).sum(axis=1)
        gain = np.minimum(count, len(rows) - count).sum() - wrong
        gain[(count == 0) | (count == len(rows))] = 0.0
        cut = int(gain.argmax())
        return cls(rows, cut, float(gain[cut]))


def _prevailing(signs: np.ndarray) -> np.ndarray:
    """The phases (neurons,) int8 of the cell that removes most neurons, on average over points.

    Neurons are taken in the order of how few points have another phase; of the sets so made, the
    one is chosen for which (points in the cell) / (points + 2) times its size is largest. The two
    more, which are in no cell, stand for points not seen: few say little of others.
    """
    phase = np.where((signs >= 0).mean(axis=0) > 0.5, 1, -1).astype(np.int8)
    wrong = signs != phase
    order = np.argsort(wrong.mean(axis=0), kind="stable")
    inside = len(signs) - np.logical_or.accumulate(wrong[:, order], axis=1).sum(axis=0)
    worth = inside / (len(signs) + 2.0) * np.arange(1, order.size + 1)
    size = int(worth.argmax()) + 1 if worth.max() > 0.0 else 0
    phase[order[size:]] = 0
    return phase
