"""Tables of edits: slice after slice they give back what they hold, and share what is the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redy.edit_table import EditTable, codes_and_criteria, pack, unpack
from redy.edits import Criterion, Edit, Edits, Status
from redy.formats.edit_tensors import from_tensors, to_tensors
from redy.network.form import Layer, Network

NEURONS = st.integers(0, 9)


def network_of(neurons: int) -> Network:
    """One hidden layer, two inputs, three outputs."""
    hidden = Layer({0: np.ones((neurons, 2))}, np.zeros(neurons), np.ones(neurons, dtype=bool))
    return Network(2, (hidden, Layer({1: np.ones((3, neurons))}, np.zeros(3), np.zeros(3, bool))))


def some_edits(neurons: int, rng: np.random.Generator) -> Edits:
    """Of few kinds, so that many are the same."""
    codes = rng.choice(np.uint8([[0, 1, 2, 3], [1, 1, 1, 1]]), axis=0)[
        rng.integers(4, size=neurons)
    ]
    criteria = np.where(codes == 0, 0, Criterion.RELAXED).astype(np.uint8)
    lines = rng.integers(-1, 2, size=(neurons, 2)) / 4.0 * (codes == Edit.AFFINE)[:, None]
    correction = rng.integers(-1, 2) * np.ones((3, 3)) * [rng.integers(2), 0, 1]
    return Edits(codes, criteria, lines, correction if rng.random() < 0.5 else None)


@st.composite
def many_edits(draw: st.DrawFn) -> tuple[Network, list[Edits | None], np.ndarray]:
    neurons, rng = draw(NEURONS), np.random.default_rng(draw(st.integers(0, 2**32)))
    given = [some_edits(neurons, rng) for _ in range(draw(st.integers(1, 12)))]
    mixed = [None if rng.random() < 0.3 else part for part in given]
    status = rng.integers(len(Status), size=(len(given), neurons)).astype(np.uint8)
    return network_of(neurons), mixed, status


def same(one, other) -> bool:
    if (one.correction is None) != (other.correction is None):
        return False
    return (
        np.array_equal(one.codes, other.codes)
        and np.array_equal(one.lines, other.lines)
        and (one.correction is None or np.array_equal(one.correction, other.correction))
    )


@settings(max_examples=200, deadline=None)
@given(many_edits())
def test_a_table_gives_back_what_it_holds(drawn) -> None:
    network, edits, status = drawn
    codes, criteria = codes_and_criteria(network, status, edits)
    made = EditTable.collect(network, codes, edits)
    for table in (made, from_tensors(to_tensors(made), network)):
        assert np.array_equal(table.codes, codes)
        for row, part in enumerate(edits):
            expected = part or Edits.exact(network, status[row])
            assert np.array_equal(criteria[row], expected.criteria)
            assert same(table.at(row), expected)
            assert np.array_equal(table.shapes[row], expected.shape)
            assert table.skips_input[row] == expected.skips_input
    whole = {(codes[row].tobytes(), part_lines(part)) for row, part in enumerate(edits)}
    assert len(made.packed) == len(whole)
    corrections = {
        part.correction.tobytes() for part in edits if part and part.correction is not None
    }
    assert len(made.corrections) == len(corrections)


def part_lines(part: Edits | None) -> bytes:
    return b"" if part is None else part.lines[part.codes == Edit.AFFINE].tobytes()


@settings(deadline=None)
@given(NEURONS, st.integers(0, 5), st.integers(0, 2**32))
def test_two_bits_per_neuron(neurons: int, rows: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 4, size=(rows, neurons)).astype(np.uint8)
    packed = pack(codes)
    assert packed.shape == (rows, -(-neurons // 4))
    assert np.array_equal(unpack(packed, neurons), codes)


def table_of_two() -> EditTable:
    """Five neurons; one slice with two lines, the other with none, and a correction."""
    return EditTable(
        neurons=5,
        number=np.array([1, 0], dtype="<u4"),
        packed=pack(np.uint8([[0, 1, 2, 1, 1], [3, 0, 1, 0, 3]])),
        lines=np.array([[0.5, 1.0], [0.0, 2.0]], dtype="<f4"),
        correction=np.array([0, 1], dtype="<u4"),
        corrections=np.ones((1, 3, 3), dtype="<f4"),
    )


def test_a_small_table() -> None:
    table = table_of_two()
    assert table.codes.tolist() == [[3, 0, 1, 0, 3], [0, 1, 2, 1, 1]]
    assert table.shapes.tolist() == [[3, 0, 1, 0, 1], [0, 1, 2, 1, 1]]
    assert table.at(0).lines.tolist() == [[0.5, 1], [0, 0], [0, 0], [0, 0], [0, 2]]
    assert table.skips_input.tolist() == [False, True]


@pytest.mark.parametrize(
    "change",
    [
        {"neurons": 4},  # the fifth would be lost
        {"neurons": 9},
        {"number": np.uint32([1, 2])},
        {"number": np.uint32([1])},
        {"number": np.uint32([[1, 0]])},
        {"correction": np.uint32([0, 2])},
        {"correction": np.uint32([0])},
        {"packed": np.uint8([[0, 0], [0, 0]])},  # two lines too many
        {"packed": np.uint8([[0, 4], [3, 3]])},  # there is no sixth neuron
        {"packed": np.uint8([[0, 0], [3, 3], [0, 0]])},  # more rows than slices
        {"packed": np.uint8([0, 0])},
        {"lines": np.zeros((3, 2), "f4")},
        {"lines": np.zeros((2, 1), "f4")},
        {"lines": np.array([[np.nan, 0], [0, 0]], "f4")},
        {"lines": np.array([[0, 0], [0, np.inf]], "f4")},
        {"corrections": np.full((1, 3, 3), np.nan, "f4")},
        {"corrections": np.full((1, 3, 3), np.inf, "f4")},
        {"corrections": np.zeros((0, 3, 3), "f4")},
        {"corrections": np.zeros((3, 3), "f4")},
    ],
)
def test_tables_that_do_not_fit_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match="tables of edits do not fit"):
        replace(table_of_two(), **change)
