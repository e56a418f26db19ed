"""Claims on edited networks, proved and refuted, against exact rational enumeration.

No tolerance anywhere: what is proved holds over the reals, on every piece of the box on which both
networks are affine; a point that refutes lies in the box and contradicts the claim exactly, as far
as evaluation in floating point can be trusted on the networks at hand.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redy.criteria.comparison import Claim, Comparer, Outcome, Region
from redy.criteria.winner import WinnerComparer, constant_winner, keeps_winner
from redy.domain import Box
from redy.edits import Criterion, Edit, Edits
from redy.network.evaluate import evaluate
from redy.network.form import Layer, Network
from redy.network.winner import differences as winner_differences
from tests.exact import exact_pieces, exact_preactivations, exact_ranges, side_by_side
from tests.property.test_phase_exact import (
    CANCELLING,
    HUGE_AND_TINY,
    MIXED,
    NEGLIGIBLE,
    OVERFLOWING,
    PLAIN,
    SUBNORMAL,
    boxes,
    layers,
)

WIDTHS = st.sampled_from([0.0, 1e-9, 0.5, 1.0, 1.0, 3.0])
DYADIC = st.integers(-12, 12).map(lambda n: n / 8)
SINGLE = st.floats(-2, 2, width=32, allow_subnormal=False)
BUDGETS = st.sampled_from([1, 7, 60])
TRUSTED = {"plain", "dyadic", "flat boxes"}
"""Strategies whose networks floating point evaluates well, so that witnesses can be checked."""


@st.composite
def networks(draw, weight=PLAIN, outputs=None):
    """One or two hidden layers, five neurons at most, with skips and linear units."""
    widths, built, left = [draw(st.integers(1, 2))], [], 5
    for k in range(1, draw(st.integers(1, 2)) + 1):
        units = draw(st.integers(1, min(3, left)))
        built.append(draw(layers(widths, k, weight, units)))
        widths.append(units)
        left -= units
    units = draw(st.integers(1, 3)) if outputs is None else outputs
    last = draw(layers(widths, len(widths), weight, units))
    return Network(widths[0], (*built, replace(last, relu=np.zeros(units, bool))))


@st.composite
def some_edits(draw, network, number=SINGLE):
    """Any codes and lines, a correction now and then."""
    count = len(network.neurons)
    codes = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    lines = draw(st.lists(st.tuples(number, number), min_size=count, max_size=count))
    correction = None
    if draw(st.integers(0, 3)) == 0:
        size = network.outputs * (network.inputs + 1)
        entries = draw(st.lists(st.one_of(st.just(0.0), number), min_size=size, max_size=size))
        correction = np.array(entries).reshape(network.outputs, -1)
    return edited(codes, lines, correction)


def edited(codes, lines=None, correction=None):
    codes = np.array(codes, dtype=np.uint8)
    lines = np.zeros((codes.size, 2)) if lines is None else np.array(lines).reshape(-1, 2)
    criteria = np.where(codes == Edit.KEEP, Criterion.KEPT, Criterion.RELAXED).astype(np.uint8)
    return Edits(codes, criteria, lines * (codes == Edit.AFFINE)[:, None], correction)


@st.composite
def problems(draw, weight=PLAIN, end=PLAIN, width=WIDTHS, outputs=None):
    """A network, edits, and a box."""
    network = draw(networks(weight, outputs))
    return network, draw(some_edits(network)), draw(boxes(network.inputs, end, width))


@st.composite
def by_phase(draw, weight=PLAIN, shifts=None):
    """Every neuron removed, or some, by the phase that it has, or almost has.

    With ``shifts``, biases are moved so that extremes are almost zero, and the phase may be wrong
    on a part of the box too small to be met by chance.
    """
    network = draw(networks(weight))
    box = draw(boxes(network.inputs, width=st.sampled_from([0.0, 1.0, 3.0])))
    codes = []
    for k, i in network.neurons:
        low, high = exact_ranges(network, box)[k - 1][i]
        if shifts is not None:
            toward = draw(st.sampled_from([low, high]))
            shift = Fraction(draw(shifts) * draw(st.sampled_from([1, -1])))
            network, by = shifted(network, k, i, shift - toward)
            low, high = low + by, high + by
        likely = Edit.IDENTITY if low + high > 0 else Edit.ZERO
        stable = low >= 0 or high <= 0 or shifts is not None
        codes.append(draw(st.sampled_from([likely, likely, Edit.KEEP])) if stable else Edit.KEEP)
    return network, edited(codes), box


def shifted(network, k, i, by):
    """``network`` with a bias moved by about ``by``, and by how much it was moved exactly."""
    layer = network.layers[k - 1]
    bias = layer.bias.copy()
    bias[i] = float(Fraction(float(bias[i])) + by)
    moved = Fraction(float(bias[i])) - Fraction(float(layer.bias[i]))
    built = list(network.layers)
    built[k - 1] = replace(layer, bias=bias)
    return Network(network.inputs, tuple(built)), moved


@st.composite
def small_changes(draw):
    """Lines next to the phases, and a correction of next to nothing."""
    network, edits, box = draw(by_phase())
    codes, lines = edits.codes.copy(), np.zeros((edits.codes.size, 2))
    for n in np.flatnonzero(codes):
        error = np.float32(draw(st.sampled_from([0.0, 1e-3, -2e-5, 1e-30])))
        lines[n] = float(codes[n] == Edit.IDENTITY), error
        codes[n] = Edit.AFFINE
    correction = None
    if draw(st.booleans()):
        correction = np.zeros((network.outputs, network.inputs + 1))
        correction[0] = np.float32(draw(st.sampled_from([0.0, 1e-3, 1e-7, -1e-20])))
    return network, edited(codes, lines, correction), box


@st.composite
def near_ties(draw, weight=PLAIN):
    """Outputs j, c moved so that f'_j - f'_c, or f_j - f_c, is least or greatest at almost 0."""
    network, edits, box = draw(problems(weight, outputs=draw(st.integers(2, 3))))
    pieces = exact_pieces(side_by_side(network, edits), box)
    first = draw(st.sampled_from([0, network.outputs]))
    gaps = [v[first] - v[first + 1] for piece in pieces for v in piece]
    shift = Fraction(draw(NEGLIGIBLE) * draw(st.sampled_from([1, -1])))
    extreme = draw(st.sampled_from([min(gaps), max(gaps)]))
    return shifted(network, len(network.layers), 0, shift - extreme)[0], edits, box


@st.composite
def duplicated_and_dead(draw):
    """Neurons twice, negated, dead, and outputs that read the same ones."""
    weight = draw(st.lists(DYADIC, min_size=2, max_size=2))
    bias = draw(DYADIC)
    rows = np.array([weight, weight, [-w for w in weight], [0.0, 0.0]])
    shift = draw(st.sampled_from([0.0, -1.0, 1.0, -5e-324]))
    first = Layer({0: rows}, np.array([bias, bias, -bias, shift]), np.ones(4, bool))
    out = np.array([[1, -1, 0, draw(DYADIC)], [1, 0, -1, 0], [0, 1, -1, 0.0]])
    network = Network(2, (first, Layer({1: out}, np.zeros(3), np.zeros(3, bool))))
    return network, draw(some_edits(network, DYADIC)), draw(boxes(2))


@st.composite
def tied_on_a_face(draw):
    """f_0 = x, f_1 = 0, f_2 = 1: x = 0 is a tie; the edits may move it, or break f' apart there."""
    first = Layer({0: np.array([[1.0], [-1.0]])}, np.zeros(2), np.ones(2, bool))
    out = Layer(
        {1: np.array([[1.0, -1], [0, 0], [0, 0]])}, np.array([0, 0, 1.0]), np.zeros(3, bool)
    )
    network = Network(1, (first, out))
    ends = draw(
        st.sampled_from([(0.0, 1.0), (-1.0, 0.0), (-1.0, 1.0), (-1e-4, 1.0), (5e-324, 1.0)])
    )
    correction = np.zeros((3, 2))
    correction[draw(st.integers(0, 2))] = draw(
        st.sampled_from([(0, 0), (0, 1e-30), (0, -1e-30), (1, 0), (-1, 0), (-0.5, 0), (-2, 0)])
    )
    correction = correction.astype(np.float32).astype(float)
    codes = draw(st.sampled_from([(0, 0), (2, 1), (1, 2), (1, 1), (0, 1), (2, 2)]))
    return network, edited(codes, None, correction), Box([ends[0]], [ends[1]])


STRATEGIES = {
    "plain": problems(),
    "dyadic": problems(DYADIC, DYADIC),
    "by phase": by_phase(),
    "nearly stable": by_phase(shifts=NEGLIGIBLE),
    "nearly stable, cancelling": by_phase(st.one_of(PLAIN, CANCELLING), NEGLIGIBLE),
    "small changes": small_changes(),
    "near ties": near_ties(),
    "near ties, cancelling": near_ties(st.one_of(PLAIN, CANCELLING)),
    "duplicated and dead": duplicated_and_dead(),
    "tied on a face": tied_on_a_face(),
    "points": problems(width=st.just(0.0)),
    "points, cancelling": problems(CANCELLING, width=st.just(0.0)),
    "points, nearly tied": near_ties(CANCELLING),
    "flat boxes": problems(width=st.sampled_from([0.0, 1.0])),
    "huge and tiny weights": problems(HUGE_AND_TINY),
    "overflow": problems(OVERFLOWING),
    "subnormal numbers": problems(SUBNORMAL, SUBNORMAL.filter(lambda x: abs(x) < 1)),
    "all kinds of weights": problems(MIXED),
    "wide boxes": problems(end=st.just(-1e9), width=st.sampled_from([2e9, 1e150])),
}


# The truth.


def up_to(network, edits, k):
    """Both with layer ``k`` for an output."""
    if k == len(network.layers):
        return network, edits
    last = replace(network.layers[k - 1], relu=np.zeros(network.width(k), bool))
    count = sum(number < k for number, _ in network.neurons)
    first = Edits(edits.codes[:count], edits.criteria[:count], edits.lines[:count])
    return Network(network.inputs, (*network.layers[: k - 1], last)), first


def differences(network, edits, box):
    """Least and greatest f'_i - f_i over the box, output by output."""
    n = network.outputs
    found = [
        [v[n + i] - v[i] for i in range(n)]
        for piece in exact_pieces(side_by_side(network, edits), box)
        for v in piece
    ]
    return [(min(column), max(column)) for column in zip(*found, strict=True)]


def broken_pairs(network, edits, box, sign, eps):
    """Pairs (c, j) such that somewhere c wins in f by more than eps, and does not beat j in f'.

    The pieces are cut further where f_j - f_c = eps, for all pairs. On a piece, c wins by more
    than eps at a mean of vertices if for every rival some of them has a margin above eps; and next
    to a vertex with f'_j < f'_c (for the smallest) all of the piece's vertices may take part.
    """
    both = side_by_side(network, edits)
    n, depth = network.outputs, len(both.layers)
    pairs = list(permutations(range(n), 2))
    gaps = np.zeros((len(pairs), 2 * n))
    for row, (c, j) in enumerate(pairs):
        gaps[row, j], gaps[row, c] = sign, -sign
    cuts = Layer({depth: gaps}, np.full(len(pairs), -eps), np.ones(len(pairs), bool))
    end = Layer({depth: np.eye(2 * n)}, np.zeros(2 * n), np.zeros(2 * n, bool))
    broken = set()
    for piece in exact_pieces(Network(network.inputs, (*both.layers, cuts, end)), box):
        for c, j in pairs:
            margins = [[sign * (v[i] - v[c]) for i in range(n) if i != c] for v in piece]
            if any(m < eps for vertex in margins for m in vertex):
                continue  # c never wins by more than eps here, except where another piece is
            ahead = [sign * (v[n + j] - v[n + c]) for v in piece]
            bad = [m for m, a in zip(margins, ahead, strict=True) if a <= 0]
            helpers = margins if min(ahead) < 0 else bad
            if bad and all(max(column) > eps for column in zip(*helpers, strict=True)):
                broken.add((c, j))
    return broken


def region_of(network, box, known=None):
    rest = np.full(network.inputs + sum(layer.units for layer in network.layers), np.inf)
    known = (-rest, rest) if known is None else known
    return Region(box.lower, box.upper, *known)


def known_bounds(network, box):
    """The exact ranges, rounded outward."""
    lower, upper = [-np.inf] * network.inputs, [np.inf] * network.inputs
    for of_layer in exact_ranges(network, box):
        for low, high in of_layer:
            # Of what is zero, one phase is enough.
            lower.append(rounded(low, up=False) if high > 0 else -np.inf)
            upper.append(rounded(high, up=True))
    return np.array(lower), np.array(upper)


def rounded(exact, up):
    """The nearest float on the given side."""
    try:
        value = float(exact)
    except OverflowError:
        outward = up == (exact > 0)
        size = np.inf if outward else float(np.finfo(float).max)
        return size if exact > 0 else -size
    if up and Fraction(value) < exact:
        return float(np.nextafter(value, np.inf))
    if not up and Fraction(value) > exact:
        return float(np.nextafter(value, -np.inf))
    return value


# What is proved is true, and what is refuted is not.


def check_within(problem, draw, trusted):
    """Claims of an error about the exact one, of all outputs and of one part."""
    network, edits, box = problem
    comparer, truth = Comparer(network), differences(network, edits, box)
    n = network.outputs
    part = draw(st.sampled_from([None, *[(i, s) for i in range(n) for s in (1, -1)]]))
    sides = [high if s > 0 else -low for i, (low, high) in enumerate(truth) for s in (1, -1)]
    worst = max(sides) if part is None else sides[2 * part[0] + (part[1] < 0)]
    above = rounded(max(worst, Fraction(0)), up=True)
    below = float(np.nextafter(rounded(worst, up=False), -np.inf))
    wide = 2 * above if draw(st.booleans()) else np.inf
    outcomes = []
    for eps in (above, below, rounded(worst, up=False), above * (1 + 2e-15), wide, 0.0):
        claim = replace(Claim.within(eps), part=part)
        found = comparer.decide(edits, claim, region_of(network, box), draw(BUDGETS))
        outcomes.append(found.outcome)
        if found.outcome is Outcome.PROVED:
            assert worst <= eps, f"proved {eps!r}, off by {float(worst - Fraction(eps))!r}"
            assert worst <= found.error <= max(eps, 0.0)
        if found.outcome is Outcome.REFUTED and trusted:
            assert (found.witness >= box.lower).all()
            assert (found.witness <= box.upper).all()
            values = exact_preactivations(side_by_side(network, edits), found.witness)[-1]
            at_point = [values[n + i] - values[i] for i in range(n)]
            signed = [s * d for d in at_point for s in (1, -1)]
            shown = max(signed) if part is None else signed[2 * part[0] + (part[1] < 0)]
            assert shown > eps
    return outcomes


def check_same(problem, draw, trusted):
    network, edits, box = problem
    comparer, outcomes = Comparer(network), []
    known = known_bounds(network, box) if draw(st.booleans()) else None
    for k in range(1, len(network.layers) + 1):
        part = up_to(network, edits, k)
        claim = Claim.same(None if k == len(network.layers) else k)
        found = comparer.decide(edits, claim, region_of(network, box, known), draw(BUDGETS))
        outcomes.append(found.outcome)
        if found.outcome is Outcome.PROVED:
            assert differences(*part, box) == [(0, 0)] * part[0].outputs
            assert found.error == 0.0
        if found.outcome is Outcome.REFUTED and trusted:
            values = exact_preactivations(side_by_side(*part), found.witness)[-1]
            assert values[: part[0].outputs] != values[part[0].outputs :]
    return outcomes


def check_winner(problem, draw, trusted):
    network, edits, box = problem
    comparer, outcomes, n = Comparer(network), [], network.outputs
    eps = draw(st.sampled_from([0.0, 0.0, 2.0**-6]))
    which = draw(st.sampled_from(["min", "max"]))
    whole = replace(Claim.winner(which), eps=eps)
    broken = broken_pairs(network, edits, box, int(whole.sign), eps)
    pairs = list(permutations(range(n), 2))
    parts = sorted(draw(st.sets(st.sampled_from(pairs)))) if pairs else []
    for part in [None, *parts]:
        claim = replace(whole, part=part)
        found = comparer.decide(edits, claim, region_of(network, box), draw(BUDGETS))
        outcomes.append(found.outcome)
        if found.outcome is Outcome.PROVED:
            assert not (broken if part is None else broken & {part})
        if found.outcome is Outcome.REFUTED and trusted:
            values = exact_preactivations(side_by_side(network, edits), found.witness)[-1]
            f, of_edited = [
                [int(whole.sign) * v for v in half] for half in (values[:n], values[n:])
            ]
            c = f.index(min(f))
            assert all(f[i] > f[c] + Fraction(eps) for i in range(n) if i != c)
            rivals = [j for j in range(n) if j != c] if part is None else [part[1]]
            assert part is None or part[0] == c
            assert any(of_edited[j] <= of_edited[c] for j in rivals)
    return outcomes


def check_winner_beside(problem, draw, trusted):
    """Edits to zero and the identity, eight boxes at once; some by phases that are known."""
    network, edits, box = problem
    sign, budget, n = draw(st.sampled_from([1, -1])), draw(BUDGETS), network.outputs
    plain, region = beside_edits(network, edits, box, draw)
    comparer, claim = WinnerComparer(network), Claim.winner("min" if sign > 0 else "max")
    found = comparer.decide(plain, claim, region, budget)
    broken = broken_pairs(network, plain, box, sign, 0.0)
    if found.outcome is Outcome.PROVED:
        assert not broken
    if found.outcome is Outcome.REFUTED and trusted:
        values = exact_preactivations(side_by_side(network, plain), found.witness)[-1]
        f, of_edited = [[sign * v for v in half] for half in (values[:n], values[n:])]
        c = f.index(min(f))
        assert all(f[i] > f[c] for i in range(n) if i != c)
        assert any(of_edited[j] <= of_edited[c] for j in range(n) if j != c)
    outcomes = [found.outcome]
    quota = comparer.decide(plain, claim, region, budget, quota=2)
    given_back = quota.removed != (plain.codes != Edit.KEEP)
    assert not (given_back & (plain.criteria <= Criterion.PHASE)).any()
    if quota.outcome is Outcome.PROVED:
        assert not broken
        assert not given_back.any()
    for best in range(n):
        constant = comparer.constant(sign, best, region, budget)
        outcomes.append(constant.outcome)
        if n > 1 and constant.outcome is Outcome.PROVED:
            gaps = exact_ranges(winner_differences(network, sign, best), box)[-1]
            assert all(low >= 0 for low, _ in gaps)
    return outcomes


def beside_edits(network, edits, box, draw):
    """``edits`` without lines; where a neuron has the phase of its edit, that may be the reason."""
    codes = np.where(edits.codes == Edit.AFFINE, np.uint8(Edit.KEEP), edits.codes)
    criteria = np.where(codes == Edit.KEEP, Criterion.KEPT, Criterion.DECISION).astype(np.uint8)
    if not draw(st.booleans()):
        return Edits.plain(codes, criteria), region_of(network, box)
    ranges = exact_ranges(network, box)
    for n, (k, i) in enumerate(network.neurons):
        low, high = ranges[k - 1][i]
        if (codes[n] == Edit.IDENTITY and low >= 0) or (codes[n] == Edit.ZERO and high <= 0):
            criteria[n] = Criterion.PHASE
    return Edits.plain(codes, criteria), region_of(network, box, known_bounds(network, box))


CHECKS = {
    "within": check_within,
    "same": check_same,
    "winner": check_winner,
    "winner, beside": check_winner_beside,
}


@pytest.mark.parametrize("kind", CHECKS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_proof_is_true_over_the_reals(name, kind):
    seen: Counter[Outcome] = Counter()

    @settings(max_examples=25)
    @given(STRATEGIES[name], st.data())
    def run(problem, data):
        seen.update(CHECKS[kind](problem, data.draw, name in TRUSTED))

    run()
    # That nothing is ever claimed would be no proof of soundness.
    assert seen[Outcome.PROVED] > 0


@pytest.mark.parametrize("kind", CHECKS)
def test_all_outcomes_occur(kind):
    seen: Counter[Outcome] = Counter()

    @settings(max_examples=60)
    @given(problems(outputs=2), st.data())
    def run(problem, data):
        seen.update(CHECKS[kind](problem, data.draw, True))

    run()
    assert {Outcome.PROVED, Outcome.REFUTED} <= set(seen)


# What is clear is proved.


@settings(max_examples=25)
@given(problems())
def test_an_error_with_room_to_spare_is_proved(problem):
    network, edits, box = problem
    worst = max(max(abs(low), abs(high)) for low, high in differences(network, edits, box))
    claim = Claim.within(float(worst) * 1.5 + 0.1)
    found = Comparer(network).decide(edits, claim, region_of(network, box), 4000)
    assert found.outcome is Outcome.PROVED
    assert worst <= found.error <= claim.eps


@settings(max_examples=25)
@given(problems(width=st.just(0.0)))
def test_a_point_is_decided_at_once(problem):
    network, edits, box = problem
    comparer, region = Comparer(network), region_of(network, box)
    truth = differences(network, edits, box)
    worst = float(max(abs(low) for low, _ in truth))
    close = comparer.decide(edits, Claim.within(worst * (1 + 1e-9) + 1e-9), region, 1)
    assert close.outcome is Outcome.PROVED
    if worst > 1e-3:
        assert comparer.decide(edits, Claim.within(worst / 2), region, 1).outcome is Outcome.REFUTED


@settings(max_examples=25)
@given(by_phase(DYADIC))
def test_edits_by_phase_are_proved_the_same(problem):
    """Phases with a margin, which boxes of some size show; others are given as known bounds."""
    network, edits, box = problem
    region = region_of(network, box, known_bounds(network, box))
    found = Comparer(network).decide(edits, Claim.same(), region, 1)
    assert (found.outcome, found.boxes, found.error) == (Outcome.PROVED, 1, 0.0)
    for eps in (0.0, 1e-300):
        within = Comparer(network).decide(edits, Claim.within(eps), region, 1)
        assert (within.outcome, within.error) == (Outcome.PROVED, 0.0)
    assert Comparer(network).decide(edits, Claim.winner("max"), region, 1).outcome is Outcome.PROVED


@settings(max_examples=25)
@given(problems(outputs=2), st.sampled_from([1, -1]))
def test_a_constant_winner_is_kept(problem, sign):
    """All neurons zero, the winner of the slice by a correction, in f by a margin."""
    network, _, box = problem
    ranges = exact_ranges(network, box)[-1]
    width = max(float(high - low) for low, high in ranges)
    network, _ = shifted(network, len(network.layers), 0, Fraction(2 * width + 1) * -sign)
    gap = [v[1] - v[0] for piece in exact_pieces(network, box) for v in piece]
    if min(sign * g for g in gap) < Fraction(width / 4 + 0.25):
        return
    correction = np.zeros((2, network.inputs + 1))
    offset = network.layers[-1].bias[1] - network.layers[-1].bias[0]
    correction[0, -1] = np.float32(offset - 8 * sign)
    constant = edited(np.ones(len(network.neurons)), None, correction)
    both = exact_pieces(side_by_side(network, constant), box)
    if min(sign * (v[3] - v[2]) for piece in both for v in piece) < 1:
        return  # linear units and skips stay, and may weigh more
    claim = Claim.winner("min" if sign > 0 else "max")
    found = Comparer(network).decide(constant, claim, region_of(network, box), 4000)
    assert found.outcome is Outcome.PROVED


@pytest.mark.parametrize("name", ["plain", "dyadic", "near ties", "duplicated and dead"])
def test_a_constant_winner_is_the_winner_also_with_skips_and_linear_units(name):
    seen: Counter[bool] = Counter()

    @settings(max_examples=60)
    @given(STRATEGIES[name], st.sampled_from([1, -1]))
    def run(problem, sign):
        network, _, box = problem
        corners = np.array([box.lower, box.upper, 0.5 * box.lower + 0.5 * box.upper])
        values = evaluate(network, corners)
        best = int((sign * values[0]).argmin())
        edits = constant_winner(network, Edits.none(network), float(sign), best)
        keeps = keeps_winner(network, edits, sign, best)
        proof = WinnerComparer(network).constant(sign, best, region_of(network, box), 60)
        if keeps and proof.outcome is Outcome.PROVED:
            seen[True] += 1
            assert not broken_pairs(network, edits, box, sign, 0.0)
        seen[False] += not keeps

    run()
    assert seen[True] > 0
    # Outputs that read the input past the neurons are there, but for the last strategy.
    assert seen[False] > 0 or name == "duplicated and dead"


def test_a_part_that_is_the_same_is_proved_exactly():
    """Output 0 reads nothing that differs: its error is zero, whatever the other's is."""
    first = Layer({0: np.eye(2)}, np.zeros(2), np.ones(2, bool))
    network = Network(2, (first, Layer({1: np.eye(2)}, np.zeros(2), np.zeros(2, bool))))
    comparer, edits = Comparer(network), edited([Edit.KEEP, Edit.ZERO])
    region = region_of(network, Box([-1.0, -1.0], [1.0, 1.0]))
    for side in (1, -1):
        claim = replace(Claim.within(0.0), part=(0, side))
        found = comparer.decide(edits, claim, region, 1)
        assert (found.outcome, found.error) == (Outcome.PROVED, 0.0)
        claim = replace(claim, part=(1, side))
        found = comparer.decide(edits, claim, region, 100)
        assert found.outcome is (Outcome.REFUTED if side < 0 else Outcome.UNKNOWN)


def test_no_negative_error_is_proved():
    """Nothing differs by less than nothing, not even what is the same."""
    first = Layer({0: np.eye(1)}, np.zeros(1), np.ones(1, bool))
    end = Layer({1: np.ones((2, 1))}, np.zeros(2), np.zeros(2, bool))
    comparer = Comparer(network := Network(1, (first, end)))
    region = region_of(network, Box([-1.0], [1.0]))
    for eps in (-1.0, -5e-324, np.nan):
        for claim in (Claim.within(eps), replace(Claim.winner("min"), eps=eps)):
            found = comparer.decide(Edits.none(network), claim, region, 20)
            assert found.outcome is not Outcome.PROVED


def test_a_tie_is_no_win():
    """f = (0, x) for tiny x > 0, f' = (0, 0): no rounding error keeps both apart."""
    first = Layer({0: np.eye(1)}, np.zeros(1), np.ones(1, bool))
    network = Network(
        1, (first, Layer({1: np.array([[0.0], [1.0]])}, np.zeros(2), np.zeros(2, bool)))
    )
    region = region_of(network, Box([1e-305], [2e-305]))
    for edits in (edited([Edit.ZERO]), edited([Edit.AFFINE], [[0.0, 0.0]])):
        for part in (None, (0, 1)):
            claim = replace(Claim.winner("min"), part=part)
            found = Comparer(network).decide(edits, claim, region, 20)
            assert found.outcome is not Outcome.PROVED
        other = replace(Claim.winner("min"), part=(1, 0))
        assert Comparer(network).decide(edits, other, region, 20).outcome is Outcome.PROVED


@pytest.mark.parametrize("margin", [1e-3, 1e-6, 1e-12, 1e-30])
def test_a_winner_by_little_is_not_passed_over(margin):
    """f = (0, x) on [-margin, 1], f' = (0, x + 1): where x < 0, the smallest is another."""
    first = Layer({0: np.eye(1)}, np.array([1.0]), np.ones(1, bool))
    out = Layer({0: np.array([[0.0], [1.0]]), 1: np.zeros((2, 1))}, np.zeros(2), np.zeros(2, bool))
    network = Network(1, (first, out))
    edits = edited([Edit.KEEP], None, np.array([[0.0, 0.0], [0.0, 1.0]]))
    region, comparer = region_of(network, Box([-margin], [1.0])), Comparer(network)
    assert comparer.decide(edits, Claim.winner("min"), region, 40).outcome is not Outcome.PROVED
    wide = replace(Claim.winner("min"), eps=2 * margin + 1e-9)
    assert comparer.decide(edits, wide, region, 40).outcome is Outcome.PROVED
    narrow = replace(wide, eps=margin / 2)
    assert comparer.decide(edits, narrow, region, 40).outcome is not Outcome.PROVED


# The budget, and the survey.


def test_the_error_is_the_largest_of_all_boxes():
    """relu(relu(x) - relu(-x)) - 3/4 relu(x), all removed: 1/2 at x = 2, 0 for x < 0."""
    first = Layer({0: np.array([[1.0], [-1.0]])}, np.zeros(2), np.ones(2, bool))
    second = Layer({1: np.array([[1.0, -1.0]])}, np.zeros(1), np.ones(1, bool))
    end = Layer({1: np.array([[-0.75, 0.0]]), 2: np.ones((1, 1))}, np.zeros(1), np.zeros(1, bool))
    network, box = Network(1, (first, second, end)), Box([-1.0], [2.0])
    found = Comparer(network).decide(
        edited([Edit.ZERO] * 3), Claim.within(0.505), region_of(network, box), 200
    )
    assert found.outcome is Outcome.PROVED
    assert found.boxes > 1
    assert 0.5 <= found.error <= 0.505


def cancelling():
    """relu(relu(x) - relu(-x)) - relu(x): zero, as with all neurons zero; a form does not know."""
    first = Layer({0: np.array([[1.0], [-1.0]])}, np.zeros(2), np.ones(2, bool))
    second = Layer({1: np.array([[1.0, -1.0]])}, np.zeros(1), np.ones(1, bool))
    weights = {1: np.array([[-1.0, 0.0]]), 2: np.ones((1, 1))}
    return Network(1, (first, second, Layer(weights, np.zeros(1), np.zeros(1, bool))))


def test_a_claim_is_given_up_when_boxes_or_cuts_run_out():
    network, edits = cancelling(), edited([Edit.ZERO] * 3)
    region, comparer = region_of(network, Box([-1.0], [2.0])), Comparer(network)
    claim = Claim.within(0.01)
    enough = comparer.decide(edits, claim, region, 100)
    assert enough.outcome is Outcome.PROVED
    assert 2 < enough.boxes < 100
    for budget in range(enough.boxes):
        found = comparer.decide(edits, claim, region, budget)
        assert (found.outcome, found.boxes) == (Outcome.UNKNOWN, budget)
    assert comparer.decide(edits, claim, region, enough.boxes).outcome is Outcome.PROVED
    assert comparer.decide(edits, claim, region, 100, 0).outcome is Outcome.UNKNOWN
    assert comparer.decide(edits, claim, region, 100, 9).outcome is Outcome.PROVED


def test_edits_that_a_proof_would_take_long_for_are_given_back():
    """relu(-x) is not needed; at 1e-6, boxes have to be cut more than ten times to see it."""
    network, edits = cancelling(), edited([Edit.KEEP, Edit.ZERO, Edit.KEEP])
    region, comparer = region_of(network, Box([-1.0], [2.0])), Comparer(network)
    claim = Claim.within(1e-6)
    proved = comparer.decide(edits, claim, region, 10_000)
    assert proved.outcome is Outcome.PROVED
    assert proved.removed.tolist() == [False, True, False]
    patient = comparer.decide(edits, claim, region, 10_000, quota=1e9)
    assert (patient.outcome, patient.boxes) == (Outcome.PROVED, proved.boxes)
    found = comparer.decide(edits, claim, region, 10_000, quota=0.0)
    assert found.outcome is Outcome.UNKNOWN
    assert found.boxes < proved.boxes
    assert not found.removed.any()


@settings(max_examples=60)
@given(STRATEGIES["plain"], st.data())
def test_with_a_quota_only_all_edits_are_proved(problem, data):
    network, edits, box = problem
    comparer, region = Comparer(network), region_of(network, box)
    claim = data.draw(st.sampled_from([Claim.within(0.0), Claim.within(0.1), Claim.winner("min")]))
    found = comparer.decide(edits, claim, region, 300, quota=data.draw(st.sampled_from([0.0, 2.0])))
    asked = edits.codes != Edit.KEEP
    assert (asked | ~found.removed).all()
    if found.outcome is Outcome.PROVED:
        assert (found.removed == asked).all()
        assert comparer.decide(edits, claim, region, 300).outcome is Outcome.PROVED


@settings(max_examples=25)
@given(STRATEGIES["plain"], st.data())
def test_a_survey_proves_nothing(problem, data):
    """It has no word for it; its witness contradicts, and a proved claim has none."""
    network, edits, box = problem
    comparer, region, n = Comparer(network), region_of(network, box), network.outputs
    claim = Claim.within(data.draw(st.sampled_from([0.0, 0.01, 0.5, 3.0])))
    survey = comparer.survey(edits, claim, region, 5)
    assert survey.boxes >= 1
    assert not hasattr(survey, "outcome")
    if survey.witness is not None:
        values = exact_preactivations(side_by_side(network, edits), survey.witness)[-1]
        assert max(abs(values[n + i] - values[i]) for i in range(n)) > claim.eps
        assert box.contains(survey.witness[None]).all()
    else:
        assert survey.estimate >= 1.0 - 1e-9
