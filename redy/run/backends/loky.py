"""Processes of this machine: loky, which joblib brings. ``--jobs 1`` is this process itself."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import cache, partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import joblib
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import BrokenProcessPool

from redy.errors import RedyError
from redy.interrupts import put_off
from redy.run.backends.base import DIED, Capabilities, Died, Function, Pool, register
from redy.run.backends.here import Here
from redy.run.backends.remote import packed, packed_function, unpacked, work
from redy.run.workers import interrupts_held, prepare_worker

_IDLE = 300
"""Seconds after which a worker without work ends."""

_REPLACED = "A worker stopped while some jobs were given to the executor"
"""How loky's warning begins."""

_LOOK = 0.1
"""Seconds between looks at whether Ctrl-C came."""

_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""Matrices are small: threads would spend more time waiting for each other than computing."""


@register
class Loky:
    """See :class:`redy.run.backends.base.Backend`."""

    name = "loky"

    def probe(self) -> Capabilities:
        """It is there wherever redy is."""
        return Capabilities(True, "", joblib.__version__, "")

    def pool(self, jobs: int, scheduler: str | None) -> Pool:
        """``jobs`` processes; this one if that is 1."""
        del scheduler
        return Here() if jobs == 1 else _Processes(jobs)


class _Shipped:
    """A function in a private file, from which each worker reads it once."""

    def __init__(self, function: Function) -> None:
        path = _folder() / uuid4().hex
        try:
            path.write_bytes(packed_function(function))
        except OSError as error:
            raise RedyError(
                f"{path.parent}: cannot hold what the workers need ({error.strerror}); make room "
                "there, or name another folder in the environment variable TMPDIR"
            ) from error
        self.path = str(path)
        weakref.finalize(self, path.unlink, missing_ok=True)


class _Processes:
    """A pool of ``slots`` processes. When one dies, loky ends all; the next task starts others."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._executor: Any = None

    def ship(self, function: Function) -> _Shipped:
        """Put ``function`` where workers find it."""
        return _Shipped(function)

    def submit(self, shipped: _Shipped, task: Any) -> Future[bytes | Died]:
        """See :class:`redy.run.backends.base.Pool`."""
        with interrupts_held():
            if self._executor is None:
                # A worker that has grown is replaced, which nobody need know; and where warnings
                # are errors, loky's own thread would die of it and leave everybody waiting.
                warnings.filterwarnings("ignore", _REPLACED, UserWarning)
                self._executor = get_reusable_executor(
                    max_workers=self.slots,
                    timeout=_IDLE,
                    initializer=prepare_worker,
                    initargs=(os.getpid(), str(_folder())),
                    env=_THREADS,
                )
            return self._submitted(shipped, task)

    def _submitted(self, shipped: _Shipped, task: Any) -> Future[bytes | Died]:
        try:
            future: Future[bytes | Died] = self._executor.submit(_read, shipped.path, packed(task))
            # The file is there as long as what was shipped: until no task needs it.
            future.add_done_callback(partial(_keep, shipped))
        except BrokenProcessPool as error:  # since the last result came
            future = Future()
            future.set_exception(error)
        return future

    def finished(
        self, tickets: Collection[Future[bytes | Died]]
    ) -> list[tuple[Future[bytes | Died], Any | Died]]:
        """See :class:`redy.run.backends.base.Pool`."""
        found: list[tuple[Future[bytes | Died], Any | Died]] = []
        while not found:
            # Ctrl-C between a lock and what would release it leaves it locked, and loky's thread
            # would wait for it for ever.
            with put_off():
                done = wait(tickets, _LOOK, FIRST_COMPLETED).done
                if any(isinstance(ticket.exception(), BrokenProcessPool) for ticket in done):
                    self.stop()
                    done = wait(tickets).done
                found = [(ticket, _outcome(ticket)) for ticket in done]
        return found

    def stop(self) -> None:
        """End all processes; others come with the next task."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=True)
            self._executor = None

    def close(self) -> None:
        """Leave the processes to the next pool, or to their end when none comes."""
        self._executor = None


def _keep(shipped: _Shipped, _: Future[bytes | Died]) -> None:
    """Nothing: what calls this when a task is done holds ``shipped`` until then."""
    del shipped


def _outcome(ticket: Future[bytes | Died]) -> Any | Died:
    try:
        return unpacked(ticket.result())
    except BrokenProcessPool:
        return DIED


def _read(path: str, task: bytes) -> bytes | Died:
    """In a worker: the function in the file ``path``, applied to ``task``."""
    source: Callable[[], bytes] = Path(path).read_bytes
    return work(path, source, task)


@cache
def _folder() -> Path:
    """This process's own; workers that outlive the process remove it (:func:`prepare_worker`)."""
    folder = tempfile.mkdtemp(prefix="redy-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
