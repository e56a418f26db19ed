"""The duplicated network's encodings, on random small networks.

What an encoding says is checked at points whose every variable follows from the input: the values
of both networks are computed exactly, so a row that cuts off a real execution shows, and so does a
range that does not hold. That it admits no more than the networks do is checked by what a solver
finds: it must be reached, and exceeded by nothing.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from redy.criteria.answers import Answerer
from redy.criteria.comparison import Comparer, Region
from redy.criteria.queries import Kind, Query, layer_values
from redy.domain import Box
from redy.edits import Criterion, Edit, Edits
from redy.encodings.duplicated import ENCODINGS, Duplicated, Row, encode, usable
from redy.network.form import Layer, Network
from redy.solvers import Outcome, Problem, solver
from redy.solvers.problem import Limits
from tests.exact import exact_preactivations

SEEDS = range(24)


def random_network(rng: np.random.Generator) -> Network:
    """Three hidden layers with skips and linear units; weights are multiples of 1/8."""
    widths = [int(rng.integers(1, 4)), *rng.integers(2, 5, 3).tolist(), 3]
    layers = []
    for k in range(1, 5):
        sources = [k - 1] + [j for j in range(k - 1) if rng.random() < 0.4]
        weights = {j: rng.integers(-12, 13, (widths[k], widths[j])) / 8 for j in sources}
        relu = (rng.random(widths[k]) < 0.85) & (k < 4)
        layers.append(Layer(weights, rng.integers(-6, 7, widths[k]) / 8, relu))
    return Network(widths[0], tuple(layers))


def random_edits(rng: np.random.Generator, network: Network) -> Edits:
    """Some neurons removed, a correction in a third of the cases."""
    neurons = len(network.neurons)
    codes = rng.choice(4, neurons, p=[0.6, 0.15, 0.1, 0.15]).astype(np.uint8)
    lines = np.where((codes == Edit.AFFINE)[:, None], rng.integers(-8, 9, (neurons, 2)) / 8, 0.0)
    criteria = np.where(codes == Edit.KEEP, Criterion.KEPT, Criterion.FORWARD).astype(np.uint8)
    correction = None
    if rng.random() < 0.33:
        correction = rng.integers(-4, 5, (network.outputs, network.inputs + 1)) / 16
    return Edits(codes, criteria, lines, correction)


class Setting:
    """One random network with edits on a box, and its ranges."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.rng = rng
        self.network = random_network(rng)
        self.edits = random_edits(rng, self.network)
        center = rng.integers(-8, 9, self.network.inputs) / 8
        self.box = Box(center - 0.5, center + rng.choice([0.0, 0.25, 1.0], self.network.inputs))
        self.layer = self.network.depth + 1
        rest = np.full(sum(layer.units for layer in self.network.layers), np.inf)
        ends = (self.box.lower, self.box.upper)
        region = Region(
            *ends, *(np.concatenate([e, s * rest]) for e, s in zip(ends, (-1, 1), strict=True))
        )
        self.ranges = Comparer(self.network).ranges(self.edits, region, self.layer)

    def encoded(self, encoding: str) -> Duplicated:
        return encode(self.network, self.edits, self.box, self.ranges, self.layer, encoding)

    def points(self, count: int) -> np.ndarray:
        """Random points and corners: multiples of 2**-8, so that all values are exact."""
        unit = self.rng.integers(0, 2**6 + 1, (count, self.network.inputs)) / 2**6
        unit[: count // 2] = unit[: count // 2].round()
        return self.box.lower * (1 - unit) + self.box.upper * unit

    def edited(self, point: np.ndarray) -> list[tuple[Fraction, ...]]:
        """The edited network's pre-activations at ``point``, exactly."""
        return exact_edited(self.network, self.edits, point)


def exact_edited(network: Network, edits: Edits, point: np.ndarray) -> list[tuple[Fraction, ...]]:
    posts: list[list[Fraction]] = [[Fraction(float(x)) for x in point]]
    pres, neuron = [], 0
    for layer in network.layers:
        pre = [Fraction(float(b)) for b in layer.bias]
        for j, matrix in layer.weights.items():
            for i, row in enumerate(np.asarray(matrix)):
                pre[i] += sum(Fraction(float(w)) * h for w, h in zip(row, posts[j], strict=True))
        post = list(pre)
        for i in np.flatnonzero(layer.relu):
            slope, intercept = map(Fraction, edits.lines[neuron])
            post[i] = {
                Edit.KEEP: max(pre[i], Fraction(0)),
                Edit.ZERO: Fraction(0),
                Edit.IDENTITY: pre[i],
                Edit.AFFINE: slope * pre[i] + intercept,
            }[Edit(int(edits.codes[neuron]))]
            neuron += 1
        posts.append(post)
        pres.append(tuple(pre))
    if edits.correction is not None:
        added = [
            sum(Fraction(c) * Fraction(float(x)) for c, x in zip(row, [*point, 1.0], strict=True))
            for row in edits.correction
        ]
        pres[-1] = tuple(a + b for a, b in zip(pres[-1], added, strict=True))
    return pres


def pinned(problem: Problem, inputs: np.ndarray, point: np.ndarray) -> Problem:
    """``problem`` with the inputs fixed."""
    lower, upper = problem.lower.copy(), problem.upper.copy()
    lower[inputs] = upper[inputs] = point
    return replace(problem, lower=lower, upper=upper)


@pytest.mark.parametrize("seed", range(120))
def test_ranges_hold_at_points(seed: int) -> None:
    setting = Setting(seed)
    ranges = setting.ranges
    for point in setting.points(16):
        before = exact_preactivations(setting.network, [float(x) for x in point])
        after = setting.edited(point)
        for k, layer in enumerate(setting.network.layers, start=1):
            for i in range(layer.units):
                z, edited = before[k - 1][i], after[k - 1][i]
                for value, ends in (
                    (z, ranges.z(k, i)),
                    (edited - z, ranges.dz(k, i)),
                    (edited, ranges.edited_z(k, i)),
                ):
                    assert ends.lower <= value <= ends.upper
                if ranges.is_same(k, i):
                    assert edited == z


@pytest.mark.skipif(not solver("z3").probe().available, reason="exact answers come from Z3")
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("seed", range(16))
def test_every_execution_satisfies_every_row(seed: int, encoding: str) -> None:
    """With the inputs fixed, exactly the networks' own values are feasible, over the rationals."""
    setting = Setting(seed)
    both = setting.encoded(encoding)
    for point in setting.points(2):
        before = exact_preactivations(setting.network, [float(x) for x in point])[-1]
        after = setting.edited(point)[-1]
        here = replace(both, base=pinned(both.base, both.inputs, point))
        exactly, beyond = [], []
        for i, (f, edited) in enumerate(zip(before, after, strict=True)):
            value, difference = float(f), float(edited - f)
            assert (Fraction(value), Fraction(difference)) == (f, edited - f)
            for sign in (1, -1):
                exactly += [Row({i: sign}, {}, sign * value), Row({}, {i: sign}, sign * difference)]
                beyond.append(Row({}, {i: sign}, sign * difference + 2.0**-20))
        answer = solver("z3").solve(here.having(exactly), Limits(seconds=120))
        assert answer.outcome is Outcome.OPTIMAL, answer.detail
        for row in beyond:
            answer = solver("z3").solve(here.having([row]), Limits(seconds=120))
            assert answer.outcome is Outcome.INFEASIBLE


@pytest.mark.parametrize("seed", SEEDS)
def test_both_encodings_reach_the_same_extremes(seed: int) -> None:
    setting = Setting(seed)
    points = setting.points(512)
    difference = layer_values(setting.network, points, setting.layer, setting.edits)
    difference = difference - layer_values(setting.network, points, setting.layer)
    for i in range(setting.network.outputs):
        greatest = []
        for encoding in ENCODINGS:
            both = setting.encoded(encoding)
            problem = both.having([])
            objective = np.zeros_like(problem.objective)
            for column, factor in both.terms(Row({}, {i: 1}, 0.0)).items():
                objective[column] = -factor
            answer = solver("highs").solve(replace(problem, objective=objective))
            assert answer.outcome is Outcome.OPTIMAL, answer.detail
            greatest.append(-answer.bound)
            assert greatest[-1] >= difference[:, i].max() - 1e-6
        assert greatest[0] == pytest.approx(greatest[1], abs=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_nothing_changes_is_shared(seed: int) -> None:
    """Without edits the difference encoding is the original alone."""
    setting = Setting(seed)
    setting.edits = Edits.none(setting.network)
    both = setting.encoded("difference")
    assert (both.second == -1).all()
    assert both.base.lower.size < setting.encoded("plain").base.lower.size


def test_ranges_that_are_not_finite_are_not_usable() -> None:
    setting = Setting(0)
    assert usable(setting.ranges, setting.layer)
    original = setting.ranges.original.copy()
    original[int(setting.ranges.start[1]), 1] = np.inf
    assert not usable(replace(setting.ranges, original=original), setting.layer)


def test_an_encoding_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="difference, plain"):
        Setting(0).encoded("triple")


@pytest.mark.parametrize("seed", range(40))
def test_all_backends_agree(seed: int) -> None:
    """Verdicts of branch and bound and of two solvers, on both encodings, never contradict."""
    setting = Setting(seed)
    query = random_query(setting)
    answerer = Answerer(setting.network)
    verdicts = {"redy": answerer.by_branching(query, budget=3000)}
    region = answerer.region(query)
    for name in ("highs", "gurobi"):
        for encoding in ENCODINGS:
            verdicts[f"{name} {encoding}"] = answerer.by_solver(
                query, region, solver(name), 20.0, encoding
            )
    kinds = {type(verdict).__name__ for verdict in verdicts.values()} - {"Unknown"}
    assert len(kinds) <= 1, verdicts


def random_query(setting: Setting) -> Query:
    rng, network = setting.rng, setting.network
    sign = int(rng.choice([1, -1]))
    kind = rng.choice([Kind.FORWARD, Kind.DECISION, Kind.PHASE])
    if kind == Kind.PHASE:
        k, i = network.neurons[int(rng.integers(len(network.neurons)))]
        return Query(Kind.PHASE, setting.box, Edits.none(network), k, i, sign)
    least = float(rng.choice([0.125, 0.5, 1.0]))
    unit, rival = rng.permutation(network.outputs)[:2].tolist()
    return Query(Kind(kind), setting.box, setting.edits, setting.layer, unit, sign, least, rival)
