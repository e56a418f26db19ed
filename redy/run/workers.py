"""Worker processes: how they start, stop with Ctrl-C and SIGTERM, and end with their parent."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from multiprocessing import resource_tracker

from joblib.externals.loky.backend import resource_tracker as loky_resource_tracker
from threadpoolctl import ThreadpoolController

from redy.interrupts import STOPPING, put_off

_ORPHAN_CHECK = 1.0
"""Seconds between a worker's looks at whether the process that started it still lives."""


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


def prepare_worker(parent: int, folder: str) -> None:
    """A worker ignores both also when it replaces another, and ends soon after its parent.

    A parent that was killed leaves ``folder``, which it needs no more; the worker removes it.
    """
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent, folder), daemon=True).start()


def _end_with(parent: int, folder: str) -> None:
    while os.getppid() == parent:
        time.sleep(_ORPHAN_CHECK)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


@cache
def libraries() -> ThreadpoolController:
    """The linear algebra libraries of this process."""
    return ThreadpoolController()
