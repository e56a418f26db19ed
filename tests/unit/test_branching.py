"""The kernels of branch and bound, one by one, against exact rational arithmetic.

What a form claims can be checked exactly at any point: the generators' values follow from the
point and from the exact pre-activations, so that nothing but the slack is left to explain the
difference. Cases in which one rounding term is all that saves the result are built on purpose.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import redy
from redy.branching import box as kernels
from redy.branching import octet as octets
from redy.branching.box import Workspace, affine, propagate, workspace
from redy.branching.compiled import kernel
from redy.branching.hull import _bound_unit
from redy.branching.layer import GIVEN_UP, OPEN, PROVED, REFUTED, _refute, decide_layer
from redy.branching.octet import octet
from redy.branching.packed import Packed, pack
from redy.branching.point import errors_at, values_at, values_at_eight
from redy.branching.vector import LANES, store
from redy.domain import Box
from redy.formats.domains import read_domain
from redy.network.evaluate import preactivations
from redy.network.form import Layer, Network
from redy.search.witnesses import CertainSigns, inner_ends
from redy.slicing.grid import Grid
from redy.tolerances import TINY
from tests.exact import encloses, exact_preactivations, exact_ranges

ACAS = Path(__file__).resolve().parents[2] / "acasxu_nets" / "redy_acas.onnx"
BIG = 1e16


def layer(weights, bias, relu=True):
    weights = {j: np.array(matrix, dtype=float) for j, matrix in weights.items()}
    return Layer(weights, np.array(bias, dtype=float), np.full(len(bias), relu))


def chain(*parts, inputs=1):
    """A network of ReLU layers (weights, bias) and a sum as output."""
    layers = [layer({k: w}, b) for k, (w, b) in enumerate(parts)]
    units = layers[-1].units
    return Network(inputs, (*layers, layer({len(layers): [[1.0] * units]}, [0.0], relu=False)))


def plain_entries(rng, shape):
    return rng.normal(size=shape)


def cancelling_entries(rng, shape):
    return rng.choice([BIG, -BIG, 1.0, -1.0, 0.1, 2.0**53, -(2.0**53), 3.0], size=shape)


def scaled_entries(rng, shape):
    return rng.normal(size=shape) * 2.0 ** rng.integers(-30, 30, size=shape)


ENTRIES = {"plain": plain_entries, "cancelling": cancelling_entries, "scaled": scaled_entries}


def random_network(rng, widths, entries=plain_entries, skips=True):
    """ReLU and some linear units; layers may read any earlier layer."""
    layers = []
    for k, (_, units) in enumerate(pairwise(widths)):
        sources = {j for j in range(k) if skips and rng.random() < 0.4} | {k}
        weights = {j: entries(rng, (units, widths[j])) / np.sqrt(widths[j]) for j in sources}
        relu = rng.random(units) < (0.85 if skips else 2.0)
        layers.append(Layer(weights, entries(rng, units) / 4, relu & (k < len(widths) - 2)))
    return Network(widths[0], tuple(layers))


def random_box(rng, inputs):
    lower = rng.normal(size=inputs)
    return lower, lower + rng.choice([0.0, 1e-9, 0.3, 1.0, 2.0], size=inputs)


class BoxRoot:
    """A box with all layers before ``last`` propagated and layer ``last`` bounded."""

    def __init__(self, network, lower, upper, last, known=None):
        self.network, self.last = network, last
        self.net: Packed = pack(network)
        total = int(self.net.start[-1])
        self.lower = np.full(total, -np.inf) if known is None else known[0].copy()
        self.upper = np.full(total, np.inf) if known is None else known[1].copy()
        self.box = (np.array(lower, dtype=float), np.array(upper, dtype=float))
        self.ws: Workspace = self.propagated()

    def propagated(self):
        ws = workspace(self.net)
        propagate(self.net, ws, *self.box, self.lower, self.upper, self.last)
        count = int(ws.generators[self.last - 1])
        for unit in self.units(self.last):
            affine(self.net, ws, self.last, unit, count)
            _bound_unit(self.net, ws, unit, count, self.lower, self.upper)
        return ws

    def units(self, k):
        return range(int(self.net.start[k]), int(self.net.start[k + 1]))

    @property
    def count(self):
        return int(self.ws.generators[self.last - 1])

    def bounds(self, k, i):
        unit = int(self.net.start[k]) + i
        return float(self.lower[unit]), float(self.upper[unit])

    def plain(self, i):
        return kernels.plain_bounds(self.ws, int(self.net.start[self.last]) + i, self.count)

    def chosen(self, i):
        unit = int(self.net.start[self.last]) + i
        lower, upper = (
            sign * self.lower_bound(self.net, self.ws, unit, self.count, sign) for sign in (1, -1)
        )
        return lower, upper

    @staticmethod
    def lower_bound(net, ws, unit, count, sign):
        return kernels._lower_bound(net, ws, unit, count, float(sign))

    @staticmethod
    def relax(_net, ws, lower, upper):
        """Relax neuron 1, of one input."""
        kernels._relax(ws, 1, 1, 2, 1, lower, upper)


@kernel
def _ends(net, eight, unit, count, out):
    lower, upper = octets._plain_bounds(eight, unit, count)
    store(out, 0, lower)
    store(out, 1, upper)
    store(out, 2, octets._lower_bound(net, eight, unit, count, 1.0))
    store(out, 3, octets._lower_bound(net, eight, unit, count, -1.0))


class OctetRoot(BoxRoot):
    """The same of one of eight boxes; the other seven are halves of it, which cross less."""

    PART = 5

    def propagated(self):
        net, inputs = self.net, len(self.box[0])
        self.eight = eight = octet(net)
        for row, values in zip((eight.lower, eight.upper), self.box, strict=True):
            row[:] = np.repeat(values, LANES)
        for part in range(LANES):
            d = part % inputs * LANES + part
            middle = 0.5 * eight.lower[d] + 0.5 * eight.upper[d]
            if part != self.PART:
                (eight.lower if part % 2 else eight.upper)[d] = middle
        eight.known_lower[:] = np.repeat(self.lower, LANES)
        eight.known_upper[:] = np.repeat(self.upper, LANES)
        octets.propagate(net, eight, self.last)
        for sign in (1, -1):
            signs = np.full(len(self.units(self.last)), sign, dtype=np.int8)
            octets.bound_targets(net, eight, self.last, signs)
        # What stays closed for one sign has no form yet.
        octets._affine(net, eight, self.last, np.array(self.units(self.last)))
        self.lower[:] = eight.known_lower[self.PART :: LANES]
        self.upper[:] = eight.known_upper[self.PART :: LANES]
        return part_of(eight, self.PART)

    def ends(self, i):
        out = np.zeros(4 * LANES)
        _ends(self.net, self.eight, int(self.net.start[self.last]) + i, self.count, out)
        return out[self.PART :: LANES].tolist()

    def plain(self, i):
        return tuple(self.ends(i)[:2])

    def chosen(self, i):
        _, _, lower, upper = self.ends(i)
        return lower, -upper

    @staticmethod
    def lower_bound(net, ws, unit, count, sign):
        out = np.zeros(4 * LANES)
        _ends(net, eight_of(net, ws), unit, count, out)
        return out[(2 if sign > 0 else 3) * LANES + OctetRoot.PART]

    @staticmethod
    def relax(net, ws, lower, upper):
        eight = eight_of(net, ws)
        eight.known_lower[LANES : 2 * LANES] = lower
        eight.known_upper[LANES : 2 * LANES] = upper
        octets._relax(eight, 1, 1, 2, 1)
        done = part_of(eight, OctetRoot.PART)
        for name in ("center", "slack", "form", "slope", "intercept"):
            here = getattr(done, name)
            getattr(ws, name)[tuple(slice(n) for n in here.shape)] = here


_SHARED = ("alive", "alive_count", "generators", "crossing", "before")


def part_of(eight, part):
    """The forms of one of eight boxes."""
    rows = {
        name: getattr(eight, name)[
            ..., slice(None) if name in _SHARED else slice(part, None, LANES)
        ]
        for name in Workspace._fields
    }
    return Workspace(**rows)


def eight_of(net, ws):
    """Eight times the same forms."""
    eight = octet(net)
    for name in Workspace._fields:
        one, row = getattr(ws, name), getattr(eight, name)
        wide = one if name in _SHARED else np.repeat(one, LANES, axis=-1)
        row[:] = wide[..., : row.shape[-1]]
    return eight


@pytest.fixture(params=[BoxRoot, OctetRoot], ids=["box", "octet"])
def root_of(request):
    """What bounds a box: alone, or with seven others."""
    return request.param


def exact(values):
    return [Fraction(float(v)) for v in values]


def assert_forms_hold(root, point):
    """All forms of ``root`` at ``point``, exactly: z and h lie within slack of what they say.

    The generators' values: of an input, its place in its interval; of a crossing neuron, what
    solves relu(z) = s z + mu + mu eps. Each must lie in [-1, 1].
    """
    ws, net = root.ws, root.net
    pres = exact_preactivations(root.network, point)
    eps: list[Fraction] = []
    for d, x in enumerate(point):
        center, reach = exact((ws.center[d], ws.form[d, d]))
        offset = Fraction(float(x)) - center
        assert offset == 0 if reach == 0 else abs(offset) <= reach, f"input {d}"
        eps.append(offset / reach if reach else Fraction(0))
    for k in range(1, root.last + 1):
        before = int(ws.generators[k - 1])
        for i, unit in enumerate(root.units(k)):
            z = pres[k - 1][i]
            if net.relu[unit] and root.upper[unit] <= 0 and k < root.last:
                continue  # its form is never made
            off = z - _form(ws.pre_center[unit], ws.pre_form[unit, :before], eps)
            assert abs(off) <= Fraction(float(ws.pre_slack[unit])), f"z[{k}, {i}]"
        if k == root.last:
            return
        for g in range(before, int(ws.generators[k])):
            unit = int(ws.crossing[g])
            z = pres[k - 1][unit - int(net.start[k])]
            slope, mu = exact((ws.slope[g], ws.intercept[g]))
            if mu == 0:  # it crosses in another of the eight boxes
                assert max(z, Fraction(0)) == slope * z or root.upper[unit] <= 0
                eps.append(Fraction(0))
                continue
            eps.append((max(z, Fraction(0)) - slope * z - mu) / mu)
            assert abs(eps[-1]) <= 1, f"generator {g}"
            reach = abs(exact(ws.pre_form[unit, :before] * 0 + ws.pre_center[unit])[0]) + sum(
                abs(v) for v in exact(ws.pre_form[unit, :before])
            )
            assert reach <= Fraction(float(ws.reach[g]))
        begin = int(net.start[k])
        for unit in ws.alive[begin : begin + int(ws.alive_count[k])]:
            z = pres[k - 1][int(unit) - begin]
            h = max(z, Fraction(0)) if net.relu[unit] else z
            form = ws.form[unit, : len(eps)]
            off = h - _form(ws.center[unit], form, eps)
            assert abs(off) <= Fraction(float(ws.slack[unit])), f"h of unit {unit}"
            size = sum((abs(v) for v in exact((ws.center[unit], *form))), Fraction(0))
            due = Fraction(float(ws.slack[unit])) + Fraction(net.gamma) * size
            assert due <= Fraction(float(ws.noise[unit])), f"noise of unit {unit}"


def _form(center, coefficients, eps):
    terms = zip(exact(coefficients), eps, strict=True)
    return Fraction(float(center)) + sum((c * e for c, e in terms), Fraction(0))


def points_of(rng, lower, upper, count=6):
    unit = rng.random((count, lower.size))
    unit[: count // 2] = unit[: count // 2].round()
    ends = np.where(unit == 1.0, upper, lower + unit * (upper - lower))
    return np.clip(ends, lower, upper)


# Bounds contain what they should.


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize("seed", range(40))
def test_forms_and_bounds_hold_exactly(kind, seed, root_of):
    rng = np.random.default_rng(seed)
    widths = (int(rng.integers(1, 4)), *(int(w) for w in rng.integers(1, 7, size=2)), 2)
    network = random_network(rng, widths, ENTRIES[kind])
    lower, upper = random_box(rng, widths[0])
    root = root_of(network, lower, upper, len(network.layers))
    for point in points_of(rng, lower, upper):
        assert_forms_hold(root, point)
        for k, pre in enumerate(exact_preactivations(network, point), start=1):
            for i, z in enumerate(pre):
                assert encloses(*root.bounds(k, i), (z, z))
        for i, z in enumerate(exact_preactivations(network, point)[-1]):
            assert encloses(*root.plain(i), (z, z))
            assert encloses(*root.chosen(i), (z, z))


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize("seed", range(25))
def test_bounds_contain_the_exact_range(kind, seed, root_of):
    rng = np.random.default_rng([1, seed])
    widths = (int(rng.integers(1, 3)), *(int(w) for w in rng.integers(2, 4, size=2)), 2)
    network = random_network(rng, widths, ENTRIES[kind])
    lower, upper = random_box(rng, widths[0])
    root = root_of(network, lower, upper, len(network.layers))
    ranges = exact_ranges(network, Box(lower, upper))
    for k, of_layer in enumerate(ranges, start=1):
        for i, extremes in enumerate(of_layer):
            assert encloses(*root.bounds(k, i), extremes)
    for i, extremes in enumerate(ranges[-1]):
        assert encloses(*root.plain(i), extremes)
        assert encloses(*root.chosen(i), extremes)


@pytest.mark.parametrize("seed", range(8))
def test_bounds_contain_samples_of_a_network_of_real_size(seed, root_of):
    rng = np.random.default_rng(seed)
    network = random_network(rng, (5, 50, 50, 50, 50, 50, 50, 5), skips=seed % 2 == 1)
    lower = rng.normal(size=5)
    upper = lower + 2.0 ** -rng.integers(0, 8, size=5)
    assert_samples_inside(network, lower, upper, rng, root_of)


def test_bounds_contain_samples_of_the_trained_network(root_of):
    network = redy.load(ACAS).network
    grid = Grid.bisecting(read_domain("acasxu", 5), 32768)
    rng = np.random.default_rng(0)
    for lower, upper in zip(*grid.boxes(rng.integers(0, 32768, size=12)), strict=True):
        assert_samples_inside(network, lower, upper, rng, root_of)


def assert_samples_inside(network, lower, upper, rng, root_of):
    root = root_of(network, lower, upper, len(network.layers))
    points = points_of(rng, lower, upper, 2000)
    tight = 0
    for k, pre in enumerate(preactivations(network, points), start=1):
        here = slice(int(root.net.start[k]), int(root.net.start[k + 1]))
        low, high = root.lower[here], root.upper[here]
        error = 1e-12 * (1 + np.abs(pre).max(axis=0))  # of the samples, not of the bounds
        assert (pre.min(axis=0) >= low - error).all()
        assert (pre.max(axis=0) <= high + error).all()
        tight += int(((low >= 0) | (high <= 0)).sum())
    for i, z in enumerate(pre.T):
        assert root.chosen(i)[0] <= z.min() + 1e-12 * (1 + abs(z.min()))
        assert root.chosen(i)[1] >= z.max() - 1e-12 * (1 + abs(z.max()))
    assert tight > 0


# The choice of slopes.


@pytest.mark.parametrize("seed", range(30))
def test_chosen_slopes_are_at_least_as_tight(seed, root_of):
    rng = np.random.default_rng(seed)
    network = random_network(rng, (3, 8, 8, 4))
    lower = rng.normal(size=3)
    root = root_of(network, lower, lower + 1.0, 3)
    for i in range(4):
        low, high = root.plain(i)
        chosen_low, chosen_high = root.chosen(i)
        rounding = 1e-12 * (abs(low) + abs(high))
        assert chosen_low >= low - rounding
        assert chosen_high <= high + rounding


def test_chosen_slopes_by_hand(root_of):
    """relu(x) on [-1, 1] is x/2 + 1/4 -+ 1/4: at least -1/2, but relu(x) >= 0 is at least 0.

    relu(x) - x, at least -1/2 as a form, is at least 0 with relu(x) >= x; its upper bound 1 is
    exact. relu(x) + relu(-x) has at most one line each.
    """
    network = Network(
        1,
        (
            layer({0: [[1.0], [-1.0]]}, [0.0, 0.0]),
            layer({0: [[0.0], [-1.0], [0.5]], 1: [[1, 0], [1, 0], [-1, 1]]}, [0.0] * 3, relu=False),
        ),
    )
    root = root_of(network, [-1.0], [1.0], 2)
    assert root.plain(0) == pytest.approx((-0.5, 1.0))
    assert root.chosen(0) == pytest.approx((0.0, 1.0))
    assert root.plain(1) == pytest.approx((-0.5, 1.0))
    assert root.chosen(1) == pytest.approx((0.0, 1.0))
    # -relu(x) + relu(-x) + x/2 = -x + x/2: exact by the forms already, in truth -x/2.
    assert root.chosen(2)[0] == pytest.approx(-0.5, abs=0.51)


@pytest.mark.parametrize("seed", range(300))
def test_the_slope_choice_alone_pays_for_its_own_rounding(seed, root_of):
    """A form made by hand, free of error: every bit of slack is the choice's own.

    One neuron z over one input, and a target whose bound nearly cancels to the last bit.
    """
    rng = np.random.default_rng(seed)
    network = chain(([[1.0]], [0.0]), ([[1.0]], [0.0]))
    net, ws = pack(network), workspace(pack(network))
    coefficient, center = rng.normal(), 0.3 * rng.normal()
    neuron, target = 1, 2
    ws.pre_form[neuron, 0], ws.pre_center[neuron] = coefficient, center
    ws.pre_slack[:] = 0.0
    slope, mu = rng.random(), None
    low, high = center - abs(coefficient), center + abs(coefficient)
    mu = 0.5 * max(-slope * low, (1.0 - slope) * high) * (1 + 1e-15)
    if not (low < 0 < high and mu > 0):
        return
    ws.crossing[1], ws.slope[1], ws.intercept[1], ws.before[1] = neuron, slope, mu, 1
    ws.reach[1] = (abs(center) + abs(coefficient)) * (1 + 1e-15)
    weight = abs(rng.normal()) * 10.0 ** rng.integers(-2, 3)
    # target = weight (relu(z) - alpha z) in the form's terms, so that the bound is nearly zero.
    alpha = seed % 2
    ws.pre_form[target, 0] = weight * (slope - alpha) * coefficient
    ws.pre_form[target, 1] = weight * mu
    ws.pre_center[target] = weight * (slope - alpha) * center + weight * mu
    bounds = {1.0: root_of.lower_bound(net, ws, target, 2, 1.0)}
    ws.pre_form[target] *= -1
    ws.pre_center[target] *= -1
    bounds[-1.0] = root_of.lower_bound(net, ws, target, 2, -1.0)
    ws.pre_form[target] *= -1
    ws.pre_center[target] *= -1
    kink = -Fraction(center) / Fraction(coefficient)
    for eps in (Fraction(-1), Fraction(1), kink, kink * Fraction(99, 100), Fraction(0)):
        z = Fraction(center) + Fraction(coefficient) * eps
        second = (max(z, Fraction(0)) - Fraction(slope) * z - Fraction(mu)) / Fraction(mu)
        value = _form(ws.pre_center[target], ws.pre_form[target, :2], [eps, second])
        for sign, bound in bounds.items():
            assert Fraction(bound) <= value, (sign, eps)


def test_the_slope_choice_pays_for_the_error_of_the_neuron_behind(root_of):
    """z is known within 0.1 only: a line in z is no better than that."""
    network = chain(([[1.0]], [0.0]), ([[1.0]], [0.0]))
    net, ws = pack(network), workspace(pack(network))
    ws.pre_form[1, 0], ws.pre_center[1], ws.pre_slack[1] = 1.0, 0.0, 0.1
    ws.crossing[1], ws.slope[1], ws.intercept[1], ws.before[1] = 1, 0.5, 0.3, 1
    ws.reach[1] = 1.0
    # target = relu(z) - 0.5 x: with z = x + 0.1 or x - 0.1 somewhere.
    ws.pre_form[2, :2] = 0.0, 0.3
    ws.pre_center[2], ws.pre_slack[2] = 0.3, 0.0
    bound = root_of.lower_bound(net, ws, 2, 2, 1.0)
    # The target is relu(z) - z / 2 >= |z| / 2 >= 0; as a form in x it is 0.3 + 0.3 eps.
    assert bound <= 0.0
    ws.pre_form[2, :2] = 0.5, 0.3  # + x / 2: relu(z) + (x - z) / 2, least at z = 0, x = -0.1
    assert root_of.lower_bound(net, ws, 2, 2, 1.0) <= -0.05


# What one box knows.


def test_a_known_phase_is_imposed(root_of):
    """h = relu(x) known inactive is gone; known active it is x itself."""
    network = chain(([[1.0]], [0.0]), ([[1.0]], [0.0]))
    total = 4
    free = root_of(network, [-1.0], [1.0], 2)
    assert free.bounds(2, 0) == pytest.approx((0.0, 1.0), abs=1e-12)
    lower, upper = np.full(total, -np.inf), np.full(total, np.inf)
    upper[1] = 0.0
    assert root_of(network, [-1.0], [1.0], 2, (lower, upper)).bounds(2, 0) == pytest.approx((0, 0))
    upper[1], lower[1] = np.inf, 0.0
    root = root_of(network, [-1.0], [1.0], 2, (lower, upper))
    assert root.plain(0) == pytest.approx((-1.0, 1.0))
    assert root.ws.generators[1] == 1


def test_known_bounds_are_kept_and_used(root_of):
    network = chain(([[1.0]], [0.0]), ([[1.0]], [0.0]))
    known = np.array([-np.inf, -0.25, -np.inf, -np.inf]), np.array([np.inf, 0.5, 0.4, np.inf])
    root = root_of(network, [-1.0], [1.0], 2, known)
    assert root.bounds(1, 0) == (-0.25, 0.5)
    assert root.bounds(2, 0)[1] == 0.4
    assert root.ws.slope[1] == pytest.approx(2 / 3)
    assert root.ws.intercept[1] == pytest.approx(1 / 12)


def test_not_a_number_decides_nothing(root_of):
    network = chain(
        ([[1e308, 1e308], [1e308, -1e308]], [0.0, 0.0]),
        ([[1e308, -1e308], [-1e308, 1e308]], [0.0, 0.0]),
        inputs=2,
    )
    root = root_of(network, [1.0, 1.0], [2.0, 2.0], 2)
    for i in range(2):
        low, high = root.bounds(2, i)
        assert (
            low == -np.inf
            or Fraction(low) <= exact_ranges(network, Box([1.0, 1.0], [2.0, 2.0]))[1][i][0]
        )
        assert not low > 0
        assert not high < 0


@pytest.mark.parametrize("permutation", range(6))
def test_a_sum_that_overflows_on_the_way_is_not_large(permutation, root_of):
    """Two terms overflow, the others would bring the sum back below zero."""
    weights = [1.7e308] * 2 + [-1.7e308] * 3
    weights = np.random.default_rng(permutation).permutation(weights)
    network = chain(([weights], [0.0]), inputs=5)
    point = np.full(5, 0.6)
    low, high = root_of(network, point, point, 1).bounds(1, 0)
    truth = exact_preactivations(network, point)[0][0]
    assert encloses(low, high, (truth, truth))
    assert CertainSigns(network)(point[None])[0, 0] <= 0
    value, error = at_point(network, point, 1)
    assert not np.isfinite(value[5]) or abs(Fraction(value[5]) - truth) <= Fraction(error[5])


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("relu", [True, False])
def test_a_sum_that_is_computed_as_infinite_proves_nothing(sign, relu, root_of):
    """Infinity less a finite error is infinity; in truth the sum is -0.66e308 times the sign."""
    weights = sign * np.array([[1.7e308, 1.7e308, -1.4e308, -1.4e308, -1.7e308]])
    network = Network(5, (layer({0: weights}, [0.0], relu), layer({1: [[1.0]]}, [0.0], relu=False)))
    point = np.full(5, 0.6)
    root = root_of(network, point, point, 1)
    assert root.ws.pre_center[5] == sign * np.inf
    z = exact_preactivations(network, point)[0][0]
    for low, high in (root.bounds(1, 0), root.plain(0), root.chosen(0)):
        assert not low > z
        assert not high < z
    state, *_ = decide(network, 1, point, point, [sign], 10)
    assert state.tolist() == [GIVEN_UP]
    # The output reads it: nothing is known of that either.
    low, high = root_of(network, point, point, 2).bounds(2, 0)
    assert not low > max(z, 0 if relu else z)
    assert not high < max(z, 0 if relu else z)


# Cases in which one rounding term is all that saves the result.


CANCELLING = {
    # 1e16 + 1 - 1e16: the 1 is lost in the first sum, or it is not.
    "one sum": ([([[BIG, 1.0, -BIG]], [0.0])], 3, [1.0, 1.0, 1.0]),
    "one sum, other order": ([([[1.0, BIG, -BIG]], [0.0])], 3, [-1.0, 1.0, 1.0]),
    "in the bias": ([([[BIG, 1.0]], [-BIG])], 2, [1.0, 1.0]),
    # The first layer rounds, the second takes away what is left of it.
    "two layers": ([([[BIG, 1.0], [BIG, 0.0]], [0, 0]), ([[1.0, -1.0]], [0.0])], 2, [1.0, 1.0]),
    "two layers, down": (
        [([[BIG, 3.0], [BIG, 0.0]], [0.0, 0.0]), ([[-1.0, 1.0]], [0.0])],
        2,
        [1.0, 1.0],
    ),
    "two layers, a half": (
        [([[2.0**53, 1.0], [2.0**53, 0.0]], [0, 0]), ([[1.0, -1.0]], [-0.5])],
        2,
        [1.0, 1.0],
    ),
    "three layers": (
        [
            ([[BIG, 1.0], [BIG, 0.0]], [0.0, 0.0]),
            ([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]),
            ([[-1.0, 1.0], [1.0, -1.0]], [0.25, 0.25]),
        ],
        2,
        [1.0, 1.0],
    ),
    "products": ([([[0.1, 0.2, -0.3]], [0.0])], 3, [1.0, 1.0, 1.0]),
    "products of thirds": ([([[3.0, -1.0]], [0.0])], 2, [1 / 3, 1.0]),
}


@pytest.mark.parametrize("name", CANCELLING)
def test_cancellation_on_a_box_without_width(name, root_of):
    parts, inputs, point = CANCELLING[name]
    network = chain(*parts, inputs=inputs)
    pres = exact_preactivations(network, point)
    root = root_of(network, point, point, len(parts))
    value, error = at_point(network, point, len(parts))
    signs = CertainSigns(network)(np.array([point]))[0]
    for n, (k, i) in enumerate(network.neurons):
        z = pres[k - 1][i]
        assert encloses(*root.bounds(k, i), (z, z))
        unit = int(root.net.start[k]) + i
        assert abs(Fraction(value[unit]) - z) <= Fraction(error[unit])
        assert signs[n] in {0, (z > 0) - (z < 0)}
    assert_forms_hold(root, point)


def at_point(network, point, last):
    net = pack(network)
    value, post, error = (np.zeros(int(net.start[-1])) for _ in range(3))
    values_at(net, np.array(point, dtype=float), last, value, post)
    errors_at(net, last, post, error)
    return value, error


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize("seed", range(40))
def test_values_lie_within_their_errors(kind, seed):
    rng = np.random.default_rng([2, seed])
    network = random_network(rng, (3, 6, 5, 3), ENTRIES[kind])
    signs = CertainSigns(network)
    for point in rng.normal(size=(4, 3)):
        value, error = at_point(network, point, 3)
        flat = [z for pre in exact_preactivations(network, point) for z in pre]
        for z, v, e in zip(flat, value[3:], error[3:], strict=True):
            assert abs(Fraction(float(v)) - z) <= Fraction(float(e))
        # The bound is worth something: without cancellation it is far below the value.
        assert kind != "plain" or (error[3:] < 1e-11).all()
        exact_signs = [
            (z > 0) - (z < 0)
            for part, pre in zip(network.layers, exact_preactivations(network, point), strict=True)
            for z, relu in zip(pre, part.relu, strict=True)
            if relu
        ]
        certain = signs(point[None])[0]
        assert all(c in {0, s} for c, s in zip(certain, exact_signs, strict=True))


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize("seed", range(20))
def test_values_at_eight_points_lie_within_their_errors(kind, seed):
    rng = np.random.default_rng([4, seed])
    network = random_network(rng, (3, 6, 5, 3), ENTRIES[kind])
    net = pack(network)
    total = int(net.start[-1])
    points = rng.normal(size=(LANES, 3))
    value, post, error = np.zeros(total * LANES), np.zeros(total * LANES), np.zeros(total)
    values_at_eight(net, points.T.ravel(), 3, value, post)
    for part, point in enumerate(points):
        errors_at(net, 3, post[part::LANES].copy(), error)
        flat = [z for pre in exact_preactivations(network, point) for z in pre]
        for z, v, e in zip(flat, value[part::LANES][3:], error[3:], strict=True):
            assert abs(Fraction(float(v)) - z) <= Fraction(float(e))


def test_a_value_is_within_its_error_where_only_the_terms_are_rounded(root_of):
    """Without a bias, at a point: the inputs' own rounding is the only error there is."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        network = chain((rng.normal(size=(1, 3)), [0.0]), inputs=3)
        point = rng.normal(size=3)
        value, error = at_point(network, point, 1)
        z = exact_preactivations(network, point)[0][0]
        assert abs(Fraction(value[3]) - z) <= Fraction(error[3])
        assert encloses(*root_of(network, point, point, 1).bounds(1, 0), (z, z))


def test_an_error_reaches_the_next_layer(root_of):
    """The first layer's error of about 1 is multiplied by 1e8; the second layer's own is small."""
    network = chain(([[BIG, 1.0]], [-BIG]), ([[1e8]], [-1e8]), inputs=2)
    point = [1.0, 0.6]
    value, error = at_point(network, point, 2)
    z = exact_preactivations(network, point)[1][0]
    assert value[3] != z  # what is computed is wrong
    assert abs(Fraction(value[3]) - z) <= Fraction(error[3])
    assert CertainSigns(network)(np.array([point]))[0].tolist()[1] in {0, -1}
    low, high = root_of(network, point, point, 2).bounds(2, 0)
    assert encloses(low, high, (z, z))


def test_a_dead_neuron_may_be_alive_by_its_error(root_of):
    """The first neuron is computed as 0 or less and is 1/4 in truth: what reads it must know."""
    network = chain(([[BIG, 0.25]], [-BIG]), ([[-1.0]], [0.1]), inputs=2)
    point = [1.0, 1.0]
    pres = exact_preactivations(network, point)
    value, error = at_point(network, point, 2)
    assert abs(Fraction(value[3]) - pres[1][0]) <= Fraction(error[3])
    low, high = root_of(network, point, point, 2).bounds(2, 0)
    assert encloses(low, high, (pres[1][0],) * 2)


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        (1.0, 1.0 + 2.0**-52),
        (1.0 + 2.0**-52, 1.0 + 2.0**-51),
        (-1.0 - 2.0**-52, -1.0),
        (-1.0, 1e-17),
        (-1e-17, 1.0),
        (1e16, 1e16 + 2),
        (-3.0, 0.1),
        (0.0, 5e-324),
        (5e-324, 1e-323),
        (-5e-324, 5e-324),
        (-1e308, 1.7e308),
        (0.1, 0.3),
    ],
)
def test_the_input_form_covers_the_interval(lower, upper, root_of):
    """Whatever the middle is rounded to; a bound of the input itself is as wide."""
    network = chain(([[1.0]], [0.0]))
    root = root_of(network, [lower], [upper], 1)
    center, reach = exact((root.ws.center[0], root.ws.form[0, 0]))
    assert center - reach <= Fraction(lower)
    assert center + reach >= Fraction(upper)
    assert encloses(*root.bounds(1, 0), (Fraction(lower), Fraction(upper)))


@pytest.mark.parametrize("seed", range(40))
def test_generators_are_rounded_where_centers_are_zero(seed, root_of):
    """Around the origin only the generators' products are rounded."""
    rng = np.random.default_rng(seed)
    network = chain(
        (rng.normal(size=(2, 2)), [0.0, 0.0]), (rng.normal(size=(1, 2)), [0.0]), inputs=2
    )
    reach = rng.random(2)
    root = root_of(network, -reach, reach, 1)
    for i, extremes in enumerate(exact_ranges(network, Box(-reach, reach))[0]):
        assert encloses(*root.plain(i), extremes)
    for d in range(2):
        due = Fraction(root.net.gamma) * Fraction(float(root.ws.form[d, d]))
        assert due <= Fraction(float(root.ws.noise[d]))


@pytest.mark.parametrize("inputs", range(1, 10))
def test_one_term_is_rounded_wherever_it_stands(inputs, root_of):
    """All other weights are zero; sums are unrolled by four."""
    for place in range(inputs):
        weights = np.zeros((1, inputs))
        weights[0, place] = 0.1
        network = chain((weights, [-0.03]), inputs=inputs)
        point = np.full(inputs, 0.3)
        z = exact_preactivations(network, point)[0][0]
        root = root_of(network, point, point, 1)
        assert z > 0
        assert encloses(*root.plain(0), (z, z))
        assert root.ws.pre_slack[inputs] > 0


def test_what_reads_nothing_is_exactly_its_bias(root_of):
    """Weights of zero, inputs that are zero, neurons that are dead: no rounding, and so decided."""
    network = chain(
        ([[0.0, 0.0], [-1.0, 0.0], [0.0, 3.0]], [0.0, -2.0, 0.0]),
        ([[0.0, 7.0, 1.0], [0.0, 1.0, 0.0]], [0.0, -5e-324]),
        inputs=2,
    )
    lower, upper = [-1.0, 0.0], [1.0, 0.0]
    state, at_root, *_ = decide(network, 1, lower, upper, [-1, -1, 1], 10)
    assert state.tolist() == [PROVED] * 3
    assert at_root.all()
    root = root_of(network, lower, upper, 2)
    assert root.plain(0) == (0.0, 0.0)
    assert root.plain(1) == (-5e-324, -5e-324)
    for sign in (1, -1):
        state, *_ = decide(network, 2, lower, upper, [sign, -1], 10)
        assert state.tolist() == [PROVED, PROVED]


def test_a_point_has_no_generator(root_of):
    network = chain(([[1.0]], [-1.0]))
    root = root_of(network, [0.1], [0.1], 1)
    assert root.ws.form[0, 0] == 0.0
    assert root.ws.center[0] == 0.1


@pytest.mark.parametrize("seed", range(200))
def test_the_relaxation_alone_pays_for_its_own_rounding(seed, root_of):
    """One crossing neuron whose form is free of error, with known bounds of any kind."""
    rng = np.random.default_rng(seed)
    network = chain(([[1.0]], [0.0]), ([[1.0]], [0.0]))
    net = pack(network)
    ws = workspace(net)
    ws.pre_center[1] = rng.normal()
    ws.pre_form[1, 0] = (abs(ws.pre_center[1]) + rng.random()) * rng.choice([1, -1])
    ws.pre_slack[1] = 0.0
    center, coefficient = exact((ws.pre_center[1], ws.pre_form[1, 0]))
    lower = np.nextafter(float(center - abs(coefficient)), -np.inf)
    upper = np.nextafter(float(center + abs(coefficient)), np.inf)
    root_of.relax(net, ws, lower, upper)
    slope, mu = exact((ws.slope[1], ws.intercept[1]))
    assert 0 <= slope <= 1
    for eps in (Fraction(-1), Fraction(1), -center / coefficient, Fraction(1, 3)):
        z = center + coefficient * eps
        second = (max(z, Fraction(0)) - slope * z - mu) / mu
        assert abs(second) <= 1
        off = max(z, Fraction(0)) - _form(ws.center[1], ws.form[1, :2], [eps, second])
        assert abs(off) <= Fraction(float(ws.slack[1]))
    for z in exact((lower, upper)):
        assert abs(max(z, Fraction(0)) - slope * z - mu) <= mu


# Underflow.


def test_what_underflows_in_a_generator_is_not_forgotten(root_of):
    """1e-200 * 1e-200 underflows, times 1e100 it does not: |x| 1e-300 - 2e-301 is not above zero.

    Cancelling a generator of weight 1e-400, the choice of slopes must not take 0 for 1e-400.
    """
    network = Network(
        1,
        (
            layer({0: [[1e100], [-1e100]]}, [0.0, 0.0]),
            layer({1: [[1e-200, 1e-200]]}, [0.0], relu=False),
            layer({2: [[1e-200], [-1e-200]]}, [-2e-301, 2e-301]),
            layer({3: [[1.0, 1.0]]}, [0.0], relu=False),
        ),
    )
    for lower, upper in ((-1.0, 1.0), (-1.0, 2.0), (-3.0, 2.0)):
        root = root_of(network, [lower], [upper], 3)
        ranges = exact_ranges(network, Box([lower], [upper]))[2]
        for i, extremes in enumerate(ranges):
            assert encloses(*root.chosen(i), extremes)
            assert encloses(*root.bounds(3, i), extremes)


@pytest.mark.parametrize("weight", [5e-324, 1e-323, 1.5e-323, 5e-323, 1e-320])
@pytest.mark.parametrize("ends", [(-1.0, 1.0), (-1.0, 3.0), (-0.7, 0.2), (-2.0, 0.1)])
def test_slopes_times_subnormal_weights(weight, ends, root_of):
    """The shift weight * (1 - s) has few bits left, or none, and stands before 1e200."""
    network = chain(
        ([[1e200], [-1e200], [1e200]], [0.0, 1e199, 1e199]),
        (
            [[weight, weight, 0.0], [weight, -weight, weight], [-weight, weight, -weight]],
            [0.0, 0.0, 0.0],
        ),
    )
    lower, upper = ends
    root = root_of(network, [lower], [upper], 2)
    for i, extremes in enumerate(exact_ranges(network, Box([lower], [upper]))[1]):
        assert encloses(*root.chosen(i), extremes)
        assert encloses(*root.plain(i), extremes)


SUBNORMAL = [
    (
        [5.7334901973756e-311, 2.7415782033774e-311, 8.77102200568e-312, 2.29339607895024e-310],
        [
            7.729655140321007e307,
            8.400320550125834e307,
            6.336660054047399e307,
            -3.178950938503464e307,
        ],
    ),
    (
        [6.153014210456e-311, 3.7123430813345e-311, 1.6440599082084e-311, 2.4612056841824e-310],
        [
            -5.788713389396103e307,
            4.3385652554746833e307,
            5.522302253247684e307,
            4.23889696322707e306,
        ],
    ),
    (
        [5.046165832049e-311, 5.382800801433e-311, 7.455501156621e-311, 2.9822004626485e-310],
        [
            4.987544574662928e307,
            -8.381467587528217e307,
            2.537445355773923e307,
            3.45337832552607e305,
        ],
    ),
]


@pytest.mark.parametrize(("point", "weights"), SUBNORMAL)
def test_errors_of_subnormal_inputs_do_not_underflow(point, weights, root_of):
    """gamma times 1e-310 is no number; times 1e308 it is larger than what is left of the sum."""
    network = chain(([weights], [0.0]), inputs=4)
    z = exact_preactivations(network, point)[0][0]
    assert encloses(*root_of(network, point, point, 1).bounds(1, 0), (z, z))
    value, error = at_point(network, point, 1)
    assert abs(Fraction(value[4]) - z) <= Fraction(error[4])
    assert CertainSigns(network)(np.array([point]))[0, 0] in {0, (z > 0) - (z < 0)}


@pytest.mark.parametrize("sign", [1, -1])
def test_an_underflow_may_be_magnified(sign, root_of):
    """1e-300 times 1e-300 is computed as zero; 1e308 times that is not zero."""
    network = Network(
        1,
        (
            layer({0: [[sign * 1e-300]]}, [0.0], relu=False),
            layer({1: [[1e308]]}, [0.0], relu=True),
            layer({2: [[1.0]]}, [0.0], relu=False),
        ),
    )
    z = exact_preactivations(network, [1e-300])[1][0]
    assert encloses(*root_of(network, [1e-300], [1e-300], 2).bounds(2, 0), (z, z))
    value, error = at_point(network, [1e-300], 2)
    assert abs(Fraction(value[2]) - z) <= Fraction(error[2])
    assert CertainSigns(network)(np.array([[1e-300]]))[0, 0] == 0


def test_underflowing_products_are_not_zero(root_of):
    network = chain(([[-1e-300], [1e-300]], [0.0, 0.0]))
    root = root_of(network, [1e-300], [1e-300], 1)
    for i in range(2):
        low, high = root.bounds(1, i)
        assert low < 0 < high
    _, error = at_point(network, [1e-300], 1)
    assert (error[1:3] >= TINY).all()


# A whole layer on a slice.


def decide(network, k, lower, upper, sign, budget, known=None, room=64):
    net = pack(network)
    total = int(net.start[-1])
    lower, upper = np.array(lower, dtype=float), np.array(upper, dtype=float)
    known = known or (np.full(total, -np.inf), np.full(total, np.inf))
    found = np.zeros((room, network.inputs))
    state, at_root, examined, count = decide_layer(
        net,
        octet(net),
        k,
        lower,
        upper,
        inner_ends(lower, upper),
        *known,
        np.array(sign, dtype=np.int8),
        budget,
        found,
    )
    return state, at_root, examined, found[:count], known


# The same neuron twice: their difference is 0, which relaxations of both only find as boxes shrink.
TWINS = Network(
    1,
    (
        layer({0: [[1.0], [1.0]]}, [0.0, 0.0]),
        layer({1: [[1.0, -1.0], [-1.0, 1.0], [1.0, 0.0]]}, [0.02, 0.01, -0.5]),
        layer({2: [[1.0, 1.0, 1.0]]}, [0.0], relu=False),
    ),
)


def test_smaller_boxes_prove_what_the_first_does_not():
    state, at_root, examined, found, known = decide(TWINS, 2, [-1.0], [1.2], [1, 1, 1], 100)
    assert state.tolist() == [PROVED, PROVED, REFUTED]
    assert not at_root.any()
    assert 1 < examined <= 100
    assert min(exact_preactivations(TWINS, point)[1][2] for point in found) < 0
    assert known[0][3:5].tolist() == [0.0, 0.0]
    assert known[0][5] < 0
    state, *_ = decide(TWINS, 2, [-1.0], [1.2], [-1, -1, -1], 100)
    assert state.tolist() == [REFUTED] * 3


def test_one_box_decides_at_the_root_or_not_at_all():
    state, at_root, examined, _, _ = decide(TWINS, 2, [-1.0], [1.2], [1, 1, 0], 1)
    assert state.tolist() == [GIVEN_UP] * 3
    assert not at_root.any()
    assert examined == 1
    state, at_root, examined, _, _ = decide(TWINS, 2, [0.25], [1.2], [1, 1, 0], 1)
    assert state.tolist() == [PROVED, PROVED, GIVEN_UP]
    assert at_root.tolist() == [True, True, False]
    assert examined == 1


def test_a_neuron_refuted_on_one_half_is_not_proved_by_the_other():
    """On the left half the last neuron is inactive, on the right it is open at first."""
    state, *_ = decide(TWINS, 2, [-1.0], [1.2], [0, 0, -1], 100)
    assert state.tolist() == [GIVEN_UP, GIVEN_UP, REFUTED]


def test_what_is_no_target_stays_undecided():
    state, at_root, examined, found, _ = decide(TWINS, 2, [-1.0], [1.2], [0, 0, 0], 100)
    assert state.tolist() == [GIVEN_UP] * 3
    assert not at_root.any()
    assert examined == 0
    assert not len(found)


def test_known_bounds_decide_without_a_box():
    known = np.full(7, -np.inf), np.full(7, np.inf)
    known[0][3:6] = 0.0
    state, _, examined, _, _ = decide(TWINS, 2, [-1.0], [1.2], [1, 1, 1], 100, known)
    assert state.tolist() == [PROVED] * 3
    assert examined == 0


def test_a_box_that_cannot_be_cut_is_given_up():
    """z is zero at the point, or 1e-17: neither sign can be shown in float64."""
    network = chain(([[1.0, -1.0], [1.0, -1.0]], [1e-17, 0.0]), inputs=2)
    state, _, examined, found, _ = decide(network, 1, [1.0, 1.0], [1.0, 1.0], [1, -1], 50)
    assert state.tolist() == [GIVEN_UP] * 2
    assert examined == 1
    assert not len(found)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sign_within_the_error_refutes_nothing(sign):
    """Computed as -1.5, both ones lost beside 1e16; in truth 0.5."""
    weights = sign * np.array([[BIG, 1.0, 1.0, -BIG, -1.5]])
    network = chain((weights, [0.0]), inputs=5)
    point = np.ones(5)
    assert (
        sign * at_point(network, point, 1)[0][5]
        < 0
        < sign * exact_preactivations(network, point)[0][0]
    )
    state, _, _, found, _ = decide(network, 1, point, point, [sign], 10)
    assert state.tolist() == [GIVEN_UP]
    assert not len(found)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_corner_whose_value_overflows_refutes_nothing(sign):
    """Computed as infinite; in truth -0.66e308 times the sign, as claimed."""
    weights = -sign * np.array([[1.7e308, 1.7e308, -1.4e308, -1.4e308, -1.7e308]])
    net, point = pack(chain((weights, [0.0]), inputs=5)), np.full(5, 0.6)
    eight = octet(net)
    eight.lower[:] = eight.upper[:] = 0.6
    eight.likely[:] = 0.0
    state, found = np.array([OPEN], dtype=np.int8), np.zeros((4, 5))
    scratch = (np.zeros(int(net.start[-1])), np.zeros(int(net.start[-1])))
    signs, inner = np.array([sign], dtype=np.int8), inner_ends(point, point)
    assert _refute(net, eight, 1, LANES, signs, state, inner, found, 0, scratch) == 0
    assert sign * eight.value[5 * LANES] == -np.inf
    assert state[0] == OPEN


def test_points_found_beyond_the_room_still_refute():
    state, _, _, found, _ = decide(TWINS, 2, [-1.0], [1.2], [-1, -1, -1], 100, room=0)
    assert state.tolist() == [REFUTED] * 3
    assert not len(found)


@pytest.mark.parametrize("kind", ["plain", "scaled"])
@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("sign", [1, -1])
def test_every_state_of_a_layer_is_true(kind, seed, sign):
    rng = np.random.default_rng([3, seed])
    network = random_network(rng, (2, 4, 3, 3, 1), ENTRIES[kind])
    lower = rng.normal(size=2)
    upper = lower + rng.choice([0.25, 1.0, 2.0], size=2)
    ranges = exact_ranges(network, Box(lower, upper))
    signs = np.full(3, sign)
    for budget in (1, 2, 3, 10, 200):
        state, _, examined, found, known = decide(network, 3, lower, upper, signs, budget)
        assert 1 <= examined <= budget
        assert OPEN not in state
        values = [exact_preactivations(network, point)[2] for point in found]
        assert all((lower <= point).all() and (point <= upper).all() for point in found)
        for i, (low, high) in enumerate(ranges[2]):
            least = low if sign > 0 else -high
            assert least >= 0 or state[i] != PROVED
            assert state[i] != REFUTED or min(sign * pre[i] for pre in values) < 0
            clear = max(abs(low), abs(high)) / 100
            assert least <= clear or budget < 200 or state[i] == PROVED
        flat = [extremes for of_layer in ranges[:3] for extremes in of_layer]
        for unit, extremes in enumerate(flat, start=2):
            assert encloses(known[0][unit], known[1][unit], extremes)


def test_targets_given_up_leave_the_boxes_to_the_others():
    """The first neuron is zero along a line and cannot be decided; the second can."""
    network = chain(
        ([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0]], [0.0, 0.0, 0.0]),
        ([[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]], [0.0, 0.05]),
        inputs=2,
    )
    state, _, examined, _, _ = decide(network, 2, [-1.0, -1.0], [1.0, 1.0], [1, 1], 400)
    assert state.tolist() == [GIVEN_UP, PROVED] or state.tolist() == [PROVED, PROVED]
    assert examined <= 400


# The packed network.


def test_the_packed_network_holds_the_same_numbers():
    rng = np.random.default_rng(0)
    network = random_network(rng, (3, 4, 2, 2))
    net = pack(network)
    assert net.start.tolist() == [0, 3, 7, 9, 11]
    for k, of_layer in enumerate(network.layers, start=1):
        here = slice(int(net.start[k]), int(net.start[k + 1]))
        assert np.array_equal(net.bias[here], of_layer.bias)
        assert np.array_equal(net.relu[here], of_layer.relu)
        blocks = range(int(net.first_block[k]), int(net.first_block[k + 1]))
        assert [int(net.source[b]) for b in blocks] == list(of_layer.weights)
        for b, matrix in zip(blocks, of_layer.weights.values(), strict=True):
            begin = int(net.offset[b])
            assert np.array_equal(net.weights[begin : begin + matrix.size], matrix.ravel())
    fan_in = max(sum(m.shape[1] for m in part.weights.values()) for part in network.layers)
    assert net.gamma >= 2 * (fan_in + 1) * 2.0**-53
