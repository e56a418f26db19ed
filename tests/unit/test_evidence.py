"""Evidence: sealed and opened again, bound to the edits it allows, never larger than declared."""

from __future__ import annotations

import tracemalloc
import zlib
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redy.edits import Criterion, Edit, Status, edits_of
from redy.formats.evidence import PROOFS, Evidence, Sealed, join_witnesses

INPUTS = 2


def some_evidence(slices: int, neurons: int, rng: np.random.Generator) -> tuple:
    """Evidence, and edits that it allows."""
    status = rng.integers(len(Status), size=(slices, neurons)).astype(np.uint8)
    criteria = rng.integers(len(Criterion), size=(slices, neurons)).astype(np.uint8)
    phases = edits_of(status)
    criteria[(criteria == Criterion.PHASE) & (phases == Edit.KEEP)] = Criterion.RELAXED
    codes = np.where(criteria == Criterion.PHASE, phases, rng.integers(1, 4, size=criteria.shape))
    codes[criteria == Criterion.KEPT] = Edit.KEEP
    rows = [join_witnesses(rng.integers(4, size=2), rng.integers(3)) for _ in range(slices)]
    own = sum(int((row == 0xFFFF).sum()) for row in rows)
    evidence = Evidence(
        status=status,
        criteria=criteria,
        proof=rng.integers(len(PROOFS), size=slices).astype(np.uint8),
        boxes=rng.integers(2**32, size=slices),
        pool=rng.random((4, INPUTS)),
        witness_count=np.array([len(row) for row in rows], dtype=int),
        witness_pool=np.concatenate([np.zeros(0, np.uint16), *rows]),
        witness_found=rng.random((own, INPUTS)).astype("f4"),
    )
    return evidence, codes.astype(np.uint8)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 6), st.integers(0, 6), st.integers(0, 2**32))
def test_opened_it_is_what_was_sealed(slices: int, neurons: int, seed: int) -> None:
    evidence, codes = some_evidence(slices, neurons, np.random.default_rng(seed))
    opened = Sealed.seal(evidence).opened(*codes.shape, INPUTS)
    opened.require_fit(codes)
    for field in fields(Evidence):
        assert np.array_equal(getattr(opened, field.name), getattr(evidence, field.name))
    whole = [opened.witnesses(row) for row in range(slices)]
    assert np.array_equal(np.concatenate([each.found for each in whole]), evidence.witness_found)
    assert [len(e.pool) + len(e.found) for e in whole] == evidence.witness_count.tolist()


STATUS = np.uint8([[Status.REFUTED, Status.ACTIVE_SOLVER, Status.UNKNOWN_TIME]])
CRITERIA = np.uint8([[Criterion.KEPT, Criterion.PHASE, Criterion.RELAXED]])
CODES = np.uint8([[Edit.KEEP, Edit.IDENTITY, Edit.AFFINE]])


def one_slice() -> Evidence:
    return Evidence(
        STATUS, CRITERIA, np.uint8([1]), np.array([7]), np.zeros((3, INPUTS)),
        np.array([2]), np.uint16([2, 0xFFFF]), np.zeros((1, INPUTS), "f4"),
    )  # fmt: skip


def changed(codes: np.ndarray, neuron: int, value: int) -> np.ndarray:
    other = codes.copy()
    other[0, neuron] = value
    return other


@pytest.mark.parametrize(
    ("codes", "status", "criteria"),
    [
        (CODES, changed(STATUS, 1, Status.REFUTED), CRITERIA),
        (CODES, changed(STATUS, 1, Status.UNKNOWN_NUMERICAL), CRITERIA),
        (CODES, changed(STATUS, 1, Status.INACTIVE_SOLVER), CRITERIA),
        (CODES, changed(STATUS, 1, len(Status)), CRITERIA),
        (CODES, STATUS, changed(CRITERIA, 0, Criterion.PHASE)),
        (CODES, STATUS, changed(CRITERIA, 1, Criterion.KEPT)),
        (CODES, STATUS, changed(CRITERIA, 1, len(Criterion))),
        (CODES, changed(STATUS, 2, Status.ACTIVE_DUAL), changed(CRITERIA, 2, Criterion.PHASE)),
        (changed(CODES, 0, Edit.ZERO), STATUS, CRITERIA),
        (changed(CODES, 1, Edit.KEEP), STATUS, CRITERIA),
        (changed(CODES, 1, Edit.ZERO), changed(STATUS, 1, Status.REFUTED), CRITERIA),
        (changed(CODES, 1, Edit.AFFINE), STATUS, CRITERIA),
    ],
)
def test_edits_that_it_does_not_allow(codes, status, criteria) -> None:
    """Each differs in one place from what is allowed."""
    one_slice().require_fit(CODES)
    evidence = replace(one_slice(), status=status, criteria=criteria)
    with pytest.raises(ValueError, match="not what their reasons allow"):
        evidence.require_fit(codes)


def test_an_active_neuron_may_be_zero_where_nothing_reads_it() -> None:
    one_slice().require_fit(changed(CODES, 1, Edit.ZERO))


@pytest.mark.parametrize("codes", [CODES[0], CODES[:, :2], np.concatenate([CODES, CODES])])
def test_edits_of_another_shape(codes) -> None:
    with pytest.raises(ValueError, match="not what their reasons allow"):
        one_slice().require_fit(codes)


@pytest.mark.parametrize("name", sorted(Sealed.seal(one_slice()).streams))
def test_streams_of_another_size(name: str) -> None:
    sealed = Sealed.seal(one_slice())
    content = zlib.decompress(sealed.streams[name].tobytes())
    wrong = {
        "shorter": zlib.compress(content[:-1]),
        "longer": zlib.compress(content + b"\0"),
        "empty": zlib.compress(b""),
        "followed": zlib.compress(content) + b"\0",
        "cut": zlib.compress(content)[:-1],
        "none": b"",
        "raw": content,
    }
    for what, data in wrong.items():
        streams = {**sealed.streams, name: np.frombuffer(data, dtype=np.uint8)}
        with pytest.raises((ValueError, zlib.error)):
            pytest.fail(f"{what} {replace(sealed, streams=streams).opened(*CODES.shape, INPUTS)}")


@pytest.mark.parametrize("name", sorted(Sealed.seal(one_slice()).streams))
def test_a_stream_that_would_fill_the_memory(name: str) -> None:
    """A quarter of a gigabyte in as many kilobytes; no more is made of it than belongs there."""
    sealed = Sealed.seal(one_slice())
    bomb = np.frombuffer(zlib.compress(bytes(2**28), 9), dtype=np.uint8)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"another size|not what"):
            replace(sealed, streams={**sealed.streams, name: bomb}).opened(*CODES.shape, INPUTS)
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "change",
    [
        {"witness_pool": np.uint16([3, 0xFFFF])},
        {"witness_pool": np.uint16([2, 0])},
        {"witness_count": np.array([3])},
        {"proof": np.uint8([len(PROOFS)])},
    ],
)
def test_tables_that_do_not_fit(change: dict) -> None:
    with pytest.raises((ValueError, IndexError)):
        Sealed.seal(replace(one_slice(), **change)).opened(*CODES.shape, INPUTS)


def test_proofs_are_known_by_their_names() -> None:
    sealed = Sealed.seal(one_slice())
    names = [proof.name for proof in PROOFS]
    turned = replace(sealed, proofs=names[::-1]).opened(*CODES.shape, INPUTS)
    assert PROOFS[int(turned.proof[0])].name == names[::-1][1]
    with pytest.raises(ValueError, match="its proofs are none that there are"):
        replace(sealed, proofs=["TRUST_ME", *names[1:]])


@pytest.mark.parametrize("positions", [-1, 0xFFFF, 2])
def test_a_pool_of_another_size(positions: int) -> None:
    with pytest.raises(ValueError, match="pool"):
        replace(Sealed.seal(one_slice()), positions=positions).opened(*CODES.shape, INPUTS)


def test_streams_are_bytes() -> None:
    sealed = Sealed.seal(one_slice())
    with pytest.raises(ValueError, match="no compressed bytes"):
        replace(sealed, streams={**sealed.streams, "boxes": np.zeros(3)})
    with pytest.raises(LookupError):
        replace(sealed, streams={})
