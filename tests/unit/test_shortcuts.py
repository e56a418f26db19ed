"""Where going down a tree can begin: at a node that every point of the cell comes by."""

from __future__ import annotations

import numpy as np
import pytest

from redy.dispatch.shortcuts import shortcuts
from redy.domain import Box
from redy.slicing.adaptive import Adaptive
from redy.slicing.lookup import GridLookup, TreeLookup, in_single
from tests.unit.test_evaluator import DOMAIN, random_tree


@pytest.mark.parametrize("most", [1, 2, 5, 64, 2**16])
@pytest.mark.parametrize("seed", range(4))
def test_from_there_every_point_comes_to_its_slice(seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    slicing = random_tree(rng, 60)
    tree = slicing.lookup()
    points = np.concatenate([DOMAIN.sample(200, rng), around_faces(slicing)])
    for lookup in (tree, in_single(tree)):
        grid, starts = shortcuts(lookup, 2, most)
        assert starts.size == np.prod([edges.size + 1 for edges in grid.edges])
        assert starts.size <= min(most, 4 * lookup.inputs.size)
        for edges, d in zip(grid.edges, range(2), strict=True):
            assert set(edges) <= set(lookup.cuts[lookup.inputs == d])
        given = points.astype(lookup.cuts.dtype)
        given = given[DOMAIN.contains(given.astype(np.float64))]
        found, steps = went_down(lookup, starts[cells(grid, given)], given)
        np.testing.assert_array_equal(found, slicing.slice_of(given.astype(np.float64)))
        if most == 1:
            assert (starts == 0).all()
        if most == 2**16:
            _, all_steps = went_down(lookup, np.zeros(len(given), np.int64), given)
            assert steps < 0.5 * all_steps


def test_one_leaf_is_one_cell() -> None:
    tree = Adaptive(Box(np.zeros(2), np.ones(2)), np.zeros(1, np.uint16)).lookup()
    grid, starts = shortcuts(tree, 2)
    assert [edges.size for edges in grid.edges] == [0, 0]
    assert starts.tolist() == [-1]


def test_many_inputs_of_which_few_are_cut() -> None:
    box = Box(np.zeros(300), np.ones(300))
    cuts = np.array([8, 300, 8, 0, 0, 0, 0], dtype=np.uint16)
    tree = Adaptive(box, cuts).lookup()
    grid, starts = shortcuts(tree, 300)
    assert [d for d, edges in enumerate(grid.edges) if edges.size] == [7, 299]
    points = box.sample(50, np.random.default_rng(0))
    found, steps = went_down(tree, starts[cells(grid, points)], points)
    np.testing.assert_array_equal(found, Adaptive(box, cuts).slice_of(points))
    assert steps == 0


def around_faces(slicing: Adaptive) -> np.ndarray:
    lower, upper = slicing.boxes(np.arange(slicing.slices))
    ends = np.concatenate([lower, upper])
    beside = np.concatenate([np.nextafter(ends, side) for side in (-np.inf, np.inf)])
    every = np.concatenate([ends, beside])
    return every[slicing.domain.contains(every)]


def cells(grid: GridLookup, points: np.ndarray) -> np.ndarray:
    index = np.zeros(len(points), dtype=np.int64)
    for d, edges in enumerate(grid.edges):
        index = index * (edges.size + 1) + np.searchsorted(edges, points[:, d], side="right")
    return index


def went_down(tree: TreeLookup, nodes: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, int]:
    """The slices that points come to from ``nodes``, and how many steps that takes in all."""
    leaf = np.zeros(tree.links.max() + 1, dtype=np.int64)
    leaf[tree.links[tree.inputs < 0]] = np.flatnonzero(tree.inputs < 0)
    nodes = np.where(nodes < 0, leaf[(-1 - nodes).clip(0)], nodes)
    rows, steps = np.arange(len(points)), 0
    while (inner := tree.inputs[nodes] >= 0).any():
        at, of = nodes[inner], rows[inner]
        nodes[inner] = tree.links[at] + (points[of, tree.inputs[at]] >= tree.cuts[at])
        steps += len(at)
    return tree.links[nodes], steps
