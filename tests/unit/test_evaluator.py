"""The compiled dispatcher against the edited networks, evaluated unit by unit.

The networks' weights are quarters, so that float64 is exact and everything must agree to the bit.
"""

from __future__ import annotations

import pickle
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from redy.dispatch import kernels
from redy.dispatch.c_code import shape_of
from redy.dispatch.evaluator import Evaluator
from redy.dispatch.interpreter import Interpreter
from redy.dispatch.programs import Programs
from redy.domain import Box
from redy.edit_table import EditTable
from redy.edits import Edit, Edits
from redy.errors import DomainError, UnsupportedError, UsageError
from redy.formats.bundle import Content
from redy.guarantee import EXACT
from redy.network.evaluate import evaluate
from redy.network.fold import plan_many
from redy.network.form import Layer, Network
from redy.slicing.adaptive import Adaptive
from redy.slicing.grid import Grid
from tests.unit.test_fold import edited_outputs, plain, random_edits, random_network

DOMAIN = Box(np.array([-1.0, -0.5]), np.array([1.0, 2.0]))


def content_of(network: Network, slicing: Any, edits: list[Edits], slices: np.ndarray) -> Content:
    table = EditTable.collect(network, np.stack([each.codes for each in edits]), list(edits))
    folded, _ = plan_many(network, table.shapes, table.skips_input)
    missing: Any = SimpleNamespace()
    return Content(
        network=network,
        slicing=slicing,
        guarantee=EXACT,
        slices=slices,
        edits=table,
        eps_proved=np.zeros(len(edits)),
        folded=folded,
        sealed=missing,
        summary={},
    )


def random_tree(rng: np.random.Generator, leaves: int) -> Adaptive:
    """Levels of a random tree: a level's inner nodes have twice as many below."""
    cuts, level, total = [], 1, 1
    while level:
        inner = rng.random(level) < 0.7
        inner[np.cumsum(inner) > leaves - total] = False
        total += int(inner.sum())
        cuts.append(np.where(inner, rng.integers(1, 3, level), 0))
        level = 2 * int(inner.sum())
    return Adaptive(DOMAIN, np.concatenate(cuts).astype(np.uint16))


def random_content(seed: int) -> Content:
    rng = np.random.default_rng(seed)
    network = random_network(rng, skips=bool(seed % 3))
    grid = (70, 2) if seed % 4 == 2 else (3, 4)  # of one, edges are bisected
    slicing = random_tree(rng, 12) if seed % 2 else Grid(DOMAIN, grid)
    held = np.flatnonzero(rng.random(slicing.slices) < 0.8)
    held = held if held.size else np.array([0])
    return content_of(network, slicing, random_edits(rng, network, len(held)), held)


def points_of(content: Content, count: int = 40) -> np.ndarray:
    """Random points that are exact in single precision, faces, corners, and their neighbours."""
    rng = np.random.default_rng(1)
    box = content.domain
    points = (rng.integers(-64, 129, size=(count, 2)) / 64).clip(box.lower, box.upper)
    lower, upper = content.slicing.boxes(np.arange(content.slicing.slices))
    ends = np.concatenate([lower, upper])
    faces = points[: len(ends)].copy() if len(ends) <= count else points.copy()
    faces[:, 0] = ends[: len(faces), 0]
    beside = np.nextafter(ends, rng.choice([-np.inf, np.inf], size=ends.shape))
    every = np.concatenate([points, faces, ends, beside])
    return every[box.contains(every)]


def expected(content: Content, points: np.ndarray) -> np.ndarray:
    """The edited networks, unfolded; the original where a slice was not simplified."""
    owners = content.slicing.slice_of(points)
    outputs = np.empty((len(points), content.network.outputs))
    for row, owner in enumerate(owners):
        place = np.flatnonzero(content.slices == owner)
        network = content.network
        if place.size:
            edits = content.edits.at(int(place[0]))
            outputs[row] = [float(y) for y in edited_outputs(network, edits, points[row])]
        else:
            outputs[row] = evaluate(network, points[row : row + 1])[0]
    return outputs


@pytest.mark.parametrize("seed", range(24))
def test_outputs_are_those_of_the_edited_networks(seed: int) -> None:
    content = random_content(seed)
    points = points_of(content)
    evaluator = Evaluator(content)
    assert np.array_equal(evaluator.slice_of(points), content.slicing.slice_of(points))
    outputs = expected(content, points)
    np.testing.assert_allclose(evaluator(points), outputs, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(Interpreter(content)(points), outputs, rtol=1e-13, atol=1e-13)
    one_by_one = np.stack([evaluator(point) for point in points])
    np.testing.assert_allclose(one_by_one, outputs, rtol=1e-13, atol=1e-13)
    few = evaluator(points[:1])
    np.testing.assert_allclose(few, outputs[:1], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("seed", range(12))
def test_single_precision_finds_the_same_slices(seed: int) -> None:
    content = random_content(seed)
    single = points_of(content).astype(np.float32)
    single = single[content.domain.contains(single.astype(np.float64))]
    evaluator = Evaluator(content, precision=32)
    owners = content.slicing.slice_of(single.astype(np.float64))
    assert np.array_equal(evaluator.slice_of(single), owners)
    outputs = evaluator(single)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(
        outputs, expected(content, single.astype(np.float64)), rtol=1e-5, atol=1e-5
    )


def wide_content() -> Content:
    """Layers wider than a register, none of whose widths is a multiple of one."""
    rng = np.random.default_rng(5)
    network = random_network(rng, widths=(2, 37, 19, 21, 3), skips=False)
    slicing = Grid(DOMAIN, (4, 4))
    return content_of(network, slicing, random_edits(rng, network, 16), np.arange(16))


def chain_content(removed: float) -> Content:
    """Slices of a plain network, of which so many neurons are gone: zero, or linear."""
    rng = np.random.default_rng(int(100 * removed))
    network = random_network(rng, widths=(2, 37, 20, 3), skips=False)
    shape = 16, len(network.neurons)
    gone = np.where(rng.random(shape) < 0.8, Edit.ZERO, Edit.IDENTITY)
    codes = np.where(rng.random(shape) < removed, gone, Edit.KEEP)
    return content_of(network, Grid(DOMAIN, (4, 4)), [plain(row) for row in codes], np.arange(16))


@pytest.mark.parametrize("precision", [32, 64])
def test_wide_layers_and_many_points_of_one_slice(precision: int) -> None:
    content = wide_content()
    points = DOMAIN.sample(3000, np.random.default_rng(0)).astype(np.float32)
    points = points.clip(DOMAIN.lower, DOMAIN.upper)
    scale = 1e-12 if precision == 64 else 1e-4
    outputs = Interpreter(content)(points)
    size = np.abs(outputs).max()
    found = Evaluator(content, precision=precision)(points)
    np.testing.assert_allclose(found, outputs, atol=scale * size)
    one_by_one = Evaluator(content, precision=precision)
    some = np.stack([one_by_one(point) for point in points[:200]])
    np.testing.assert_allclose(some, outputs[:200], atol=scale * size)


@pytest.mark.parametrize("precision", [32, 64])
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_batches_of_several_blocks(seed: int, precision: int) -> None:
    """Trees are gone down block by block; the last block is not full, nor its last register."""
    content = random_content(seed)
    count = 3 * kernels.BLOCK + 7
    points = np.resize(points_of(content, 500), (count, 2)).astype(np.float32)
    points = points.clip(DOMAIN.lower, DOMAIN.upper).astype(np.float32)
    np.random.default_rng(seed).shuffle(points)
    evaluator = Evaluator(content, precision=precision)
    owners = content.slicing.slice_of(points.astype(np.float64))
    found = evaluator.slice_of(points)
    assert found.dtype == np.int64
    assert np.array_equal(found, owners)
    few = np.concatenate([evaluator(points[i : i + 16]) for i in range(0, count, 16)])
    scale = 1e-13 if precision == 64 else 1e-5
    np.testing.assert_allclose(evaluator(points), few, rtol=scale, atol=scale)
    for row in (0, kernels.BLOCK, count - 1):
        bad = points.copy()
        bad[row, 1] = np.nan
        with pytest.raises(DomainError, match=f"input row {row}: coordinate 1 is nan"):
            evaluator(bad)


@pytest.mark.parametrize("precision", [32, 64])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31])
def test_some_points_of_one_slice(count: int, precision: int) -> None:
    """Registers that are full, half full, or nearly empty."""
    content = chain_content(0.4)
    lower, upper = content.slicing.boxes(np.array([5]))
    share = np.random.default_rng(count).integers(0, 8, size=(count, 2)) / 8
    points = lower + share * (upper - lower)
    others = content.slicing.boxes(np.arange(16))[0].repeat(10, axis=0)  # a batch, not a few
    every = np.concatenate([points, others])
    outputs = Interpreter(content)(every)
    scale = 1e-12 if precision == 64 else 1e-4
    evaluator = Evaluator(content, precision=precision)
    found = evaluator(every)
    np.testing.assert_allclose(found, outputs, atol=scale * np.abs(outputs).max())
    if precision == 64:  # sums have the same order, whoever is beside
        assert np.array_equal(found[:count], np.stack([evaluator(point) for point in points]))


def test_threads_and_preparation_change_nothing() -> None:
    content = wide_content()
    points = DOMAIN.sample(20_000, np.random.default_rng(0))
    alone = Evaluator(content)
    outputs = alone(points)
    prepared = Evaluator(content, threads=3)
    assert list(prepared.prepare())[-1] == 16
    size = prepared.nbytes
    assert np.array_equal(prepared(points), outputs)
    assert prepared.nbytes == size


def test_threads_may_share_an_evaluator() -> None:
    content = wide_content()
    points = DOMAIN.sample(4000, np.random.default_rng(0))
    outputs = Evaluator(content)(points)
    shared, wrong = Evaluator(content), []

    def work(first: int) -> None:
        rows = range(first, len(points), 8)
        wrong.extend(r for r in rows if not np.array_equal(shared(points[r]), single[r]))

    each = Evaluator(content)
    single = np.stack([each(point) for point in points])
    np.testing.assert_allclose(single, outputs, atol=1e-9)
    threads = [threading.Thread(target=work, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_tables_in_use_never_name_programs_that_they_lack() -> None:
    """Another thread may read the tables while programs are added."""
    content = wide_content()
    programs = Programs(content, np.dtype(np.float64))
    grown = 0
    for index in range(16):
        plan, numbers = programs.tables
        programs.add(np.array([index]))
        grown += programs.tables[1] is not numbers
        begins = plan[plan[kernels.PROGRAMS] : plan[kernels.PROGRAMS] + 16]
        for at in begins[begins != kernels.MISSING].tolist():
            width, macs = shape_of(plan, at)
            assert plan[at] + macs + width - content.network.inputs <= numbers.size
    assert 2 < grown < 16


def test_pickled_it_does_the_same() -> None:
    evaluator = Evaluator(random_content(3), precision=32, outside="clamp")
    again = pickle.loads(pickle.dumps(evaluator))
    far = np.array([[5.0, -7.0], [0.25, 0.5]], dtype=np.float32)
    assert np.array_equal(again(far), evaluator(far))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1.0000001, -1.5])
def test_points_outside_are_refused(bad: float) -> None:
    evaluator = Evaluator(random_content(4))
    points = np.zeros((5, 2))
    points[3, 0] = bad
    with pytest.raises(DomainError, match=r"input row 3: coordinate 0 is"):
        evaluator(points)
    with pytest.raises(DomainError, match=r"input row 0: coordinate 0 is"):
        evaluator(points[3])
    with pytest.raises(DomainError, match="row 3"):
        Evaluator(random_content(4), threads=2)(points)


def test_the_row_of_an_error_counts_over_all_threads() -> None:
    points = np.zeros((5000, 2))
    points[4567, 1] = np.nan
    with pytest.raises(DomainError, match="input row 4567: coordinate 1 is nan"):
        Evaluator(random_content(4), threads=4)(points)


@pytest.mark.parametrize("precision", [32, 64])
def test_clamped_points_are_moved_and_nan_is_refused(precision: int) -> None:
    content = random_content(5)
    evaluator = Evaluator(content, outside="clamp", precision=precision)
    far = np.array([[5.0, -7.0], [-np.inf, np.inf], [0.25, 0.5]])
    kept = far.copy()
    near = far.clip(DOMAIN.lower, DOMAIN.upper)
    assert np.array_equal(evaluator(far), evaluator(near))
    assert np.array_equal(far, kept)
    assert np.array_equal(evaluator(far[0]), evaluator(near[0]))
    with pytest.raises(DomainError, match="nan"):
        evaluator(np.array([0.0, np.nan]))
    with pytest.raises(DomainError, match="nan"):
        evaluator(np.array([[0.0, np.nan]]))


def test_the_upper_face_in_single_precision() -> None:
    """A domain whose ends are no single precision numbers is entered by those inside only."""
    content = random_content(4)
    box = Box(np.array([0.1, 0.1]), np.array([0.7, 0.9]))
    content = replace(content, slicing=Grid(box, (3, 4)))
    evaluator = Evaluator(content, precision=32)
    inside = np.nextafter(np.float32(0.7), np.float32(0))
    assert float(np.float32(0.7)) < 0.7 or float(inside) < 0.7
    top = np.float32(0.7) if float(np.float32(0.7)) <= 0.7 else inside
    evaluator(np.array([top, 0.5], dtype=np.float32))
    with pytest.raises(DomainError):
        evaluator(np.array([np.nextafter(top, np.float32(1)), 0.5], dtype=np.float32))


def test_without_the_interpreter_s_lock_every_thread_has_a_room(monkeypatch) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    content = random_content(5)
    evaluator, out = Evaluator(content), np.empty(content.network.outputs)
    monkeypatch.undo()
    usual = Evaluator(content)
    for point in points_of(content):
        expected = usual.one(point)
        assert np.array_equal(evaluator.one(point, out), expected)
        assert np.array_equal(evaluator.one(point.tolist()), expected)


def test_arrays_of_every_kind() -> None:
    content = random_content(7)
    evaluator = Evaluator(content)
    points = points_of(content)[:40]
    outputs = evaluator(points)
    frozen = points.copy()
    frozen.flags.writeable = False
    assert np.array_equal(evaluator(frozen), outputs)
    assert np.array_equal(evaluator(frozen[0]), outputs[0])
    assert np.array_equal(evaluator(np.asfortranarray(points)), outputs)
    assert np.array_equal(evaluator(np.repeat(points, 2, axis=0)[::2]), outputs)
    assert np.array_equal(evaluator(np.repeat(points[0], 2)[::2]), outputs[0])
    assert np.array_equal(evaluator(points.tolist()), outputs)
    assert np.array_equal(evaluator(points[0].tolist()), outputs[0])
    assert np.array_equal(evaluator(points.astype(">f8")), outputs)
    assert evaluator(np.zeros((0, 2))).shape == (0, content.network.outputs)
    assert np.array_equal(evaluator(np.zeros((1, 2), dtype=int)), evaluator(np.zeros((1, 2))))


def test_outputs_go_where_they_are_wanted() -> None:
    content = random_content(8)
    evaluator = Evaluator(content)
    points = points_of(content)[:30]
    outputs = evaluator(points)
    out = np.empty_like(outputs)
    assert evaluator(points, out) is out
    assert np.array_equal(out, outputs)
    strided = np.empty((2 * len(points), content.network.outputs))[::2]
    assert evaluator(points, strided) is strided
    assert np.array_equal(strided, outputs)
    one = np.empty(content.network.outputs)
    assert evaluator(points[0], one) is one
    assert np.array_equal(one, outputs[0])
    for wrong in (np.empty((3, 1)), out.astype(np.float32), np.empty(99)):
        with pytest.raises(UsageError, match="out must be float64 of shape"):
            evaluator(points, wrong)
    with pytest.raises(UsageError, match="out must be"):
        evaluator(points[0], np.empty(99))


@pytest.mark.parametrize("shape", [(3,), (0,), (2, 3), (2, 2, 2), ()])
def test_points_of_another_dimension_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DomainError, match=r"inputs must have shape \(n, 2\)"):
        Evaluator(random_content(9))(np.zeros(shape))


def test_options_that_there_are_not() -> None:
    content = random_content(0)
    for options in ({"precision": 16}, {"outside": "ignore"}, {"threads": 0}):
        with pytest.raises(UsageError):
            Evaluator(content, **options)


def test_a_network_too_large_is_refused_by_name() -> None:
    wide = 2100
    hidden = Layer({0: sparse.csr_array((wide, 2))}, np.zeros(wide), np.ones(wide, dtype=bool))
    out = Layer({1: sparse.csr_array((1, wide))}, np.zeros(1), np.zeros(1, dtype=bool))
    network = Network(2, (hidden, out))
    content = content_of(network, Grid(DOMAIN, (1, 1)), [Edits.none(network)], np.array([0]))
    with pytest.raises(UnsupportedError, match="2103 units"):
        Evaluator(content)
    assert np.array_equal(Interpreter(content)(np.zeros((2, 2))), np.zeros((2, 1)))
