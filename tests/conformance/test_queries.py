"""The same queries on the project's own network, asked of every backend: no verdict contradicts.

The queries are recorded (``experiments/queries/record.py`` makes them again), from slices on which
few neurons cross. What redy proves or refutes here is the reference: its proofs hold over the
reals, and its witnesses are replayed.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.queries.recorded import Recorded, read
from redy.criteria.answers import REDY, Answerer, answer
from redy.criteria.queries import Kind, Query, layer_values
from redy.encodings.duplicated import ENCODINGS
from redy.errors import SolverError
from redy.network.form import Network
from redy.search.witnesses import pool_points, unit_pool
from redy.solvers import SOLVERS, Answer, Outcome, Problem
from redy.solvers.guarded import Guarded
from redy.verdict import Proof, Proved, Reason, Refuted, Unknown, Verdict

FILE = Path(__file__).with_name("redy_acas_queries.json.gz")
NETWORKS = Path(__file__).resolve().parents[2] / "acasxu_nets"
BACKENDS = [name for name, backend in sorted(SOLVERS.items()) if backend.probe().available]
SECONDS = {"z3": 0.5}
FIRST = {"z3": 8}
"""How many queries a backend is asked: Z3's exact arithmetic runs out of time on nearly all."""
MOSTLY = 0.7
"""Share of the queries that a MILP solver has to decide within its time, however slow the day."""


@pytest.fixture(scope="module")
def recorded() -> tuple[Network, list[Recorded]]:
    networks, queries = read(FILE, lambda name: NETWORKS / name)
    (loaded,) = networks.values()
    return loaded.network, queries


@pytest.fixture(scope="module")
def answerer(recorded: tuple[Network, list[Recorded]]) -> Answerer:
    return Answerer(recorded[0])


@pytest.fixture(scope="module")
def reference(recorded: tuple[Network, list[Recorded]], answerer: Answerer) -> dict[str, Verdict]:
    return {each.name: answerer.by_branching(each.query) for each in recorded[1]}


def test_redy_decides_all(reference: dict[str, Verdict]) -> None:
    kinds = Counter(type(verdict).__name__ for verdict in reference.values())
    assert len(reference) >= 18
    assert kinds["Unknown"] == 0
    assert min(kinds["Proved"], kinds["Refuted"]) >= 5


def test_each_kind_is_there(recorded: tuple[Network, list[Recorded]]) -> None:
    kinds = Counter(each.query.kind for each in recorded[1])
    assert all(kinds[kind] >= 4 for kind in Kind)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", BACKENDS)
def test_no_backend_contradicts(
    name: str,
    encoding: str,
    recorded: tuple[Network, list[Recorded]],
    answerer: Answerer,
    reference: dict[str, Verdict],
) -> None:
    decided = 0
    # A phase is asked of one network, whatever the encoding.
    queries = [q for q in recorded[1] if encoding == ENCODINGS[0] or q.query.kind is not Kind.PHASE]
    with Guarded(name) as backend:
        for each in queries[: FIRST.get(name)]:
            region = answerer.region(each.query)
            seconds = SECONDS.get(name, 6.0)
            found = answerer.by_solver(each.query, region, backend, seconds, encoding)
            if not isinstance(found, Unknown):
                decided += 1
                assert type(found) is type(reference[each.name]), each.name
    if not SOLVERS[name].probe().exact:
        assert decided >= MOSTLY * len(queries)


def test_every_witness_fails_the_claim(
    recorded: tuple[Network, list[Recorded]], reference: dict[str, Verdict]
) -> None:
    network, queries = recorded
    for each in queries:
        verdict = reference[each.name]
        if isinstance(verdict, Refuted):
            assert each.query.box.contains(verdict.witnesses).all()
            for precision in (np.float64, np.float32):
                assert each.query.fails(network, verdict.witnesses.astype(precision)).all()


def test_a_query_is_read_as_it_was_written(
    recorded: tuple[Network, list[Recorded]],
) -> None:
    network, queries = recorded
    for each in queries:
        written = json.loads(json.dumps(each.query.to_json()))
        again = Query.from_json(written, network)
        assert again.to_json() == each.query.to_json()
        assert np.array_equal(again.box.lower, each.query.box.lower)
        assert again.edits.same_as(each.query.edits)


class Says:
    """A backend that answers the same to everything."""

    name = "says"

    def __init__(self, *answers: Answer) -> None:
        self.answers = [*answers]
        self.asked: list[Problem] = []

    def solve(self, problem: Problem, limits: object = None, start: object = None) -> Answer:
        del limits, start
        self.asked.append(problem)
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


def said(
    recorded: tuple[Network, list[Recorded]], answerer: Answerer, *answers: Answer
) -> tuple[Verdict, Says]:
    query = next(each.query for each in recorded[1] if each.query.kind is Kind.FORWARD)
    backend = Says(*answers)
    region = answerer.region(query)
    return answerer.by_solver(query, region, backend, 10.0, "difference"), backend


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (Outcome.INFEASIBLE, Proved(Proof.SOLVER)),
        (Outcome.LIMIT, Unknown(Reason.TIME_LIMIT)),
        (Outcome.FAILED, Unknown(Reason.NUMERICAL)),
        (Outcome.UNBOUNDED, Unknown(Reason.NUMERICAL)),
    ],
)
def test_only_a_plain_infeasible_proves(
    outcome: Outcome,
    verdict: Verdict,
    recorded: tuple[Network, list[Recorded]],
    answerer: Answerer,
) -> None:
    assert said(recorded, answerer, Answer(outcome))[0] == verdict


def test_a_point_that_does_not_survive_refutes_nothing(
    recorded: tuple[Network, list[Recorded]], answerer: Answerer
) -> None:
    """It is asked for once more, further inside; and then infeasible proves nothing."""
    query = next(each.query for each in recorded[1] if each.query.kind is Kind.FORWARD)
    never = replace(query, least=1e6)
    point = np.concatenate([query.box.lower, np.zeros(500)])
    for second in (Answer(Outcome.OPTIMAL, point=point), Answer(Outcome.INFEASIBLE)):
        backend = Says(Answer(Outcome.OPTIMAL, point=point), second)
        region = answerer.region(never)
        found = answerer.by_solver(never, region, backend, 10.0, "plain")
        assert found == Unknown(Reason.NUMERICAL)
        first, again = (problem.row_lower[-1] for problem in backend.asked)
        assert first == 1e6 < again


def test_a_point_that_is_no_number_refutes_nothing(
    recorded: tuple[Network, list[Recorded]], answerer: Answerer
) -> None:
    found, _ = said(recorded, answerer, Answer(Outcome.OPTIMAL, point=np.full(600, np.nan)))
    assert found == Unknown(Reason.NUMERICAL)


def test_one_call(recorded: tuple[Network, list[Recorded]], reference: dict[str, Verdict]) -> None:
    network, queries = recorded
    first = queries[0]
    assert type(answer(first.query, network)) is type(reference[first.name])
    assert type(answer(first.query, network, "highs")) in {type(reference[first.name]), Unknown}
    with pytest.raises(SolverError, match="no solver 'abacus'"):
        answer(first.query, network, "abacus")
    assert REDY not in SOLVERS


def test_a_decision_fails_where_the_winner_is_overtaken(
    recorded: tuple[Network, list[Recorded]],
) -> None:
    """Against the definition: c is ahead of all by more than the margin, and then not of j."""
    network, queries = recorded
    seen = 0
    for each in queries:
        query = each.query
        if query.kind is not Kind.DECISION:
            continue
        points = pool_points(query.box.lower, query.box.upper, unit_pool(network.inputs, 4096))
        f = layer_values(network, points, query.layer)
        edited = layer_values(network, points, query.layer, query.edits)
        c, j = query.unit, query.rival
        lead = np.delete(f, c, axis=1).min(axis=1) - f[:, c]
        expected = (lead > query.least) & (edited[:, c] > edited[:, j])
        assert np.array_equal(query.fails(network, points), expected)
        seen += int(expected.sum())
    assert seen
