"""The uniform grid: numbering, faces, errors, and the sample of slices."""

from __future__ import annotations

import numpy as np
import pytest

from redy.domain import Box
from redy.errors import RedyError, UsageError
from redy.formats.domains import read_domain
from redy.slicing import STRATEGIES, restore
from redy.slicing.grid import Grid, sample

SQUARE = Box([0.0, -1.0], [1.0, 1.0])


def test_slices_are_numbered_with_the_last_input_fastest():
    grid = Grid(SQUARE, (2, 4))
    lower, upper = grid.boxes(np.array([0, 1, 3, 4, 7]))
    assert grid.slices == 8
    assert lower.tolist() == [[0, -1], [0, -0.5], [0, 0.5], [0.5, -1], [0.5, 0.5]]
    assert upper.tolist() == [[0.5, -0.5], [0.5, 0], [0.5, 1], [1, -0.5], [1, 1]]


def test_a_face_belongs_to_the_slice_above_and_the_end_to_the_last():
    grid = Grid(SQUARE, (2, 4))
    points = np.array(
        [[0.0, -1.0], [0.5, -1.0], [np.nextafter(0.5, 0), -1.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]
    )
    assert grid.slice_of(points).tolist() == [0, 4, 0, 7, 3, 2]


def test_a_float32_beside_a_face_is_not_rounded_to_it():
    """The edge 0.1 is no float32; the nearest one lies above it, the one before below."""
    grid = Grid(Box([0.0], [0.2]), (2,))
    above = np.float32(0.1)
    below = np.nextafter(above, np.float32(0))
    assert float(below) < grid.edges[0][1] < float(above)
    assert grid.slice_of(np.array([[below], [above]], dtype=np.float32)).tolist() == [0, 1]


def test_no_points_belong_to_no_slices():
    grid = Grid(SQUARE, (2, 4))
    assert grid.slice_of(np.zeros((0, 2))).shape == (0,)
    assert grid.boxes(np.zeros(0, dtype=int))[0].shape == (0, 2)


def test_one_slice_is_the_domain():
    for grid in (Grid(SQUARE, (1, 1)), Grid.bisecting(SQUARE, 1)):
        lower, upper = grid.boxes(np.array([0]))
        assert lower.tolist() == [[0.0, -1.0]]
        assert upper.tolist() == [[1.0, 1.0]]
        assert grid.slice_of(np.array([[0.3, 0.3], [1.0, 1.0]])).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("slices", "counts"),
    [(1, (1, 1, 1)), (2, (2, 1, 1)), (4, (2, 1, 2)), (8, (4, 1, 2)), (64, (8, 1, 8))],
)
def test_bisecting_passes_over_inputs_without_width(slices, counts):
    assert Grid.bisecting(Box([0.0, 3.0, 0.0], [1.0, 3.0, 1.0]), slices).counts == counts


def test_the_acasxu_grid_of_the_paper():
    domain = read_domain("acasxu", 5)
    grid = Grid.bisecting(domain, 32768)
    assert grid.counts == (8, 8, 8, 8, 8)
    rng = np.random.default_rng(0)
    width = domain.upper - domain.lower
    points = np.clip(domain.lower + rng.random((20_000, 5)) * width, domain.lower, domain.upper)
    points[::3] = points[::3].astype(np.float32)
    points = points[domain.contains(points)]
    for d in range(5):
        points[d::11, d] = rng.choice(grid.edges[d], size=len(points[d::11]))
    lower, upper = grid.boxes(grid.slice_of(points))
    assert ((lower <= points) & (points <= upper)).all()
    corners = np.array(np.meshgrid(*grid.edges, indexing="ij")).reshape(5, -1).T
    lower, upper = grid.boxes(grid.slice_of(corners))
    assert ((lower == corners) | ((upper == corners) & (corners == domain.upper))).all()


@pytest.mark.parametrize("slices", [0, -1, -32768])
def test_less_than_one_slice_is_refused(slices):
    with pytest.raises(UsageError, match="at least 1"):
        Grid.bisecting(SQUARE, slices)


@pytest.mark.parametrize("slices", [3, 6, 32767, 32769])
def test_what_is_no_power_of_two_is_refused_and_the_next_ones_named(slices):
    with pytest.raises(UsageError, match="power of two") as error:
        Grid.bisecting(SQUARE, slices)
    smaller = 1 << (slices.bit_length() - 1)
    assert f"{smaller} or {2 * smaller}" in str(error.value)


def test_a_point_cannot_be_cut():
    point = Box([1.0, 2.0], [1.0, 2.0])
    assert Grid.bisecting(point, 1).slices == 1
    with pytest.raises(UsageError, match="single point"):
        Grid.bisecting(point, 2)
    with pytest.raises(UsageError, match=r"input 1 .* 2 parts"):
        Grid(point, (1, 2))


@pytest.mark.parametrize("counts", [(0, 1), (1, -1)])
def test_a_count_below_one_is_refused(counts):
    with pytest.raises(UsageError, match="at least 1"):
        Grid(SQUARE, counts)


def test_a_count_per_input_is_needed():
    with pytest.raises(RedyError, match=r"2 dimensions.*3 inputs"):
        Grid(SQUARE, (1, 1, 1))


def test_too_many_slices_are_refused():
    with pytest.raises(UsageError, match="more than"):
        Grid(SQUARE, (2**20, 2**21))
    with pytest.raises(UsageError):
        Grid.bisecting(SQUARE, 2**60)


def test_an_interval_of_few_floats_cannot_be_cut_often():
    narrow = Box([1.0], [1.0 + 2.0**-51])
    assert Grid(narrow, (2,)).edges[0].tolist() == [1.0, 1.0 + 2.0**-52, 1.0 + 2.0**-51]
    with pytest.raises(UsageError, match="cannot be cut into 4 parts"):
        Grid(narrow, (4,))


@pytest.mark.parametrize("counts", [(1,), (4,)])
def test_the_widest_interval_of_all(counts):
    """Its width is no float64."""
    grid = Grid(Box([-1.7e308], [1.7e308]), counts)
    lower, upper = grid.boxes(np.arange(grid.slices))
    assert lower[0, 0] == -1.7e308
    assert upper[-1, 0] == 1.7e308
    assert np.array_equal(lower[1:], upper[:-1])
    assert np.isfinite(lower).all()


def test_restore_knows_every_strategy():
    assert "grid" in STRATEGIES
    grid = Grid(Box([0.1, 1 / 3], [0.7, 1 / 3]), (3, 1))
    again = restore(grid.describe(), grid.arrays())
    assert isinstance(again, Grid)
    assert again.describe() == grid.describe()
    assert all(np.array_equal(a, b) for a, b in zip(again.edges, grid.edges, strict=True))


def test_a_sample_is_sorted_without_repeats_and_fixed_by_its_seed():
    chosen = sample(32768, 200, seed=0)
    assert (np.diff(chosen) > 0).all()
    assert chosen.min() >= 0
    assert chosen.max() < 32768
    assert np.array_equal(chosen, sample(32768, 200, seed=0))
    assert not np.array_equal(chosen, sample(32768, 200, seed=1))
    assert sample(5, 5, seed=3).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("count", [0, -1, 9])
def test_a_sample_of_none_or_of_more_than_there_are_is_refused(count):
    with pytest.raises(UsageError, match="between 1 and the 8"):
        sample(8, count, seed=0)


def test_all_slices_weigh_the_same():
    grid = Grid(Box([0.0, 0.0], [1.0, 1.0]), (3, 2))
    assert grid.weights(np.arange(6)).tolist() == [1 / 6] * 6
    assert grid.weights(np.array([4])).tolist() == [1 / 6]
