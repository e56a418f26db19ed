"""Tasks of one kind, done by several processes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from redy.run.steps import Steps
from redy.run.workers import libraries, spread

Task = TypeVar("Task")
Result = TypeVar("Result")

_DIED = "try again, with fewer --jobs if memory is short"


@dataclass(frozen=True, eq=False)
class Workers:
    """A :class:`redy.bounds.registry.Spread` over ``jobs`` processes; ``steps`` tell how far it is.

    Raises:
        KeyboardInterrupt: after Ctrl-C; the processes are ended.
        RedyError: a process died.
    """

    jobs: int
    steps: Steps

    def __call__(
        self, what: str, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[Result]:
        """The results, as they come."""
        self.steps.start(what, len(tasks))
        alone = self.jobs == 1 or len(tasks) <= 1
        limited = partial(_limited, function)
        results = _here(limited, tasks) if alone else spread(limited, tasks, self.jobs, died=_DIED)
        for result in results:
            self.steps.advance()
            yield result


def _here(function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
    for task in tasks:
        # Gurobi, having looked for its licence, leaves a handler that resumes what Ctrl-C cuts.
        signal.siginterrupt(signal.SIGINT, True)
        yield function(task)


def _limited(function: Callable[[Task], Result], task: Task) -> Result:
    """One task, on one thread."""
    with libraries().limit(limits=1):
        return function(task)
