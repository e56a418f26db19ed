"""Tasks of one kind, done by several processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import BrokenProcessPool

from redy.errors import RedyError
from redy.run.execute import _interrupts_held, _libraries, _prepare_worker
from redy.run.steps import Steps

Task = TypeVar("Task")
Result = TypeVar("Result")


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
        for result in _here(function, tasks) if alone else _spread(function, tasks, self.jobs):
            self.steps.advance()
            yield result


def _here(function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
    for task in tasks:
        # Gurobi, having looked for its licence, leaves a handler that resumes what Ctrl-C cuts.
        signal.siginterrupt(signal.SIGINT, True)
        yield _limited(function, task)


def _spread(
    function: Callable[[Task], Result], tasks: Sequence[Task], jobs: int
) -> Generator[Result, None, None]:
    parallel = Parallel(
        n_jobs=jobs,
        return_as="generator_unordered",
        # As in redy.run.execute: what waits elsewhere than in loky's queue does not end quietly.
        pre_dispatch="2 * n_jobs",
        batch_size=1,
        initializer=_prepare_worker,
        initargs=(os.getpid(),),
    )
    with ExitStack() as held:
        held.enter_context(_interrupts_held())
        results = parallel(delayed(_limited)(function, task) for task in tasks)
        try:
            held.close()
            yield from results
        except KeyboardInterrupt as stop:
            results.throw(stop)  # if it was held, joblib does not know of it yet
        except BrokenProcessPool as error:
            raise RedyError(
                "a worker process was killed or ran out of memory; try again, with fewer --jobs "
                "if memory is short"
            ) from error


def _limited(function: Callable[[Task], Result], task: Task) -> Result:
    """One task, on one thread."""
    with _libraries().limit(limits=1):
        return function(task)
