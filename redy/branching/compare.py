"""Branch and bound over input boxes for a claim on the difference of an edited network.

The slice is cut into boxes, depth first, until on every box every part of the claim is closed. A
part that is closed on a box is closed on what it is cut into. Three kinds of claim:

- ``WITHIN``: every output differs by at most eps; two parts an output.
- ``SAME``: every unit of the layer is structurally the same; one part a unit.
- ``WINNER``: wherever the original has a winner by more than eps (0: a unique one), the edited
  network has the same. One part for each ordered pair (c, j) of outputs: where c is such a winner
  of f, f'_c beats f'_j. It is closed on a box where c cannot win, where f'_c always beats f'_j, or
  where f'_j gains at most eps on f'_c, as it does when both are structurally the same.

Parts that were not asked for count as closed from the start.
"""

from __future__ import annotations

from math import inf, isfinite, isnan

import numpy as np

from redy.branching.box import affine, lower_bound_of_row, propagate, radius_of
from redy.branching.compiled import kernel
from redy.branching.difference import propagate_difference
from redy.branching.point import product, values_at
from redy.tolerances import DIFFERENT, TINY, UNIT_ROUNDOFF, UPWARD

WITHIN, SAME, WINNER = 0, 1, 2
"""Kinds of claim."""

OPEN, PROVED, REFUTED, GIVEN_UP = 0, 1, 2, 3
"""What became of a claim."""

DEEPEST = 160
"""Cuts one inside the other, at most."""

BLAME_FROM = 10
"""Boxes cut so often that still have to be cut blame the edits that disagree on them."""


@kernel
def _difference_row(ws, ds, layer, unit, sign):
    """Load sign * dz of ``unit`` into ws.row; returns base, slack and the own generators' part."""
    count, own, capacity = ws.generators[layer - 1], ds.own[layer - 1], ws.row.size
    if ds.same[unit]:
        for e in range(count):
            ws.row[e] = 0.0
        return 0.0, 0.0, 0.0
    for e in range(count):
        ws.row[e] = sign * ds.pre_form[unit, e]
    apart = radius_of(ds.pre_form[unit, capacity:], own)
    return sign * ds.pre_center[unit], ds.pre_slack[unit], apart


@kernel(inline=False)
def _pair_row(ws, ds, layer, pair, sign, parts):
    """Load sign * (f_c - f_j) of the ``pair`` (c, j) of units into ws.row.

    ``parts``: 1 for the original f, 2 for the difference f' - f, 3 for f'. Returns base, slack and
    the own generators' part.
    """
    c, j = pair
    count, own, capacity = ws.generators[layer - 1], ds.own[layer - 1], ws.row.size
    base, slack, size, apart = 0.0, 0.0, 0.0, 0.0
    for e in range(count):
        ws.row[e] = 0.0
    if parts & 1:
        for e in range(count):
            ws.row[e] = ws.pre_form[c, e] - ws.pre_form[j, e]
            size += abs(ws.pre_form[c, e]) + abs(ws.pre_form[j, e])
        base = ws.pre_center[c] - ws.pre_center[j]
        size += abs(ws.pre_center[c]) + abs(ws.pre_center[j])
        slack += ws.pre_slack[c] + ws.pre_slack[j]
    if parts & 2:
        for side in range(2):
            unit = c if side == 0 else j
            toward = 1.0 if side == 0 else -1.0
            if ds.same[unit]:
                continue
            for e in range(count):
                ws.row[e] += toward * ds.pre_form[unit, e]
                size += abs(ds.pre_form[unit, e])
            base += toward * ds.pre_center[unit]
            size += abs(ds.pre_center[unit])
            slack += ds.pre_slack[unit]
        for e in range(capacity, capacity + own):
            first = 0.0 if ds.same[c] else ds.pre_form[c, e]
            second = 0.0 if ds.same[j] else ds.pre_form[j, e]
            apart += abs(first - second)
            size += abs(first) + abs(second)
    for e in range(count):
        ws.row[e] *= sign
    # Each entry is rounded three times, and `size` and `apart` sum up to count + own of them.
    slack += (8.0 + 2.0 * (count + own)) * UNIT_ROUNDOFF * size
    return sign * base, slack * UPWARD + TINY, apart


@kernel(inline=False)
def _bound_row(net, ws, layer, loaded):
    """A lower bound of the form that was just loaded."""
    base, slack, apart = loaded
    bound = lower_bound_of_row(net, ws, ws.generators[layer - 1], base, slack, apart)
    return -inf if isnan(bound) else bound


@kernel
def _plain_row(ws, layer, loaded):
    """The same without the choice of slopes: cheaper, looser."""
    base, slack, apart = loaded
    reach = (radius_of(ws.row, ws.generators[layer - 1]) + slack + apart) * UPWARD
    bound = base - reach
    bound -= 2.0 * UNIT_ROUNDOFF * abs(bound) + TINY
    return bound if isfinite(bound) else -inf


@kernel(inline=False)
def _influence(net, ws, ds, layer, units, own_weight):
    """Add the row at hand, which keeps a part open, to ws.influence, by the inputs behind it."""
    inputs = net.start[1]
    count, own, capacity = ws.generators[layer - 1], ds.own[layer - 1], ws.row.size
    size = radius_of(ws.row, count) + TINY
    c, j = units
    for e in range(capacity, capacity + own):
        size += _own_entry(ds, c, j, e) * own_weight
    share = 1.0 / size
    for d in range(inputs):
        ws.influence[d] += share * abs(ws.row[d])
    for g in range(inputs, count):
        if ws.row[g] != 0.0:
            _credit(ws, ws.pre_form[ws.crossing[g]], inputs, share * abs(ws.row[g]))
    if own_weight > 0.0:
        for e in range(own):
            amount = _own_entry(ds, c, j, capacity + e)
            if amount > 0.0:
                _credit(ws, ws.pre_form[ds.unit_of[e]], inputs, share * amount)


@kernel
def _own_entry(ds, c, j, e):
    first = 0.0 if ds.same[c] else ds.pre_form[c, e]
    second = 0.0 if j < 0 or ds.same[j] else ds.pre_form[j, e]
    return abs(first - second)


@kernel
def _credit(ws, form, inputs, amount):
    """Share ``amount`` among the inputs as they make up ``form``."""
    total = 0.0
    for d in range(inputs):
        total += abs(form[d])
    if total > 0.0:
        for d in range(inputs):
            ws.influence[d] += amount * abs(form[d]) / total


@kernel(inline=False)
def _close_within(net, ws, ds, layer, eps, closed):
    """Close parts of a WITHIN claim; returns whether all are, and the largest bound of |dz|."""
    done, worst = True, 0.0
    for i in range(net.start[layer + 1] - net.start[layer]):
        unit = net.start[layer] + i
        for side in range(2):
            sign = -1.0 if side == 0 else 1.0
            if closed[2 * i + side]:
                continue
            bound = 0.0
            if not ds.same[unit]:
                bound = _plain_row(ws, layer, _difference_row(ws, ds, layer, unit, sign))
            if bound < -eps:
                bound = _bound_row(net, ws, layer, _difference_row(ws, ds, layer, unit, sign))
            if bound >= -eps:
                closed[2 * i + side] = True
                worst = max(worst, -bound)
            else:
                done = False
                _influence(net, ws, ds, layer, (unit, -1), 1.0)
    return done, worst


@kernel(inline=False)
def _close_same(net, ws, ds, layer, closed):
    """Close parts of a SAME claim."""
    done = True
    for i in range(net.start[layer + 1] - net.start[layer]):
        unit = net.start[layer] + i
        if closed[i] or ds.same[unit]:
            closed[i] = True
            continue
        done = False
        _difference_row(ws, ds, layer, unit, 1.0)
        _influence(net, ws, ds, layer, (unit, -1), 1.0)
    return done


@kernel
def _likely_winner(net, ws, layer, sign):
    best = net.start[layer]
    for unit in range(net.start[layer], net.start[layer + 1]):
        if sign * ws.pre_center[unit] < sign * ws.pre_center[best]:
            best = unit
    return best


@kernel(inline=False)
def _close_winner(net, ws, ds, layer, eps, sign, closed):
    """Close parts of a WINNER claim; the smallest of sign * f wins."""
    begin, end = net.start[layer], net.start[layer + 1]
    outputs = end - begin
    count = ws.generators[layer - 1]
    for unit in range(begin, end):
        affine(net, ws, layer, unit, count)
    best = _likely_winner(net, ws, layer, sign)
    done = True
    for c in range(begin, end):
        row = closed[(c - begin) * outputs : (c - begin + 1) * outputs]
        if row.all():
            continue
        if c != best:
            pair = (c, best)
            bound = _plain_row(ws, layer, _pair_row(ws, ds, layer, pair, sign, 1))
            if bound < -eps:
                loaded = _pair_row(ws, ds, layer, pair, sign, 1)
                bound = _bound_row(net, ws, layer, loaded)
            if bound >= -eps:
                row[:] = True
                continue
        still = False
        for j in range(begin, end):
            if not row[j - begin]:
                row[j - begin] = _pair_closed(net, ws, ds, layer, (c, j), eps, sign)
                still |= not row[j - begin]
        if still:
            done = False
            if c != best:
                _pair_row(ws, ds, layer, (c, best), sign, 1)
                _influence(net, ws, ds, layer, (c, best), 0.0)
    return done


@kernel(inline=False)
def _pair_closed(net, ws, ds, layer, pair, eps, sign):
    """Whether f'_c beats f'_j on the box, or wherever f_c beats f_j by more than eps.

    Else adds to the influence.
    """
    c, j = pair
    if c == j or (ds.same[c] and ds.same[j] and eps >= 0.0):
        return True
    backward = (j, c)
    if _plain_row(ws, layer, _pair_row(ws, ds, layer, backward, sign, 3)) > 0.0:
        return True
    if _bound_row(net, ws, layer, _pair_row(ws, ds, layer, backward, sign, 3)) > 0.0:
        return True
    _influence(net, ws, ds, layer, pair, 1.0)
    if _plain_row(ws, layer, _pair_row(ws, ds, layer, backward, sign, 2)) >= -eps:
        return True
    if _bound_row(net, ws, layer, _pair_row(ws, ds, layer, backward, sign, 2)) >= -eps:
        return True
    _influence(net, ws, ds, layer, pair, 1.0)
    return False


@kernel(inline=False)
def edited_values_at(net, ed, point, last, value, post):
    """As :func:`redy.branching.point.values_at`, of the edited network, correction included."""
    for d in range(point.size):
        post[d] = point[d]
    for layer in range(1, last + 1):
        for unit in range(net.start[layer], net.start[layer + 1]):
            total = net.bias[unit]
            for block in range(net.first_block[layer], net.first_block[layer + 1]):
                begin, end = net.start[net.source[block]], net.start[net.source[block] + 1]
                row = net.offset[block] + (unit - net.start[layer]) * (end - begin)
                # Rounded as in the original, so that what does not differ is the same.
                total += product(net.weights[row : row + end - begin], post[begin:end])
            value[unit] = total
            if ed.removed[unit]:
                post[unit] = ed.slope[unit] * total + ed.intercept[unit]
            else:
                post[unit] = total if total > 0.0 or not net.relu[unit] else 0.0 * total
    if last == net.start.size - 2:
        for i in range(ed.corrected.size):
            if ed.corrected[i]:
                total = ed.shift[i]
                for d in range(point.size):
                    total += ed.correction[i, d] * point[d]
                value[net.start[last] + i] += total


@kernel(inline=False)
def _contradicts(net, ed, claim, layer, point, scratch):
    """Whether a part asked for fails at ``point``, by evaluation in floating point: a guide."""
    kind, eps, sign, asked = claim
    value, post, edited, edited_post = scratch
    values_at(net, point, layer, value, post)
    edited_values_at(net, ed, point, layer, edited, edited_post)
    begin, end = net.start[layer], net.start[layer + 1]
    if kind == WINNER:
        return _winner_differs(value[begin:end], edited[begin:end], eps, sign, asked)
    for i in range(end - begin):
        unit = begin + i
        above = edited[unit] - value[unit]
        allowed = eps + DIFFERENT * (abs(value[unit]) + abs(edited[unit]))
        if kind == SAME:
            if asked[i] and abs(above) > allowed:
                return True
        elif (asked[2 * i] and above > allowed) or (asked[2 * i + 1] and -above > allowed):
            return True
    return False


@kernel
def _winner_differs(value, edited, eps, sign, asked):
    """Whether ``value`` has a winner by more than eps that does not win in ``edited``."""
    best = 0
    for i in range(value.size):
        if sign * value[i] < sign * value[best]:
            best = i
    for i in range(value.size):
        noise = DIFFERENT * (abs(value[i]) + abs(value[best]))
        if i != best and not sign * (value[i] - value[best]) > eps + noise:
            return False
    for i in range(value.size):
        part = asked[best * value.size + i]
        if i != best and part and sign * (edited[i] - edited[best]) <= 0.0:
            return True
    return False


@kernel(inline=False)
def _try_points(net, ds, ed, claim, layer, box, inner, scratch, point):
    """Look for a point of the box that contradicts the claim: its middle, and a corner.

    Points are rounded to single precision numbers of the slice, so that they can be replayed.
    """
    lower, upper = box
    for d in range(point.size):
        middle = np.float64(np.float32(0.5 * lower[d] + 0.5 * upper[d]))
        point[d] = min(max(middle, inner[0][d]), inner[1][d])
    if _contradicts(net, ed, claim, layer, point, scratch):
        return True
    widest, most = -1, 0.0
    for unit in range(net.start[layer], net.start[layer + 1]):
        if not ds.same[unit]:
            size = abs(ds.pre_center[unit]) + radius_of(ds.pre_form[unit], point.size)
            if size > most:
                widest, most = unit, size
    if widest < 0:
        return False
    up = 1.0 if ds.pre_center[widest] >= 0.0 else -1.0
    for d in range(point.size):
        corner = upper[d] if up * ds.pre_form[widest, d] > 0.0 else lower[d]
        point[d] = min(max(np.float64(np.float32(corner)), inner[0][d]), inner[1][d])
    return _contradicts(net, ed, claim, layer, point, scratch)


@kernel(inline=False)
def _close(net, ws, ds, ed, claim, layer, box, closed):
    """Examine one box; returns whether the claim is closed on it, and a bound of |dz|."""
    kind, eps, sign, _ = claim
    lower, upper, known_lower, known_upper = box
    propagate(net, ws, lower, upper, known_lower, known_upper, layer)
    if propagate_difference(net, ws, ds, ed, layer, known_lower, known_upper) and eps >= 0.0:
        return True, 0.0
    ws.influence[:] = 0.0
    if kind == WITHIN:
        return _close_within(net, ws, ds, layer, eps, closed)
    if kind == SAME:
        return _close_same(net, ws, ds, layer, closed), 0.0
    return _close_winner(net, ws, ds, layer, eps, sign, closed), inf


@kernel
def _widest_use(ws, lower, upper):
    """The input to cut, -1 if the box is too small to be cut."""
    best = -1
    for d in range(lower.size):
        middle = 0.5 * lower[d] + 0.5 * upper[d]
        if lower[d] < middle < upper[d] and (best < 0 or ws.influence[d] > ws.influence[best]):
            best = d
    return best


@kernel
def _agrees(ed, unit, lower, upper):
    """Whether the line of ``unit`` is its ReLU on [lower, upper]."""
    if ed.intercept[unit] != 0.0:
        return False
    active, inactive = ed.slope[unit] == 1.0, ed.slope[unit] == 0.0
    return (active and lower >= 0.0) or (inactive and upper <= 0.0)


@kernel
def _blame(net, ed, layer, known_lower, known_upper, blame):
    """Share one box's blame among the removed units whose line does not agree with the original."""
    count = 0
    for unit in range(net.start[layer]):
        if ed.removed[unit] and not _agrees(ed, unit, known_lower[unit], known_upper[unit]):
            count += 1
    for unit in range(net.start[layer]):
        if ed.removed[unit] and not _agrees(ed, unit, known_lower[unit], known_upper[unit]):
            blame[unit] += 1.0 / count


@kernel
def _give_back(net, ed, layer, known_lower, known_upper, blame, quota):
    """Keep a unit again whose edit does not agree on the box and has more blame than ``quota``."""
    worst = -1
    for unit in range(net.start[layer]):
        if not ed.removed[unit] or _agrees(ed, unit, known_lower[unit], known_upper[unit]):
            continue
        if blame[unit] > quota and (worst < 0 or blame[unit] > blame[worst]):
            worst = unit
    if worst >= 0:
        ed.removed[worst] = False
    return worst >= 0


@kernel(allocates=True)
def compare(net, ws, ds, ed, claim, layer, box, inner, budget, depth, quota, point, blame):
    """Decide a claim on the slice.

    With a finite ``quota`` it is a search for edits that can be proved: an edit that gets more
    blame than that is given back, in ``ed`` itself, and the rest of the slice is examined without
    it. Nothing is proved then, unless no edit was given back.

    Args:
        net, ws, ds, ed: the packed network, both workspaces and the edits.
        claim: kind, eps, the sign with which outputs are compared, +1 if the smallest wins, and
            (parts,) bool, the parts asked for. Of WITHIN, parts 2 i and 2 i + 1 are that unit i
            rises, and falls, by at most eps; of WINNER, part c * units + j is the pair (c, j).
        layer: the layer whose units are compared; the last is the output.
        box: lower, upper (inputs,) of the slice and bounds (total,) that are known on it.
        inner: the slice's ends rounded inward to single precision.
        budget: boxes to examine at most.
        depth: cuts one inside the other at most, up to DEEPEST; below that, boxes that stay open
            are passed over, and the claim is given up in the end.
        quota: the blame that an edit may get; infinite to decide the claim for the edits as given.
        point: (inputs,) filled with the point that refutes.
        blame: (total,) float64, per removed unit the boxes cut late on which its edit does not
            agree with the original, shared among all such edits of a box.

    Returns:
        The state, boxes examined, boxes passed over, and the largest bound of |dz| on a box.
    """
    inputs, total = box[0].size, box[2].size
    room = depth + 2
    lower, upper = np.empty((room, inputs)), np.empty((room, inputs))
    known_lower, known_upper = np.empty((room, total)), np.empty((room, total))
    closed = np.zeros((room, claim[3].size), dtype=np.bool_)
    closed[0] = ~claim[3]
    level = np.zeros(room, dtype=np.int64)
    scratch = (np.zeros(total), np.zeros(total), np.zeros(total), np.zeros(total))
    lower[0], upper[0], known_lower[0], known_upper[0] = box
    top, examined, passed, worst, given_back = 1, 0, 0, 0.0, 0
    while top > 0:
        if examined >= budget:
            return GIVEN_UP, examined, passed + top, worst
        here = top - 1
        mine = (lower[here], upper[here], known_lower[here], known_upper[here])
        done, bound = _close(net, ws, ds, ed, claim, layer, mine, closed[here])
        examined += 1
        worst = max(worst, bound)
        if done:
            top -= 1
            continue
        ends = (lower[here], upper[here])
        if _try_points(net, ds, ed, claim, layer, ends, inner, scratch, point):
            return REFUTED, examined, passed, worst
        cut = _widest_use(ws, lower[here], upper[here])
        if level[here] >= BLAME_FROM:
            _blame(net, ed, layer, known_lower[here], known_upper[here], blame)
            if _give_back(net, ed, layer, known_lower[here], known_upper[here], blame, quota):
                given_back += 1
                continue
        if cut < 0 or level[here] >= depth:
            passed += 1
            top -= 1
            continue
        middle = 0.5 * lower[here, cut] + 0.5 * upper[here, cut]
        for array in (lower, upper, known_lower, known_upper):
            array[top] = array[here]
        closed[top] = closed[here]
        level[here] += 1
        level[top] = level[here]
        upper[here, cut] = middle
        lower[top, cut] = middle
        top += 1
    state = PROVED if passed == 0 and given_back == 0 else GIVEN_UP
    return state, examined, passed, worst


@kernel(allocates=True)
def survey(net, ws, ds, ed, claim, layer, box, inner, choices, point, blame):
    """Estimate how many boxes :func:`compare` would examine, by random dives into its tree.

    Each dive follows random halves until the claim is closed; a dive that ends after k cuts stands
    for a tree of 2**(k + 1) - 1 boxes (Knuth, "Estimating the efficiency of backtrack programs",
    Mathematics of Computation 29, 1975: the mean is unbiased). Nothing is proved; a point that
    contradicts the claim is found all over the slice rather than in one corner of it.

    Args:
        choices: (dives, cuts at most) bool, which half each dive follows at each cut.
        blame: as for :func:`compare`, from every box that is still open, as often as such boxes
            are expected.
        The others are those of :func:`compare`.

    Returns:
        REFUTED or OPEN, the boxes examined, and the mean of the estimates.
    """
    inputs, total = box[0].size, box[2].size
    lower, upper = np.empty(inputs), np.empty(inputs)
    known_lower, known_upper = np.empty(total), np.empty(total)
    closed = ~claim[3]
    scratch = (np.zeros(total), np.zeros(total), np.zeros(total), np.zeros(total))
    one = np.zeros(blame.size)
    examined, estimate = 0, 0.0
    dives = choices.shape[0]
    for dive in range(dives):
        lower[:], upper[:], known_lower[:], known_upper[:] = box
        closed[:] = ~claim[3]
        boxes = 1.0
        for level in range(choices.shape[1]):
            mine = (lower, upper, known_lower, known_upper)
            done, _ = _close(net, ws, ds, ed, claim, layer, mine, closed)
            examined += 1
            estimate += boxes / dives
            if done:
                break
            if _try_points(net, ds, ed, claim, layer, (lower, upper), inner, scratch, point):
                return REFUTED, examined, estimate
            if level >= BLAME_FROM:
                one[:] = 0.0
                _blame(net, ed, layer, known_lower, known_upper, one)
                blame += one * boxes
            cut = _widest_use(ws, lower, upper)
            if cut < 0:
                break
            middle = 0.5 * lower[cut] + 0.5 * upper[cut]
            if choices[dive, level]:
                upper[cut] = middle
            else:
                lower[cut] = middle
            boxes *= 2.0
    return OPEN, examined, estimate
