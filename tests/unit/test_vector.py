"""Vectors of eight numbers: compiled code does what the interpreted functions say, lane by lane."""

from __future__ import annotations

import numpy as np
import pytest

from redy.branching.compiled import kernel
from redy.branching.vector import LANES, load, select, some, splat, store

NASTY = np.array([0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, 5e-324])


@kernel
def _arithmetic(a, b, out):
    one, other = load(a, 0), load(b, 0)
    store(out, 0, one + other)
    store(out, 1, one - other)
    store(out, 2, one * other)
    store(out, 3, one / other)
    store(out, 4, abs(one))
    store(out, 5, 2.0 * one)
    store(out, 6, one - 3)
    store(out, 7, splat(0.25))
    store(out, 8, 7.0)


@kernel
def _choices(a, b, out):
    one, other = load(a, 0), load(b, 0)
    store(out, 0, select(one < other, one, other))
    store(out, 1, select(one <= other, 1.0, 0.0))
    store(out, 2, select(one > other, one, -1.0))
    store(out, 3, select(one >= 0.0, 1.0, other))
    store(out, 4, select((one > 0.0) & (other > 0.0), 1.0, 0.0))
    store(out, 5, select((one > 0.0) | (other > 0.0), 1.0, 0.0))
    store(out, 6, 1.0 if some(one > other) else 0.0)
    store(out, 7, 1.0 if some(one > 1e300) else 0.0)


@kernel
def _swap(a, out):
    store(out, 1, load(a, 3))
    store(out, 3, load(a, 1))


def lanes(kernel_function, a, b, rows):
    out = np.full(rows * LANES, -99.0)
    kernel_function(a, b, out)
    return out.reshape(rows, LANES)


@pytest.fixture(params=range(40))
def pair(request):
    rng = np.random.default_rng(request.param)
    if request.param % 2:
        return rng.normal(size=LANES), rng.normal(size=LANES)
    return rng.choice(NASTY, LANES), rng.choice(NASTY, LANES)


def test_arithmetic(pair):
    a, b = pair
    with np.errstate(all="ignore"):
        wanted = [a + b, a - b, a * b, a / b, np.abs(a), 2 * a, a - 3]
    found = lanes(_arithmetic, a, b, 9)
    np.testing.assert_array_equal(found[:7], wanted)
    assert (found[7] == 0.25).all()
    assert (found[8] == 7.0).all()


def test_choices(pair):
    a, b = pair
    wanted = [
        np.where(a < b, a, b),
        (a <= b) * 1.0,
        np.where(a > b, a, -1.0),
        np.where(a >= 0, 1.0, b),
        ((a > 0) & (b > 0)) * 1.0,
        ((a > 0) | (b > 0)) * 1.0,
        np.full(LANES, float((a > b).any())),
        np.full(LANES, float((a > 1e300).any())),
    ]
    np.testing.assert_array_equal(lanes(_choices, a, b, 8), wanted)


def test_rows_are_read_and_written_where_they_are():
    a = np.arange(5.0 * LANES)
    out = a.copy()
    _swap(a, out)
    wanted = a.reshape(5, LANES)[[0, 3, 2, 1, 4]]
    np.testing.assert_array_equal(out.reshape(5, LANES), wanted)
