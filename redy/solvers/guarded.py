"""A backend in a process of its own: one that hangs, crashes or overruns its time is ended.

The child is one Python process that answers question after question. Both ends are ours, so the
pipe between them carries pickles; nothing else ever reads or writes it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib import import_module
from multiprocessing.connection import Connection, Pipe
from queue import SimpleQueue
from time import perf_counter
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from redy.interrupts import STOPPING
from redy.solvers.base import SOLVERS, Capabilities
from redy.solvers.checks import settled
from redy.solvers.problem import Answer, Limits, Outcome, Problem

GRACE = 2.0
"""Seconds beyond its time limit after which a backend is ended."""

START_UP = 120.0
"""Seconds that the child may take to start, on a loaded machine, before it is given up."""

LAST_WORDS = 1.0
"""Seconds that the child may take to end by itself before it is killed."""

_RUN = "import sys; from redy.solvers.guarded import serve; serve(*sys.argv[1:])"


class _Question(NamedTuple):
    problem: Problem
    limits: Limits
    start: np.ndarray | None


class Guarded:
    """The backend ``name`` in a child process; used as any other :class:`~redy.solvers.Solver`.

    Claimed: :meth:`solve` returns within ``limits.seconds + grace``, give or take the child's
    start-up, whatever the backend does; without a time limit it waits for as long as the child
    lives. A child that is ended, or that ends by itself, makes the answer FAILED, and the next
    question gets a new one. The child ends when this object is closed or collected, and at once
    when this process dies, even while it is solving. One question at a time.

    Args:
        name: the backend's name in ``SOLVERS``.
        grace: seconds beyond the time limit that the backend may take.
        module: imported in the child first, to make ``name`` known; for backends of one's own.
    """

    def __init__(self, name: str, grace: float = GRACE, module: str = "redy.solvers") -> None:
        self.name = name
        self._grace = grace
        self._module = module
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        return self

    def __reduce__(self) -> tuple[type[Guarded], tuple[str, float, str]]:
        return Guarded, (self.name, self._grace, self._module)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child; a later question starts another."""
        with self._lock:
            self._end()

    def probe(self) -> Capabilities:
        """What the backend can do on this machine, found out in this process."""
        return SOLVERS[self.name].probe()

    def solve(
        self, problem: Problem, limits: Limits | None = None, start: np.ndarray | None = None
    ) -> Answer:
        """The backend's answer, checked again on this side of the pipe."""
        began = perf_counter()
        with self._lock:
            answer = self._asked(_Question(problem, limits or Limits(), start))
        return replace(settled(problem, answer), seconds=perf_counter() - began)

    def _asked(self, question: _Question) -> Answer:
        seconds = question.limits.seconds
        try:
            child = self._running()
            answer = child.ask(question, None if seconds is None else seconds + self._grace)
        except (EOFError, OSError):
            return Answer(Outcome.FAILED, detail=f"{self.name}: {self._end()}")
        except BaseException:
            self._end()  # an answer may still be on its way, and must not be taken for the next
            raise
        return answer

    def _running(self) -> _Child:
        if self._child is None:
            self._child = _Child(self._module, self.name)
            self._child.await_ready()
        return self._child

    def _end(self) -> str:
        """End the child, and say how it ended."""
        child, self._child = self._child, None
        return "its process did not start" if child is None else child.end()


class _Child:
    """The parent's end of the child process."""

    def __init__(self, module: str, name: str) -> None:
        ours, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _RUN, str(theirs.fileno()), module, name],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(p or os.curdir for p in sys.path)},
                process_group=0,  # the terminal's Ctrl-C is the parent's to handle
            )
        self._pipe = ours
        self._overran = False
        self._finalizer = weakref.finalize(self, _reap, self._process, self._pipe)

    def await_ready(self) -> None:
        """Until the child has imported what it needs."""
        with self._deadline(START_UP):
            self._pipe.recv()

    def ask(self, question: _Question, seconds: float | None) -> Answer:
        """The child's answer; raises EOFError or OSError if it ended or had to be ended."""
        with nullcontext() if seconds is None else self._deadline(seconds):
            self._pipe.send(question)
            answer: Answer = self._pipe.recv()
        return answer

    @contextmanager
    def _deadline(self, seconds: float) -> Iterator[None]:
        """Kill the child after ``seconds``, which ends whatever waits for it; EOFError if so."""
        timer = threading.Timer(seconds, self._kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
        if self._overran:
            raise EOFError

    def _kill(self) -> None:
        self._overran = True
        self._process.kill()

    def end(self) -> str:
        """End the process if it still runs; how it ended, in words."""
        self._finalizer()
        if self._overran:
            return "ended after overrunning its time"
        return f"its process ended with status {self._process.returncode}"


def _reap(process: subprocess.Popen[bytes], pipe: Connection) -> None:
    """A child ends by itself when its pipe closes, unless it is beyond that."""
    pipe.close()
    try:
        process.wait(LAST_WORDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def serve(descriptor: str, module: str, name: str) -> None:
    """The child's main: answer the questions that come through ``descriptor`` until it closes."""
    for number in STOPPING:  # the parent's to handle
        signal.signal(number, signal.SIG_IGN)
    pipe = Connection(int(descriptor))
    import_module(module)
    questions: SimpleQueue[_Question] = SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, questions), daemon=True).start()
    pipe.send(None)
    while True:
        pipe.send(_answered(name, questions.get()))


def _answered(name: str, question: _Question) -> Answer:
    try:
        return SOLVERS[name].solve(*question)
    except Exception as error:
        return Answer(Outcome.FAILED, detail=f"{name}: {type(error).__name__}: {error}")


def _listen(pipe: Connection, questions: SimpleQueue[_Question]) -> None:
    """Pass questions on; when the parent closes or dies, end at once, whatever is being solved."""
    try:
        while True:
            questions.put(pipe.recv())
    except (EOFError, OSError):
        os._exit(0)
