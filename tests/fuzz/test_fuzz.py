"""The short version of experiments/fuzz.py, and whether its guard sees what it is there for."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from redy.errors import FormatError, RedyError
from tests.fuzz import guard
from tests.fuzz.guard import judged, run
from tests.fuzz.targets import BOMBS, FORMATS

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="measures memory as Linux tells it"
)

CASES = {"onnx": 300, "bundle": 200, "store": 60}


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(name: str) -> None:
    tally = run(name, range(CASES.get(name, 120)))
    assert tally.failures == []
    refused = sum(count for outcome, count in tally.outcomes.items() if outcome != "read")
    assert refused > 0.3 * tally.cases
    assert tally.outcomes["read"] > 0


def test_files_that_ask_for_much() -> None:
    tally = run(BOMBS, range(0, 120, 8))
    assert tally.failures == []
    assert tally.outcomes["FormatError"] > 1
    assert tally.outcomes["UnsupportedError"] > 1


def misbehaving(pipe: Connection, name: str, cases: list[int]) -> None:
    """Reads every file well but for number 1."""
    pipe.send(None)
    for number in cases:
        if number == 1 and name == "hang":
            time.sleep(600)
        if number == 1 and name == "spin":
            while True:
                pass
        if number == 1 and name == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        pipe.send(("read", "", 0.0, 0))


@pytest.mark.parametrize(("name", "said"), [("hang", "hang"), ("spin", "hang"), ("crash", "crash")])
def test_the_guard_ends_what_hangs_and_goes_on_after_a_crash(name: str, said: str) -> None:
    tally = run(name, range(4), seconds=0.2, serve=misbehaving)
    assert [number for number, _ in tally.failures] == [1]
    assert tally.outcomes == {"read": 3, said: 1}


def raises(error: BaseException, cause: BaseException | None = None) -> str:
    """What the guard finds wrong with ``error``."""

    def use() -> None:
        raise error from cause

    return judged(use, Path("b.redy"))[1]


def test_the_guard_knows_a_good_error_from_a_bad_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MEMORY", 2**40)  # other tests have filled this process
    assert raises(FormatError("b.redy: is truncated")) == ""
    assert "does not name the file" in raises(RedyError("is truncated"))
    assert "too much memory" in raises(FormatError("b.redy: is no bundle"), MemoryError())
    assert "KeyError" in raises(KeyError("b.redy"))
    assert "MemoryError" in raises(MemoryError("b.redy"))
    assert "SystemExit" in raises(SystemExit())


def test_the_guard_sees_memory_that_was_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    guard._forget_peak()
    monkeypatch.setattr(guard, "MEMORY", guard.peak() + 2**27)
    assert judged(lambda: None, Path("b.redy"))[1] == ""
    assert "MiB in memory" in judged(lambda: np.ones(2**26).sum(), Path("b.redy"))[1]
