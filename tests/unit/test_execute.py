"""How the slices of a run are made into tasks, by what the last ones took."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from redy.run.backends import Here
from redy.run.execute import Made, Parts, one_by_one


class Crew(Here):
    """So many workers, which are never asked for anything."""

    def __init__(self, slots: int) -> None:
        self.slots = slots


def tasks(slices: np.ndarray, slots: int, budget: int, seconds: float) -> list[np.ndarray]:
    """The tasks of a run whose slices take ``seconds`` each."""
    parts, found = Parts(slices, Crew(slots), budget), []
    for task in parts:
        found.append(task)
        parts.took(Made([None] * len(task), seconds * len(task)))
    return found


@given(
    count=st.integers(0, 3000),
    slots=st.integers(1, 64),
    budget=st.integers(1, 10**9),
    seconds=st.floats(1e-5, 100.0),
)
def test_every_slice_is_in_one_task(count: int, slots: int, budget: int, seconds: float) -> None:
    slices = np.random.default_rng(0).permutation(count)
    found = tasks(slices, slots, budget, seconds)
    assert np.array_equal(np.concatenate([np.zeros(0, int), *found]), slices)
    left = count
    for task in found:
        assert 1 <= len(task) <= max(1, min(256, left // (4 * slots)))  # none waits for a long one
        left -= len(task)


def test_tasks_take_about_a_second() -> None:
    sizes = [len(task) for task in tasks(np.arange(30_000), 2, 1000, 0.02)]
    assert all(size in range(45, 51) for size in sizes[10:-60])
    assert max(map(len, tasks(np.arange(300), 2, 1000, 5.0)[20:])) == 1
    assert len(tasks(np.arange(3000), 2, 10**9, 0.02)[0]) == 1  # it may be long: try one first


def test_a_first_slice_that_loads_everything_is_soon_forgotten() -> None:
    parts = Parts(np.arange(30_000), Crew(2), 1000)
    parts.took(Made([None], 30.0))
    sizes = []
    for task in parts:
        sizes.append(len(task))
        parts.took(Made([None] * len(task), 0.01 * len(task)))
    assert sizes[0] == 1
    assert sizes[20] > 90


def test_pieces_are_single_slices() -> None:
    assert [piece.tolist() for piece in one_by_one(np.array([5, 2, 9]))] == [[5], [2], [9]]
