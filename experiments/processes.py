"""Processes that experiments start: a Dask scheduler and workers; what a process has started."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path


@contextmanager
def dask_cluster(workers: int) -> Iterator[str]:
    """A scheduler and ``workers`` of one thread, a process each; the scheduler's address."""
    dask = [sys.executable, "-m", "dask"]
    with ExitStack() as stack:
        words = ["scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard"]
        scheduler = stack.enter_context(_running([*dask, *words], stderr=subprocess.PIPE))
        found = None
        while found is None:
            line = scheduler.stderr.readline() if scheduler.stderr is not None else ""
            if not line:
                raise RuntimeError("the Dask scheduler did not start")
            found = re.search(r"Scheduler at:\s+(tcp://\S+)", line)
        for _ in range(workers):
            words = ["worker", found[1], "--nthreads", "1", "--no-dashboard"]
            stack.enter_context(_running([*dask, *words], stderr=subprocess.DEVNULL))
        yield found[1]


@contextmanager
def _running(command: list[str], stderr: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, text=True, stderr=stderr)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def descendants(pid: int) -> Iterator[int]:
    """All processes that ``pid`` started, directly or not, as far as they are still there."""
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in listed.read_text(encoding="ascii").split()]
        except OSError:
            continue
        for child in children:
            yield child
            yield from descendants(child)


def is_worker(pid: int) -> bool:
    """Whether ``pid`` is a worker of loky, of a Dask cluster of this machine, or of Ray."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return any(name in command for name in (b"popen_loky_posix", b"spawn_main", b"ray::_apply"))


def rest(seconds: float) -> None:
    """A task that keeps a worker busy, once the worker has imported what a slice needs."""
    import_module("redy.run.execute")

    time.sleep(seconds)
