"""Cells of a hidden layer: what is fitted, which cell a point gets, and trees that are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from redy.slicing.cells import CellTree, Enclosed, fit

GAP = 0.125
POINTS = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 40), st.integers(1, 6)),
    elements=st.sampled_from([-2.0, -1.0, -GAP, -0.1, 0.0, 0.1, GAP, 1.0, 1.5, 3.0]),
)


def known(points: np.ndarray, error: float = 0.0) -> Enclosed:
    return Enclosed(points - error, points + error)


def fitted(points: np.ndarray, cells: int, **options: bool) -> CellTree:
    units = points.shape[1]
    return fit(known(points), np.arange(units), np.full(units, GAP), cells, **options)


@given(POINTS, st.integers(1, 20), st.booleans(), st.sampled_from([0.0, 0.05, 0.3]))
def test_all_that_a_point_may_be_is_in_its_cell(points, cells, narrow, error):
    tree = fitted(points, cells, narrow=narrow)
    assert 1 <= tree.cells <= cells
    cell, taken = tree.cell_of(known(points, error))
    assert (tree.lower[cell] <= points - error).all()
    assert (points + error <= tree.upper[cell]).all()
    ends = np.isfinite(tree.lower).sum(axis=1) + np.isfinite(tree.upper).sum(axis=1)
    assert (taken >= ends[cell]).all()


@given(POINTS, st.integers(2, 20), st.booleans())
def test_every_cell_but_the_first_holds_a_point_and_asks_for_something(points, cells, narrow):
    tree = fitted(points, cells, narrow=narrow)
    for lower, upper in zip(tree.lower[1:], tree.upper[1:], strict=True):
        assert ((lower == GAP) | (upper == -GAP) | (lower >= GAP)).any()
        assert ((lower <= points) & (points <= upper)).all(axis=1).any()


@given(POINTS, st.integers(2, 20), st.booleans())
def test_a_point_is_in_cell_0_only_if_the_root_s_cell_does_not_hold_it(points, cells, narrow):
    tree = fitted(points, cells, narrow=narrow)
    cell, _ = tree.cell_of(known(points))
    root = int(tree.cell[0])
    held = ((tree.lower[root] <= points) & (points <= tree.upper[root])).all(axis=1)
    assert not ((root > 0) & held & (cell == 0)).any()


@given(POINTS)
def test_one_cell_is_everything(points):
    tree = fitted(points, 1)
    assert tree.cells == 1
    assert not tree.cell_of(known(points))[0].any()
    assert not tree.asked


def test_units_that_are_no_neurons_are_not_asked_for():
    points = np.random.default_rng(0).choice([-1.0, 1.0], (50, 4))
    tree = fit(known(points), np.array([1, 3]), np.full(4, GAP), 12, narrow=True)
    assert tree.cells > 2
    assert set(tree.asked) <= {1, 3}
    assert np.isinf(tree.lower[:, [0, 2]]).all()
    assert np.isinf(tree.upper[:, [0, 2]]).all()


def test_clear_groups_are_found():
    groups = np.array([[1, 1, -1, -1], [-1, -1, 1, 1], [1, -1, 1, -1]], dtype=float)
    tree = fitted(np.repeat(groups, 50, axis=0), 6)
    assert tree.cells == 6
    cell, _ = tree.cell_of(known(groups))
    assert len(set(cell.tolist())) == 3
    assert (np.where(tree.lower[cell] == GAP, 1, -1) == groups).all()
    assert (np.where(tree.upper[cell] == -GAP, -1, 1) == groups).all()


def test_neurons_that_would_drive_too_many_points_out_are_left_alone():
    points = np.ones((100, 3))
    points[:50, 2] = -1
    tree = fitted(points, 2)
    assert tree.lower[1].tolist() == [GAP, GAP, -np.inf]
    assert np.isposinf(tree.upper[1]).all()
    assert (tree.cell_of(known(points))[0] == 1).all()


def test_narrow_cells_end_where_their_points_do():
    points = np.array([[1.0, -1.0, 0.5], [2.0, -2.0, -0.5], [3.0, -1.0, -0.5]] * 40)
    tree = fitted(points, 2, narrow=True)
    assert tree.lower[1].tolist() == [1.0, -np.inf, -np.inf]
    assert tree.upper[1].tolist() == [3.0, -GAP, 0.5]
    beyond = np.array([[3.1, -1.0, 0.0], [0.9, -1.0, 0.0], [2.0, -1.0, 0.6], [2.0, -9.0, -9.0]])
    assert tree.cell_of(known(beyond))[0].tolist() == [0, 0, 0, 1]


def test_what_is_uncertain_leads_to_cell_0():
    tree = fitted(np.ones((100, 2)), 2)
    z = np.array([[1.0, 1.0], [1.0, GAP], [1.0, np.nextafter(GAP, 0)], [-1.0, 1.0], [np.nan, 1.0]])
    assert tree.cell_of(known(z))[0].tolist() == [1, 1, 0, 0, 0]
    assert tree.cell_of(known(z, 1e-9))[0].tolist() == [1, 0, 0, 0, 0]


@given(POINTS, st.sampled_from([1e-300, 1e-17, 0.1]))
def test_what_is_within_an_error_is_enclosed(points, error):
    """1e-17 vanishes beside 1.0: rounding outward is what is left of it."""
    found = Enclosed.of(points, np.full(points.shape[1], error))
    assert (found.lower < points).all()
    assert (points < found.upper).all()
    assert (found.lower <= points - error).all()
    assert (found.upper >= points + error).all()


ALL, UP, DOWN = ([-np.inf, np.inf], [GAP, np.inf], [-np.inf, -GAP])
THREE = np.array([[ALL, ALL], [UP, ALL], [DOWN, ALL]]).transpose(2, 0, 1)
NO = np.zeros((0, 2), dtype=np.int32)


@pytest.mark.parametrize(
    ("unit", "child", "cell", "ends"),
    [
        ([0], [[0, 0]], [3], THREE),  # no such cell
        ([0], [[0, 0]], [-1], THREE),
        ([2], [[0, 0]], [1], THREE),  # no such unit
        ([-1], [[0, 0]], [1], THREE),
        ([0], [[0, 0], [0, 0]], [1], THREE),
        ([0], [[1, 2]], [1], THREE),  # no such nodes
        ([0, 0], [[1, 0], [0, 0]], [1, 1], THREE),  # one child
        ([0, 0, 0], [[0, 0], [0, 0], [0, 0]], [1, 1, 1], THREE),  # nodes that nothing leads to
        ([0, 0, 0], [[1, 1], [0, 0], [0, 0]], [1, 1, 1], THREE),  # two ways to a node
        ([0, 0, 0], [[0, 0], [1, 2], [0, 0]], [1, 1, 1], THREE),  # a node that leads to itself
        ([0, 0, 0], [[0, 0], [2, 2], [1, 1]], [1, 1, 1], THREE),
        ([0, 0, 0], [[1, 2], [-1, -1], [0, 0]], [1, 1, 1], THREE),
        ([], NO, [], THREE[:, 1:]),  # cell 0 has ends
        ([], NO, [], THREE[::-1]),
        ([], NO, [], np.full((2, 1, 2), np.nan)),
        ([], NO, [], THREE[:, :0]),
        ([], NO, [], THREE.astype(np.float32)),
        ([], NO * 1.0, [], THREE),
    ],
)
def test_a_tree_that_is_none(unit, child, cell, ends):
    unit, cell = np.array(unit, dtype=np.int32), np.array(cell, dtype=np.int32)
    with pytest.raises(ValueError, match="does not fit together"):
        CellTree(unit, np.array(child), cell, *ends)


def test_a_tree_of_several_nodes_is_one():
    """Node 2 has no cell; node 4's asks for the second unit too, its ancestors' for less."""
    ends = np.array([[ALL, ALL], [UP, ALL], [DOWN, ALL], [UP, UP]]).transpose(2, 0, 1)
    tree = CellTree(
        np.array([0, 0, 1, 0, 0]),
        np.array([[1, 2], [0, 0], [3, 4], [0, 0], [0, 0]]),
        np.array([1, 2, 0, 0, 3]),
        *ends,
    )
    z = np.array([[-1.0, 1.0], [1.0, -1.0], [1.0, 1.0], [0.1, -1.0], [1.0, 0.1]])
    cell, taken = tree.cell_of(known(z))
    assert cell.tolist() == [2, 1, 3, 0, 1]
    assert taken.tolist() == [1 + 1, 2 + 1, 2 + 2, 2 + 1, 2 + 2 + 1]
    assert tree.asked == [0, 1]
