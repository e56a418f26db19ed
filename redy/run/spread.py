"""Tasks of one kind, done by the workers of a backend; what happens when these die."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Generic, TypeVar

from redy.errors import RedyError
from redy.run.backends import DEFAULT, Pool, opened
from redy.run.backends.base import Died
from redy.run.steps import Steps
from redy.run.workers import libraries

Task = TypeVar("Task")
Result = TypeVar("Result")

_WAITING = 1
"""Tasks that wait for each one under way, so that no worker waits for the next."""

_ALONE = 2
"""How often a task is tried alone, after two times in company, before it is given up."""

_FRUITLESS = 10
"""Deaths in a row, without any result in between, that no task can be blamed for."""


@dataclass(frozen=True, eq=False)
class Lost(Generic[Task]):
    """A task that was given up: with it alone under way, its worker died again and again."""

    task: Task


def spread(
    pool: Pool,
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    pieces: Callable[[Task], Iterable[Task]] = lambda task: (task,),
) -> Generator[Result | Lost[Task], None, None]:
    """The results of ``tasks``, as they come; :class:`Lost` for each piece of one that kills.

    When a worker dies, it may be for any of the tasks that were out. These are tried again when
    all others are done: cut in ``pieces`` and in company first; what is lost then once more, or
    twice, one after the other, with nothing else under way, so that a death has one culprit. So a
    task is tried again three times. Workers that were killed from outside cost no result.

    Raises:
        KeyboardInterrupt: after Ctrl-C; tasks are given up.
        RedyError: workers die before they do anything, or cannot be reached any more.
    """
    try:
        shipped = pool.ship(function)
        suspects = yield from _each(pool, shipped, tasks)
        suspects = yield from _each(
            pool, shipped, [part for one in suspects for part in pieces(one)]
        )
        for task in suspects:
            yield from _alone(pool, shipped, task)
    except BaseException:
        pool.stop()
        raise


def _each(pool: Pool, shipped: Any, tasks: Iterable[Task]) -> Generator[Any, None, list[Task]]:
    """The results of ``tasks``; it returns those that were out when a worker died."""
    left = iter(tasks)
    out: dict[Any, Task] = {}
    lost: list[Task] = []
    fruitless = 0
    while True:
        room = (1 + _WAITING) * pool.slots - len(out)
        out.update((pool.submit(shipped, task), task) for task in islice(left, max(0, room)))
        if not out:
            return lost
        finished = [(out.pop(ticket), result) for ticket, result in pool.finished(out)]
        dead = [task for task, result in finished if isinstance(result, Died)]
        lost += dead
        fruitless = fruitless + 1 if len(dead) == len(finished) else 0
        if fruitless == _FRUITLESS:
            raise RedyError(
                f"worker processes died {fruitless} times in a row and finished nothing in "
                "between; they may be short of memory: try again with fewer --jobs"
            )
        yield from (result for _, result in finished if not isinstance(result, Died))


def _alone(pool: Pool, shipped: Any, task: Task) -> Generator[Result | Lost[Task], None, None]:
    """The result of ``task``, or that it is lost."""
    for _ in range(_ALONE):
        _require_life(pool, shipped)
        if not (yield from _each(pool, shipped, [task])):
            return
    yield Lost(task)


def _require_life(pool: Pool, shipped: Any) -> None:
    """Wait until a worker has started and knows what to do; its death before has no culprit."""
    for _ in range(_FRUITLESS):
        nothing: list[None] = [None]
        answers = _each(pool, shipped, nothing)
        if list(answers):
            return
    raise RedyError(
        f"worker processes died {_FRUITLESS} times in a row before they did anything; they may be "
        "short of memory: try again with fewer --jobs"
    )


def spread_all(
    pool: Pool, function: Callable[[Task], Result], tasks: Iterable[Task], *, died: str
) -> Generator[Result, None, None]:
    """The results of ``tasks``, all of which are needed, as they come.

    Raises:
        KeyboardInterrupt: after Ctrl-C; tasks are given up.
        RedyError: see :func:`spread`; or workers die of a task; ``died`` says what to do.
    """
    results = spread(pool, function, tasks)
    try:
        for result in results:
            if isinstance(result, Lost):
                raise RedyError(
                    "worker processes were killed or ran out of memory, each time at the same "
                    f"task; {died}"
                )
            yield result
    except BaseException as error:
        results.throw(error)
        raise


_DIED = "try again, with fewer --jobs if memory is short"


@dataclass(frozen=True, eq=False)
class Workers:
    """A :class:`redy.bounds.registry.Spread` over ``jobs`` processes; ``steps`` tell how far it is.

    Raises:
        KeyboardInterrupt: after Ctrl-C; tasks are given up.
        RedyError: workers died.
    """

    jobs: int
    steps: Steps

    def __call__(
        self, what: str, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[Result]:
        """The results, as they come."""
        self.steps.start(what, len(tasks))
        jobs = self.jobs if len(tasks) > 1 else 1
        with opened(DEFAULT, jobs) as pool:
            for result in spread_all(pool, partial(_limited, function), tasks, died=_DIED):
                self.steps.advance()
                yield result


def _limited(function: Callable[[Task], Result], task: Task) -> Result:
    """One task, on one thread."""
    with libraries().limit(limits=1):
        return function(task)
