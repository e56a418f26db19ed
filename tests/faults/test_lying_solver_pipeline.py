"""Solvers that lie, hang or crash in the pipeline: neurons stay in, whatever they say."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest

import redy
from redy.criteria import STAGES, Effort, SliceState, oracle
from redy.edits import Edit, Status, proved_by
from redy.formats.networks import in_memory
from redy.guarantee import Guarantee
from redy.network.form import Layer, Network
from redy.solvers import SOLVERS, Answer, Limits, Outcome, Problem
from redy.solvers.checks import settled
from redy.solvers.guarded import Guarded
from redy.verdict import Proof
from tests.unit.test_milp_stage import LINE, WIDE, deep, twins

LIARS = "tests.faults.lying_solvers"
Lie = Callable[[Problem, Answer], Answer]


class Liar:
    """Solves with HiGHS and then says something else; checked as a guard would check it."""

    def __init__(self, lie: Lie) -> None:
        self._lie = lie
        self.asked = 0

    def solve(
        self, problem: Problem, limits: Limits | None = None, start: np.ndarray | None = None
    ) -> Answer:
        self.asked += 1
        return settled(problem, self._lie(problem, SOLVERS["highs"].solve(problem, limits, start)))


@contextmanager
def believing(monkeypatch: pytest.MonkeyPatch, backend: object) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(oracle, "chosen", lambda *_: backend)
        yield


def run(
    network: Network,
    box: redy.Box,
    guarantee: str = "exact",
    limit: float | None = None,
) -> SliceState:
    effort = Effort(10_000, limit, 100)
    stage = STAGES["milp"].make(in_memory(network), Guarantee.parse(guarantee), effort)
    return stage.run(SliceState.start(network, 0, box.lower, box.upper), effort)


def infeasible(problem: Problem, answer: Answer) -> Answer:
    del problem, answer
    return Answer(Outcome.INFEASIBLE, bound=inf, detail="believe me")


def integer_only(lie: Lie) -> Lie:
    """Honest about LPs, whose duals are recomputed anyway."""
    return lambda problem, answer: lie(problem, answer) if problem.integer.any() else answer


NONSENSE: dict[str, Lie] = {
    "infeasible": infeasible,
    "infeasible MILPs": integer_only(infeasible),
    "bound nan": lambda _, answer: replace(answer, outcome=Outcome.LIMIT, bound=nan),
    "bound inf": lambda _, answer: replace(answer, outcome=Outcome.LIMIT, bound=inf),
    "unbounded": lambda *_: Answer(Outcome.UNBOUNDED),
    "failed": lambda *_: Answer(Outcome.FAILED),
    "no point": lambda *_: Answer(Outcome.OPTIMAL, bound=5.0, value=5.0),
    "point nan": lambda problem, _: Answer(
        Outcome.OPTIMAL, bound=0.0, value=0.0, point=np.full(problem.lower.size, nan)
    ),
    "any point": lambda problem, _: Answer(Outcome.LIMIT, point=problem.upper),
}


@pytest.mark.parametrize("name", sorted(NONSENSE))
@pytest.mark.parametrize("seed", [0, 1])
def test_nonsense_proves_nothing(name: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network = deep(seed, inputs=6)
    honest = told(monkeypatch, Liar(lambda _, answer: answer), network)
    state = told(monkeypatch, Liar(NONSENSE[name]), network)
    assert not proved_by(state.status, Proof.SOLVER).any()
    removed = state.edits.codes != Edit.KEEP
    assert (state.edits.codes[removed] == honest.edits.codes[removed]).all()


def test_duals_of_no_use_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever they are, what follows from them holds; here it is too little to decide a phase."""

    def any_dual(problem: Problem, answer: Answer) -> Answer:
        return replace(answer, dual=np.full(problem.row_lower.size, 1e3))

    network = deep(0, inputs=6)
    honest = told(monkeypatch, Liar(lambda _, answer: answer), network)
    assert proved_by(honest.status, Proof.LP_DUAL).any()
    state = told(monkeypatch, Liar(any_dual), network)
    assert not proved_by(state.status, Proof.LP_DUAL).any()
    assert (state.edits.codes == honest.edits.codes).all()


def told(monkeypatch: pytest.MonkeyPatch, backend: object, network: Network) -> SliceState:
    with believing(monkeypatch, backend):
        return run(network, WIDE)


def test_no_winner_by_a_liar(monkeypatch: pytest.MonkeyPatch) -> None:
    for lie in NONSENSE.values():
        with believing(monkeypatch, Liar(integer_only(lie))):
            state = run(twins(0.25), LINE, "decision")
        assert state.proof is None
        assert not state.edits.removed


def peaks(first: float, second: float) -> tuple[Network, redy.Box]:
    """Two neurons z = height - |x - 0.3137|, above zero where hardly any point is found."""
    at = 0.3137
    tent = Layer({0: np.array([[1.0], [-1.0]])}, np.array([-at, at]), np.full(2, True))
    heights = Layer({1: -np.ones((2, 2))}, np.array([first, second]), np.full(2, True))
    return (
        Network(1, (tent, heights, Layer({2: np.ones((1, 2))}, np.zeros(1), np.array([False])))),
        LINE,
    )


def test_the_peaks_are_found_by_an_honest_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    with believing(monkeypatch, Liar(lambda _, answer: answer)):
        state = run(*peaks(5e-5, 4e-5))
    assert (state.status == Status.REFUTED).all()


def test_a_word_that_a_point_contradicts_costs_all_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It lies about the first neuron only; the point it gives for the second one tells."""
    lied: list[Problem] = []

    def once(problem: Problem, answer: Answer) -> Answer:
        if not lied and answer.outcome is Outcome.OPTIMAL:
            lied.append(problem)
            return infeasible(problem, answer)
        return answer

    network, box = peaks(5e-5, 4e-5)
    with believing(monkeypatch, Liar(integer_only(once))):
        state = run(network, box)
    assert lied
    assert (state.status == Status.REFUTED).all()
    assert not state.edits.removed
    assert (state.known_upper[3:5] > 0).all()


def test_an_infeasible_point_of_the_slice_gives_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    network, box = peaks(5e-5, 4e-5)
    with believing(monkeypatch, liar := Liar(integer_only(infeasible))):
        state = run(network, box)
    neurons = state.status[2:]
    assert (neurons == Status.UNKNOWN_NUMERICAL).any()
    assert not state.edits.removed
    asked = state.log[0].queries
    assert asked == liar.asked <= 4  # two LPs, the lie, the check; then nobody asks any more


@pytest.mark.parametrize("name", ["raises", "exits", "crashes", "hangs", "honest"])
def test_one_that_fails_leaves_everything_in(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The honest one answers another question than it was asked."""
    limit = 1.0 if name == "hangs" else None
    begin = time.perf_counter()
    with (
        Guarded(name, grace=0.2, module=LIARS) as guard,
        believing(monkeypatch, guard),
    ):
        state = run(deep(0, inputs=6), WIDE, limit=limit)
    assert not proved_by(state.status, Proof.SOLVER).any()
    assert not proved_by(state.status, Proof.LP_DUAL).any()
    assert state.log[0].unknown > 0
    assert state.log[0].queries <= oracle.PATIENCE
    assert state.cut_short == (name == "hangs")
    if name == "hangs":
        assert time.perf_counter() - begin < 60


@pytest.mark.parametrize("solver", ["highs", "gurobi", "scip"])
def test_no_time_to_speak_of(solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not SOLVERS[solver].probe().available:
        pytest.skip(f"{solver} is not here")
    with believing(monkeypatch, SOLVERS[solver]):
        state = run(deep(0, inputs=6), WIDE, limit=0.01)
    honest = told(monkeypatch, SOLVERS["highs"], deep(0, inputs=6))
    removed = state.edits.codes != Edit.KEEP
    assert (state.edits.codes[removed] == honest.edits.codes[removed]).all()
    assert not removed.all()
