"""Progress of work in steps, one after the other: on stderr, as a bar or as lines."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

_LINE_EVERY = 10.0  # seconds between lines when stderr is not a terminal


class Steps:
    """Says nothing; what a program that calls redy gets unless it asks for more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def start(self, what: str, total: int) -> None:
        """A step of ``total`` tasks begins; the one before is over."""

    def advance(self) -> None:
        """One task is done."""


class StepLines(Steps):
    """A line as a step begins, and every ten seconds."""

    _what = ""
    _total = _done = 0
    _last = 0.0

    def start(self, what: str, total: int) -> None:
        """Say what begins, if there is anything to do."""
        self._what, self._total, self._done = what, total, 0
        self._last = time.monotonic()
        if total:
            sys.stderr.write(f"redy: {what}: {total}\n")
            sys.stderr.flush()

    def advance(self) -> None:
        """Say how far it is, if the last line is ten seconds old."""
        self._done += 1
        now = time.monotonic()
        if now - self._last >= _LINE_EVERY:
            self._last = now
            sys.stderr.write(f"redy: {self._what}: {self._done} of {self._total}\n")
            sys.stderr.flush()


class StepBar(Steps):
    """A progress bar for the step at hand."""

    def __init__(self) -> None:
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            expand=True,
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def start(self, what: str, total: int) -> None:
        """Show the step's bar instead of the last one's."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(what, total=total)

    def advance(self) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bar.advance(self._task)


def steps_for_stderr() -> Steps:
    """The progress that suits where stderr goes."""
    return StepBar() if sys.stderr.isatty() else StepLines()
