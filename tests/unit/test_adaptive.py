"""The adaptive slicing: what it is restored from, and how its tree grows."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import redy
from redy.branching.vector import LANES, bits, load
from redy.domain import Box
from redy.errors import DomainError, RedyError, UsageError
from redy.guarantee import EXACT, Guarantee
from redy.network.evaluate import evaluate, preactivations
from redy.network.form import Layer, Network
from redy.run import grow as growing
from redy.run.backends import Here, opened
from redy.run.grow import Growth, grow
from redy.run.steps import Steps
from redy.run.store import Store
from redy.slicing import restore
from redy.slicing.adaptive import Adaptive
from redy.slicing.growth import Guide, Outlook, Tree
from tests.stages import BOX, tiny

SQUARE = Box([0.0, -1.0], [1.0, 1.0])
HALVES = np.array([0.5, 0.5])

CUTS = np.array([1, 0, 2, 1, 0, 0, 0], dtype=np.uint16)
"""Input 0 is halved, then its upper half along input 1, and of that the lower one once more."""


def random_network(seed: int, widths: tuple[int, ...] = (2, 8, 8, 3)) -> redy.Network:
    rng = np.random.default_rng(seed)
    layers = [
        redy.Layer(
            {k: rng.normal(size=(out, into))},
            rng.normal(size=out),
            np.full(out, k < len(widths) - 2),
        )
        for k, (into, out) in enumerate(pairwise(widths))
    ]
    return redy.Network(widths[0], tuple(layers))


def grown(network: redy.Network, leaves: int, jobs: int = 1, **more: Any) -> Adaptive:
    asked = Growth(network, more.pop("guarantee", EXACT), SQUARE, leaves, **more)
    store = Store(":memory:", {}, network)
    try:
        with opened("loky", jobs) as pool:
            return grow(asked, store, pool, Steps())
    finally:
        store.close()


def test_leaves_are_numbered_level_by_level():
    slicing = Adaptive(SQUARE, CUTS)
    lower, upper = slicing.boxes(np.arange(4))
    assert slicing.slices == 4
    assert lower.tolist() == [[0, -1], [0.5, 0], [0.5, -1], [0.75, -1]]
    assert upper.tolist() == [[0.5, 1], [1, 1], [0.75, 0], [1, 0]]
    assert slicing.weights(np.arange(4)).tolist() == [0.5, 0.25, 0.125, 0.125]


def test_a_cut_belongs_to_the_leaf_above():
    slicing = Adaptive(SQUARE, CUTS)
    below = np.nextafter(0.5, 0)
    points = np.array([[below, 0.0], [0.5, 0.0], [0.5, -0.5], [0.75, -0.5], [1.0, 1.0], [0.0, 1.0]])
    assert slicing.slice_of(points).tolist() == [0, 1, 2, 3, 1, 0]


def test_a_domain_that_is_not_cut_is_one_leaf():
    slicing = Adaptive(SQUARE, np.zeros(1, dtype=np.uint16))
    assert slicing.slices == 1
    assert slicing.slice_of(np.array([[0.3, 0.3]])).tolist() == [0]


@pytest.mark.parametrize(
    ("cuts", "told"),
    [
        ([], "one cut per node"),
        ([3, 0, 0], "of an input there is"),
        ([1, 0], "in the middle of a level"),
        ([1, 0, 1, 0], "in the middle of a level"),
        ([1, 0, 0, 0], "more nodes than its tree"),
        ([0, 0], "more nodes than its tree"),
    ],
)
def test_cuts_that_are_no_tree_are_refused(cuts, told):
    with pytest.raises(UsageError, match=told):
        Adaptive(SQUARE, np.array(cuts, dtype=np.uint16))


def test_an_interval_without_a_middle_cannot_be_halved():
    point = Box([0.0, 1.0], [1.0, 1.0])
    with pytest.raises(UsageError, match=r"input 1 with the interval \[1.0, 1.0\]"):
        Adaptive(point, np.array([2, 0, 0], dtype=np.uint16))
    narrow = Box([1.0, 0.0], [np.nextafter(1.0, 2.0), 1.0])
    with pytest.raises(UsageError, match="cannot be halved"):
        Adaptive(narrow, np.array([1, 0, 0], dtype=np.uint16))


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"cuts": CUTS, "other": CUTS},
        {"cuts": CUTS.astype(np.int64)},
        {"cuts": CUTS[None]},
        {"cuts": CUTS, "weights": np.ones(3)},
        {"cuts": CUTS, "weights": np.array([1.0, 0.5, -0.5, 0.0])},
        {"cuts": CUTS, "weights": np.array([1.0, np.nan, 0.0, 0.0])},
        {"cuts": CUTS, "weights": np.array([1.0, np.inf, 0.0, 0.0])},
    ],
)
def test_hostile_arrays_are_refused(arrays):
    description = Adaptive(SQUARE, CUTS).describe()
    with pytest.raises(RedyError):
        restore(description, arrays)


# How the tree grows


def test_an_outlook_counts_neurons_with_both_phases():
    network = tiny()
    outlook = Guide(network, EXACT, BOX).outlook(BOX.lower, BOX.upper, HALVES)
    # |x0 - x1| crosses on both halves, whichever is halved, but on only two of the four quarters.
    assert (outlook.left, outlook.gain) == (2.0, 1 / 3)
    cut = Guide(network, EXACT, BOX).outlook(np.array([-1.0, 0.0]), np.array([1.0, 1.0]), HALVES)
    assert cut == Outlook(2.0, 0, 1.0)


@pytest.mark.parametrize("seed", range(4))
def test_an_outlook_is_what_its_points_show(seed):
    network = random_network(seed)
    guide = Guide(network, EXACT, SQUARE)
    found = guide.outlook(SQUARE.lower, SQUARE.upper, HALVES)
    points = SQUARE.lower + (SQUARE.upper - SQUARE.lower) * guide._unit
    pre = np.concatenate(list(preactivations(network, points))[:-1], axis=1)

    def kept(rows: np.ndarray) -> int:
        return int(((pre[rows] > 0).any(axis=0) & (pre[rows] <= 0).any(axis=0)).sum())

    def halves(rows: np.ndarray, lower: np.ndarray, upper: np.ndarray, d: int) -> list[Any]:
        middle = 0.5 * (lower[d] + upper[d])
        below, above = upper.copy(), lower.copy()
        below[d] = above[d] = middle
        under = points[:, d] < middle
        return [(rows & under, lower, below), (rows & ~under, above, upper)]

    whole = np.ones(len(points), dtype=bool), SQUARE.lower, SQUARE.upper
    once = [np.mean([kept(half[0]) for half in halves(*whole, d)]) for d in range(2)]
    twice = [
        np.mean(
            [
                min(np.mean([kept(part[0]) for part in halves(*half, e)]) for e in range(2))
                for half in halves(*whole, d)
            ]
        )
        for d in range(2)
    ]
    left = kept(whole[0])
    assert found.left == left
    gains = [max(left - a, (left - b) / 3) for a, b in zip(once, twice, strict=True)]
    assert found.gain == pytest.approx(max(0.0, *gains))
    assert gains[found.cut] == pytest.approx(max(gains))


def test_a_constant_winner_leaves_nothing_under_decision():
    network = random_network(1)
    far = Box(SQUARE.lower, SQUARE.lower + 1e-6)
    values = evaluate(network, far.sample(10, np.random.default_rng(0)))
    assert np.unique(values.argmin(axis=1)).size == 1
    decision = Guide(network, Guarantee.parse("decision", "min"), SQUARE)
    assert decision.outlook(far.lower, far.upper, HALVES).left == 0


def test_a_winner_that_only_seems_constant_is_cut_even_if_a_layer_seems_inactive():
    # The second layer is active near x0 = c alone, where the other output wins; no point is there.
    c = 0.1234567
    network = Network(
        2,
        (
            Layer({0: np.array([[1.0, 0.0], [-1.0, 0.0]])}, np.array([-c, c]), np.ones(2, bool)),
            Layer({1: np.array([[-1.0, -1.0]])}, np.array([1e-6]), np.ones(1, bool)),
            Layer({2: np.array([[0.0], [-1e7]])}, np.array([0.0, 0.5]), np.zeros(2, bool)),
        ),
    )
    guide = Guide(network, Guarantee.parse("decision", "min"), SQUARE, proof_boxes=1)
    found = guide.outlook(SQUARE.lower, SQUARE.upper, HALVES)
    assert found.left > 0
    assert found.gain > 0
    assert found.cut == 0
    # In doubt, the cut is along the widest side.
    assert guide.outlook(SQUARE.lower, np.array([0.5, 1.0]), HALVES).cut == 1


def test_affine_outputs_leave_nothing_under_eps():
    network = random_network(2)
    loose = Guide(network, Guarantee.parse("eps=1e3", None), SQUARE)
    tight = Guide(network, Guarantee.parse("eps=1e-9", None), SQUARE)
    assert loose.outlook(SQUARE.lower, SQUARE.upper, HALVES).left == 0
    assert tight.outlook(SQUARE.lower, SQUARE.upper, HALVES).left > 0


def test_more_leaves_leave_less():
    network = random_network(3)
    left = []
    for leaves in (1, 16, 256):
        slicing = grown(network, leaves)
        assert slicing.slices == leaves
        bundle = redy.simplify(
            network, SQUARE, slicing="adaptive", slices=leaves, budget=300, stages=["phase"]
        )
        assert bundle.slicing.slices == leaves
        left.append(1.0 - bundle.summary["removed_mean"])
        grid = redy.simplify(network, SQUARE, slices=leaves, budget=300, stages=["phase"])
        assert left[-1] <= 1.0 - grid.summary["removed_mean"] + 1e-12
    assert left[0] > left[1] > left[2]


def test_the_tree_does_not_depend_on_the_number_of_jobs():
    network = random_network(4)
    np.testing.assert_array_equal(
        grown(network, 200).arrays()["cuts"], grown(network, 200, jobs=2).arrays()["cuts"]
    )


def test_a_tree_taken_up_again_grows_to_the_same(monkeypatch: pytest.MonkeyPatch):
    network = random_network(5)
    monkeypatch.setattr(growing, "_KEEP_EVERY", 0.0)
    asked = Growth(network, EXACT, SQUARE, 120)
    store = Store(":memory:", {}, network)
    whole = grow(asked, store, Here(), Steps())
    finished = store.part("tree")
    store.close()
    assert finished is not None

    class Stopped(Steps):
        left = 50

        def advance(self) -> None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt

    store = Store(":memory:", {}, network)
    with pytest.raises(KeyboardInterrupt):
        grow(asked, store, Here(), Stopped())
    halfway = store.part("tree")
    assert halfway is not None
    assert 1 < len(halfway["cut"]) < len(finished["cut"])
    again = grow(asked, store, Here(), Steps())
    store.close()
    np.testing.assert_array_equal(again.arrays()["cuts"], whole.arrays()["cuts"])


def test_a_cut_that_gained_little_moves_to_where_more_is_promised():
    tree = Tree(SQUARE)
    tree.root.outlook = Outlook(10.0, 0, 1.0)
    below, above = tree.halve(tree.root)
    below.outlook, above.outlook = Outlook(8.0, 1, 0.5), Outlook(8.0, 1, 4.0)
    useless = tree.halve(below)
    for half in useless:
        half.outlook = Outlook(8.0, -1, 0.0)
    assert tree.regrets(10) == [(below, above)]
    tree.join(below)
    assert not below.halves
    assert below.outlook.gain == 0.0
    assert tree.slicing().slices == 2


def test_leaves_weigh_as_much_as_they_hold_of_the_inputs():
    network = random_network(6)
    corner = np.random.default_rng(0).random((1000, 2)) * 0.25 + [0.0, -1.0]
    inputs = np.concatenate([corner, [[1.0, 1.0]]])
    slicing = grown(network, 64, inputs=inputs)
    assert slicing.weighted_by == "inputs"
    every = np.arange(slicing.slices)
    seen = np.bincount(slicing.slice_of(inputs), minlength=slicing.slices) / len(inputs)
    np.testing.assert_allclose(slicing.weights(every), seen, atol=1e-15)
    lower, _ = slicing.boxes(every)
    assert ((lower < [0.25, -0.75]).all(axis=1)).sum() > 32  # most cuts are where the inputs are


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        (np.zeros((3, 3)), r"shape \(3, 3\), not \(n, 2\)"),
        (np.zeros((0, 2)), r"shape \(0, 2\)"),
        (np.array([[0.0, 0.0], [2.0, 0.0]]), "row 1 lies outside"),
        (np.array([[np.nan, 0.0]]), "row 0 lies outside"),
    ],
)
def test_inputs_that_cannot_weigh_are_refused(inputs, told):
    with pytest.raises(UsageError, match=told):
        Growth(tiny(), EXACT, SQUARE, 4, inputs)


def test_many_inputs_are_for_another_slicing():
    with pytest.raises(DomainError, match="--slicing mid"):
        Growth(tiny(), EXACT, Box(np.zeros(17), np.ones(17)), 4)


def test_bits_are_the_lanes_of_a_mask():
    row = np.array([1.0, -1.0, 0.0, 2.0, -3.0, 4.0, -0.0, 1.0])
    assert row.size == LANES
    assert bits(load(row, 0) > 0.0) == 0b10101001
