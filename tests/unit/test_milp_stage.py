"""The stage ``milp``: what it proves is true, and says what it rests on."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import redy
from redy.bounds import queries
from redy.criteria import STAGES, Effort, SliceState
from redy.criteria.winner import keeps_winner
from redy.edits import Criterion, Edit, Edits, Status, proof_of, proved_by
from redy.errors import SolverError, UsageError
from redy.formats.networks import in_memory
from redy.guarantee import Guarantee
from redy.network.form import Layer, Network
from redy.network.winner import differences
from redy.verdict import Proof, Proved, Refuted
from tests.commands import ONNX
from tests.commands import redy as command
from tests.exact import exact_preactivations, exact_ranges
from tests.property.test_lp_milp_bounds import InProcess

BOX = redy.Box([-1, -1], [1, 1])
LINE = redy.Box([-1], [1])
WIDE = redy.Box([-1] * 6, [1] * 6)
EFFORT = Effort(10_000, None, 100, "highs")


@pytest.fixture(autouse=True)
def _unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "_guarded", InProcess)


def deep(seed: int, inputs: int = 2) -> Network:
    """Three layers of five, whose neurons cross more often than not for bounds, less in truth."""
    rng = np.random.default_rng(seed)
    widths = [inputs, 5, 5, 5, 2]
    layers = []
    for k in range(1, 5):
        weights = rng.normal(size=(widths[k], widths[k - 1]))
        relu = np.full(widths[k], k < 4)
        layers.append(Layer({k - 1: weights}, 0.5 * rng.normal(size=widths[k]), relu))
    return Network(inputs, tuple(layers))


def twins(constant: float) -> Network:
    """Outputs relu(x) - relu(x), which is zero, and a constant.

    On [-1, 1] the first is at most 1/2 for the triangle relaxation and at most 1 for CROWN.
    """
    hidden = Layer({0: np.ones((2, 1))}, np.zeros(2), np.full(2, True))
    out = Layer(
        {1: np.array([[1.0, -1.0], [0.0, 0.0]])}, np.array([0.0, constant]), np.full(2, False)
    )
    return Network(1, (hidden, out))


def run(
    network: Network,
    box: redy.Box = BOX,
    guarantee: str = "exact",
    effort: Effort = EFFORT,
    *,
    phase: bool = False,
) -> SliceState:
    loaded, promised = in_memory(network), Guarantee.parse(guarantee)
    state = SliceState.start(network, 0, box.lower, box.upper)
    if phase:
        state = STAGES["phase"].make(loaded, promised, effort).run(state, replace(effort, budget=1))
    return STAGES["milp"].make(loaded, promised, effort).run(state, effort)


@pytest.mark.parametrize("phase", [False, True])
def test_phases_bounds_and_witnesses_are_true(phase: bool) -> None:
    seen: set[Status] = set()
    for seed in range(12):
        network = deep(seed)
        state = run(network, phase=phase)
        ranges = exact_ranges(network, BOX)
        ends = iter(zip(state.known_lower[2:], state.known_upper[2:], strict=True))
        for low, high in (extremes for layer in ranges for extremes in layer):
            lower, upper = next(ends)
            assert lower <= low
            assert high <= upper
        for n, (k, i) in enumerate(network.neurons):
            low, high = ranges[k - 1][i]
            status = Status(state.status[n])
            seen.add(status)
            assert status >= Status.REFUTED  # nothing is left open
            assert (status == Status.REFUTED) == (low < 0 < high)
            assert low >= 0 or state.edits.codes[n] != Edit.IDENTITY
            assert high <= 0 or state.edits.codes[n] != Edit.ZERO
        check_witnesses(network, state)
    proofs = {Status.INACTIVE_SOLVER, Status.ACTIVE_SOLVER, Status.REFUTED}
    assert proofs <= seen
    assert seen & {Status.INACTIVE_DUAL, Status.ACTIVE_DUAL}


def check_witnesses(network: Network, state: SliceState) -> None:
    unit = redy.search.witnesses.unit_pool(2, 512)
    points = state.witnesses.points(state.lower, state.upper, unit)
    pres = [exact_preactivations(network, point) for point in points]
    for n in np.flatnonzero(state.status == Status.REFUTED):
        k, i = network.neurons[n]
        values = [pre[k - 1][i] for pre in pres]
        assert min(values) < 0 < max(values)


@pytest.fixture(scope="module")
def wide() -> redy.Bundle:
    """A bundle with phases proved by propagation, by an LP's dual and by a solver."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queries, "_guarded", InProcess)
        stages = ["phase", "milp", "forward"]
        return redy.simplify(deep(0, 6), WIDE, stages=stages, solver="highs", budget=60)


def test_what_a_solver_proved_is_counted_as_such(wide: redy.Bundle) -> None:
    counted = proved_by(wide.status, Proof.SOLVER)
    assert counted.any()
    assert wide.summary["solver_trusted_mean"] >= counted.mean()
    assert wide.slices[0].proof is Proof.SOLVER
    assert wide.summary["proofs"] == {Proof.SOLVER.value: 1}
    for proof in (Proof.SOLVER, Proof.LP_DUAL):
        (number, *_) = np.flatnonzero(proved_by(wide.status, proof)[0])
        assert wide.slices[0].verdicts[wide.network.neurons[number]] == Proved(proof)


def test_without_the_stage_nobody_is_trusted(wide: redy.Bundle) -> None:
    without = redy.simplify(wide.network, WIDE, stages=["phase", "forward"], budget=60)
    assert without.summary["solver_trusted_mean"] == 0
    assert without.summary["removed_mean"] < wide.summary["removed_mean"]


def test_a_bundle_keeps_who_proved_it(wide: redy.Bundle, tmp_path: Path) -> None:
    wide.save(tmp_path / "b.redy")
    again = redy.open(tmp_path / "b.redy")
    assert np.array_equal(again.status, wide.status)
    assert again.summary["solver_trusted_mean"] == wide.summary["solver_trusted_mean"] > 0


@pytest.mark.parametrize(
    ("constant", "proof"),
    [(1.25, Proof.PROPAGATION), (0.75, Proof.LP_DUAL), (0.25, Proof.SOLVER)],
)
def test_a_constant_winner_and_the_cheapest_proof_of_it(constant: float, proof: Proof) -> None:
    state = run(twins(constant), LINE, "decision")
    assert state.proof is proof
    assert state.edits.codes.tolist() == [Edit.ZERO, Edit.ZERO]
    assert state.edits.criteria.tolist() == [Criterion.DECISION] * 2
    assert keeps_winner(twins(constant), state.edits, 1, 0)


@pytest.mark.parametrize("constant", [-0.25, 0.0, 1e-7])
def test_no_winner_is_proved_where_there_is_hardly_one(constant: float) -> None:
    """The negative constant wins by CROWN; zero always ties; the rest is within tolerances."""
    state = run(twins(constant), LINE, "decision")
    expected = Proof.SOLVER if constant < 0 else None
    assert state.proof is expected


def test_two_winners() -> None:
    network = Network(
        1,
        (
            Layer({0: np.array([[1.0], [-1.0]])}, np.zeros(2), np.full(2, True)),
            Layer({1: np.eye(2)}, np.zeros(2), np.full(2, False)),
        ),
    )
    assert run(network, LINE, "decision").proof is None


def test_the_differences_are_exact() -> None:
    network = deep(1)
    compared = differences(network, -1, 1)
    for point in BOX.sample(5, np.random.default_rng(0)):
        *_, outputs, (difference,) = exact_preactivations(compared, point)
        assert difference == outputs[1] - outputs[0]
        assert list(outputs) == list(exact_preactivations(network, point)[-1])


def test_constants_that_tie_in_rationals_have_no_winner() -> None:
    network = twins(0.25)
    correction = np.array([[0.0, 0.25], [0.0, 0.0]])
    zeros = np.full(2, Edit.ZERO, dtype=np.uint8)
    why = np.full(2, Criterion.DECISION, dtype=np.uint8)
    for changed, kept in ((0.25, False), (np.nextafter(np.float32(0.25), np.float32(0)), True)):
        correction[0, 1] = changed
        edits = Edits(zeros, why, np.zeros((2, 2)), correction.copy())
        assert keeps_winner(network, edits, 1, 0) is kept
        assert Fraction(float(edits.correction[0, 1])) <= Fraction(1, 4)


def test_a_time_limit_leaves_neurons_in() -> None:
    state = run(deep(3), effort=Effort(10_000, 1e-9, 100, "highs"))
    assert state.cut_short
    assert not proved_by(state.status, Proof.SOLVER).any()
    assert state.log[0].queries == 0


@pytest.mark.parametrize("constant", [1.25, 0.75, 0.25])
def test_a_constant_winner_ends_the_pipeline(constant: float) -> None:
    """What is left is constant: the stages behind it have nothing to do."""
    stages = ["phase", "milp", "forward", "decision"]
    bundle = redy.simplify(
        twins(constant), LINE, guarantee="decision", stages=stages, solver="highs", budget=60
    )
    assert bundle.summary["removed_by"]["decision"] == 1.0
    queries = {entry["stage"]: entry["queries"] for entry in bundle.summary["stages"]}
    assert queries["forward"] == queries["decision"] == 0


def test_nodes_are_the_budget() -> None:
    """Each question costs a node or more; what they do not reach stays open, for that reason."""
    states = {n: run(deep(0, 6), WIDE, effort=replace(EFFORT, budget=n)) for n in (1, 2, 5)}
    for nodes, state in states.items():
        assert state.log[0].boxes <= nodes
        assert not state.cut_short
        assert set(state.status[state.status < Status.REFUTED]) <= {Status.UNKNOWN_BUDGET}
    unknown = [state.log[0].unknown for state in states.values()]
    assert unknown == sorted(unknown, reverse=True)
    assert unknown[0] > 0


def test_edits_proved_for_other_phases_stay() -> None:
    network = deep(3)
    loaded, exact = in_memory(network), Guarantee.parse("eps=1")
    state = SliceState.start(network, 0, BOX.lower, BOX.upper)
    state = replace(state, proof=Proof.BRANCH_AND_BOUND, eps_proved=0.5)
    after = STAGES["milp"].make(loaded, exact, EFFORT).run(state, EFFORT)
    assert after.edits is state.edits
    assert (after.status != state.status).any()


def test_the_most_involved_proof() -> None:
    status = np.array([Status.ACTIVE_PROPAGATION, Status.INACTIVE_BRANCHING, Status.ACTIVE_DUAL])
    assert proof_of(status) is Proof.LP_DUAL
    assert proof_of(np.append(status, Status.INACTIVE_SOLVER)) is Proof.SOLVER
    assert isinstance(redy.edits.verdict(Status.REFUTED, np.zeros((1, 2))), Refuted)


@pytest.mark.parametrize("solver", ["auto", "highs"])
def test_a_solver_that_nothing_asks_is_refused(solver: str) -> None:
    with pytest.raises(UsageError, match=r"none of the stages phase, forward asks a solver.*milp"):
        redy.simplify(deep(0), BOX, solver=solver)


def test_a_solver_that_is_not_there() -> None:
    with pytest.raises(SolverError, match="no solver 'cplex'"):
        redy.simplify(deep(0), BOX, stages=["phase", "milp"], solver="cplex")


def test_the_command_line(tmp_path: Path) -> None:
    words = ("simplify", ONNX, "--domain", "acasxu", "--slices", "32", "--sample", "1")
    out = ("--budget", "20", "--out", tmp_path / "b.redy")
    refused = command(*words, "--solver", "highs", *out)
    assert refused.code == 2
    assert "asks a solver" in refused.err
    told = command(*words, "--stages", "phase,milp", "--solver", "highs", "--json", *out)
    assert told.code == 0, told.err
    assert '"stage": "milp"' in told.out
