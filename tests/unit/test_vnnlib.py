"""Input boxes of VNN-LIB properties."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from redy.errors import DomainError, FormatError, RedyError, UnsupportedError
from redy.formats.vnnlib import read_vnnlib_box

DECLARED = """\
; a property
(set-info :source "two (2) inputs")
(declare-const X_0 Real)
(declare-fun X_1 () Real)
(declare-const Y_0 Real)
(declare-const Y_1 Real)
"""
BOUNDED = DECLARED + "(assert (<= X_0 1)) (assert (>= X_0 0)) (assert (<= X_1 4)) "
GOOD = BOUNDED + "(assert (>= X_1 -2.5))"


def box_of(folder: Path, text: str):
    path = folder / "p.vnnlib"
    path.write_text(text)
    return read_vnnlib_box(path)


@pytest.mark.parametrize(
    "last",
    [
        "(assert (>= X_1 -2.5))",
        "(assert (<= -2.5 X_1))",
        "(assert (> X_1 -25e-1))",
        "(assert (>= X_1 (- 2.5)))",
        "(assert (and (>= X_1 -2.5) (and (>= X_1 -9) (<= X_1 9.)) (<= Y_0 Y_1)))",
        "(assert (<= -2.5 X_1 7))",
        "(assert (or (and (>= X_1 -2.5) (<= X_1 4))))",
        "(assert (>= X_1 -2.5)) (assert (<= Y_0 Y_1)) (check-sat)",
        "(assert (>= X_1 -2.5)) (assert (or (<= Y_0 Y_1) (and (>= Y_0 2) (<= (+ Y_0 Y_1) 3))))",
        "(assert (>= X_1 -2.5)) (assert (<= 1 2))",
    ],
)
def test_boxes_in_all_their_forms(tmp_path: Path, last: str) -> None:
    box = box_of(tmp_path, BOUNDED + last)
    np.testing.assert_array_equal(box.lower, [0, -2.5])
    np.testing.assert_array_equal(box.upper, [1, 4])


def test_decimals_are_rounded_outward_and_no_further(tmp_path: Path) -> None:
    for decimal in ("0.1", "0.3", "0.679857769", "-0.45", "0.5", "123456789.123456789"):
        text = f"(declare-const X_0 Real)(assert (= X_0 {decimal}))"
        box = box_of(tmp_path, text)
        lower, upper = Fraction(box.lower[0]), Fraction(box.upper[0])
        assert lower <= Fraction(decimal) <= upper
        assert box.upper[0] <= np.nextafter(box.lower[0], np.inf)
        assert (lower == upper) == (Fraction(float(decimal)) == Fraction(decimal))


@pytest.mark.parametrize(
    ("text", "kind", "part"),
    [
        (BOUNDED, DomainError, "X_1 has no lower bound"),
        (GOOD + "(assert (>= X_1 5))", DomainError, "box is empty"),
        (GOOD + "(assert (<= 2 1))", DomainError, "line 7"),
        (GOOD + "\n(assert (<= X_1 1e999))(assert (>= X_1 1e998))", DomainError, "empty"),
        (DECLARED + "(assert (= X_0 1e999)) (assert (= X_1 0))", DomainError, "not finite"),
        (GOOD + "(assert (or (<= X_0 1) (>= X_0 2)))", UnsupportedError, "disjunction"),
        (GOOD + "(assert (<= X_0 X_1))", UnsupportedError, "between X_0 and X_1"),
        (GOOD + "(assert (<= (+ X_0 X_1) 1))", UnsupportedError, "(+ ...)"),
        (GOOD + "(assert (<= (* 2 X_0) 1))", UnsupportedError, "(* ...)"),
        (GOOD + "(assert (<= (- X_0) 1))", UnsupportedError, "(- ...)"),
        (GOOD + "(assert (<= X_0 Y_0))", UnsupportedError, "inputs and outputs"),
        (GOOD + "(assert (not (<= X_0 1)))", UnsupportedError, "(not ...)"),
        (GOOD + "(declare-const X Real)", UnsupportedError, "declarations"),
        (GOOD + "(declare-const X_5 Real)", FormatError, "numbered X_0 to X_2"),
        (GOOD + "(declare-const X_0 Real)", FormatError, "twice"),
        (GOOD + "(assert (<= X_7 1))", FormatError, "X_7 is used but not declared"),
        (GOOD + "(assert (<= X_0 1x))", FormatError, "'1x'"),
        (GOOD + "(assert (<= X_0 1e99999999999))", FormatError, "neither"),
        (GOOD + "(assert (<= X_0))", FormatError, "two terms"),
        (GOOD + "(assert X_0)", FormatError, "not a formula"),
        (GOOD + "(assert (<= X_0 1)", FormatError, "never closed"),
        (GOOD + ")", FormatError, "')' without '('"),
        (GOOD + "(frobnicate)", FormatError, "frobnicate"),
        (GOOD + "stray", FormatError, "'stray' is not a command"),
        (GOOD + '(set-info "open', FormatError, "never closed"),
        (GOOD + "(" * 100000, FormatError, "nested"),
        ("", FormatError, "declares no input"),
    ],
)
def test_everything_else_is_refused_by_name(
    tmp_path: Path, text: str, kind: type[RedyError], part: str
) -> None:
    with pytest.raises(kind) as caught:
        box_of(tmp_path, text)
    assert part in str(caught.value)
    assert "p.vnnlib" in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file"):
        read_vnnlib_box(tmp_path / "absent.vnnlib")


def test_truncations_and_corruptions_raise_only_our_errors(tmp_path: Path) -> None:
    path = tmp_path / "p.vnnlib"
    rng = np.random.default_rng(2)
    for end in range(len(GOOD)):
        with pytest.raises(RedyError):
            box_of(tmp_path, GOOD[:end])
    for _ in range(400):
        broken = bytearray(GOOD.encode())
        broken[rng.integers(len(broken))] = rng.integers(256)
        path.write_bytes(bytes(broken))
        try:
            read_vnnlib_box(path)
        except RedyError:
            continue


def test_published_properties(shared_data: Path) -> None:
    box = read_vnnlib_box(shared_data / "vnnlib" / "acasxu_prop_2.vnnlib")
    np.testing.assert_allclose(box.lower, [0.6, -0.5, -0.5, 0.45, -0.5])
    np.testing.assert_allclose(box.upper, [0.679857769, 0.5, 0.5, 0.5, -0.45])
    for i in (1, 3, 4):
        assert read_vnnlib_box(shared_data / "vnnlib" / f"acasxu_prop_{i}.vnnlib").dimension == 5
