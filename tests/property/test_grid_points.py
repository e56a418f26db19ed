"""Slices cover the domain, and the dispatcher's choice of a slice agrees with the slice's box."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from redy.domain import Box
from redy.errors import UsageError
from redy.slicing import restore
from redy.slicing.grid import Grid

ENDS = st.one_of(
    st.floats(-10, 10),
    st.integers(-4, 4).map(float),
    st.sampled_from([0.0, 1e-300, -5e-324, 1e16, -1e16, 1 / 3, 0.1, 1e150, -1e150, 1e300]),
)


@st.composite
def grids(draw, most=7):
    ends = draw(st.lists(st.tuples(ENDS, ENDS).map(sorted), min_size=1, max_size=3))
    lower, upper = np.array(ends, dtype=float).T
    counts = [draw(st.integers(1, most if a < b else 1)) for a, b in ends]
    try:
        return Grid(Box(lower, upper), tuple(counts))
    except UsageError:  # an interval too narrow for its cuts
        assume(False)
        raise


@st.composite
def points_of(draw, grid):
    """A point of the domain: on edges, one float beside an edge, single precision, anywhere."""
    point = []
    for d in range(grid.domain.dimension):
        lower, upper = grid.domain.lower[d], grid.domain.upper[d]
        near = draw(st.sampled_from([float(e) for e in grid.edges[d]]))
        value = draw(
            st.one_of(
                st.just(near),
                st.sampled_from([np.nextafter(near, -np.inf), np.nextafter(near, np.inf)]),
                st.floats(float(lower), float(upper)),
            )
        )
        point.append(min(max(float(value), float(lower)), float(upper)))
    return np.array(point)


def all_boxes(grid):
    return grid.boxes(np.arange(grid.slices))


@given(grids(), st.data())
def test_every_point_belongs_to_one_slice_that_contains_it(grid, data):
    points = np.array([data.draw(points_of(grid)) for _ in range(5)])
    owner = grid.slice_of(points)
    assert owner.shape == (5,)
    assert ((owner >= 0) & (owner < grid.slices)).all()
    lower, upper = grid.boxes(owner)
    assert ((lower <= points) & (points <= upper)).all()
    # One point or many: the same answer.
    assert [int(grid.slice_of(point[None])[0]) for point in points] == owner.tolist()


@given(grids(), st.data())
def test_single_precision_points_belong_to_the_slice_that_contains_them(grid, data):
    with np.errstate(over="ignore"):
        point = data.draw(points_of(grid)).astype(np.float32)
    assume(bool(grid.domain.contains(point[None])[0]))
    owner = grid.slice_of(point[None])
    assert owner.tolist() == grid.slice_of(point[None].astype(np.float64)).tolist()
    lower, upper = grid.boxes(owner)
    exact = point.astype(np.float64)
    assert ((lower <= exact) & (exact <= upper)).all()


@given(grids(), st.data())
def test_another_box_that_contains_the_point_shares_a_face_there(grid, data):
    point = data.draw(points_of(grid))
    lower, upper = all_boxes(grid)
    holds = ((lower <= point) & (point <= upper)).all(axis=1)
    owner = int(grid.slice_of(point[None])[0])
    assert holds[owner]
    for other in np.flatnonzero(holds):
        same = (lower[other] == lower[owner]) & (upper[other] == upper[owner])
        on_face = (point == upper[other]) & (upper[other] == lower[owner])
        assert (same | on_face).all()  # the owner is the one above the face


@given(grids())
def test_slices_cover_the_domain_and_meet_in_faces_only(grid):
    lower, upper = all_boxes(grid)
    assert (lower >= grid.domain.lower).all()
    assert (upper <= grid.domain.upper).all()
    for d, count in enumerate(grid.counts):
        pairs = sorted(set(zip(lower[:, d].tolist(), upper[:, d].tolist(), strict=True)))
        assert len(pairs) == count
        assert pairs[0][0] == grid.domain.lower[d]
        assert pairs[-1][1] == grid.domain.upper[d]
        assert all(a[1] == b[0] for a, b in pairwise(pairs))
    assert len({(*a, *b) for a, b in zip(lower.tolist(), upper.tolist(), strict=True)}) == (
        grid.slices
    )


@given(grids())
def test_corners_and_middles_of_a_slice_lie_in_it(grid):
    """Middles belong to their own slice, lower corners too; upper corners to it or one above."""
    indices = np.arange(grid.slices)
    lower, upper = all_boxes(grid)
    middle = np.clip(0.5 * lower + 0.5 * upper, lower, upper)
    inside = ((middle < upper) | (lower == upper) | (upper == grid.domain.upper)).all(axis=1)
    assert np.array_equal(grid.slice_of(middle)[inside], indices[inside])
    assert np.array_equal(grid.slice_of(lower), indices)
    assert (grid.slice_of(upper) >= indices).all()


@given(grids())
def test_a_description_restores_the_grid_exactly(grid):
    text = json.dumps(grid.describe())
    again = restore(json.loads(text), grid.arrays())
    assert again.describe() == grid.describe()
    assert again.slices == grid.slices
    for one, other in zip(all_boxes(grid), all_boxes(again), strict=True):
        assert one.tobytes() == other.tobytes()


@given(st.lists(st.tuples(ENDS, ENDS).map(sorted), min_size=1, max_size=5), st.integers(0, 10))
def test_bisecting_makes_as_many_slices_as_asked_for(ends, halvings):
    lower, upper = np.array(ends, dtype=float).T
    assume(all(b - a > 1e-6 * max(abs(a), abs(b)) for a, b in ends if a < b))
    assume(all(b - a > 1e-300 for a, b in ends if a < b))
    assume(halvings == 0 or (lower < upper).any())
    grid = Grid.bisecting(Box(lower, upper), 2**halvings)
    assert grid.slices == 2**halvings
    wide = [count for count, (a, b) in zip(grid.counts, ends, strict=True) if a < b]
    assert all(count == 1 for count, (a, b) in zip(grid.counts, ends, strict=True) if a == b)
    # In turn, the first ones first: counts fall, and by one halving at most.
    assert sorted(wide, reverse=True) == wide
    assert not wide or wide[0] <= 2 * wide[-1]
