"""How far an edited network is from the original on one box: the difference's own affine forms.

With h' the activations after edits, the differences dz = z' - z and dh = h' - h are affine forms
over the generators of the original's zonotope (:mod:`redy.branching.box`) and over generators of
their own, so that what both networks share cancels instead of being bounded twice (ReluDiff,
Paulsen et al., ICSE 2020; VeryDiff, Teuber et al. 2024). On the box, with z in [l, u]:

- a neuron replaced by a z' + b has dh = a dz + (a z + b - relu(z)), and relu(z) = p z + q + q eps
  with the very generator that the original's relaxation uses: (p, q) is (1, 0) or (0, 0) where the
  phase is known, else its chord;
- a neuron that stays has dh = relu(z') - relu(z), either as the difference of both relaxations, or
  as dz / 2 + n eps with n = max |dz| / 2, since dh lies between 0 and dz; the smaller error wins.

A difference that is zero because nothing on its way differs is *structurally* zero: it has no form,
no slack and no rounding, which is what lets an exact claim be proved in floating point.

Floating point is accounted for as in :mod:`redy.branching.box`.
"""

from __future__ import annotations

from math import inf, isfinite
from typing import NamedTuple

import numpy as np

from redy.branching.box import Workspace, affine, radius_of
from redy.branching.compiled import kernel
from redy.branching.packed import Packed
from redy.tolerances import FLOOR, TINY, UNIT_ROUNDOFF, UPWARD


class Edited(NamedTuple):
    """Edits of one slice for compiled code, units numbered as in :class:`Packed`.

    Attributes:
        removed: (total,) bool, relu(z) is replaced by slope * z + intercept.
        slope, intercept: (total,), the line of each removed unit.
        corrected: (outputs,) bool, the output has a correction.
        correction: (outputs, inputs), added to the outputs times the input.
        shift: (outputs,), added to the outputs.
    """

    removed: np.ndarray
    slope: np.ndarray
    intercept: np.ndarray
    corrected: np.ndarray
    correction: np.ndarray
    shift: np.ndarray


class Difference(NamedTuple):
    """Scratch memory for the differences on one box after the other.

    Attributes:
        center, slack, form: dh of each unit: (total,), (total,) and (total, capacity + own); the
            first ``capacity`` columns are the original's generators, the others the difference's.
        pre_center, pre_slack, pre_form: the same of dz.
        noise: (total,) slack plus rounding allowance, as consumers multiply it by |weight|.
        same: (total,) bool, dz is structurally zero.
        alive, alive_count: as in :class:`Workspace`, the units whose dh is not structurally zero.
        own: (layers,) own generators in use once layer k is done.
        unit_of: (own,) the unit behind each of them.
        generator: (total,) the original's generator of each unit, -1 if it has none on this box.
        terms: (total, 6) alpha, beta, kappa, q, nu and the magnitude of kappa's parts, of
            dh = alpha z + beta dz + kappa - q eps + nu eps'.
    """

    center: np.ndarray
    slack: np.ndarray
    form: np.ndarray
    pre_center: np.ndarray
    pre_slack: np.ndarray
    pre_form: np.ndarray
    noise: np.ndarray
    same: np.ndarray
    alive: np.ndarray
    alive_count: np.ndarray
    own: np.ndarray
    unit_of: np.ndarray
    generator: np.ndarray
    terms: np.ndarray


def difference_workspace(net: Packed, ws: Workspace) -> Difference:
    """Scratch memory for differences of ``net``, whose own workspace is ``ws``."""
    layers, total = net.start.size - 1, int(net.start[-1])
    neurons = int(net.relu.sum())
    width = ws.row.size + neurons
    return Difference(
        center=np.zeros(total),
        slack=np.zeros(total),
        form=np.zeros((total, width)),
        pre_center=np.zeros(total),
        pre_slack=np.zeros(total),
        pre_form=np.zeros((total, width)),
        noise=np.zeros(total),
        same=np.zeros(total, dtype=np.bool_),
        alive=np.zeros(total, dtype=np.int64),
        alive_count=np.zeros(layers, dtype=np.int64),
        own=np.zeros(layers, dtype=np.int64),
        unit_of=np.zeros(neurons, dtype=np.int64),
        generator=np.zeros(total, dtype=np.int64),
        terms=np.zeros((total, 6)),
    )


@kernel(inline=False)
def affine_difference(net, ws, ds, layer, unit):
    """dz of ``unit``; structurally zero if it reads no difference."""
    count, own = ws.generators[layer - 1], ds.own[layer - 1]
    capacity = ws.row.size
    width_before = unit - net.start[layer]
    target = ds.pre_form[unit]
    center, slack = 0.0, 0.0
    same = True
    for block in range(net.first_block[layer], net.first_block[layer + 1]):
        j = net.source[block]
        begin = net.start[j]
        width = net.start[j + 1] - begin
        weights = net.weights[net.offset[block] + width_before * width :]
        have, have_own = ws.generators[j], ds.own[j]
        for a in range(ds.alive_count[j]):
            p = ds.alive[begin + a]
            w = weights[p - begin]
            if w == 0.0:
                continue
            if same:
                same = False
                for e in range(count):
                    target[e] = 0.0
                for e in range(capacity, capacity + own):
                    target[e] = 0.0
            center += w * ds.center[p]
            slack += abs(w) * ds.noise[p]
            form = ds.form[p]
            for e in range(have):
                target[e] += w * form[e]
            for e in range(capacity, capacity + have_own):
                target[e] += w * form[e]
    ds.same[unit] = same
    ds.pre_center[unit] = center
    ds.pre_slack[unit] = 0.0 if same else (slack + FLOOR * net.gamma) * (1.0 + net.gamma) * UPWARD


@kernel
def _own_radius(row, capacity, own):
    """What the difference's own generators add to a radius, rounded upward."""
    return radius_of(row[capacity:], own)


@kernel
def difference_radius(ws, ds, layer, unit):
    """The radius of dz of ``unit``, slack included, rounded upward."""
    row = ds.pre_form[unit]
    shared = radius_of(row, ws.generators[layer - 1])
    own = _own_radius(row, ws.row.size, ds.own[layer - 1])
    return (shared + own + ds.pre_slack[unit]) * UPWARD


@kernel
def _edited_bounds(ws, ds, layer, unit, lower, upper, reach):
    """Bounds of z' = z + dz: of the sum of both forms, and of the sum of both ranges.

    z in [lower, upper], |dz - its centre| <= reach, and the form of z is there.
    """
    count = ws.generators[layer - 1]
    z, dz = ws.pre_form[unit], ds.pre_form[unit]
    total, size = 0.0, 0.0
    for e in range(count):
        total += abs(z[e] + dz[e])
        size += abs(z[e]) + abs(dz[e])
    center = ws.pre_center[unit] + ds.pre_center[unit]
    size += abs(ws.pre_center[unit]) + abs(ds.pre_center[unit]) + reach
    around = total + _own_radius(dz, ws.row.size, ds.own[layer - 1])
    around += ws.pre_slack[unit] + ds.pre_slack[unit]
    size += ws.pre_slack[unit]
    around += 4.0 * (count + 8) * UNIT_ROUNDOFF * size + TINY
    margin = 8.0 * UNIT_ROUNDOFF * (size + abs(lower) + abs(upper)) + TINY
    low = max(center - around, lower + (ds.pre_center[unit] - reach)) - margin
    high = min(center + around, upper + (ds.pre_center[unit] + reach)) + margin
    if isfinite(low) and isfinite(high) and isfinite(center):
        return low, high
    return -inf, inf


@kernel
def _chord(lower, upper):
    """(p, q) with p z + q - q <= relu(z) <= p z + q + q on [lower, upper]."""
    if lower >= 0.0:
        return 1.0, 0.0
    if upper <= 0.0:
        return 0.0, 0.0
    if not (isfinite(lower) and isfinite(upper)):
        return 0.0, inf
    slope = min(max(upper / (upper - lower), 0.0), 1.0)
    return slope, 0.5 * max(-slope * lower, (1.0 - slope) * upper) * UPWARD + TINY


@kernel
def _known_chord(ws, ds, unit, lower, upper):
    """(p, q) of the original's own relaxation of ``unit`` on this box."""
    if lower >= 0.0:
        return 1.0, 0.0
    if upper <= 0.0:
        return 0.0, 0.0
    g = ds.generator[unit]
    return ws.slope[g], ws.intercept[g]


@kernel
def _require_form(net, ws, layer, unit, upper):
    """Make the form of z of ``unit``, which the original leaves out where it is inactive."""
    if net.relu[unit] and upper <= 0.0:
        affine(net, ws, layer, unit, ws.generators[layer - 1])


@kernel
def _terms_of_removed(net, ws, ds, ed, layer, unit, lower, upper):
    """The terms of dh = a dz + (a z + b - relu(z)); False if it is structurally zero."""
    p, q = _known_chord(ws, ds, unit, lower, upper)
    a, b = ed.slope[unit], ed.intercept[unit]
    terms = ds.terms[unit]
    terms[0] = a - p
    terms[1] = 0.0 if ds.same[unit] else a
    terms[2] = b - q
    terms[3] = q
    terms[4] = 0.0
    terms[5] = abs(b) + q
    if terms[0] != 0.0:
        _require_form(net, ws, layer, unit, upper)
    return terms[0] != 0.0 or terms[1] != 0.0 or b != 0.0 or q != 0.0


@kernel
def _terms_of_kept(net, ws, ds, layer, unit, lower, upper):
    """The terms of dh = relu(z + dz) - relu(z); False if it is structurally zero."""
    if ds.same[unit]:
        return False
    reach = difference_radius(ws, ds, layer, unit)
    if not isfinite(reach):
        reach = inf
    center = ds.pre_center[unit]
    # Where both are inactive for sure, no form is needed.
    highest = center + reach + 4.0 * UNIT_ROUNDOFF * (abs(center) + reach)
    if upper <= 0.0 and upper + highest <= 0.0:
        return False
    _require_form(net, ws, layer, unit, upper)
    low, high = _edited_bounds(ws, ds, layer, unit, lower, upper, reach)
    p, q = _known_chord(ws, ds, unit, lower, upper)
    edited_p, edited_q = _chord(low, high)
    half = 0.5 * (abs(center) + reach) * UPWARD + TINY
    terms = ds.terms[unit]
    if q + edited_q <= half:
        terms[0] = edited_p - p
        terms[1] = edited_p
        terms[2] = edited_q - q
        terms[3] = q
        terms[4] = edited_q
        terms[5] = edited_q + q
        return terms[0] != 0.0 or terms[1] != 0.0 or q + edited_q != 0.0
    terms[0] = 0.0
    terms[1] = 0.5
    terms[2] = 0.0
    terms[3] = 0.0
    terms[4] = half
    terms[5] = 0.0
    return True


@kernel
def _fill(net, ws, ds, layer, unit, own, own_after):
    """The form of dh of ``unit`` from its terms; its own new generator, if any, is ``own``."""
    before, after = ws.generators[layer - 1], ws.generators[layer]
    own_before = ds.own[layer - 1]
    capacity = ws.row.size
    terms = ds.terms[unit]
    alpha, beta, kappa, q, nu = terms[0], terms[1], terms[2], terms[3], terms[4]
    form = ds.form[unit]
    for e in range(after):
        form[e] = 0.0
    for e in range(capacity, capacity + own_after):
        form[e] = 0.0
    center, slack, size = kappa, 0.0, terms[5] + q + nu
    if alpha != 0.0:
        z = ws.pre_form[unit]
        for e in range(before):
            form[e] = alpha * z[e]
        center += alpha * ws.pre_center[unit]
        slack += abs(alpha) * ws.pre_slack[unit]
        size += abs(alpha) * (radius_of(z, before) + abs(ws.pre_center[unit]))
    if beta != 0.0:
        dz = ds.pre_form[unit]
        for e in range(before):
            form[e] += beta * dz[e]
        for e in range(capacity, capacity + own_before):
            form[e] = beta * dz[e]
        center += beta * ds.pre_center[unit]
        slack += abs(beta) * ds.pre_slack[unit]
        size += abs(beta) * (difference_radius(ws, ds, layer, unit) + abs(ds.pre_center[unit]))
    if q != 0.0:
        form[ds.generator[unit]] = -q
    if nu != 0.0:
        form[capacity + own] = nu
    ds.center[unit] = center
    ds.slack[unit] = (slack + 8.0 * UNIT_ROUNDOFF * size) * UPWARD + TINY
    magnitude = radius_of(form, after) + _own_radius(form, capacity, own_after)
    ds.noise[unit] = (ds.slack[unit] + net.gamma * (magnitude + abs(center) + FLOOR)) * UPWARD


@kernel(inline=False)
def _activate_difference(net, ws, ds, ed, layer, known_lower, known_upper):
    """dh of the units of ``layer``, whose dz are done."""
    begin, end = net.start[layer], net.start[layer + 1]
    own_before = ds.own[layer - 1]
    alive, own_after = 0, own_before
    for unit in range(begin, end):
        lower, upper = known_lower[unit], known_upper[unit]
        if not net.relu[unit]:
            differs = not ds.same[unit]
            ds.terms[unit, :] = 0.0
            ds.terms[unit, 1] = 1.0
        elif ed.removed[unit]:
            differs = _terms_of_removed(net, ws, ds, ed, layer, unit, lower, upper)
        else:
            differs = _terms_of_kept(net, ws, ds, layer, unit, lower, upper)
        if differs:
            ds.alive[begin + alive] = unit
            alive += 1
            if ds.terms[unit, 4] != 0.0:
                ds.unit_of[own_after] = unit
                own_after += 1
    own = own_before
    for a in range(alive):
        unit = ds.alive[begin + a]
        _fill(net, ws, ds, layer, unit, own, own_after)
        if ds.terms[unit, 4] != 0.0:
            own += 1
    ds.alive_count[layer] = alive
    ds.own[layer] = own_after


@kernel
def _number_generators(net, ws, ds, last):
    for unit in range(net.start[last]):
        ds.generator[unit] = -1
    for g in range(ws.generators[0], ws.generators[last - 1]):
        ds.generator[ws.crossing[g]] = g


@kernel
def _correct(net, ws, ds, ed, last):
    """Add the correction to dz of the outputs, layer ``last``."""
    inputs = net.start[1]
    count, own = ws.generators[last - 1], ds.own[last - 1]
    capacity = ws.row.size
    for i in range(ed.corrected.size):
        if not ed.corrected[i]:
            continue
        unit = net.start[last] + i
        row = ds.pre_form[unit]
        if ds.same[unit]:
            for e in range(count):
                row[e] = 0.0
            for e in range(capacity, capacity + own):
                row[e] = 0.0
            ds.same[unit] = False
        size = radius_of(row, count) + abs(ds.pre_center[unit]) + abs(ed.shift[i])
        center = ds.pre_center[unit] + ed.shift[i]
        for d in range(inputs):
            c = ed.correction[i, d]
            center += c * ws.center[d]
            row[d] += c * ws.form[d, d]
            size += abs(c) * (abs(ws.center[d]) + ws.form[d, d])
        ds.pre_center[unit] = center
        rounding = 4.0 * (inputs + 4) * UNIT_ROUNDOFF * size
        ds.pre_slack[unit] = (ds.pre_slack[unit] + rounding) * UPWARD + TINY


@kernel(inline=False)
def propagate_difference(net, ws, ds, ed, last, known_lower, known_upper):
    """dz of the units of layer ``last``, the original being propagated up to there.

    The correction is added where ``last`` is the output layer. Returns whether all of them are
    structurally zero.
    """
    _number_generators(net, ws, ds, last)
    ds.alive_count[0] = 0
    ds.own[0] = 0
    differs = False
    for layer in range(1, last):
        for unit in range(net.start[layer], net.start[layer + 1]):
            if differs:
                affine_difference(net, ws, ds, layer, unit)
            else:
                ds.same[unit] = True
        _activate_difference(net, ws, ds, ed, layer, known_lower, known_upper)
        differs |= ds.alive_count[layer] > 0
    for unit in range(net.start[last], net.start[last + 1]):
        affine_difference(net, ws, ds, last, unit)
    if last == net.start.size - 2:
        _correct(net, ws, ds, ed, last)
    return ds.same[net.start[last] : net.start[last + 1]].all()
