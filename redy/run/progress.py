"""Progress of a run on stderr: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from redy.pipeline import SliceResult

_LINE_EVERY = 10.0  # seconds between lines when stderr is not a terminal


class Progress:
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

    def start(self, total: int, done: int) -> None:
        """The run has ``total`` slices, of which a store holds ``done``."""

    def advance(self, results: Sequence[SliceResult]) -> None:
        """These slices are finished."""


class _Counting(Progress):
    """Counts slices and the neurons removed."""

    total = 0
    done = 0
    _neurons = 0
    _removed = 0

    def start(self, total: int, done: int) -> None:
        """Count from ``done`` on."""
        self.total, self.done = total, done

    def advance(self, results: Sequence[SliceResult]) -> None:
        """Count these slices and their neurons."""
        self.done += len(results)
        for result in results:
            self._neurons += result.status.size
            self._removed += sum(entry.removed for entry in result.log)

    def removed(self) -> str:
        """How much was removed in this start of the run."""
        return f"{self._removed / self._neurons:.1%} removed" if self._neurons else ""


class LogLines(_Counting):
    """A line every ten seconds, with an estimate of the time left."""

    def start(self, total: int, done: int) -> None:
        """The first line."""
        super().start(total, done)
        self._began = self._last = time.monotonic()
        self._before = done
        resumed = f", {done} of them in the store already" if done else ""
        print(f"redy: {total} slices{resumed}", file=sys.stderr, flush=True)

    def advance(self, results: Sequence[SliceResult]) -> None:
        """A line, if the last one is ten seconds old or the run is done."""
        super().advance(results)
        now = time.monotonic()
        if now - self._last < _LINE_EVERY and self.done < self.total:
            return
        self._last = now
        pace = (now - self._began) / (self.done - self._before)
        left = timedelta(seconds=round(pace * (self.total - self.done)))
        print(
            f"redy: {self.done} of {self.total} slices, {self.removed()}, {left} left",
            file=sys.stderr,
            flush=True,
        )


class TerminalBar(_Counting):
    """A progress bar."""

    def __init__(self) -> None:
        self._bar = Bar(
            TextColumn("slices"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[removed]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            expand=True,
        )
        self._task: TaskID | None = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def start(self, total: int, done: int) -> None:
        """Show the bar."""
        super().start(total, done)
        self._bar.start()
        self._task = self._bar.add_task("slices", total=total, completed=done, removed="")

    def advance(self, results: Sequence[SliceResult]) -> None:
        """Move the bar."""
        super().advance(results)
        if self._task is not None:
            self._bar.update(self._task, completed=self.done, removed=self.removed())


def for_stderr() -> Progress:
    """The progress that suits where stderr goes."""
    return TerminalBar() if sys.stderr.isatty() else LogLines()
