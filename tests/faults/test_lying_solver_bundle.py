"""Solvers that lie, hang or crash, from the command to the bundle and its verification.

What they say may be wrong; what the bundle claims without them is not, and where it rests on their
word alone it says so.
"""

from __future__ import annotations

import json
import time
from fractions import Fraction
from math import nan
from pathlib import Path

import numpy as np
import pytest

import redy
from redy.criteria import oracle
from redy.edits import Criterion, Edit, proved_by
from redy.formats.onnx import write_onnx
from redy.network.evaluate import evaluate
from redy.network.form import Network
from redy.run import execute
from redy.solvers import Answer, Outcome, Problem
from redy.solvers.guarded import Guarded
from redy.verdict import Proof
from tests.commands import redy as command
from tests.exact import exact_ranges
from tests.faults.test_lying_solver_pipeline import (
    LIARS,
    NONSENSE,
    Liar,
    Lie,
    believing,
    infeasible,
    integer_only,
    peaks,
)
from tests.unit.test_milp_stage import BOX, deep

SEEDS = range(3)


def some_point(problem: Problem, answer: Answer) -> Answer:
    """A false witness: the middle of everything, sold as the best there is."""
    del answer
    middle = 0.5 * problem.lower + 0.5 * problem.upper
    return Answer(Outcome.OPTIMAL, bound=0.0, value=0.0, point=middle)


def far_point(problem: Problem, answer: Answer) -> Answer:
    """A false witness outside of the slice."""
    del answer
    return Answer(Outcome.LIMIT, bound=nan, point=problem.upper + 1e3)


def wrong_point(problem: Problem, answer: Answer) -> Answer:
    """A false witness that another honest answer came with."""
    if answer.point is None:
        return Answer(Outcome.LIMIT, point=problem.lower)
    return Answer(Outcome.OPTIMAL, bound=answer.bound, value=answer.value, point=-answer.point)


TOLD: dict[str, Lie] = {
    **NONSENSE,
    "some point": some_point,
    "far point": far_point,
    "wrong point": wrong_point,
}


def careful(problem: Problem, answer: Answer) -> Answer:
    """Says that no phase is ever left, but for the questions by which liars are found out."""
    if (problem.lower == problem.upper).any():  # the inputs are fixed at a point
        return answer
    return infeasible(problem, answer)


def simplified(network: Network, monkeypatch: pytest.MonkeyPatch, backend: object) -> redy.Bundle:
    execute._pipelines.clear()
    with believing(monkeypatch, backend):
        return redy.simplify(
            network, BOX, slices=2, stages=["phase", "milp", "forward"], solver="highs", budget=20
        )


def false_phases(bundle: redy.Bundle) -> list[tuple[int, int]]:
    """(slice, neuron) removed for a phase that it does not have, by exact arithmetic."""
    found = []
    for part in bundle.slices:
        ranges = exact_ranges(bundle.network, part.box)
        for n, (k, i) in enumerate(bundle.network.neurons):
            low, high = ranges[k - 1][i]
            kept = {Edit.ZERO: high <= 0, Edit.IDENTITY: low >= 0}
            if part.criteria[n] == Criterion.PHASE and not kept[Edit(int(part.edits[n]))]:
                found.append((part.index, n))
    return found


def require_sound(bundle: redy.Bundle) -> None:
    """Nothing false, and outputs as they were."""
    assert false_phases(bundle) == []
    points = bundle.domain.sample(2000, np.random.default_rng(0))
    assert np.abs(bundle(points) - evaluate(bundle.network, points)).max() < 1e-9
    assert bundle.summary["solver_trusted_mean"] == 0


@pytest.mark.parametrize("name", sorted(TOLD))
def test_lies_remove_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    for seed in SEEDS:
        liar = Liar(TOLD[name])
        require_sound(simplified(deep(seed), monkeypatch, liar))
        asked += liar.asked
    assert asked > 0


@pytest.mark.parametrize("name", ["raises", "exits", "crashes", "hangs", "honest"])
def test_one_that_fails_removes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The honest one answers another question than it was asked."""
    monkeypatch.setattr(oracle, "GUARD", 0.5)
    began = time.monotonic()
    with Guarded(name, grace=0.2, module=LIARS) as guard:
        bundle = simplified(deep(1), monkeypatch, guard)
    require_sound(bundle)
    stage = next(row for row in bundle.summary["stages"] if row["stage"] == "milp")
    assert 0 < stage["queries"] <= 2 * oracle.PATIENCE  # of two slices: then it is not asked
    assert stage["unknown"] > 0
    assert time.monotonic() - began < 100  # two slices, three questions each, and starting Python


def test_an_honest_solver_would_have_removed_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def removed(lie: Lie) -> float:
        made = [simplified(deep(seed), monkeypatch, Liar(lie)) for seed in SEEDS]
        assert all(false_phases(bundle) == [] for bundle in made)
        return sum(bundle.summary["removed_mean"] for bundle in made)

    assert removed(lambda _, answer: answer) > removed(NONSENSE["failed"])


@pytest.fixture
def fooled(monkeypatch: pytest.MonkeyPatch) -> redy.Bundle:
    """A bundle by a liar that nothing gives away: what it denies lies between all check points."""
    execute._pipelines.clear()
    network, box = peaks(5e-7, 4e-7)
    with believing(monkeypatch, Liar(integer_only(careful))):
        bundle = redy.simplify(network, box, stages=["phase", "milp"], solver="highs", budget=20)
    assert false_phases(bundle)
    return bundle


def test_a_lie_that_a_check_point_contradicts_removes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same liar, of peaks that are wide enough to be met."""
    execute._pipelines.clear()
    network, box = peaks(5e-4, 4e-4)
    with believing(monkeypatch, Liar(integer_only(careful))):
        bundle = redy.simplify(network, box, stages=["phase", "milp"], solver="highs", budget=20)
    assert false_phases(bundle) == []


def test_what_rests_on_a_lie_says_whose_word_it_is(fooled: redy.Bundle) -> None:
    false = false_phases(fooled)
    trusted = proved_by(fooled.status, Proof.SOLVER)
    assert all(trusted[fooled.slices.row(index), n] for index, n in false)
    share = len(false) / (len(fooled.slices) * len(fooled.network.neurons))
    assert fooled.summary["solver_trusted_mean"] >= share > 0
    for index, _ in false:
        assert fooled.slices[index].proof is Proof.SOLVER


def test_what_rests_on_a_lie_is_not_proved_again(fooled: redy.Bundle, tmp_path: Path) -> None:
    """redy verify believes nothing in the file."""
    write_onnx(fooled.network, tmp_path / "n.onnx", np.float64)
    fooled.save(tmp_path / "b.redy")
    outcome = command("verify", tmp_path / "n.onnx", tmp_path / "b.redy", "--json")
    assert outcome.code == 10, outcome
    answer = json.loads(outcome.out)
    assert answer["verdict"] == "refuted"
    point = [[Fraction(x) for x in answer["witness"]]]
    before = evaluate(fooled.network, np.array(point, dtype=float))
    assert np.abs(fooled(np.array(point, dtype=float)) - before).max() > 1e-9
    shown = command("show", tmp_path / "b.redy")
    assert "on a solver's word alone" in shown.out
