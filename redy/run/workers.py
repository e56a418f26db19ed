"""Worker processes: how they start, stop with Ctrl-C and SIGTERM, and end with their parent."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from multiprocessing import resource_tracker
from typing import TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky.backend import resource_tracker as loky_resource_tracker
from joblib.externals.loky.process_executor import BrokenProcessPool
from threadpoolctl import ThreadpoolController

from redy.errors import RedyError
from redy.interrupts import STOPPING, put_off

Task = TypeVar("Task")
Result = TypeVar("Result")

_ORPHAN_CHECK = 1.0
"""Seconds between a worker's looks at whether the process that started it still lives."""


def spread(
    function: Callable[[Task], Result], tasks: Iterable[Task], jobs: int, *, died: str
) -> Generator[Result, None, None]:
    """The results of ``tasks``, as they come, of ``jobs`` processes.

    Raises:
        KeyboardInterrupt: after Ctrl-C; the processes are ended.
        RedyError: a process died; ``died`` says what to do.
    """
    parallel = Parallel(
        n_jobs=jobs,
        return_as="generator_unordered",
        # More would wait outside of loky's queue to the workers, and after Ctrl-C the thread that
        # fills the queue would look for them in vain and print a traceback.
        pre_dispatch="2 * n_jobs",
        batch_size=1,
        initializer=_prepare_worker,
        initargs=(os.getpid(),),
    )
    with ExitStack() as held:
        held.enter_context(interrupts_held())
        results = parallel(delayed(function)(task) for task in tasks)
        try:
            held.close()
            yield from results
        except KeyboardInterrupt as stop:
            results.throw(stop)  # if it was held, joblib does not know of it yet
        except BrokenProcessPool as error:
            raise RedyError(f"a worker process was killed or ran out of memory; {died}") from error


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back, also from processes started within, where they stay held back.

    A terminal, or a batch system, sends them to all processes; only this one shall act on them.
    """
    # Python starts these processes when they are first needed and then forgets what was held.
    resource_tracker.ensure_running()
    loky_resource_tracker.ensure_running()
    with put_off():  # another thread of this process may get it, whatever this one holds back
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _prepare_worker(parent: int) -> None:
    """A worker ignores both also when it replaces another, and ends soon after its parent."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_ORPHAN_CHECK)
    os._exit(1)


@cache
def libraries() -> ThreadpoolController:
    """The linear algebra libraries of this process."""
    return ThreadpoolController()
