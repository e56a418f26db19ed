"""Tasks spread over workers that die, by a pool whose deaths are drawn at random."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redy.errors import RedyError
from redy.run.backends import DIED, Died, opened
from redy.run.spread import Lost, spread, spread_all


class Mortal:
    """A pool in which ``deadly`` numbers kill, and ``accidents`` of all rounds do too.

    When a worker dies, all that is out is lost, as with loky, or what that worker had, as on a
    cluster.
    """

    def __init__(
        self, slots: int, deadly: Collection[int], accidents: list[bool], together: bool
    ) -> None:
        self.slots, self._deadly, self._together = slots, set(deadly), together
        self._accidents = iter(accidents)
        self.tried: Counter[int] = Counter()
        self.most_out = 0
        self.stopped = False

    def ship(self, function: object) -> object:
        return function

    def submit(self, shipped: object, task: list[int] | None) -> tuple[object, object]:
        return shipped, task if task is None else tuple(task)

    def finished(self, tickets: Collection[tuple]) -> list[tuple[tuple, object | Died]]:
        self.most_out = max(self.most_out, len(tickets))
        taken = list(tickets)[: self.slots]
        accident = next(self._accidents, False)
        done = []
        for ticket in taken:
            function, task = ticket
            self.tried.update(task or ())
            dies = (accident and ticket is taken[0]) or bool(self._deadly & set(task or ()))
            if dies and self._together:
                return [(other, DIED) for other in tickets]
            done.append((ticket, DIED if dies else None if task is None else function(task)))
        return done

    def stop(self) -> None:
        self.stopped = True

    def close(self) -> None:
        pass


def squares(task: Collection[int]) -> list[int]:
    return [number**2 for number in task]


def apart(task: Collection[int]) -> list[list[int]]:
    return [[number] for number in task]


@given(
    sizes=st.lists(st.integers(1, 5), max_size=12),
    deadly=st.sets(st.integers(0, 40), max_size=3),
    accidents=st.lists(st.booleans(), max_size=6),
    slots=st.integers(1, 5),
    together=st.booleans(),
)
def test_every_task_has_one_result_unless_it_kills(
    sizes: list[int], deadly: set[int], accidents: list[bool], slots: int, together: bool
) -> None:
    numbers = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1]) if sizes else []
    pool = Mortal(slots, deadly, accidents, together)
    found = list(spread(pool, squares, [part.tolist() for part in numbers], apart))
    lost = [number for one in found if isinstance(one, Lost) for number in one.task]
    kept = [number for one in found if not isinstance(one, Lost) for number in one]
    culprits = deadly & set(range(sum(sizes)))
    assert set(lost) >= culprits
    assert sorted(kept) == [n**2 for n in range(sum(sizes)) if n not in lost]
    assert len(lost) == len(set(lost))
    if sum(accidents) < 2:  # nobody is lost who was not twice alone when a worker died
        assert set(lost) == culprits
    assert pool.most_out <= 2 * slots
    assert not pool.stopped


@pytest.mark.parametrize("together", [True, False])
def test_a_killer_is_tried_again_three_times_and_no_more(together: bool) -> None:
    pool = Mortal(2, {7}, [], together)
    found = list(spread(pool, squares, [[n, n + 1] for n in range(0, 20, 2)], apart))
    assert [one.task for one in found if isinstance(one, Lost)] == [[7]]
    assert pool.tried[7] == 1 + 3


def test_an_error_of_a_task_ends_the_others() -> None:
    def fails(task: list[int]) -> None:
        raise RedyError(f"no way with {task}")

    pool = Mortal(2, set(), [], together=True)
    with pytest.raises(RedyError, match="no way"):
        list(spread(pool, fails, [[1], [2]]))
    assert pool.stopped


def test_a_consumer_that_goes_away_ends_the_tasks() -> None:
    pool = Mortal(2, set(), [], together=True)
    results = spread(pool, squares, [[n] for n in range(9)])
    assert next(results) == [0]
    results.close()
    assert pool.stopped


def test_workers_that_always_die_end_the_run() -> None:
    pool = Mortal(2, set(), [True] * 1000, together=True)
    with pytest.raises(RedyError, match="10 times in a row and finished nothing"):
        list(spread(pool, squares, ([n] for n in range(10_000))))
    assert pool.stopped


def test_workers_that_die_before_they_begin_end_the_run() -> None:
    # Two tasks are lost in company twice, and then no worker starts any more.
    pool = Mortal(2, set(), [True] * 1000, together=True)
    with pytest.raises(RedyError, match="before they did anything"):
        list(spread(pool, squares, [[1], [2]]))


def test_where_all_results_are_needed_a_killer_is_an_error() -> None:
    pool = Mortal(2, {3}, [], together=False)
    results = spread_all(pool, squares, [[n] for n in range(6)], died="buy memory")
    with pytest.raises(RedyError, match="each time at the same task; buy memory"):
        list(results)


def test_tasks_are_taken_as_they_are_needed() -> None:
    taken = []

    def tasks():
        for number in range(100):
            taken.append(number)
            yield [number]

    pool = Mortal(2, set(), [], together=True)
    results = spread(pool, squares, tasks())
    next(results)
    assert len(taken) == 2 * pool.slots
    results.close()


_HELD: list[np.ndarray] = []


def grown(number: int) -> int:
    """Its process holds 350 MB more from the second call on, which loky takes for a leak."""
    if len(_HELD) == 1:
        _HELD.append(np.ones(350_000_000 // 8))
    _HELD.append(np.zeros(0))
    time.sleep(1.1)  # loky looks once a second
    return number


def test_a_worker_that_grows_is_replaced_though_warnings_are_errors() -> None:
    with opened("loky", 2) as pool:
        assert sorted(spread(pool, grown, range(10))) == list(range(10))
