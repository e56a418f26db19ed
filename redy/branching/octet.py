"""Bounds on eight boxes at once, by the method of :mod:`redy.branching.box`, lane by lane.

An octet is eight boxes that share most of what crosses: the parts of one box. What crosses in any
of them gets a generator in all; where a neuron is stable, its generator is zero. Choosing a slope
is a chain of a few dependent operations and a branch that cannot be foretold, for which a
processor waits longer than it computes: eight boxes share the wait. Measured on ACAS Xu, an octet
takes as long as two to three boxes one by one.

Rows are flat arrays of vectors (:mod:`redy.branching.vector`); every bound holds over the reals
for the same reasons as in :mod:`redy.branching.box`, whose rounding terms stand here again.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import numpy as np

from redy.branching.compiled import kernel
from redy.branching.packed import Packed
from redy.branching.vector import LANES, load, select, some, splat, store
from redy.tolerances import FLOOR, TINY, UNIT_ROUNDOFF, UPWARD

_WORTHWHILE = 0.003
"""A neuron's lower slope is chosen only if its generator is at least this share of the radius.

Measured on ACAS Xu, in the same time: a tenth fewer neurons undecided than with 0.01, for which
one box at a time is best; 0 is slower, and 0.03 leaves a third more.
"""

_LINE = 64  # bytes that a processor moves at once; a vector across two of them costs two moves


class Octet(NamedTuple):
    """Eight boxes, what is known on them, and scratch memory.

    Attributes:
        lower, upper: (inputs) vectors, the boxes.
        known_lower, known_upper: (total) vectors, bounds on the pre-activations.
        center, slack, noise, form, pre_center, pre_slack, pre_form: as in
            :class:`redy.branching.box.Workspace`; forms are (total, capacity) vectors.
        alive: (total,) units of layer k that are not zero on all boxes, from start[k] on.
        alive_count: (layers,) how many.
        todo: (total,) scratch, units to be computed.
        generators: (layers,) generators in use once layer k is done.
        crossing, before: (capacity,) the neuron behind each generator, and the generators that its
            pre-activation has.
        slope, intercept, reach: (capacity) vectors.
        row: (capacity) vectors, the bound in progress.
        influence: (capacity) vectors, how much each generator keeps the targets undecided.
        score: (inputs) vectors, how much cutting each input promises.
        promise, likely: one vector each: how far below zero the target that promises most gets,
            and its number, -1 where there is none.
        point, value, post: (inputs), (total), (total) vectors, one point per box, and its values.
    """

    lower: np.ndarray
    upper: np.ndarray
    known_lower: np.ndarray
    known_upper: np.ndarray
    center: np.ndarray
    slack: np.ndarray
    noise: np.ndarray
    form: np.ndarray
    pre_center: np.ndarray
    pre_slack: np.ndarray
    pre_form: np.ndarray
    alive: np.ndarray
    alive_count: np.ndarray
    todo: np.ndarray
    generators: np.ndarray
    crossing: np.ndarray
    before: np.ndarray
    slope: np.ndarray
    intercept: np.ndarray
    reach: np.ndarray
    row: np.ndarray
    influence: np.ndarray
    score: np.ndarray
    promise: np.ndarray
    likely: np.ndarray
    point: np.ndarray
    value: np.ndarray
    post: np.ndarray


def _vectors(*shape: int) -> np.ndarray:
    """Zeros, ``shape`` vectors, that begin where a cache line begins."""
    sizes = (*shape[:-1], shape[-1] * LANES)
    count = int(np.prod(sizes))
    memory = np.zeros(count + LANES)
    skip = -memory.ctypes.data % _LINE // memory.itemsize
    return memory[skip : skip + count].reshape(sizes)


def octet(net: Packed) -> Octet:
    """Memory for eight boxes of ``net``."""
    layers, total, inputs = net.start.size - 1, int(net.start[-1]), int(net.start[1])
    capacity = inputs + int(net.relu.sum())
    return Octet(
        lower=_vectors(inputs),
        upper=_vectors(inputs),
        known_lower=_vectors(total),
        known_upper=_vectors(total),
        center=_vectors(total),
        slack=_vectors(total),
        noise=_vectors(total),
        form=_vectors(total, capacity),
        pre_center=_vectors(total),
        pre_slack=_vectors(total),
        pre_form=_vectors(total, capacity),
        alive=np.zeros(total, dtype=np.int64),
        alive_count=np.zeros(layers, dtype=np.int64),
        todo=np.zeros(total, dtype=np.int64),
        generators=np.zeros(layers, dtype=np.int64),
        crossing=np.zeros(capacity, dtype=np.int64),
        before=np.zeros(capacity, dtype=np.int64),
        slope=_vectors(capacity),
        intercept=_vectors(capacity),
        reach=_vectors(capacity),
        row=_vectors(capacity),
        influence=_vectors(capacity),
        score=_vectors(inputs),
        promise=_vectors(1),
        likely=_vectors(1),
        point=_vectors(inputs),
        value=_vectors(total),
        post=_vectors(total),
    )


@kernel
def _larger(a, b):
    """The larger of two; ``b`` where ``a`` is not a number."""
    return select(a > b, a, b)


@kernel
def _radius(row, count):
    """sum |row[:count]|, rounded upward."""
    total = splat(0.0)
    for e in range(count):
        total = total + abs(load(row, e))
    return total * (1.0 + 2.0 * count * UNIT_ROUNDOFF)


@kernel
def _begin(net, eight):
    """Input forms: center, and one generator that covers the box over the reals."""
    inputs = net.start[1]
    alive = 0
    for d in range(inputs):
        lower, upper = load(eight.lower, d), load(eight.upper, d)
        middle = 0.5 * lower + 0.5 * upper
        # The larger distance to an end, rounded upward, covers the interval whatever `middle` is.
        reach = _larger(upper - middle, middle - lower)
        reach = select(reach > 0.0, reach * UPWARD + TINY, 0.0)
        store(eight.center, d, middle)
        store(eight.slack, d, 0.0)
        for e in range(inputs):
            store(eight.form[d], e, 0.0)
        store(eight.form[d], d, reach)
        store(eight.noise, d, net.gamma * (abs(middle) + reach + FLOOR) * UPWARD)
        if some((abs(middle) > 0.0) | (reach > 0.0)):
            eight.alive[alive] = d
            alive += 1
    eight.alive_count[0] = alive
    eight.generators[0] = inputs


@kernel
def _reads(net, eight, layer, unit):
    """Whether ``unit`` reads anything that is not zero."""
    for block in range(net.first_block[layer], net.first_block[layer + 1]):
        begin, end = net.start[net.source[block]], net.start[net.source[block] + 1]
        row = net.offset[block] + (unit - net.start[layer]) * (end - begin) - begin
        for a in range(begin, begin + eight.alive_count[net.source[block]]):
            if net.weights[row + eight.alive[a]] != 0.0:
                return True
    return False


@kernel
def _four_weights(net, row, sources, there):
    """The weights of four sources, of which only the first ``there`` count."""
    w0 = net.weights[row + sources[0]]
    w1 = net.weights[row + sources[1]] if there > 1 else 0.0
    w2 = net.weights[row + sources[2]] if there > 2 else 0.0
    w3 = net.weights[row + sources[3]] if there > 3 else 0.0
    return w0, w1, w2, w3


@kernel
def _four_vectors(row, sources):
    """The vectors of a flat array at four places."""
    p0, p1, p2, p3 = sources
    return load(row, p0), load(row, p1), load(row, p2), load(row, p3)


@kernel
def _weighted(w, v):
    """The sum of four vectors times numbers."""
    return (w[0] * v[0] + w[1] * v[1]) + (w[2] * v[2] + w[3] * v[3])


@kernel
def _magnitudes(w):
    return abs(w[0]), abs(w[1]), abs(w[2]), abs(w[3])


@kernel
def _add_four(net, eight, layer, block, units, sources, there):
    """Add to the pre-activation forms of four units what they read from four sources.

    Units may be the same: all is loaded before anything is stored.
    """
    j = net.source[block]
    begin, end = net.start[j], net.start[j + 1]
    u0, u1, u2, u3 = units
    first = net.offset[block] - net.start[layer] * (end - begin) - begin
    w0 = _four_weights(net, first + u0 * (end - begin), sources, there)
    w1 = _four_weights(net, first + u1 * (end - begin), sources, there)
    w2 = _four_weights(net, first + u2 * (end - begin), sources, there)
    w3 = _four_weights(net, first + u3 * (end - begin), sources, there)
    v = _four_vectors(eight.center, sources)
    c0, c1, c2, c3 = _four_vectors(eight.pre_center, units)
    store(eight.pre_center, u0, c0 + _weighted(w0, v))
    store(eight.pre_center, u1, c1 + _weighted(w1, v))
    store(eight.pre_center, u2, c2 + _weighted(w2, v))
    store(eight.pre_center, u3, c3 + _weighted(w3, v))
    v = _four_vectors(eight.noise, sources)
    s0, s1, s2, s3 = _four_vectors(eight.pre_slack, units)
    store(eight.pre_slack, u0, s0 + _weighted(_magnitudes(w0), v))
    store(eight.pre_slack, u1, s1 + _weighted(_magnitudes(w1), v))
    store(eight.pre_slack, u2, s2 + _weighted(_magnitudes(w2), v))
    store(eight.pre_slack, u3, s3 + _weighted(_magnitudes(w3), v))
    p0, p1, p2, p3 = sources
    f0, f1, f2, f3 = eight.form[p0], eight.form[p1], eight.form[p2], eight.form[p3]
    t0, t1, t2, t3 = (
        eight.pre_form[u0],
        eight.pre_form[u1],
        eight.pre_form[u2],
        eight.pre_form[u3],
    )
    for e in range(eight.generators[j]):
        v = load(f0, e), load(f1, e), load(f2, e), load(f3, e)
        r0, r1, r2, r3 = load(t0, e), load(t1, e), load(t2, e), load(t3, e)
        store(t0, e, r0 + _weighted(w0, v))
        store(t1, e, r1 + _weighted(w1, v))
        store(t2, e, r2 + _weighted(w2, v))
        store(t3, e, r3 + _weighted(w3, v))


@kernel
def _four(numbers, a):
    """Four numbers from position ``a`` on, the last one repeated where there are fewer."""
    last = numbers.size - 1
    return (
        numbers[a],
        numbers[min(a + 1, last)],
        numbers[min(a + 2, last)],
        numbers[min(a + 3, last)],
    )


@kernel
def _affine(net, eight, layer, units):
    """Pre-activation forms of ``units`` of ``layer``.

    Four by four: what is loaded of four sources serves four units.
    """
    count = eight.generators[layer - 1]
    for unit in units:
        target = eight.pre_form[unit]
        for e in range(count):
            store(target, e, 0.0)
        store(eight.pre_center, unit, net.bias[unit])
        store(eight.pre_slack, unit, abs(net.bias[unit]) * net.gamma + FLOOR * net.gamma)
    for block in range(net.first_block[layer], net.first_block[layer + 1]):
        begin = net.start[net.source[block]]
        alive = eight.alive[begin : begin + eight.alive_count[net.source[block]]]
        for u in range(0, units.size, 4):
            for a in range(0, alive.size, 4):
                there = alive.size - a
                _add_four(net, eight, layer, block, _four(units, u), _four(alive, a), there)
    for unit in units:
        # One roundoff more than the noise of the terms: the sum of slacks is itself rounded. What
        # reads nothing is its bias, exactly.
        slack = load(eight.pre_slack, unit) * (1.0 + net.gamma)
        store(eight.pre_slack, unit, slack if _reads(net, eight, layer, unit) else splat(0.0))


@kernel
def _tried(row, form, count, first, second):
    """sum |row + first * form| and sum |row + second * form|, rounded; they guide."""
    with_first, with_second = splat(0.0), splat(0.0)
    for e in range(count):
        r, z = load(row, e), load(form, e)
        with_first = with_first + abs(r + first * z)
        with_second = with_second + abs(r + second * z)
    return with_first, with_second


@kernel
def _lower_bound(net, eight, unit, count, sign):
    """Lower bounds over the reals of sign * z of ``unit``, whose forms have ``count`` generators.

    See :func:`redy.branching.box.lower_bound_of_row`.
    """
    inputs = net.start[1]
    row, source = eight.row, eight.pre_form[unit]
    for e in range(count):
        store(row, e, sign * load(source, e))
    base = sign * load(eight.pre_center, unit)
    slack = load(eight.pre_slack, unit)
    # No sum of magnitudes that arises below exceeds `scale`: what the rounding allowance rests on.
    radius = _radius(row, count)
    scale = abs(base) + radius
    worthwhile = _WORTHWHILE * radius
    plain, known = splat(0.0), -1  # sum |row[:known]|, rounded
    for g in range(count - 1, inputs - 1, -1):
        share = load(row, g)
        wanted = share > worthwhile
        if not some(wanted):
            continue
        neuron = eight.crossing[g]
        before = eight.before[g]
        if before != known:
            plain, known = splat(0.0), before
            for e in range(before):
                plain = plain + abs(load(row, e))
        z = eight.pre_form[neuron]
        z_center = load(eight.pre_center, neuron)
        slope, intercept = load(eight.slope, g), load(eight.intercept, g)
        weight = select(wanted, share, 0.0) / select(wanted, intercept, 1.0)
        to_zero = (0.0 - weight) * slope
        to_one = weight * (1.0 - slope)
        drop = weight * intercept
        sum_zero, sum_one = _tried(row, z, before, to_zero, to_one)
        at_zero = sum_zero + drop - to_zero * z_center
        at_one = sum_one + drop - to_one * z_center
        now = plain + share
        zero = wanted & (at_zero < now) & (at_zero <= at_one)
        one = wanted & (at_one < now) & (at_one < at_zero)
        if not some(zero | one):
            continue
        chosen = zero | one
        shift = select(zero, to_zero, select(one, to_one, 0.0))
        plain = select(zero, sum_zero, select(one, sum_one, plain))
        # Valid for any multiplier of relu(z) - alpha z, so for the float `weight`; what is rounded
        # is `shift`, `drop`, `base` and the row, for which slack pays, as it does for what is left
        # of the cancelled generator and for a `shift` that underflows.
        z_reach, z_slack = load(eight.reach, g), load(eight.pre_slack, neuron)
        scale = scale + select(chosen, abs(shift) * z_reach + drop, 0.0)
        left = abs(share - drop) + TINY * (z_reach + z_slack + 1.0)
        slack = slack + select(
            chosen, abs(shift) * z_slack + 16.0 * UNIT_ROUNDOFF * scale + left, 0.0
        )
        base = base + select(chosen, shift * z_center - drop, 0.0)
        for e in range(before):
            store(row, e, load(row, e) + shift * load(z, e))
        store(row, g, select(chosen, 0.0, share))
    reach = (_radius(row, count) + slack) * (1.0 + 16.0 * (count + 1) * UNIT_ROUNDOFF) + TINY
    bound = base - reach
    bound = bound - 2.0 * UNIT_ROUNDOFF * abs(bound)
    return select(abs(base) < inf, bound, -inf)


@kernel
def _plain_bounds(eight, unit, count):
    """Lower and upper bounds of z of ``unit`` from its forms alone.

    A centre that overflowed, in a partial sum maybe, bounds nothing, on either side.
    """
    center = load(eight.pre_center, unit)
    reach = (_radius(eight.pre_form[unit], count) + load(eight.pre_slack, unit)) * UPWARD
    lower, upper = center - reach, center + reach
    lower = lower - 2.0 * UNIT_ROUNDOFF * abs(lower) - TINY
    upper = upper + 2.0 * UNIT_ROUNDOFF * abs(upper) + TINY
    uncertain = (reach > 0.0) | (reach < 0.0)
    lower, upper = select(uncertain, lower, center), select(uncertain, upper, center)
    finite = (abs(center) < inf) & (reach >= 0.0)
    return select(finite, lower, -inf), select(finite, upper, inf)


@kernel
def _raise(row, unit, bound):
    """Put ``bound`` in place of smaller numbers; not a number is never taken."""
    store(row, unit, _larger(bound, load(row, unit)))


@kernel
def _reduce(row, unit, bound):
    """Put ``bound`` in place of larger numbers; not a number is never taken."""
    known = load(row, unit)
    store(row, unit, select(bound < known, bound, known))


@kernel
def _crosses(eight, unit):
    """Where a ReLU has both phases, as far as known."""
    return (load(eight.known_lower, unit) < 0.0) & (load(eight.known_upper, unit) > 0.0)


@kernel
def _tighten(net, eight, unit, count):
    """Intersect the known bounds of ``unit`` with its forms'; where it crosses, choose slopes."""
    lower, upper = _plain_bounds(eight, unit, count)
    _raise(eight.known_lower, unit, lower)
    _reduce(eight.known_upper, unit, upper)
    if net.relu[unit] and some(_crosses(eight, unit)):
        _raise(eight.known_lower, unit, _lower_bound(net, eight, unit, count, 1.0))
        if some(_crosses(eight, unit)):
            upper = 0.0 - _lower_bound(net, eight, unit, count, -1.0)
            _reduce(eight.known_upper, unit, upper)


@kernel
def _copy_linear(eight, unit, before, after):
    """h = z."""
    store(eight.center, unit, load(eight.pre_center, unit))
    store(eight.slack, unit, load(eight.pre_slack, unit))
    form, pre_form = eight.form[unit], eight.pre_form[unit]
    for e in range(before):
        store(form, e, load(pre_form, e))
    for e in range(before, after):
        store(form, e, 0.0)


@kernel
def _relax(eight, unit, before, after, generator):
    """h = s z + mu + mu eps, with a new ``generator``; s and mu are 0 or 1, and 0, where stable."""
    lower, upper = load(eight.known_lower, unit), load(eight.known_upper, unit)
    crossing = (lower < 0.0) & (upper > 0.0)
    dead = upper <= 0.0
    slope = select(crossing, upper / (upper - lower), 1.0)
    slope = select(slope > 1.0, 1.0, select(slope < 0.0, 0.0, slope))
    # relu(z) - s z lies in [0, 2 mu] on [l, u]: 0 at z = 0, -s l and (1 - s) u at the ends.
    middle = 0.5 * _larger((0.0 - slope) * lower, (1.0 - slope) * upper) * UPWARD + TINY
    middle = select(crossing, middle, 0.0)
    center = load(eight.pre_center, unit)
    reach = _radius(eight.pre_form[unit], before) + abs(center)
    slack = load(eight.pre_slack, unit)
    relaxed = (slope * slack + 4.0 * UNIT_ROUNDOFF * (slope * reach + middle)) * UPWARD + TINY
    store(eight.center, unit, select(dead, 0.0, slope * center + middle))
    store(eight.slack, unit, select(dead, 0.0, select(crossing, relaxed, slack)))
    form, pre_form = eight.form[unit], eight.pre_form[unit]
    for e in range(before):
        store(form, e, select(dead, 0.0, slope * load(pre_form, e)))
    for e in range(before, after):
        store(form, e, 0.0)
    store(form, generator, middle)
    eight.crossing[generator] = unit
    eight.before[generator] = before
    store(eight.slope, generator, slope)
    store(eight.intercept, generator, middle)
    store(eight.reach, generator, reach * UPWARD)


@kernel
def _activate(net, eight, layer):
    """Post-activation forms of ``layer``, whose pre-activations are done."""
    begin, end = net.start[layer], net.start[layer + 1]
    before = eight.generators[layer - 1]
    after = before
    for unit in range(begin, end):
        # What is stable on every box, but not in one phase, needs a generator as well.
        lower, upper = load(eight.known_lower, unit), load(eight.known_upper, unit)
        if net.relu[unit] and some(lower < 0.0) and some(upper > 0.0):
            after += 1
    alive = 0
    generator = before
    for unit in range(begin, end):
        if net.relu[unit] and not some(load(eight.known_upper, unit) > 0.0):
            continue
        if net.relu[unit] and some(load(eight.known_lower, unit) < 0.0):
            _relax(eight, unit, before, after, generator)
            generator += 1
        else:
            _copy_linear(eight, unit, before, after)
        magnitude = abs(load(eight.center, unit)) + _radius(eight.form[unit], after) + FLOOR
        store(eight.noise, unit, (load(eight.slack, unit) + net.gamma * magnitude) * UPWARD)
        eight.alive[begin + alive] = unit
        alive += 1
    eight.alive_count[layer] = alive
    eight.generators[layer] = after


@kernel
def propagate(net, eight, last):
    """Bounds of all layers up to, not including, ``last`` on the eight boxes.

    ``eight.known_lower`` and ``eight.known_upper`` hold what is known already, and are tightened
    in place; a known phase is imposed.
    """
    _begin(net, eight)
    for layer in range(1, last):
        many = 0
        for unit in range(net.start[layer], net.start[layer + 1]):
            if not net.relu[unit] or some(load(eight.known_upper, unit) > 0.0):
                eight.todo[many] = unit
                many += 1
        _affine(net, eight, layer, eight.todo[:many])
        for unit in eight.todo[:many]:
            _tighten(net, eight, unit, eight.generators[layer - 1])
        _activate(net, eight, layer)
    store(eight.promise, 0, 0.0)
    store(eight.likely, 0, -1.0)
    for e in range(eight.generators[last - 1]):
        store(eight.influence, e, 0.0)


@kernel
def bound_targets(net, eight, layer, sign):
    """Bound sign[i] * z from below for the units i of ``layer`` that are open; 0 is no target.

    Earlier layers are propagated. Where a unit stays open, its form adds to ``eight.influence``
    and its promise, how far below zero the form gets without its ReLU errors, competes for
    ``eight.promise``.
    """
    many = 0
    for i in range(sign.size):
        unit = net.start[layer] + i
        if sign[i] != 0 and some(is_open(eight, unit, sign[i])):
            eight.todo[many] = unit
            many += 1
    _affine(net, eight, layer, eight.todo[:many])
    for unit in eight.todo[:many]:
        i = unit - net.start[layer]
        _bound_target(net, eight, layer, i, sign[i])


@kernel
def _bound_target(net, eight, layer, i, sign):
    unit = net.start[layer] + i
    count = eight.generators[layer - 1]
    lower, upper = _plain_bounds(eight, unit, count)
    if sign > 0:
        _raise(eight.known_lower, unit, lower)
    else:
        _reduce(eight.known_upper, unit, upper)
    if not some(is_open(eight, unit, sign)):
        return
    bound = _lower_bound(net, eight, unit, count, float(sign))
    if sign > 0:
        _raise(eight.known_lower, unit, bound)
    else:
        _reduce(eight.known_upper, unit, 0.0 - bound)
    still = is_open(eight, unit, sign)
    if not some(still):
        return
    form = eight.pre_form[unit]
    share = select(still, 1.0 / (_radius(form, count) + TINY), 0.0)
    for e in range(count):
        store(eight.influence, e, load(eight.influence, e) + share * abs(load(form, e)))
    estimate = sign * load(eight.pre_center, unit)
    size = abs(estimate)
    for d in range(net.start[1]):
        part = abs(load(form, d))
        estimate, size = estimate - part, size + part
    promise = (0.0 - estimate) / (size + TINY)
    better = still & (promise > load(eight.promise, 0))
    store(eight.promise, 0, select(better, promise, load(eight.promise, 0)))
    store(eight.likely, 0, select(better, float(i), load(eight.likely, 0)))


@kernel
def is_open(eight, unit, sign):
    """Where sign * z >= 0 is not known of ``unit``."""
    if sign > 0:
        return load(eight.known_lower, unit) < 0.0
    return load(eight.known_upper, unit) > 0.0


@kernel
def score_cuts(net, eight, layer):
    """Fill ``eight.score``: each input's share in open targets' forms, directly and by ReLUs."""
    inputs = net.start[1]
    for d in range(inputs):
        store(eight.score, d, load(eight.influence, d))
    for g in range(inputs, eight.generators[layer - 1]):
        influence = load(eight.influence, g)
        if not some(influence > 0.0):
            continue
        z = eight.pre_form[eight.crossing[g]]
        total = splat(TINY)
        for d in range(inputs):
            total = total + abs(load(z, d))
        for d in range(inputs):
            share = influence * abs(load(z, d)) / total
            store(eight.score, d, load(eight.score, d) + share)
