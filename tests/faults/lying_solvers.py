"""Backends that misbehave, for the child of a guard; importing this module registers them."""

from __future__ import annotations

import os
import signal
import sys
import time

import numpy as np

from redy.solvers import SOLVERS, Answer, Capabilities, Limits, Problem
from redy.solvers.base import register
from tests.faults.lies import GOOD, LIES


class _Liar:
    """Answers with :attr:`answer`, whatever is asked."""

    name = ""
    answer = GOOD

    def probe(self) -> Capabilities:
        return SOLVERS["z3"].probe()

    def solve(
        self, problem: Problem, limits: Limits | None = None, start: np.ndarray | None = None
    ) -> Answer:
        del problem, limits, start
        return self.misbehave()

    def misbehave(self) -> Answer:
        return self.answer


@register
class Honest(_Liar):
    name = "honest"


@register
class Hangs(_Liar):
    name = "hangs"

    def misbehave(self) -> Answer:
        time.sleep(3600)
        return GOOD


@register
class Late(_Liar):
    """Takes a second."""

    name = "late"

    def misbehave(self) -> Answer:
        time.sleep(1.0)
        return GOOD


@register
class Raises(_Liar):
    name = "raises"

    def misbehave(self) -> Answer:
        raise ValueError("lost its temper")


@register
class Exits(_Liar):
    name = "exits"

    def misbehave(self) -> Answer:
        os._exit(3)


@register
class Crashes(_Liar):
    name = "crashes"

    def misbehave(self) -> Answer:
        os.kill(os.getpid(), signal.SIGSEGV)
        return GOOD


@register
class Chatters(_Liar):
    """Writes to the standard output, where a protocol could be."""

    name = "chatters"

    def misbehave(self) -> Answer:
        sys.stdout.write("solved!\n" * 100_000)
        sys.stdout.flush()
        os.write(1, b"solved!\n" * 100_000)
        return GOOD


@register
class Interrupted(_Liar):
    """Gets the terminal's Ctrl-C."""

    name = "interrupted"

    def misbehave(self) -> Answer:
        signal.raise_signal(signal.SIGINT)
        return GOOD


@register
class Lies(_Liar):
    """Tells the lie that the node limit counts to."""

    name = "lies"

    def solve(
        self, problem: Problem, limits: Limits | None = None, start: np.ndarray | None = None
    ) -> Answer:
        del problem, start
        assert limits is not None
        assert limits.nodes is not None
        return LIES[limits.nodes][0]
