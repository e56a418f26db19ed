"""Branch and bound for the winner of an edited network, eight boxes at once.

The network is an original and its edited copy side by side (:mod:`redy.network.beside`). Wherever
the original has a unique winner c, c must win in the edited network too. A box is closed

- where every edit agrees with the phase its neuron has all over the box: nothing changes there; or
- where one output c is the best of the original all over the box, so that no other may be the
  unique winner, and c wins in the edited network.

Far from the decision boundary it is the second, near it the first; whatever is neither is cut in
eight, depth first.
"""

from __future__ import annotations

from math import inf

import numpy as np

from redy.branching.compiled import kernel
from redy.branching.layer import cut, fill
from redy.branching.octet import bound_targets, propagate, score_cuts
from redy.branching.point import values_at_eight
from redy.branching.vector import LANES, load, select, some, splat, store
from redy.tolerances import DIFFERENT, TINY

OPEN, PROVED, REFUTED = 0, 1, 2
"""What became of the claim."""

DEEPEST = 16
"""Times that a box is cut in eight, at most: what is not closed then shall be given back."""

BLAME_FROM = 3
"""Parts of boxes cut so often that are still not closed blame the edits that disagree there."""


@kernel
def _agrees(eight, unit, active, part):
    """Whether ``unit`` has the phase that its edit assumes on one of the eight boxes."""
    at = unit * LANES + part
    return eight.known_lower[at] >= 0.0 if active else eight.known_upper[at] <= 0.0


@kernel
def _all_agree(eight, edits, given_back, part):
    removed, active = edits
    agree = True
    for r in range(removed.size):
        agree &= given_back[r] or _agrees(eight, removed[r], active[r], part)
    return agree


@kernel
def _at_middles(net, eight, sides, sign, inner, best, point):
    """Evaluate both networks at the middles of the boxes; which output is ``best`` there.

    Returns whether at one of them, copied to ``point``, the original has a clear winner that is
    not the edited network's. Middles are rounded to single precision numbers of the slice.
    """
    inputs, outputs = net.start[1], sides.shape[1]
    for part in range(LANES):
        for d in range(inputs):
            at = d * LANES + part
            middle = 0.5 * eight.lower[at] + 0.5 * eight.upper[at]
            eight.point[at] = min(max(np.float64(np.float32(middle)), inner[0][d]), inner[1][d])
    values_at_eight(net, eight.point, net.start.size - 3, eight.value, eight.post)
    for part in range(LANES):
        winner, size = 0, 0.0
        for c in range(outputs):
            here = eight.value[sides[0, c] * LANES + part]
            size = max(size, abs(here))
            if sign * here < sign * eight.value[sides[0, winner] * LANES + part]:
                winner = c
        best[part] = winner
        least = eight.value[sides[0, winner] * LANES + part]
        mine = eight.value[sides[1, winner] * LANES + part]
        clear, lost = True, False
        for j in range(outputs):
            if j == winner:
                continue
            clear &= sign * (eight.value[sides[0, j] * LANES + part] - least) > DIFFERENT * size
            lost |= sign * (eight.value[sides[1, j] * LANES + part] - mine) <= 0.0
        if clear and lost:
            for d in range(inputs):
                point[d] = eight.point[d * LANES + part]
            return True
    return False


@kernel
def _aim(pairs, first, sign, best, parts, closed, aim):
    """Fill ``aim``: the rows from ``first`` on by which each open part's best output wins.

    Returns whether a row is wanted with both signs, of which it has the first then.
    """
    aim[:] = 0
    both = False
    for part in range(parts):
        if closed[part]:
            continue
        for p in range(pairs.shape[0]):
            c, j = pairs[p, 0], pairs[p, 1]
            if best[part] not in (c, j):
                continue
            wanted = sign if best[part] == c else -sign
            if aim[first + p] == -wanted:
                both = True
            else:
                aim[first + p] = wanted
    return both


@kernel
def _bound_rows(net, eight, pairs, first, sign, best, parts, closed, aim):
    """Bound the differences by which each open part's best output wins in one of the networks."""
    last = net.start.size - 2
    both = _aim(pairs, first, sign, best, parts, closed, aim)
    bound_targets(net, eight, last, aim)
    if both:
        for i in range(aim.size):
            aim[i] = -aim[i]
        bound_targets(net, eight, last, aim)


@kernel
def _wins(net, eight, pairs, first, sign, best, part, strictly):
    """Whether ``best`` beats all other outputs on one box by the bounds of rows from ``first``."""
    begin = net.start[net.start.size - 2] + first
    for p in range(pairs.shape[0]):
        c, j = pairs[p, 0], pairs[p, 1]
        if best not in (c, j):
            continue
        at = (begin + p) * LANES + part
        wanted = sign if best == c else -sign
        least = eight.known_lower[at] if wanted > 0 else -eight.known_upper[at]
        if not (least > 0.0 if strictly else least >= 0.0):
            return False
    return True


@kernel
def _urge(eight, edits, parts, closed, layer_of, blame, given_back, quota, level):
    """Let edits that disagree on open parts pull the next cuts, and take blame for them.

    Edits with more blame than ``quota`` are given back.
    """
    removed, active = edits
    for part in range(LANES):
        eight.promise[part] = 0.0
    for part in range(parts):
        if closed[part]:
            continue
        for r in range(removed.size):
            if not given_back[r] and not _agrees(eight, removed[r], active[r], part):
                eight.promise[part] += 1.0
                if level >= BLAME_FROM:
                    blame[r] += 1.0 if level < DEEPEST else inf
    for r in range(removed.size):
        if blame[r] > quota:
            given_back[r] = True
        if given_back[r]:
            continue
        unit = removed[r]
        count = eight.generators[layer_of[r] - 1]
        wrong = load(eight.known_lower, unit) < 0.0
        if not active[r]:
            wrong = load(eight.known_upper, unit) > 0.0
        if not some(wrong):
            continue
        total = splat(TINY)
        form = eight.pre_form[unit]
        for e in range(count):
            total = total + abs(load(form, e))
        share = select(wrong, 1.0 / (total * (load(eight.promise, 0) + TINY)), 0.0)
        for e in range(count):
            store(eight.influence, e, load(eight.influence, e) + share * abs(load(form, e)))


@kernel(allocates=True)
def decide_winner(
    net, eight, sides, pairs, sign, edits, layer_of, box, inner, known, budget, quota, point, blame
):
    """Whether the edited network has the winner of the original on a slice.

    Args:
        net, eight: the packed pair of networks and memory for eight boxes.
        sides: (2, outputs) the units that are the outputs of the original and the edited network.
        pairs: (p, 2) the pairs of outputs that the last layer compares, first of the original.
        sign: +1 if the smallest output wins, -1 if the greatest.
        edits: the units removed, and whether each is taken for active.
        layer_of: (r,) the layers of these units.
        box: lower, upper (inputs,) of the slice.
        inner: the same rounded inward to single precision.
        known: lower, upper (total,) bounds known on the slice.
        budget: boxes to examine at most, about.
        quota: edits with more blame than that are given back on the way, after which nothing is
            proved any more; infinite to give none back.
        point: (inputs,) filled with a point where the winner differs, in floating point.
        blame: (r,) on how many parts that were not closed each edit disagreed.

    Returns:
        The state, the boxes examined, and which edits were given back.
    """
    inputs, total, last = net.start[1], net.start[-1], net.start.size - 2
    count = pairs.shape[0]
    room = LANES * (DEEPEST + 2)
    lower, upper = np.empty((room, inputs)), np.empty((room, inputs))
    known_lower, known_upper = np.empty((room, total)), np.empty((room, total))
    score, level = np.zeros((room, inputs)), np.zeros(room, dtype=np.int64)
    best, closed = np.zeros(LANES, dtype=np.int64), np.zeros(LANES, dtype=np.bool_)
    ahead = np.zeros(LANES, dtype=np.bool_)
    aim = np.zeros(2 * count, dtype=np.int8)
    given_back = np.zeros(blame.size, dtype=np.bool_)
    lower[0], upper[0] = box
    known_lower[0], known_upper[0] = known
    top, examined, root = 1, 0, True
    while top > 0:
        if examined >= budget:
            return OPEN, examined, given_back
        top -= 1
        depth = level[top] + 1
        fill(eight, lower[top], upper[top], known_lower[top], known_upper[top])
        parts = 1 if root else cut(eight, score[top])
        if parts == 1 and not root:
            return OPEN, examined, given_back
        root = False
        examined += parts
        if _at_middles(net, eight, sides, sign, inner, best, point):
            return REFUTED, examined, given_back
        propagate(net, eight, last)
        done = True
        for part in range(parts):
            closed[part] = _all_agree(eight, edits, given_back, part)
            done &= closed[part]
        if done:
            continue
        _bound_rows(net, eight, pairs, 0, sign, best, parts, closed, aim)
        some_ahead = False
        for part in range(parts):
            wins = not closed[part] and _wins(net, eight, pairs, 0, sign, best[part], part, False)
            ahead[part] = not wins
            some_ahead |= wins
        if some_ahead:
            _bound_rows(net, eight, pairs, count, sign, best, parts, ahead, aim)
        for part in range(parts):
            if not ahead[part]:
                closed[part] = _wins(net, eight, pairs, count, sign, best[part], part, True)
        _urge(eight, edits, parts, closed, layer_of, blame, given_back, quota, depth)
        score_cuts(net, eight, last)
        for part in range(parts):
            if closed[part] or (depth == DEEPEST and _all_agree(eight, edits, given_back, part)):
                continue
            if depth == DEEPEST:
                return OPEN, examined, given_back
            for d in range(inputs):
                at = d * LANES + part
                lower[top, d], upper[top, d] = eight.lower[at], eight.upper[at]
                score[top, d] = eight.score[at]
            for unit in range(total):
                at = unit * LANES + part
                known_lower[top, unit] = eight.known_lower[at]
                known_upper[top, unit] = eight.known_upper[at]
            level[top] = depth
            top += 1
    return OPEN if given_back.any() else PROVED, examined, given_back
