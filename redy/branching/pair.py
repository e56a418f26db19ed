"""Branch and bound over input boxes for what two networks, side by side in one, have in common.

The pair of :mod:`redy.network.pair` is bounded as any network is (:mod:`redy.branching.box`), save
that a crossing neuron of the second network may follow its partner in the first instead of being
relaxed by itself: with dz = z - z_partner, h - h_partner lies between 0 and dz (ReLU is monotone
and no steeper than 1), so

    h = h_partner + dz / 2 + nu eps    for some eps in [-1, 1],    nu >= max |dz| / 2.

What both neurons have in common, the partner's own relaxation error included, then cancels in the
outputs' differences (ReluDiff, Paulsen et al., ICSE 2020; VeryDiff, Teuber et al. 2024). The form
with the smaller error is taken. Floating point is accounted for as in :mod:`redy.branching.box`.
"""

from __future__ import annotations

from math import inf, isfinite, isnan
from typing import NamedTuple

import numpy as np

from redy.branching.box import (
    _activate,
    _begin,
    _copy_linear,
    _lower_bound,
    _relax,
    _tighten,
    affine,
    lower_bound_of_row,
    plain_bounds,
    radius_of,
)
from redy.branching.compiled import kernel
from redy.branching.point import values_at
from redy.tolerances import DIFFERENT, FLOOR, TINY, UNIT_ROUNDOFF, UPWARD

WITHIN, WINNER = 0, 1
"""Kinds of claim: every difference is at most eps; the first's unique winner wins in the second."""

CLOSED, OPEN, REFUTED = 0, 1, 2
"""What became of a box: proved as far as it could be cut, not done, contradicted by a point."""

DEEPEST = 160
"""Cuts one inside the other at most, in one call."""


class Sides(NamedTuple):
    """Which units of a pair belong together; units are numbered as in ``Packed``.

    Attributes:
        partner: (total,) the unit each may follow, -1 for none.
        layer: (total,) the layer of every unit.
        first, second: (outputs,) the units that hold the outputs of both networks.
    """

    partner: np.ndarray
    layer: np.ndarray
    first: np.ndarray
    second: np.ndarray


@kernel(inline=False)
def _apart(ws, sides, unit):
    """Load dz = z - z_partner into ws.row; returns centre, slack and how far dz is from it."""
    other = sides.partner[unit]
    count = ws.generators[sides.layer[unit] - 1]
    common = ws.generators[sides.layer[other] - 1]
    size = abs(ws.pre_center[unit]) + abs(ws.pre_center[other])
    for e in range(common):
        ws.row[e] = ws.pre_form[unit, e] - ws.pre_form[other, e]
        size += abs(ws.pre_form[unit, e]) + abs(ws.pre_form[other, e])
    for e in range(common, count):
        ws.row[e] = ws.pre_form[unit, e]
    center = ws.pre_center[unit] - ws.pre_center[other]
    slack = ws.pre_slack[unit] + ws.pre_slack[other]
    slack = (slack + (8.0 + 2.0 * count) * UNIT_ROUNDOFF * size) * UPWARD + TINY
    reach = (radius_of(ws.row, count) + slack) * UPWARD
    return center, slack, reach


@kernel
def _has_partner(sides, unit, known_upper):
    """Whether ``unit`` has a partner with a form: what is inactive has none."""
    return sides.partner[unit] >= 0 and known_upper[sides.partner[unit]] > 0.0


@kernel(inline=False)
def _tighten_beside(ws, sides, unit, count, known_lower, known_upper):
    """Intersect the known bounds of ``unit`` with its form's, and its partner's moved by dz."""
    lower, upper = plain_bounds(ws, unit, count)
    center, _, reach = _apart(ws, sides, unit)
    if isfinite(center) and isfinite(reach):
        other = sides.partner[unit]
        low, high = known_lower[other], known_upper[other]
        size = abs(center) + reach
        below = low + (center - reach) - 4.0 * UNIT_ROUNDOFF * (abs(low) + size) - TINY
        above = high + (center + reach) + 4.0 * UNIT_ROUNDOFF * (abs(high) + size) + TINY
        if below > lower:
            lower = below
        if above < upper:
            upper = above
    if lower > known_lower[unit]:
        known_lower[unit] = lower
    if upper < known_upper[unit]:
        known_upper[unit] = upper


@kernel
def _error(lower, upper):
    """The most that the relaxation of a ReLU on [lower, upper] is off its middle line."""
    if lower >= 0.0 or upper <= 0.0:
        return 0.0
    return -0.5 * lower * (upper / (upper - lower))


@kernel(inline=False)
def _follow(ws, sides, unit, before, after, generator, known_lower, known_upper):
    """h of ``unit`` from its partner's, if that is the smaller error; returns whether it is."""
    other = sides.partner[unit]
    center, slack, reach = _apart(ws, sides, unit)
    half = 0.5 * (abs(center) + reach) * UPWARD + TINY
    alone = _error(known_lower[unit], known_upper[unit])
    if not half < alone + _error(known_lower[other], known_upper[other]):
        return False
    common = ws.generators[sides.layer[other]]
    size = abs(ws.center[other]) + radius_of(ws.form[other], common) + 2.0 * half
    for e in range(before):
        ws.form[unit, e] = 0.5 * ws.row[e]
    for e in range(common):
        ws.form[unit, e] += ws.form[other, e]
    for e in range(before, after):
        ws.form[unit, e] = 0.0
    ws.form[unit, generator] = half
    ws.center[unit] = ws.center[other] + 0.5 * center
    ws.slack[unit] = (ws.slack[other] + slack + 8.0 * UNIT_ROUNDOFF * size) * UPWARD + TINY
    ws.crossing[generator] = unit
    ws.slope[generator] = 0.0
    ws.intercept[generator] = half
    ws.before[generator] = -1
    ws.reach[generator] = 0.0
    return True


@kernel(inline=False)
def _activate_beside(net, ws, sides, layer, known_lower, known_upper):
    """As :func:`redy.branching.box._activate`, for a layer of which some units have partners."""
    begin, end = net.start[layer], net.start[layer + 1]
    before = ws.generators[layer - 1]
    after = before
    for unit in range(begin, end):
        if net.relu[unit] and known_lower[unit] < 0.0 and known_upper[unit] > 0.0:
            after += 1
    alive, generator = 0, before
    for unit in range(begin, end):
        lower, upper = known_lower[unit], known_upper[unit]
        if net.relu[unit] and upper <= 0.0:
            continue
        if net.relu[unit] and lower < 0.0:
            follows = _has_partner(sides, unit, known_upper) and _follow(
                ws, sides, unit, before, after, generator, known_lower, known_upper
            )
            if not follows:
                _relax(ws, unit, before, after, generator, lower, upper)
            generator += 1
        else:
            _copy_linear(ws, unit, before, after)
        magnitude = abs(ws.center[unit]) + radius_of(ws.form[unit], after) + FLOOR
        ws.noise[unit] = (ws.slack[unit] + net.gamma * magnitude) * UPWARD
        ws.alive[begin + alive] = unit
        alive += 1
    ws.alive_count[layer] = alive
    ws.generators[layer] = after


@kernel(inline=False)
def propagate_pair(net, ws, sides, lower, upper, known_lower, known_upper, last):
    """As :func:`redy.branching.box.propagate`, neurons following partners where that helps."""
    _begin(net, ws, lower, upper)
    for layer in range(1, last):
        count = ws.generators[layer - 1]
        beside = False
        for unit in range(net.start[layer], net.start[layer + 1]):
            beside |= sides.partner[unit] >= 0
            if net.relu[unit] and known_upper[unit] <= 0.0:
                continue
            affine(net, ws, layer, unit, count)
            if _has_partner(sides, unit, known_upper):
                _tighten_beside(ws, sides, unit, count, known_lower, known_upper)
            else:
                _tighten(net, ws, unit, count, known_lower, known_upper)
        if beside:
            _activate_beside(net, ws, sides, layer, known_lower, known_upper)
        else:
            _activate(net, ws, layer, known_lower, known_upper)


@kernel(inline=False)
def _influence(net, ws, row, count):
    """Add ``row``, which keeps a claim open, to ws.influence, by the inputs behind it."""
    inputs = net.start[1]
    share = 1.0 / (radius_of(row, count) + TINY)
    for d in range(inputs):
        ws.influence[d] += share * abs(row[d])
    for g in range(inputs, count):
        if row[g] == 0.0:
            continue
        form = ws.pre_form[ws.crossing[g]]
        total = radius_of(form, inputs)
        if total > 0.0:
            for d in range(inputs):
                ws.influence[d] += share * abs(row[g]) * abs(form[d]) / total


@kernel
def _larger(lower, upper):
    """A bound of |z| for z in [lower, upper]; not-a-number bounds nothing, and must not be lost."""
    return max(-lower, upper) if lower <= upper else inf


@kernel(inline=False)
def _close_within(net, ws, last, eps, downhill):
    """Whether all differences, layer ``last``, are within eps; and a bound of them.

    ``downhill`` is filled with the form that is farthest from being so.
    """
    count = ws.generators[last - 1]
    worst = 0.0
    for unit in range(net.start[last], net.start[last + 1]):
        affine(net, ws, last, unit, count)
        lower, upper = plain_bounds(ws, unit, count)
        bound = _larger(lower, upper)
        if not bound <= eps:
            lower = max(lower, _lower_bound(net, ws, unit, count, 1.0))
            upper = min(upper, -_lower_bound(net, ws, unit, count, -1.0))
            bound = _larger(lower, upper)
        if not bound <= eps:
            _influence(net, ws, ws.pre_form[unit], count)
            if bound > worst:
                toward = 1.0 if ws.pre_center[unit] < 0.0 else -1.0
                for d in range(downhill.size):
                    downhill[d] = toward * ws.pre_form[unit, d]
        if bound > worst:
            worst = bound
    return worst <= eps, worst


@kernel(inline=False)
def _combined(ws, count, plus, minus, sign):
    """Load sign * (sum of the units ``plus`` - sum of ``minus``) into ws.row: base and slack."""
    base, slack, size = 0.0, 0.0, 0.0
    for e in range(count):
        ws.row[e] = 0.0
    for side in range(2):
        for unit in plus if side == 0 else minus:
            toward = sign if side == 0 else -sign
            for e in range(count):
                ws.row[e] += toward * ws.pre_form[unit, e]
                size += abs(ws.pre_form[unit, e])
            base += toward * ws.pre_center[unit]
            size += abs(ws.pre_center[unit])
            slack += ws.pre_slack[unit]
    return base, (slack + (16.0 + 8.0 * count) * UNIT_ROUNDOFF * size) * UPWARD + TINY


@kernel(inline=False)
def _bound(net, ws, count, plus, minus, sign, goal):
    """A lower bound of sign * (sum of ``plus`` - sum of ``minus``); a coarse one if >= goal."""
    base, slack = _combined(ws, count, plus, minus, sign)
    bound = base - (radius_of(ws.row, count) + slack) * UPWARD
    bound -= 2.0 * UNIT_ROUNDOFF * abs(bound) + TINY
    if not bound >= goal:
        bound = lower_bound_of_row(net, ws, count, base, slack, 0.0)
    return -inf if isnan(bound) else bound


@kernel(inline=False)
def _pair_closed(net, ws, sides, count, pair, sign):
    """Whether, where c beats j in the first network, it does so in the second."""
    c, j = pair
    first_c, first_j = sides.first[c], sides.first[j]
    second_c, second_j = sides.second[c], sides.second[j]
    if first_c == second_c and first_j == second_j:
        return True
    if _bound(net, ws, count, (second_j,), (second_c,), sign, TINY) > 0.0:
        return True
    gain = _bound(net, ws, count, (second_j, first_c), (second_c, first_j), sign, 0.0)
    return gain >= 0.0


@kernel(inline=False)
def _close_winner(net, ws, sides, last, sign, closed, downhill):
    """Close pairs (c, j) of outputs; the smallest of sign * f wins. Whether all are closed."""
    outputs = sides.first.size
    count = ws.generators[last - 1]
    best = 0
    for c in range(outputs):
        if sign * ws.pre_center[sides.first[c]] < sign * ws.pre_center[sides.first[best]]:
            best = c
    done = True
    for c in range(outputs):
        row = closed[c * outputs : (c + 1) * outputs]
        row[c] = True
        if row.all():
            continue
        pair = (sides.first[c],), (sides.first[best],)
        if c != best and _bound(net, ws, count, pair[0], pair[1], sign, 0.0) >= 0.0:
            row[:] = True
            continue
        for j in range(outputs):
            if not row[j]:
                row[j] = _pair_closed(net, ws, sides, count, (c, j), sign)
                if not row[j]:
                    done = False
                    _combined(ws, count, (sides.second[j],), (sides.second[c],), sign)
                    _influence(net, ws, ws.row, count)
                    if c == best:
                        for d in range(downhill.size):
                            downhill[d] = ws.row[d]
        if c != best and not row.all():
            _combined(ws, count, pair[0], pair[1], sign)
            _influence(net, ws, ws.row, count)
    return done


@kernel(inline=False)
def _violates(net, sides, claim, point, scratch):
    """Whether the claim fails at ``point``, by evaluation in floating point: a guide."""
    kind, eps, sign = claim
    value, post = scratch
    values_at(net, point, net.start.size - 3, value, post)
    first, second = sides.first, sides.second
    if kind == WITHIN:
        for i in range(first.size):
            a, b = value[first[i]], value[second[i]]
            if abs(b - a) > eps + DIFFERENT * (abs(a) + abs(b)):
                return True
        return False
    best = 0
    for i in range(first.size):
        if sign * value[first[i]] < sign * value[first[best]]:
            best = i
    lost = False
    for i in range(first.size):
        a, winner = value[first[i]], value[first[best]]
        if i != best and not sign * (a - winner) > DIFFERENT * (abs(a) + abs(winner)):
            return False
        lost |= i != best and sign * (value[second[i]] - value[second[best]]) <= 0.0
    return lost


@kernel(inline=False)
def _try_points(net, sides, claim, box, inner, downhill, scratch, point):
    """Look for a point of the box that contradicts the claim: its middle, the corner downhill.

    Points are rounded to single precision numbers of the part, so that they can be replayed.
    """
    lower, upper = box
    for corner in range(2):
        for d in range(point.size):
            x = 0.5 * lower[d] + 0.5 * upper[d]
            if corner == 1:
                x = lower[d] if downhill[d] > 0.0 else upper[d]
            point[d] = min(max(np.float64(np.float32(x)), inner[0][d]), inner[1][d])
        if _violates(net, sides, claim, point, scratch):
            return True
    return False


@kernel
def _best_cut(ws, lower, upper):
    """The input to cut, -1 if the box is too small to be cut."""
    best = -1
    for d in range(lower.size):
        middle = 0.5 * lower[d] + 0.5 * upper[d]
        if not lower[d] < middle < upper[d]:
            continue
        if best < 0 or ws.influence[d] > ws.influence[best]:
            best = d
    return best


@kernel(allocates=True)
def explore(net, ws, sides, claim, box, inner, budget, attack, point):
    """Examine up to ``budget`` boxes of a part of the domain, depth first.

    Args:
        net, ws, sides: the packed pair, a workspace and what belongs together.
        claim: kind, eps and +1 if the smallest output wins, else -1.
        box: lower, upper (inputs,) of the part.
        inner: the part's ends rounded inward to single precision.
        budget: boxes to examine, at least one.
        attack: whether points of the boxes are tried.
        point: (inputs,) filled with the point that contradicts the claim.

    Returns:
        The state, boxes examined; the shares of the part's volume that are proved and that are
        too small to be cut; the largest bound of a difference on those (infinite for a winner);
        and the boxes left: lower, upper (m, inputs), cuts (m,), and the bound known on each.
    """
    inputs, total, last = net.start[1], net.start[-1], net.start.size - 2
    kind, eps, sign = claim
    room = min(DEEPEST, budget) + 2
    lower, upper = np.empty((room, inputs)), np.empty((room, inputs))
    known_lower, known_upper = np.empty((room, total)), np.empty((room, total))
    pairs = sides.first.size**2 if kind == WINNER else 0
    closed = np.zeros((room, pairs), dtype=np.bool_)
    level, bounds = np.zeros(room, dtype=np.int64), np.full(room, inf)
    scratch = (np.zeros(total), np.zeros(total))
    downhill = np.zeros(inputs)
    lower[0], upper[0] = box
    known_lower[0], known_upper[0] = -inf, inf
    top, examined, proved, stuck, worst, state = 1, 0, 0.0, 0.0, 0.0, OPEN
    while top > 0 and examined < budget:
        here = top - 1
        low, high = lower[here], upper[here]
        ends = known_lower[here], known_upper[here]
        examined += 1
        ws.influence[:] = 0.0
        propagate_pair(net, ws, sides, low, high, ends[0], ends[1], last)
        if kind == WITHIN:
            done, bound = _close_within(net, ws, last, eps, downhill)
            bounds[here] = min(bounds[here], bound)
        else:
            done = _close_winner(net, ws, sides, last, sign, closed[here], downhill)
        share = 2.0 ** -level[here]
        if done:
            proved += share
            worst = max(worst, bounds[here])
            top -= 1
            continue
        if attack and _try_points(net, sides, claim, (low, high), inner, downhill, scratch, point):
            state = REFUTED
            break
        cut = _best_cut(ws, low, high)
        if cut < 0:
            stuck += share
            worst = max(worst, bounds[here])
            top -= 1
            continue
        if level[here] >= DEEPEST:
            break
        middle = 0.5 * low[cut] + 0.5 * high[cut]
        for array in (lower, upper, known_lower, known_upper):
            array[top] = array[here]
        closed[top] = closed[here]
        bounds[top] = bounds[here]
        level[here] += 1
        level[top] = level[here]
        upper[here, cut] = middle
        lower[top, cut] = middle
        top += 1
    if top == 0:
        state = CLOSED
    left = (lower[:top].copy(), upper[:top].copy(), level[:top].copy(), bounds[:top].copy())
    return state, examined, proved, stuck, worst, left
