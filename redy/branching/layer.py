"""Branch and bound over input boxes for the phases of one layer on one slice.

Boxes are examined level by level. A box on which a target of the layer stays undecided is cut in
eight parts, by three cuts of the inputs that feed the targets' remaining uncertainty most; the
parts are examined together (:mod:`redy.branching.octet`), with the bounds of the whole. A target
proved on every box is proved on the slice; a corner of a box that shows the target in its other
phase refutes it. When the next level would exceed the budget, the target that keeps most boxes
open is given up first.
"""

from __future__ import annotations

from math import isfinite

import numpy as np

from redy.branching.compiled import kernel
from redy.branching.octet import bound_targets, propagate, score_cuts
from redy.branching.point import errors_at, values_at_eight
from redy.branching.vector import LANES, load, some, store

OPEN, PROVED, REFUTED, GIVEN_UP = 0, 1, 2, 3
"""What became of a target."""

_CUTS = 3
"""Cuts that make eight parts."""


@kernel
def _is_open(sign, known_lower, known_upper):
    return (sign > 0 and known_lower < 0.0) or (sign < 0 and known_upper > 0.0)


@kernel
def _closed(state, sign, begin, known_lower, known_upper):
    """Whether no open target is undecided on a box with these bounds."""
    for i in range(sign.size):
        if state[i] == OPEN and _is_open(sign[i], known_lower[begin + i], known_upper[begin + i]):
            return False
    return True


@kernel
def _closed_part(state, sign, begin, eight, part):
    """The same of one of the eight boxes under examination."""
    for i in range(sign.size):
        at = (begin + i) * LANES + part
        if state[i] == OPEN and _is_open(sign[i], eight.known_lower[at], eight.known_upper[at]):
            return False
    return True


@kernel
def fill(eight, lower, upper, known_lower, known_upper):
    """Make all eight boxes the box [lower, upper], with its known bounds."""
    for d in range(lower.size):
        store(eight.lower, d, lower[d])
        store(eight.upper, d, upper[d])
    for unit in range(known_lower.size):
        store(eight.known_lower, unit, known_lower[unit])
        store(eight.known_upper, unit, known_upper[unit])


@kernel
def _can_cut(eight, d):
    """Whether input d of each of the eight boxes has a middle that is neither of its ends."""
    lower, upper = load(eight.lower, d), load(eight.upper, d)
    middle = 0.5 * lower + 0.5 * upper
    return not some(middle <= lower) and not some(middle >= upper)


@kernel
def cut(eight, score):
    """Cut the box that all eight are into as many as eight; returns the number of parts.

    ``score`` (inputs,) is halved with every cut of an input.
    """
    parts = 1
    for _ in range(_CUTS):
        best = -1
        for d in range(score.size):
            if (best < 0 or score[d] > score[best]) and _can_cut(eight, d):
                best = d
        if best < 0:
            return parts
        score[best] *= 0.5
        for part in range(LANES):
            at = best * LANES + part
            middle = 0.5 * eight.lower[at] + 0.5 * eight.upper[at]
            if part & parts:
                eight.lower[at] = middle
            else:
                eight.upper[at] = middle
        parts *= 2
    return parts


@kernel
def _examine(net, eight, layer, sign, state, aim):
    """Propagate to ``layer`` on the eight boxes and bound its open targets there."""
    for i in range(sign.size):
        aim[i] = sign[i] if state[i] == OPEN else 0
    propagate(net, eight, layer)
    bound_targets(net, eight, layer, aim)


@kernel
def _refute(net, eight, layer, parts, sign, state, inner, found, count, scratch):
    """Try, per box, the corner where its most promising open target should show its other phase.

    The corner is rounded to single precision and kept in the slice's part of such numbers, so that
    it can be replayed in single precision. Returns the new count of ``found``.
    """
    begin, inputs = net.start[layer], net.start[1]
    if not some(load(eight.likely, 0) >= 0.0):
        return count
    for part in range(LANES):
        likely = int(eight.likely[part])
        for d in range(inputs):
            at = d * LANES + part
            corner = eight.lower[at]
            if likely >= 0 and sign[likely] * eight.pre_form[begin + likely, at] < 0.0:
                corner = eight.upper[at]
            corner = np.float64(np.float32(corner))
            eight.point[at] = min(max(corner, inner[0][d]), inner[1][d])
    values_at_eight(net, eight.point, layer, eight.value, eight.post)
    post, error = scratch
    for part in range(parts):
        if eight.likely[part] < 0.0:
            continue
        hit = False
        for i in range(sign.size):
            value = eight.value[(begin + i) * LANES + part]
            hit |= state[i] == OPEN and sign[i] * value < 0.0
        if not hit:
            continue
        for unit in range(begin):
            post[unit] = eight.post[unit * LANES + part]
        errors_at(net, layer, post, error)
        hit = False
        for i in range(sign.size):
            value = eight.value[(begin + i) * LANES + part]
            certain = isfinite(value) and sign[i] * value < -error[begin + i]
            if state[i] == OPEN and certain:
                state[i] = REFUTED
                hit = True
        if hit and count < found.shape[0]:
            for d in range(inputs):
                found[count, d] = eight.point[d * LANES + part]
            count += 1
    return count


@kernel
def _give_up(net, layer, state, sign, level, boxes, room):
    """Give targets up until the next level fits in ``room``; returns the boxes still to be cut.

    The target that keeps most boxes open goes first.
    """
    begin = net.start[layer]
    known_lower, known_upper = level[2], level[3]
    while True:
        still = 0
        for q in range(boxes):
            if not _closed(state, sign, begin, known_lower[q], known_upper[q]):
                still += 1
        if LANES * still <= room:
            return still
        worst, most = -1, 0
        for i in range(sign.size):
            if state[i] != OPEN:
                continue
            count = 0
            for q in range(boxes):
                if _is_open(sign[i], known_lower[q, begin + i], known_upper[q, begin + i]):
                    count += 1
            if count > most:
                worst, most = i, count
        state[worst] = GIVEN_UP


@kernel
def _give_up_on(state, sign, begin, known_lower, known_upper):
    """Give up what stays undecided on a box that is too small to be cut."""
    for i in range(sign.size):
        if state[i] == OPEN and _is_open(sign[i], known_lower[begin + i], known_upper[begin + i]):
            state[i] = GIVEN_UP


@kernel
def _conclude(net, layer, state, sign, open_boxes, known_lower, known_upper, at_root, root):
    """A target that no box of the level keeps open is proved on the slice, and known from now."""
    for i in range(sign.size):
        if state[i] == OPEN and open_boxes[i] == 0:
            unit = net.start[layer] + i
            state[i] = PROVED
            at_root[i] = root
            if sign[i] > 0:
                known_lower[unit] = max(known_lower[unit], 0.0)
            else:
                known_upper[unit] = min(known_upper[unit], 0.0)


@kernel(allocates=True)
def _room_for(level, boxes):
    """``level`` with memory for eight boxes more than ``boxes``, at least."""
    if boxes + LANES <= level[0].shape[0]:
        return level
    count, inputs, units = 2 * boxes + LANES, level[0].shape[1], level[2].shape[1]
    larger = (
        np.empty((count, inputs)),
        np.empty((count, inputs)),
        np.empty((count, units)),
        np.empty((count, units)),
        np.empty((count, inputs)),
    )
    for q in range(boxes):
        larger[0][q] = level[0][q]
        larger[1][q] = level[1][q]
        larger[2][q] = level[2][q]
        larger[3][q] = level[3][q]
        larger[4][q] = level[4][q]
    return larger


@kernel
def _keep_open(eight, begin, parts, state, sign, level, boxes, open_boxes):
    """Add those of the parts that keep a target open to ``level``; returns its number of boxes."""
    lower, upper, known_lower, known_upper, score = level
    for part in range(parts):
        if _closed_part(state, sign, begin, eight, part):
            continue
        for d in range(lower.shape[1]):
            lower[boxes, d] = eight.lower[d * LANES + part]
            upper[boxes, d] = eight.upper[d * LANES + part]
            score[boxes, d] = eight.score[d * LANES + part]
        for unit in range(known_lower.shape[1]):
            known_lower[boxes, unit] = eight.known_lower[unit * LANES + part]
            known_upper[boxes, unit] = eight.known_upper[unit * LANES + part]
        for i in range(sign.size):
            if _is_open(sign[i], known_lower[boxes, begin + i], known_upper[boxes, begin + i]):
                open_boxes[i] += 1
        boxes += 1
    return boxes


@kernel(allocates=True)
def decide_layer(
    net, eight, layer, lower, upper, inner, known_lower, known_upper, sign, budget, found
):
    """Decide sign[i] * z >= 0 for the targets of ``layer`` on the slice [lower, upper].

    Args:
        net, eight: the packed network and memory for eight boxes.
        layer: the layer, from 1.
        lower, upper: (inputs,) the slice.
        inner: two (inputs,) arrays, the slice's ends rounded inward to single precision.
        known_lower, known_upper: (total,) bounds on the slice; tightened in place.
        sign: (units,) the phase to prove: +1 active, -1 inactive, 0 not a target.
        budget: boxes to examine at most; at least one is.
        found: (m, inputs) filled with the points that refute.

    Returns:
        (units,) state of each target, whether the first box decided it, the boxes examined and
        the number of points found.
    """
    begin, end, total = net.start[layer], net.start[layer + 1], net.start[-1]
    inputs = lower.size
    scratch = (np.zeros(total), np.zeros(total))
    state = np.where(sign == 0, GIVEN_UP, OPEN).astype(np.int8)
    aim = sign.copy()
    at_root = np.zeros(sign.size, dtype=np.bool_)
    # Boxes of one level: lower and upper ends, lower and upper bounds of the units up to `layer`,
    # and what cutting each input promises.
    level = (
        lower.copy().reshape(1, inputs),
        upper.copy().reshape(1, inputs),
        known_lower[:end].copy().reshape(1, end),
        known_upper[:end].copy().reshape(1, end),
        np.zeros((1, inputs)),
    )
    boxes, examined, points, root = 1, 0, 0, True
    while boxes > 0:
        following = (
            np.empty((LANES, inputs)),
            np.empty((LANES, inputs)),
            np.empty((LANES, end)),
            np.empty((LANES, end)),
            np.empty((LANES, inputs)),
        )
        open_boxes = np.zeros(sign.size, dtype=np.int64)
        kept = 0
        for q in range(boxes):
            if _closed(state, sign, begin, level[2][q], level[3][q]):
                continue
            fill(eight, level[0][q], level[1][q], level[2][q], level[3][q])
            parts = 1
            if not root:
                parts = cut(eight, level[4][q])
                if parts == 1:
                    _give_up_on(state, sign, begin, level[2][q], level[3][q])
                    continue
            _examine(net, eight, layer, sign, state, aim)
            examined += parts
            if root:
                for unit in range(end):
                    known_lower[unit] = eight.known_lower[unit * LANES]
                    known_upper[unit] = eight.known_upper[unit * LANES]
            points = _refute(net, eight, layer, parts, sign, state, inner, found, points, scratch)
            score_cuts(net, eight, layer)
            following = _room_for(following, kept)
            kept = _keep_open(eight, begin, parts, state, sign, following, kept, open_boxes)
        _conclude(net, layer, state, sign, open_boxes, known_lower, known_upper, at_root, root)
        boxes = 0
        if kept > 0 and _give_up(net, layer, state, sign, following, kept, budget - examined) > 0:
            boxes = kept
        level = following
        root = False
    return state, at_root, examined, points
