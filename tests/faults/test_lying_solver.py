"""Solvers that hang, raise, crash or lie: FAILED, for a reason, and the next question is served."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from math import inf

import numpy as np
import pytest
from joblib import Parallel, delayed

from redy.solvers import SOLVERS, Answer, Limits, Outcome
from redy.solvers.checks import settled
from redy.solvers.guarded import Guarded
from tests.conformance.problems import CASES, market_split, problem
from tests.faults.lies import GOOD, LIES, POINT, QUESTION

BACKENDS = [name for name, backend in sorted(SOLVERS.items()) if backend.probe().available]
LIARS = "tests.faults.lying_solvers"
GRACE = 0.3


def guarded(name: str) -> Guarded:
    return Guarded(name, grace=GRACE, module=LIARS)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def child_of(guard: Guarded) -> int:
    assert guard._child is not None
    return guard._child._process.pid


def assert_failed(answer: Answer, reason: str) -> None:
    assert (answer.outcome, answer.bound, answer.value) == (Outcome.FAILED, -inf, inf)
    assert (answer.point, answer.dual) == (None, None)
    assert reason in answer.detail


def test_an_honest_answer_passes() -> None:
    with guarded("honest") as guard:
        answer = guard.solve(QUESTION, Limits(seconds=10))
        assert (answer.outcome, answer.bound, answer.value) == (Outcome.OPTIMAL, 1.0, 1.0)
        assert answer.detail == "good"
        first = child_of(guard)
        guard.solve(QUESTION)
        assert child_of(guard) == first


def test_hanging() -> None:
    with guarded("hangs") as guard:
        guard.solve(QUESTION, Limits(seconds=0.0))
        first = guard._running()._process.pid  # started again, so that no start-up is measured
        began = time.monotonic()
        answer = guard.solve(QUESTION, Limits(seconds=0.2))
        assert time.monotonic() - began < 0.2 + GRACE + 1.0
        assert_failed(answer, "ended after overrunning its time")
        assert not alive(first)


def test_within_the_grace() -> None:
    with Guarded("late", grace=30.0, module=LIARS) as guard:
        assert guard.solve(QUESTION, Limits(seconds=0.1)).outcome is Outcome.OPTIMAL


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("raises", "ValueError: lost its temper"),
        ("exits", "its process ended with status 3"),
        ("crashes", f"its process ended with status {-signal.SIGSEGV}"),
        ("nobody", "KeyError"),
    ],
)
def test_breaking_down(name: str, reason: str) -> None:
    with guarded(name) as guard:
        for _ in range(2):
            assert_failed(guard.solve(QUESTION, Limits(seconds=5)), reason)


def test_a_module_that_cannot_be_imported() -> None:
    with Guarded("honest", module="tests.faults.no_such_module") as guard:
        assert_failed(guard.solve(QUESTION), "its process ended with status 1")


@pytest.mark.parametrize("name", ["chatters", "interrupted"])
def test_disturbances_do_no_harm(name: str) -> None:
    with guarded(name) as guard:
        assert guard.solve(QUESTION, Limits(seconds=20)).outcome is Outcome.OPTIMAL


def test_lies() -> None:
    with guarded("lies") as guard:
        for which, (_, reason) in enumerate(LIES):
            assert_failed(guard.solve(QUESTION, Limits(seconds=20, nodes=which)), reason)


def test_a_point_that_is_none_is_dropped_where_it_is_not_needed() -> None:
    lie = Answer(Outcome.LIMIT, bound=0.5, value=0.5, point=POINT / 2)
    answer = settled(QUESTION, lie)
    assert (answer.outcome, answer.bound) == (Outcome.LIMIT, 0.5)
    assert (answer.point, answer.value) == (None, inf)


def test_a_dual_that_is_none_is_dropped() -> None:
    relaxed = replace(QUESTION, integer=np.zeros(2, bool))
    for p, dual in [(QUESTION, [1.0]), (relaxed, [np.nan]), (relaxed, [1.0, 1.0])]:
        answer = settled(p, replace(GOOD, dual=np.array(dual)))
        assert (answer.outcome, answer.dual) == (Outcome.OPTIMAL, None)
    assert settled(relaxed, replace(GOOD, dual=np.ones(1))).dual == [1.0]


def test_a_killed_child_is_replaced() -> None:
    with guarded("honest") as guard:
        guard.solve(QUESTION)
        os.kill(child_of(guard), signal.SIGKILL)
        assert_failed(guard.solve(QUESTION), f"status {-signal.SIGKILL}")
        assert guard.solve(QUESTION).outcome is Outcome.OPTIMAL


def test_closing_ends_the_child_and_asking_starts_another() -> None:
    guard = guarded("honest")
    guard.close()
    guard.solve(QUESTION)
    first = child_of(guard)
    guard.close()
    assert not alive(first)
    assert guard.solve(QUESTION).outcome is Outcome.OPTIMAL
    guard.close()


def test_a_forgotten_guard_ends_its_child() -> None:
    guard = guarded("honest")
    guard.solve(QUESTION)
    child = child_of(guard)
    del guard
    gc.collect()
    assert not alive(child)


_SOLVE_HARD = """
import sys, threading, time
from redy.solvers.guarded import Guarded
from tests.conformance.problems import CASES, market_split
guards = [Guarded(name) for name in sys.argv[1:]]
for guard in guards:
    guard.solve(CASES["feasible_lp"]().problem)
    threading.Thread(target=guard.solve, args=(market_split()[0],), daemon=True).start()
time.sleep(0.5)
print(*[guard._child._process.pid for guard in guards], flush=True)
time.sleep(60)
"""


def test_children_that_are_solving_die_with_their_parent() -> None:
    """This needs every library to let go of Python's lock while it solves."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _SOLVE_HARD, *BACKENDS]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, **pipes) as parent:
        assert parent.stdout is not None
        children = [int(word) for word in parent.stdout.readline().split()]
        assert len(children) == len(BACKENDS)
        assert all(alive(child) for child in children)
        parent.kill()
        parent.communicate(timeout=5)  # its stderr is the children's: it closes with the last


@pytest.mark.parametrize("name", BACKENDS)
def test_real_backends_behind_a_guard(name: str) -> None:
    with Guarded(name, grace=30.0) as guard:  # Z3 looks at the time when it pleases
        for build in (CASES["knapsack"], CASES["infeasible_lp"], CASES["relu_encoding"]):
            case = build()
            bare = SOLVERS[name].solve(case.problem)
            answer = guard.solve(case.problem, Limits(seconds=20))
            assert (answer.outcome, answer.bound) == (bare.outcome, bare.bound)
        assert guard.solve(market_split()[0], Limits(seconds=0.1)).outcome is Outcome.LIMIT
        assert guard.probe() == SOLVERS[name].probe()


def _behind_a_guard(guard: Guarded) -> tuple[Outcome, int]:
    with guard:
        return guard.solve(QUESTION).outcome, os.getpid()


def test_inside_of_a_worker() -> None:
    (answer,) = Parallel(n_jobs=2)([delayed(_behind_a_guard)(guarded("honest"))])
    assert answer[0] is Outcome.OPTIMAL


def test_a_guard_travels_without_its_child() -> None:
    with guarded("honest") as guard:
        guard.solve(QUESTION)
        with pickle.loads(pickle.dumps(guard)) as copy:
            assert copy._child is None
            assert copy.solve(QUESTION).outcome is Outcome.OPTIMAL


def test_threads_take_turns() -> None:
    outcomes = []
    with guarded("honest") as guard:
        asking = [
            threading.Thread(target=lambda: outcomes.append(guard.solve(QUESTION).outcome))
            for _ in range(4)
        ]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
    assert outcomes == [Outcome.OPTIMAL] * 4


def test_large_problems_pass_the_pipe() -> None:
    n = 300_000
    p = problem([], [], [(0, 1)] * n, np.ones(n))
    with Guarded("highs") as guard:
        assert guard.solve(p, Limits(seconds=30)).value == 0
