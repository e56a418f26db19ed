"""The pipeline: which stages run, and that no edits get through without their proof."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import redy
from redy.criteria import STAGES, Effort, SliceState, StageLog, chosen_stages
from redy.edits import Edit, Edits, Status
from redy.errors import UsageError
from redy.formats.networks import in_memory
from redy.guarantee import Guarantee
from redy.pipeline import Pipeline, SliceResult
from redy.verdict import Proof
from tests.stages import BOX, Change, as_correction, as_line, registered, tiny, wrong, wrong_phase

EXACT = [Edit.KEEP, Edit.KEEP, Edit.IDENTITY]


def simplified(
    change: Change, guarantee: str = "eps=0.5", limit: float | None = None
) -> SliceResult:
    promised = Guarantee.parse(guarantee)
    with registered("by_hand", change, promised.kind):
        stages = ["phase", "forward", "by_hand"]
        pipeline = Pipeline(in_memory(tiny()), Effort(50, limit, 100), promised, stages)
        (result,) = pipeline.run([0], BOX.lower[None], BOX.upper[None])
    return result


def test_proved_edits_get_through() -> None:
    result = simplified(as_line)
    assert result.edits.codes.tolist() == [0, 0, Edit.AFFINE]
    assert (result.eps_proved, result.proof) == (0.25, Proof.BRANCH_AND_BOUND)
    assert result.deviation < 1e-5
    phase, forward, by_hand = result.log
    assert (phase.name, phase.removed, forward.removed) == ("phase", 1, 0)
    assert replace(by_hand, seconds=0.0) == StageLog("by_hand", 0, 2, 5, 1, 0, 1)
    assert result.boxes == phase.boxes + 5


@pytest.mark.parametrize(
    "change",
    [
        lambda state: replace(as_line(state), proof=None),
        lambda state: replace(as_line(state), eps_proved=0.75),
        lambda state: replace(as_line(state), eps_proved=np.nan),
        lambda state: replace(as_line(state), eps_proved=np.inf),
        lambda state: replace(as_line(state), eps_proved=-1.0),
        lambda state: replace(wrong(state), proof=None, eps_proved=0.0),
    ],
)
def test_edits_without_a_proof_do_not(change: Change) -> None:
    result = simplified(change)
    assert result.edits is None
    assert (result.eps_proved, result.proof) == (0.0, Proof.PROPAGATION)
    assert result.log[-1].removed == 0


def test_under_exact_no_error_is_allowed() -> None:
    assert simplified(as_line, "exact").edits is None
    exact = simplified(lambda state: replace(as_line(state), eps_proved=0.0), "exact")
    assert exact.edits is not None


def test_exact_edits_by_another_way_are_not_kept_twice() -> None:
    def again(state: SliceState) -> SliceState:
        edits = Edits.exact(tiny(), state.status)
        return replace(state, edits=edits, eps_proved=0.3, proof=Proof.SOLVER)

    result = simplified(again)
    assert result.edits is None
    assert (result.eps_proved, result.proof) == (0.0, Proof.PROPAGATION)


def test_a_stage_that_is_not_proved_does_not_undo_the_one_before() -> None:
    def worse(state: SliceState) -> SliceState:
        return replace(wrong(state), eps_proved=9.0)

    promised = Guarantee.parse("eps=0.5")
    with registered("first", as_correction), registered("second", worse):
        stages = ["phase", "first", "second"]
        pipeline = Pipeline(in_memory(tiny()), Effort(50, None, 10), promised, stages)
        (result,) = pipeline.run([0], BOX.lower[None], BOX.upper[None])
    assert result.edits.correction is not None
    assert (result.eps_proved, result.proof) == (0.25, Proof.LP_DUAL)


def test_phases_without_what_they_leave_unread() -> None:
    """``--stages phase``: edits that do not follow from the status by themselves are kept."""
    into = redy.Layer({0: np.array([[1.0], [1.0]])}, np.array([0.0, -9.0]), np.full(2, True))
    second = redy.Layer({1: np.array([[1.0, 0.0]])}, np.array([-9.0]), np.full(1, True))
    out = redy.Layer({2: np.ones((1, 1))}, np.zeros(1), np.full(1, False))
    network = redy.Network(1, (into, second, out))
    box = redy.Box([-1], [1])
    for stages, codes in ((["phase"], [0, 1, 1]), (["phase", "forward"], [1, 1, 1])):
        (part,) = redy.simplify(network, box, stages=stages, budget=20).slices
        assert part.edits.tolist() == codes
        assert part.network.neurons == ()


@pytest.mark.parametrize("guarantee", ["decision", "eps=40"])
def test_edits_that_the_check_contradicts_are_given_back(guarantee: str) -> None:
    """Too great a claim falls back to what the phases prove."""

    def lie(state: SliceState) -> SliceState:
        return replace(wrong(state), eps_proved=np.inf if guarantee == "decision" else 1.0)

    result = simplified(lie, guarantee)
    assert (result.contradicted, result.winners_changed) == (True, 0)
    assert result.edits is None
    assert (result.eps_proved, result.proof) == (0.0, Proof.PROPAGATION)
    assert result.deviation < 1e-5
    assert [entry.removed for entry in result.log] == [1, 0, 0]
    assert Edits.exact(tiny(), result.status).codes.tolist() == EXACT
    assert not simplified(as_line, guarantee).contradicted


@pytest.mark.parametrize("guarantee", ["exact", "eps=0.5", "decision"])
def test_phases_that_the_check_contradicts_are_not_believed(guarantee: str) -> None:
    result = simplified(wrong_phase, guarantee)
    assert (result.contradicted, result.winners_changed) == (True, 0)
    assert result.status[2] == Status.UNKNOWN_NUMERICAL
    assert (result.status >= Status.INACTIVE_PROPAGATION).sum() == 0
    assert result.edits is None
    assert Edits.exact(tiny(), result.status).removed == 0
    assert [entry.removed for entry in result.log] == [0, 0, 0]
    assert result.deviation < 1e-5


def test_no_time_is_left_for_a_stage() -> None:
    def not_called(_: SliceState) -> SliceState:
        raise AssertionError

    result = simplified(not_called, limit=1e-9)
    assert result.cut_short
    assert [entry.name for entry in result.log] == ["phase", "forward", "by_hand"]
    assert result.log[-1].queries == 0


def test_what_a_state_knows_holds() -> None:
    """Bounds of the phase stage enclose the pre-activations at points."""
    seen = []
    simplified(lambda state: seen.append(state) or as_line(state))
    (state,) = seen
    points = BOX.sample(100, np.random.default_rng(0))
    pre = points @ tiny().layers[0].weights[0].T + tiny().layers[0].bias
    values = np.concatenate([points, pre], axis=1)
    assert (state.known_lower[:5] <= values).all()
    assert (values <= state.known_upper[:5]).all()
    assert state.known_lower[:2].tolist() == [-1, -1]
    assert state.known_lower[4] >= 0
    assert state.known_lower.shape == state.known_upper.shape == (7,)


@pytest.mark.parametrize(
    ("guarantee", "names", "why"),
    [
        ("exact", ["phase", "other"], "no stage 'other'; there is .*phase"),
        ("exact", ["phase", "by_hand"], "by_hand changes outputs, which the guarantee exact does"),
        ("decision", ["phase", "by_hand"], "goes with eps"),
        ("exact", ["phase", "phase"], "names a stage twice"),
        ("exact", ["forward"], "phase comes first"),
        ("exact", ["forward", "phase"], "phase comes first"),
        ("exact", [], "phase comes first"),
    ],
)
def test_stages_that_cannot_be(guarantee: str, names: list[str], why: str) -> None:
    with registered("by_hand", as_line), pytest.raises(UsageError, match=why):
        chosen_stages(Guarantee.parse(guarantee), names)


def test_default_stages_are_those_that_are_there() -> None:
    for text, last in (("exact", "forward"), ("eps=1", "relaxed"), ("decision", "decision")):
        names = chosen_stages(Guarantee.parse(text))
        assert names == ("phase", last)
        assert set(names) <= set(STAGES)
        assert chosen_stages(Guarantee.parse(text), names) == names
