"""A coarse grid over a tree of boxes: per cell the node at which going down can begin.

A point's cell is found in numbers that stay in the processor's caches, and most points need few
steps from there, large leaves none.
"""

from __future__ import annotations

import math

import numpy as np

from redy.slicing.lookup import GridLookup, TreeLookup

MOST_CELLS = 2**16
"""A quarter of a MiB, which a processor's second cache holds."""

_PER_NODE = 4
"""Cells at most, of small trees."""


def shortcuts(
    tree: TreeLookup, inputs: int, most: int = MOST_CELLS
) -> tuple[GridLookup, np.ndarray]:
    """A grid of at most ``most`` cells on cuts of ``tree``.

    Returns:
        The grid, and per cell, numbered as it numbers them, the deepest node that all of the cell's
        points come by, or if that is a leaf -1 less its slice: (cells,) int64.
    """
    grid = GridLookup(_edges(tree, inputs, min(most, _PER_NODE * tree.inputs.size)))
    cut = [d for d, edges in enumerate(grid.edges) if edges.size]
    sides = [np.concatenate([[-np.inf], grid.edges[d], [np.inf]]) for d in cut]
    sizes = [side.size - 1 for side in sides]
    cells = np.indices(sizes).reshape(len(cut), math.prod(sizes))
    # Inputs that no edge cuts have one side, which is last.
    row = np.full(inputs, len(cut))
    row[cut] = np.arange(len(cut))
    whole = np.full((1, cells.shape[1]), np.inf)
    lower = np.concatenate([*(s[i][None] for s, i in zip(sides, cells, strict=True)), -whole])
    upper = np.concatenate([*(s[i + 1][None] for s, i in zip(sides, cells, strict=True)), whole])
    nodes = np.zeros(cells.shape[1], dtype=np.int64)
    moving = np.arange(nodes.size)
    while moving.size:
        moving = moving[tree.inputs[nodes[moving]] >= 0]
        at = nodes[moving]
        side, value = row[tree.inputs[at]], tree.cuts[at]
        below, above = upper[side, moving] <= value, lower[side, moving] >= value
        nodes[moving] = np.where(below | above, tree.links[at] + above, at)
        moving = moving[below | above]
    return grid, np.where(tree.inputs[nodes] >= 0, nodes, -1 - tree.links[nodes])


def _edges(tree: TreeLookup, inputs: int, most: int) -> tuple[np.ndarray, ...]:
    """Per input the cuts that are worth a grid's edge: what most points would be compared with."""
    share, inner = 0.5 ** _depths(tree), tree.inputs >= 0
    queues = []
    for d in range(inputs):
        of_input = inner & (tree.inputs == d)
        cuts, which = np.unique(tree.cuts[of_input], return_inverse=True)
        shares = np.bincount(which, weights=share[of_input], minlength=cuts.size)
        order = np.argsort(-shares, kind="stable")
        queues.append((cuts[order], shares[order]))
    taken, cells = [0] * inputs, 1
    while True:
        worth = [
            shares[n] / np.log((n + 2) / (n + 1))
            if n < shares.size and cells // (n + 1) * (n + 2) <= most
            else 0.0
            for n, (_, shares) in zip(taken, queues, strict=True)
        ]
        d = int(np.argmax(worth))
        if not worth[d] > 0.0:
            break
        cells = cells // (taken[d] + 1) * (taken[d] + 2)
        taken[d] += 1
    return tuple(np.sort(cuts[:n]) for n, (cuts, _) in zip(taken, queues, strict=True))


def _depths(tree: TreeLookup) -> np.ndarray:
    """How far each node lies below the root: (nodes,)."""
    depths = np.zeros(tree.inputs.size)
    level = np.zeros(1, dtype=np.int64)
    while level.size:
        inner = level[tree.inputs[level] >= 0]
        level = np.concatenate([tree.links[inner], tree.links[inner] + 1])
        depths[level] = np.tile(depths[inner] + 1, 2)
    return depths
