"""Damaged files read in a process of its own, whose time and memory are watched from outside.

A case fails if redy ends with anything but an error of its own that names the file; if it warns,
reads the file as something else, takes too much time or memory, or takes the process with it.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess as Process
from pathlib import Path
from tempfile import TemporaryDirectory

SECONDS = 10.0
"""No file of these sizes may keep redy busy for longer, in seconds of the processor."""

_STALLED = 10.0
"""Times as long on the wall, which a busy machine may take, and nothing else."""

MEMORY = 2**30
"""Bytes that the whole process may hold in memory, Python and all libraries included."""

_ROOM = 3 * 2**30
"""Bytes that a case may ask for before the system says no. This is beyond MEMORY, so that what
asks for too much is seen to, and not helped by an error."""

_START = 1800.0

Serve = Callable[[Connection, str, list[int]], None]
_LONGEST = 1000


@dataclass
class Tally:
    """What became of the cases of one format.

    Attributes:
        cases: how many there were.
        outcomes: name of the documented error, or "read" -> how often.
        failures: number of a case and what was wrong.
        slowest: seconds, and the number of that case.
        largest: bytes of the process at its largest.
    """

    cases: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, -1)
    largest: int = 0

    def add(self, number: int, outcome: str, failure: str, seconds: float, memory: int) -> None:
        """Count one case."""
        self.cases += 1
        self.outcomes[outcome] += 1
        self.slowest = max(self.slowest, (seconds, number))
        self.largest = max(self.largest, memory)
        if failure:
            self.failures.append((number, failure))


def run(
    format_: str, cases: Sequence[int], seconds: float = SECONDS, serve: Serve | None = None
) -> Tally:
    """Read the damaged files ``cases`` of ``format_``, one after the other."""
    tally = Tally()
    left = list(cases)
    while left:
        left = _some(format_, left, tally, seconds, serve or _serve)
    return tally


def _some(format_: str, cases: list[int], tally: Tally, seconds: float, serve: Serve) -> list[int]:
    """As many of ``cases`` as one process lives for; returns those that are left."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, format_, cases), daemon=True)
    process.start()
    theirs.close()
    try:
        _await(ours)
        for place, number in enumerate(cases):
            if not _count(number, ours, process, tally, seconds):
                return cases[place + 1 :]
    finally:
        ours.close()
        process.kill()
        process.join()
    return []


def _count(number: int, pipe: Connection, process: Process, tally: Tally, seconds: float) -> bool:
    """Count case ``number`` when it is done; whether the process still lives."""
    try:
        end = time.monotonic() + _STALLED * seconds
        done = processor_time(process.pid) + seconds
        while time.monotonic() < end and processor_time(process.pid) < done:
            if pipe.poll(0.5):
                tally.add(number, *pipe.recv())
                return True
    except (EOFError, ConnectionError):
        process.join()
        failure = f"took the process with it, which ended with {process.exitcode}"
        tally.add(number, "crash", failure, 0.0, 0)
        return False
    tally.add(number, "hang", f"was not done after {seconds:g} s", seconds, 0)
    return False


def _await(pipe: Connection) -> None:
    """Until the process has imported, and perhaps compiled, what it needs."""
    try:
        if pipe.poll(_START) and pipe.recv() is None:
            return
    except EOFError:
        pass
    raise RuntimeError("the process that reads damaged files did not start")


def _serve(pipe: Connection, format_: str, cases: list[int]) -> None:
    from tests.fuzz.targets import cases_of

    warnings.simplefilter("error")
    with TemporaryDirectory() as folder:
        made = cases_of(format_, Path(folder))
        warm = made.case(2**31)  # what is imported or compiled at first use
        judged(warm.use, warm.path)
        _limit_memory()
        pipe.send(None)
        for number in cases:
            case = made.case(number)
            pipe.send(judged(case.use, case.path))


def judged(use: object, path: Path) -> tuple[str, str, float, int]:
    """What comes of ``use``: outcome, what is wrong with it, seconds and bytes of memory."""
    from redy.errors import RedyError

    _forget_peak()
    begin = time.process_time()
    outcome, failure = "read", ""
    try:
        use()  # type: ignore[operator]
    except RedyError as error:
        outcome, failure = type(error).__name__, _complaint(error, path)
    except BaseException as error:  # whatever it is, it is a finding
        outcome, failure = "traceback", "".join(traceback.format_exception(error))[-_LONGEST * 4 :]
    seconds, memory = time.process_time() - begin, peak()
    if memory > MEMORY:
        failure = f"{memory / 2**20:.0f} MiB in memory; {failure}"
    if seconds > SECONDS:
        failure = f"{seconds:.1f} s; {failure}"
    return outcome, failure, seconds, memory


def _complaint(error: BaseException, path: Path) -> str:
    """What is wrong with a documented error."""
    message = str(error)
    if path.name not in message and path.stem not in message:
        return f"does not name the file: {message[:_LONGEST]}"
    if len(message) > _LONGEST or not message.isprintable():
        return f"is too long, or no plain text: {message!r}"
    while error is not None:
        if isinstance(error, MemoryError):
            return f"asked for too much memory: {message[:_LONGEST]}"
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return ""


def _limit_memory() -> None:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    data = int(status.split("VmData:")[1].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (data + _ROOM, data + _ROOM))


def _forget_peak() -> None:
    """Linux remembers how large the process was at most, from here on."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def processor_time(process: int | None) -> float:
    """Seconds of the processor that ``process`` has taken; EOFError if it has ended."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="ascii")
    except OSError as error:
        raise EOFError from error
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak() -> int:
    """Bytes that the process held in memory at most since :func:`_forget_peak`."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


if __name__ == "__main__":  # one case again: python -m tests.fuzz.guard FORMAT NUMBER
    from tests.fuzz.targets import cases_of

    with TemporaryDirectory() as place:
        again = cases_of(sys.argv[1], Path(place)).case(int(sys.argv[2]))
        sys.stdout.write(f"{judged(again.use, again.path)}\n")
