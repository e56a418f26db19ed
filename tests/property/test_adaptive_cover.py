"""Random trees: their leaves cover the domain, and every point belongs to exactly one of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redy.domain import Box
from redy.slicing.adaptive import Adaptive

DOMAIN = Box([-1.0, 0.1, 5.0, 1e-3], [1.0, 0.7, 5.0, 1e3])
"""Ends that are no binary fractions, and an input of zero width."""

WIDE = (0, 1, 3)


def random_tree(seed: int, leaves: int, crooked: float) -> np.ndarray:
    """Cuts, level by level; ``crooked`` near 1 makes deep trees."""
    rng = np.random.default_rng(seed)
    inner: dict[str, int] = {}
    frontier = [""]
    while len(frontier) < leaves:
        at = len(frontier) - 1 if rng.random() < crooked else int(rng.integers(len(frontier)))
        path = frontier.pop(at)
        inner[path] = int(rng.choice(WIDE)) + 1
        frontier += [path + "0", path + "1"]
    levels: list[list[str]] = [[""]]
    while levels[-1]:
        levels.append([path + way for path in levels[-1] if path in inner for way in "01"])
    return np.array([inner.get(path, 0) for level in levels for path in level], dtype=np.uint16)


trees = st.builds(
    random_tree, st.integers(0, 2**32 - 1), st.integers(1, 60), st.sampled_from([0.0, 0.5, 1.0])
)


def all_boxes(slicing: Adaptive) -> tuple[np.ndarray, np.ndarray]:
    return slicing.boxes(np.arange(slicing.slices))


def on_faces(slicing: Adaptive, rng: np.random.Generator) -> np.ndarray:
    """Points of which each coordinate is an end of some leaf, a neighbour of it, or anywhere."""
    lower, upper = all_boxes(slicing)
    columns = []
    for d in range(DOMAIN.dimension):
        ends = np.unique(np.concatenate([lower[:, d], upper[:, d]]))
        near = np.concatenate([ends, np.nextafter(ends, np.inf), np.nextafter(ends, -np.inf)])
        anywhere = DOMAIN.sample(200, rng)[:, d]
        columns.append(rng.choice(np.concatenate([near, anywhere]), 400))
    return np.clip(np.column_stack(columns), DOMAIN.lower, DOMAIN.upper)


def holders(slicing: Adaptive, points: np.ndarray) -> np.ndarray:
    """(points, leaves): whether a leaf has the point, its lower faces included, its upper ones not.

    But for those of the domain.
    """
    lower, upper = all_boxes(slicing)
    under = (points[:, None] < upper) | (upper == DOMAIN.upper)
    return np.asarray(((points[:, None] >= lower) & under).all(axis=2))


@given(trees, st.integers(0, 2**32 - 1))
def test_every_point_belongs_to_exactly_one_leaf(cuts, seed):
    slicing = Adaptive(DOMAIN, cuts)
    points = on_faces(slicing, np.random.default_rng(seed))
    held = holders(slicing, points)
    assert (held.sum(axis=1) == 1).all()
    found = slicing.slice_of(points)
    assert (held.argmax(axis=1) == found).all()
    lower, upper = slicing.boxes(found)
    assert ((points >= lower) & (points <= upper)).all()


@given(trees)
def test_the_leaves_have_the_volume_of_the_domain(cuts):
    slicing = Adaptive(DOMAIN, cuts)
    lower, upper = all_boxes(slicing)
    wide = list(WIDE)
    whole = (DOMAIN.upper - DOMAIN.lower)[wide].prod()
    shares = (upper - lower)[:, wide].prod(axis=1) / whole
    assert slicing.weights(np.arange(slicing.slices)).sum() == pytest.approx(1.0, abs=1e-15)
    np.testing.assert_allclose(
        slicing.weights(np.arange(slicing.slices)), shares, rtol=1e-9, atol=1e-12
    )


@given(trees, st.booleans(), st.integers(0, 2**32 - 1))
def test_a_description_restores_the_slicing(cuts, weighed, seed):
    rng = np.random.default_rng(seed)
    leaves = Adaptive(DOMAIN, cuts).slices
    slicing = Adaptive(DOMAIN, cuts, rng.dirichlet(np.ones(leaves)) if weighed else None)
    restored = Adaptive.from_description(slicing.describe(), slicing.arrays())
    points = DOMAIN.sample(100, rng)
    every = np.arange(leaves)
    np.testing.assert_array_equal(restored.slice_of(points), slicing.slice_of(points))
    np.testing.assert_array_equal(restored.boxes(every), slicing.boxes(every))
    np.testing.assert_array_equal(restored.weights(every), slicing.weights(every))
    assert restored.weighted_by == ("inputs" if weighed else "volume")


def test_a_million_points_lie_in_their_leaves():
    slicing, count = Adaptive(DOMAIN, random_tree(1, 4096, 0.1)), 1_000_000
    points = DOMAIN.sample(count, np.random.default_rng(2))
    found = slicing.slice_of(points)
    lower, upper = slicing.boxes(found)
    assert ((points >= lower) & (points <= upper)).all()
    volumes = slicing.weights(np.arange(slicing.slices))
    seen = np.bincount(found, minlength=slicing.slices) / count
    assert (np.abs(seen - volumes) < 6 * np.sqrt(volumes / count) + 6 / count).all()
