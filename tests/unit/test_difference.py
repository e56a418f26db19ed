"""The forms of the difference between an edited network and the original, against exact rationals.

As in :mod:`tests.unit.test_branching`, what a form claims is checked exactly at points: the values
of the original's generators and of the difference's own follow from both networks' exact values.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest

from redy.branching import compare as claims
from redy.branching import difference as kernels
from redy.branching.difference import difference_workspace, propagate_difference
from redy.criteria.comparison import Comparer
from redy.edits import Criterion, Edit, Edits
from redy.network.form import Layer, Network
from tests.exact import encloses, exact_preactivations, side_by_side
from tests.unit.test_branching import ENTRIES, BoxRoot, exact, layer, points_of, random_box
from tests.unit.test_branching import random_network as random_floats

ZERO = Fraction(0)


def dyadic_entries(rng, shape):
    return rng.integers(-12, 13, size=shape) / 8


def huge_entries(rng, shape):
    return rng.choice([1e150, -1e150, 1e-300, -1e-300, 1.0, 1e-160, -3.0, 0.1], size=shape)


def overflowing_entries(rng, shape):
    return rng.choice([1e308, -1.7e308, 1e200, 5e-324, -3e-320, 1.0, -1.0, 0.0], size=shape)


KINDS = {
    **ENTRIES,
    "dyadic": dyadic_entries,
    "huge": huge_entries,
    "overflowing": overflowing_entries,
}


def edited(codes, lines=None, correction=None):
    """Edits by code; ``lines`` (neurons, 2) for those that are AFFINE."""
    codes = np.array(codes, dtype=np.uint8)
    lines = np.zeros((codes.size, 2)) if lines is None else np.array(lines, dtype=float)
    criteria = np.where(codes == Edit.KEEP, Criterion.KEPT, Criterion.RELAXED).astype(np.uint8)
    correction = None if correction is None else np.array(correction, dtype=float)
    return Edits(codes, criteria, lines, correction)


def random_edits(rng, network, kept=0.5):
    """About half of the neurons removed, a correction in a third of the cases."""
    neurons = len(network.neurons)
    codes = np.where(rng.random(neurons) < kept, 0, rng.integers(1, 4, neurons))
    lines = rng.normal(size=(neurons, 2)).astype(np.float32).astype(float)
    lines[rng.random((neurons, 2)) < 0.3] = 0.0
    correction = None
    if rng.random() < 0.33:
        correction = rng.normal(size=(network.outputs, network.inputs + 1)).astype(np.float32)
        correction[rng.random(network.outputs) < 0.3] = 0.0
    return edited(codes, lines * (codes == Edit.AFFINE)[:, None], correction)


class Compared(BoxRoot):
    """A box with the original and the difference propagated to layer ``last``."""

    def __init__(self, network, edits, lower, upper, last=None, known=None):
        last = len(network.layers) if last is None else last
        super().__init__(network, np.array(lower, float), np.array(upper, float), last, known)
        self.both = side_by_side(network, edits)
        self.ds = difference_workspace(self.net, self.ws)
        # What is left of an earlier box must not matter.
        for array in (self.ds.pre_center, self.ds.pre_slack, self.ds.pre_form, self.ds.form):
            array[:] = 7.0
        self.ed = Comparer(network)._edited(edits)
        ends = (self.lower, self.upper)
        self.all_same = propagate_difference(self.net, self.ws, self.ds, self.ed, last, *ends)

    def unit(self, k, i):
        return int(self.net.start[k]) + i

    def values(self, point):
        """Exact (z, z') and (h, h') of the layers up to the last."""
        pres = [halves(pre) for pre in exact_preactivations(self.both, point)]
        return pres[0 : 2 * self.last : 2], pres[1 : 2 * self.last : 2]

    def shared(self, k):
        """How many generators of the original layer ``k`` has."""
        return int(self.ws.generators[k])

    def own(self, k):
        """The columns of the difference's own generators that layer ``k`` has."""
        capacity = self.ws.row.size
        return slice(capacity, capacity + int(self.ds.own[k]))

    def alive(self, k):
        """The units of layer ``k`` whose dh is not structurally zero."""
        begin = int(self.net.start[k])
        return [int(u) for u in self.ds.alive[begin : begin + int(self.ds.alive_count[k])]]

    def difference_bounds(self, i, sign):
        """Lower bound of sign * dz of unit ``i`` of the last layer, plain and with slopes."""
        parts = (self.ws, self.ds, self.last, self.unit(self.last, i), sign)
        plain = claims._plain_row(self.ws, self.last, claims._difference_row(*parts))
        loaded = claims._difference_row(*parts)
        return plain, claims._bound_row(self.net, self.ws, self.last, loaded)

    def pair_bounds(self, pair, sign, parts):
        """The same of sign * (f_c - f_j) of a pair of units."""
        units = tuple(self.unit(self.last, i) for i in pair)
        what = (self.ws, self.ds, self.last, units, sign, parts)
        plain = claims._plain_row(self.ws, self.last, claims._pair_row(*what))
        return plain, claims._bound_row(self.net, self.ws, self.last, claims._pair_row(*what))


def halves(values):
    return values[: len(values) // 2], values[len(values) // 2 :]


def assert_within(value, center, coefficients, eps, slack, what):
    """``value`` is center + coefficients . eps, up to ``slack``; an infinite one claims nothing."""
    if not np.isfinite(slack):
        return
    assert np.isfinite(center), what
    assert np.isfinite(coefficients).all(), what
    terms = zip(exact(coefficients), eps, strict=True)
    form = Fraction(float(center)) + sum((c * e for c, e in terms), ZERO)
    assert abs(value - form) <= Fraction(float(slack)), what


def assert_differences_hold(root, point):
    """All forms of dz and dh at ``point``, exactly, and what is structurally zero is zero."""
    pres, posts = root.values(point)
    eps, own = input_generators(root, point), []
    for k in range(1, root.last + 1):
        outputs = k == root.last == len(root.network.layers)
        z, edited_z = posts[-1] if outputs else pres[k - 1]  # the correction comes last
        for i, unit in enumerate(root.units(k)):
            assert_pre_holds(root, k, unit, (z[i], edited_z[i]), eps, own)
        if k < root.last:
            eps = eps + original_generators(root, k, z)
            values = list(zip(z, edited_z, *posts[k - 1], strict=True))
            own = own + own_generators(root, k, values)
            assert len(own) == int(root.ds.own[k])
            for i, unit in enumerate(root.units(k)):
                assert_post_holds(root, k, unit, values[i][3] - values[i][2], eps, own)


def assert_pre_holds(root, k, unit, pair, eps, own):
    ds = root.ds
    z, edited_z = pair
    if ds.same[unit]:
        assert edited_z == z, f"dz of {unit} is not the same"
        return
    assert_edited_bounds_hold(root, k, unit, edited_z)
    form = np.concatenate([ds.pre_form[unit, : len(eps)], ds.pre_form[unit, root.own(k - 1)]])
    parts = ds.pre_center[unit], form, eps + own, ds.pre_slack[unit]
    assert_within(edited_z - z, *parts, f"dz of {unit}")


def assert_post_holds(root, k, unit, dh, eps, own):
    ds = root.ds
    if unit not in root.alive(k):
        assert dh == 0, f"dh of unit {unit} is not zero"
        return
    form = np.concatenate([ds.form[unit, : len(eps)], ds.form[unit, root.own(k)]])
    assert_within(dh, ds.center[unit], form, eps + own, ds.slack[unit], f"dh of {unit}")
    if np.isfinite(ds.noise[unit]):
        size = sum(abs(v) for v in exact((ds.center[unit], *form)))
        due = Fraction(float(ds.slack[unit])) + Fraction(root.net.gamma) * size
        assert due <= Fraction(float(ds.noise[unit])), f"noise of unit {unit}"


def assert_edited_bounds_hold(root, k, unit, edited_z):
    """Bounds of z' of a neuron that stays, if they are wanted."""
    lower, upper = float(root.lower[unit]), float(root.upper[unit])
    if k == root.last or not root.net.relu[unit] or upper <= 0.0:
        return
    reach = kernels.difference_radius(root.ws, root.ds, k, unit)
    ends = kernels._edited_bounds(root.ws, root.ds, k, unit, lower, upper, reach)
    assert encloses(*ends, (edited_z, edited_z))


def input_generators(root, point):
    eps = []
    for d, x in enumerate(point):
        center, reach = exact((root.ws.center[d], root.ws.form[d, d]))
        eps.append((Fraction(float(x)) - center) / reach if reach else ZERO)
    return eps


def original_generators(root, k, z):
    """What solves relu(z) = s z + mu + mu eps for the crossing neurons of layer ``k``."""
    ws, eps = root.ws, []
    for g in range(root.shared(k - 1), root.shared(k)):
        i = int(ws.crossing[g]) - int(root.net.start[k])
        if np.isfinite(ws.slope[g]) and np.isfinite(ws.intercept[g]):
            slope, mu = exact((ws.slope[g], ws.intercept[g]))
            eps.append((max(z[i], ZERO) - slope * z[i] - mu) / mu)
            assert abs(eps[-1]) <= 1, f"generator {g}"
        else:
            eps.append(ZERO)
    return eps


def own_generators(root, k, values):
    """The own generators' values, of z, z', h and h' of the units of layer ``k``.

    They solve dh = dz / 2 + n eps or relu(z') = p' z' + q' + q' eps, whichever a neuron's terms
    say. Each must lie in [-1, 1].
    """
    own, begin = [], int(root.net.start[k])
    for unit in root.alive(k):
        terms = root.ds.terms[unit]
        if terms[4] == 0.0:
            continue
        z, edited_z, h, edited_h = values[unit - begin]
        assert int(root.ds.unit_of[int(root.ds.own[k - 1]) + len(own)]) == unit
        if not np.isfinite(terms[4]):
            own.append(ZERO)
            continue
        size = Fraction(float(terms[4]))
        if terms[0] == 0.0 and terms[1] == 0.5 and terms[3] == 0.0:
            own.append((edited_h - h - (edited_z - z) / 2) / size)
        else:
            own.append((edited_h - Fraction(float(terms[1])) * edited_z - size) / size)
        assert abs(own[-1]) <= 1, f"own generator of unit {unit}"
    return own


def assert_bounds_hold(root, point):
    """Bounds of differences and pairs of the last layer contain their exact values."""
    pres, posts = root.values(point)
    outputs = root.last == len(root.network.layers)
    f, edited_f = posts[-1] if outputs else pres[-1]
    for i in range(len(f)):
        for sign in (1, -1):
            for bound in root.difference_bounds(i, float(sign)):
                assert bound <= sign * (edited_f[i] - f[i])
    for c, j in permutations(range(len(f)), 2):
        for sign in (1, -1):
            of_f, of_edited = sign * (f[c] - f[j]), sign * (edited_f[c] - edited_f[j])
            values = {1: of_f, 2: of_edited - of_f, 3: of_edited}
            for parts, value in values.items():
                for bound in root.pair_bounds((c, j), float(sign), parts):
                    assert bound <= value, (c, j, sign, parts)


def random_problem(seed, kind):
    rng = np.random.default_rng(seed)
    hidden = rng.integers(1, 5, size=rng.integers(2, 4))
    widths = (int(rng.integers(1, 4)), *(int(w) for w in hidden), 3)
    network = random_floats(rng, widths, KINDS[kind])
    lower, upper = random_box(rng, widths[0])
    if rng.random() < 0.3:
        upper = lower.copy()
    return rng, network, random_edits(rng, network), lower, upper


def chain(*parts, outputs=((1.0,),), kinds=True):
    layers = [layer({k: w}, b, kinds) for k, (w, b) in enumerate(parts)]
    last = layer({len(layers): outputs}, [0.0] * len(outputs), relu=False)
    return Network(len(parts[0][0][0]), (*layers, last))


# A correction.


def test_a_correction_moves_only_the_outputs_that_have_one():
    network = chain(([[1.0]], [0.0]), outputs=((1.0,), (1.0,)))
    root = Compared(network, edited([0], correction=[[0.0, 0.0], [0.5, 0.25]]), [-1.0], [1.0])
    assert list(root.ds.same[-2:]) == [True, False]
    assert not root.all_same
    assert root.difference_bounds(1, 1.0) == pytest.approx((-0.25, -0.25))
    assert root.difference_bounds(1, -1.0) == pytest.approx((-0.75, -0.75))
    hidden = Compared(network, edited([0], correction=[[0.0, 0.0], [0.5, 0.25]]), [-1.0], [1.0], 1)
    assert hidden.all_same


# Structural zeros.


def test_what_reads_no_difference_is_the_same():
    parts = ([[1.0], [1.0]], [0.0, 5.0]), ([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
    network = chain(*parts, outputs=((1.0, 0.0), (0.0, 1.0)))
    root = Compared(network, edited([Edit.ZERO, 0, 0, 0]), [-1.0], [1.0])
    assert list(root.ds.same[1:]) == [True, True, False, True, False, True]
    assert not root.all_same


@pytest.mark.parametrize(
    ("code", "line", "bias", "same"),
    [
        (Edit.ZERO, (0, 0), -1.0, True),
        (Edit.IDENTITY, (0, 0), -1.0, False),
        (Edit.AFFINE, (0, 0), -1.0, True),
        (Edit.AFFINE, (0, 5e-30), -1.0, False),
        (Edit.AFFINE, (5e-30, 0), -1.0, False),
        (Edit.IDENTITY, (0, 0), 1.0, True),
        (Edit.ZERO, (0, 0), 1.0, False),
        (Edit.AFFINE, (1, 0), 1.0, True),
        (Edit.AFFINE, (1, 5e-30), 1.0, False),
        (Edit.AFFINE, (1 - 2.0**-24, 0), 1.0, False),
        (Edit.ZERO, (0, 0), -0.999, False),
        (Edit.IDENTITY, (0, 0), 0.999, False),
        (Edit.KEEP, (0, 0), 0.5, True),
    ],
)
def test_an_edit_is_the_same_only_where_its_line_is_the_phase(code, line, bias, same):
    """relu(x + bias) for x in [-1, 1]; a bias of -+1 touches the kink."""
    network = chain(([[1.0]], [bias]))
    # Phases that only touch the kink are known, as a bound of the form is off by its rounding.
    rest = np.full(3, np.inf)
    known = -rest, rest.copy()
    known[0][1], known[1][1] = (bias - 1, bias + 1) if abs(bias) == 1 else (-np.inf, np.inf)
    line = np.array([line], dtype=np.float32)
    root = Compared(network, edited([code], line), [-1.0], [1.0], known=known)
    assert root.all_same == same


def test_a_difference_of_which_nothing_is_left_after_a_relu_is_zero():
    """The second layer is inactive in both networks, or active in one of them only."""
    for bias, same in ((-3.0, True), (-2.5, False), (-3.5, True)):
        # z = relu(x) + bias, z' = 3 + bias at most, with 3 in the place of relu(x).
        network = chain(([[1.0]], [0.0]), ([[1.0]], [bias - 1e-9]))
        root = Compared(network, edited([Edit.AFFINE, 0], [[0, 3], [0, 0]]), [-1.0], [1.0])
        assert root.all_same == same, bias


def test_identical_edits_above_a_difference_do_not_hide_it():
    """Layer 2 is removed by its phase, what it reads differs: dh = dz."""
    network = chain(([[1.0]], [0.0]), ([[1.0]], [5.0]))
    root = Compared(network, edited([Edit.ZERO, Edit.IDENTITY]), [-1.0], [1.0])
    assert not root.all_same
    assert root.difference_bounds(0, 1.0)[1] == pytest.approx(-1.0)
    assert root.difference_bounds(0, -1.0)[1] == pytest.approx(0.0, abs=1e-12)


# The terms.


def test_what_stays_takes_the_relaxation_with_the_smaller_error():
    """A small difference of a crossing neuron is halved; a known phase is exact."""
    network = chain(([[1.0], [1.0]], [0.0, 5.0]), ([[1.0, 0.5]], [-2.6]))
    small = edited([0, Edit.AFFINE, 0], [[0, 0], [1, 0.125], [0, 0]])
    root = Compared(network, small, [-1.0], [1.0])
    assert root.ds.terms[root.unit(2, 0)] == pytest.approx([0, 0.5, 0, 0, 0.0625 / 2, 0])
    assert root.difference_bounds(0, 1.0)[1] == pytest.approx(0.0, abs=1e-12)
    assert root.difference_bounds(0, -1.0)[1] == pytest.approx(-0.0625)
    active = chain(([[1.0], [1.0]], [0.0, 5.0]), ([[1.0, 0.5]], [0.0]))
    root = Compared(active, small, [-1.0], [1.0])
    assert root.ds.terms[root.unit(2, 0)] == pytest.approx([0, 1, 0, 0, 0, 0])
    assert root.difference_bounds(0, 1.0)[1] == pytest.approx(0.0625)


def test_own_generators_are_shared_by_all_that_read_them():
    """Two outputs read the same kept neuron: their difference has no difference."""
    network = chain(([[1.0]], [5.0]), ([[1.0]], [-5.0]), outputs=((1.0,), (1.0,)))
    root = Compared(network, edited([Edit.AFFINE, 0], [[1, 0.5], [0, 0]]), [-1.0], [1.0])
    assert root.ds.own[2] == 1
    assert root.pair_bounds((0, 1), 1.0, 2) == pytest.approx((0.0, 0.0), abs=1e-12)


@pytest.fixture
def by_hand():
    """One neuron over one input: z = eps +- 0.1, dz = eps / 2 + eps' / 4 +- 0.05, eps' its own."""
    network = chain(([[1.0]], [0.0]))
    root = Compared(network, edited([0]), [-1.0], [1.0])
    ws, ds = root.ws, root.ds
    ws.pre_center[1], ws.pre_form[1, 0], ws.pre_slack[1] = 0.0, 1.0, 0.1
    ds.own[0], ds.same[1] = 1, False
    ds.pre_center[1], ds.pre_slack[1] = 0.0, 0.05
    ds.pre_form[1, 0], ds.pre_form[1, ws.row.size] = 0.5, 0.25
    return root


def test_the_radius_of_a_difference_has_all_its_parts(by_hand):
    reach = kernels.difference_radius(by_hand.ws, by_hand.ds, 1, 1)
    assert reach >= 0.8
    assert reach == pytest.approx(0.8)


@pytest.mark.parametrize("center", [0.0, 3.0])
def test_bounds_of_the_edited_neuron_have_all_their_parts(by_hand, center):
    ws, ds = by_hand.ws, by_hand.ds
    ds.pre_center[1] = center
    low, high = kernels._edited_bounds(ws, ds, 1, 1, -10.0, 10.0, 0.8)
    assert low <= center - 1.9
    assert high >= center + 1.9
    assert (low, high) == pytest.approx((center - 1.9, center + 1.9))
    low, high = kernels._edited_bounds(ws, ds, 1, 1, -1.0, 0.75, 0.8)
    assert (low, high) == pytest.approx((center - 1.8, center + 1.55))


# Rounding that only one term pays for.


def test_a_line_pays_for_the_rounding_of_its_own_slope():
    """The neuron reads nothing, so that it has no error of its own: a - 1 is rounded to -1."""
    network = chain(([[0.0]], [1e25]))
    root = Compared(network, edited([Edit.AFFINE], [[np.float32(1e-20), 0]]), [0.0], [1.0])
    assert root.ds.terms[1, 0] == -1.0
    assert_differences_hold(root, np.array([0.5]))
    assert root.ds.slack[1] >= 1e5


def test_a_line_pays_for_the_rounding_of_its_intercept():
    """b - q, with q a chord's, is all that is left of a huge line."""
    network = chain(([[1.0]], [0.0]))
    root = Compared(network, edited([Edit.AFFINE], [[0, 2.0**100]]), [-1.0], [1.0])
    assert_differences_hold(root, np.array([-1.0]))
    assert_differences_hold(root, np.array([1.0]))


def test_products_that_underflow_are_paid_for():
    """1e-200 is removed and read with 1e-200: a difference, if of nothing in float64."""
    network = chain(([[1.0]], [0.0]), outputs=((1e-200,),))
    root = Compared(network, edited([Edit.ZERO]), [1e-200], [1e-200])
    assert root.ds.pre_center[2] == 0.0
    assert root.ds.pre_slack[2] > 0.0
    assert not root.ds.same[2]
    assert_bounds_hold(root, np.array([1e-200]))


def test_the_error_of_the_neuron_behind_is_kept():
    """z is off by the rounding of a cancelling sum, and so is what replaces it."""
    network = chain(([[1e16, 1.0, -1e16]], [0.0]))
    for code, line in ((Edit.ZERO, (0, 0)), (Edit.AFFINE, (0.5, 0))):
        root = Compared(network, edited([code], [line]), [1.0, 0.9, 1.0], [1.0, 0.9, 1.0])
        assert root.ds.slack[3] >= 0.1 * abs(root.ds.terms[3, 0])
        assert_differences_hold(root, np.array([1.0, 0.9, 1.0]))


def test_infinite_sums_bound_nothing():
    """A centre that overflows with a finite error: in truth the difference is moderate."""
    weights = [[1.7e308, 1.7e308, -1.4e308, -1.4e308, -1.7e308]]
    network = chain((np.eye(5), np.zeros(5)), (weights, [0.0]))
    point = np.full(5, 0.6)
    root = Compared(network, edited([Edit.ZERO] * 5 + [Edit.IDENTITY]), point, point)
    assert root.ds.pre_center[10] in {np.inf, -np.inf}
    for sign in (1.0, -1.0):
        assert root.difference_bounds(0, sign) == (-np.inf, -np.inf)
    assert_bounds_hold(root, point)


@pytest.mark.parametrize(
    "ends", [(-1.0, 2.0), (-2.0, 1.0), (-1e308, 1.7e308), (-5e-324, 1e-323), (-1e-20, 1.0)]
)
def test_a_chord_encloses_the_relu(ends):
    lower, upper = map(Fraction, ends)
    slope, shift = map(Fraction, kernels._chord(*ends))
    for z in (lower, ZERO, upper):
        assert slope * z <= max(z, ZERO) <= slope * z + 2 * shift


def test_a_chord_without_ends_is_no_chord():
    assert kernels._chord(-np.inf, 1.0) == (0.0, np.inf)
    assert kernels._chord(-1.0, np.inf) == (0.0, np.inf)
    assert kernels._chord(0.0, np.inf) == (1.0, 0.0)
    assert kernels._chord(-np.inf, 0.0) == (0.0, 0.0)


def test_a_layer_without_units_is_skipped():
    empty = Layer({1: np.zeros((0, 1))}, np.zeros(0), np.zeros(0, bool))
    first = layer({0: [[1.0]]}, [0.0])
    last = Layer({1: np.ones((1, 1)), 2: np.ones((1, 0))}, np.zeros(1), np.zeros(1, bool))
    network = Network(1, (first, empty, last))
    root = Compared(network, edited([Edit.ZERO]), [-1.0], [1.0])
    assert root.difference_bounds(0, -1.0)[1] == pytest.approx(0.0, abs=1e-9)
    assert_differences_hold(root, np.array([0.5]))


# Random networks.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(40))
def test_differences_and_bounds_hold_exactly(kind, seed):
    rng, network, edits, lower, upper = random_problem(seed, kind)
    root = Compared(network, edits, lower, upper)
    for point in points_of(rng, lower, upper, 4):
        assert_differences_hold(root, point)
        assert_bounds_hold(root, point)


@pytest.mark.parametrize("seed", range(30))
def test_differences_of_hidden_layers_hold_exactly(seed):
    rng, network, edits, lower, upper = random_problem([1, seed], "plain")
    for last in range(1, len(network.layers)):
        root = Compared(network, edits, lower, upper, last)
        for point in points_of(rng, lower, upper, 4):
            assert_differences_hold(root, point)
            assert_bounds_hold(root, point)


@pytest.mark.parametrize("seed", range(40))
def test_known_phases_are_used(seed):
    """Bounds that hold on the box are given; the forms hold as ever."""
    rng, network, edits, lower, upper = random_problem([2, seed], "plain")
    free = BoxRoot(network, lower, upper, len(network.layers))
    known = free.lower.copy(), free.upper.copy()
    points = points_of(rng, lower, upper, 4)
    pres = [exact_preactivations(network, point) for point in points]
    # On the box that is but one of these points, its own phases are known.
    for point, pre in zip(points, pres, strict=True):
        own = known[0].copy(), known[1].copy()
        flat = [z for values in pre[:-1] for z in values]
        for unit, z in enumerate(flat, start=network.inputs):
            own[0 if z >= 0 else 1][unit] = 0.0
        root = Compared(network, edits, point, point, known=own)
        assert root.shared(0) == root.shared(root.last - 1)
        assert_differences_hold(root, point)
        assert_bounds_hold(root, point)


@pytest.mark.parametrize("kind", ["plain", "cancelling", "dyadic"])
@pytest.mark.parametrize("seed", range(20))
def test_a_correction_pays_for_its_own_rounding(kind, seed):
    """Nothing else differs, or all does."""
    rng, network, _, lower, upper = random_problem([3, seed], kind)
    removed = np.zeros(len(network.neurons), dtype=np.uint8)
    if seed % 4 == 3:
        removed[:] = Edit.ZERO
    correction = rng.normal(size=(network.outputs, network.inputs + 1)).astype(np.float32)
    correction[0, 1:] = 0.0
    root = Compared(network, edited(removed, correction=correction), lower, upper)
    for point in points_of(rng, lower, upper, 4):
        assert_differences_hold(root, point)
        assert_bounds_hold(root, point)
    narrow = root.difference_bounds(0, 1.0)[0] + root.difference_bounds(0, -1.0)[0]
    assert seed % 4 == 3 or kind != "plain" or narrow >= -10 * np.abs(upper - lower).max() - 1e-9
