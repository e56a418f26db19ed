"""Branch and bound over input boxes for the phases of one layer on one slice.

Boxes are examined level by level. A box is done when every target of the layer is decided on it;
else it is cut in two along the input that feeds the targets' remaining uncertainty most. A child
inherits its parent's bounds. A target proved on every box is proved on the slice; a corner of a
box that shows the target in its other phase refutes it. When the next level would exceed the
budget, the target that keeps most boxes open is given up first.
"""

from __future__ import annotations

from math import isfinite

import numpy as np

from redy.branching.box import propagate, target_bounds
from redy.branching.compiled import kernel
from redy.branching.point import errors_at, values_at

OPEN, PROVED, REFUTED, GIVEN_UP = 0, 1, 2, 3
"""What became of a target."""


@kernel
def _is_open(sign, known_lower, known_upper):
    return (sign > 0 and known_lower < 0.0) or (sign < 0 and known_upper > 0.0)


@kernel
def _best_cut(net, ws, layer, lower, upper):
    """The input to cut: by its share in the targets' forms, directly and through ReLUs."""
    inputs = net.start[1]
    score = ws.row
    for d in range(inputs):
        score[d] = ws.influence[d]
    for g in range(inputs, ws.generators[layer - 1]):
        if ws.influence[g] > 0.0:
            z = ws.pre_form[ws.crossing[g]]
            total = 0.0
            for d in range(inputs):
                total += abs(z[d])
            if total > 0.0:
                for d in range(inputs):
                    score[d] += ws.influence[g] * abs(z[d]) / total
    best = -1
    for d in range(inputs):
        middle = 0.5 * lower[d] + 0.5 * upper[d]
        if lower[d] < middle < upper[d] and (best < 0 or score[d] > score[best]):
            best = d
    return best


@kernel
def _promise(ws, unit, sign, inputs):
    """How far below zero the form of ``unit``, its ReLU errors left out, gets: its share, or 0."""
    estimate = sign * ws.pre_center[unit]
    size = abs(estimate)
    for d in range(inputs):
        estimate -= abs(ws.pre_form[unit, d])
        size += abs(ws.pre_form[unit, d])
    return -estimate / size if estimate < 0.0 and size > 0.0 else 0.0


@kernel
def _refute(net, ws, layer, box, sign, state, inner, found, count, scratch):
    """Try the corner where the most promising open target should show its other phase.

    The corner is rounded to single precision and kept in the slice's part of such numbers, so that
    it can be replayed in single precision. Returns the new count of ``found``.
    """
    lower, upper, known_lower, known_upper = box
    begin = net.start[layer]
    point, value, post, error = scratch
    best, most = -1, 0.0
    for i in range(sign.size):
        unit = begin + i
        if state[i] == OPEN and _is_open(sign[i], known_lower[unit], known_upper[unit]):
            promise = _promise(ws, unit, sign[i], lower.size)
            if promise > most:
                best, most = i, promise
    if best < 0:
        return count
    for d in range(lower.size):
        downhill = sign[best] * ws.pre_form[begin + best, d]
        corner = np.float64(np.float32(lower[d] if downhill > 0.0 else upper[d]))
        point[d] = min(max(corner, inner[0][d]), inner[1][d])
    values_at(net, point, layer, value, post)
    hit = False
    for i in range(sign.size):
        hit |= state[i] == OPEN and sign[i] * value[begin + i] < 0.0
    if not hit:
        return count
    errors_at(net, layer, post, error)
    hit = False
    for i in range(sign.size):
        unit = begin + i
        certain = isfinite(value[unit]) and sign[i] * value[unit] < -error[unit]
        if state[i] == OPEN and certain:
            state[i] = REFUTED
            hit = True
    if hit and count < found.shape[0]:
        for d in range(point.size):
            found[count, d] = point[d]
        count += 1
    return count


@kernel
def _closed(state, sign, begin, known_lower, known_upper):
    """Whether no open target is undecided on a box with these bounds."""
    for i in range(sign.size):
        if state[i] == OPEN and _is_open(sign[i], known_lower[begin + i], known_upper[begin + i]):
            return False
    return True


@kernel
def _give_up(net, layer, state, sign, level, room):
    """Give targets up until the next level fits in ``room``; returns the boxes still to be cut.

    The target that keeps most boxes open goes first.
    """
    begin = net.start[layer]
    known_lower, known_upper = level[2], level[3]
    boxes = known_lower.shape[0]
    while True:
        still = 0
        for q in range(boxes):
            if not _closed(state, sign, begin, known_lower[q], known_upper[q]):
                still += 1
        if 2 * still <= room:
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
def _examine(net, ws, layer, box, sign, state):
    """Propagate to ``layer`` on one box and bound its open targets there."""
    lower, upper, known_lower, known_upper = box
    propagate(net, ws, lower, upper, known_lower, known_upper, layer)
    for e in range(ws.influence.size):
        ws.influence[e] = 0.0
    for i in range(sign.size):
        unit = net.start[layer] + i
        if state[i] == OPEN and _is_open(sign[i], known_lower[unit], known_upper[unit]):
            target_bounds(net, ws, layer, unit, sign[i], known_lower, known_upper)


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
def _next_level(net, layer, state, sign, level, cut, still):
    """The halves of the ``still`` boxes that some open target keeps undecided."""
    box_lower, box_upper, known_lower, known_upper = level
    inputs, units = box_lower.shape[1], known_lower.shape[1]
    following = (
        np.empty((2 * still, inputs)),
        np.empty((2 * still, inputs)),
        np.empty((2 * still, units)),
        np.empty((2 * still, units)),
    )
    half = 0
    for q in range(box_lower.shape[0]):
        if _closed(state, sign, net.start[layer], known_lower[q], known_upper[q]):
            continue
        d = cut[q]
        middle = 0.5 * box_lower[q, d] + 0.5 * box_upper[q, d]
        for side in range(2):
            following[0][half] = box_lower[q]
            following[1][half] = box_upper[q]
            following[2][half] = known_lower[q]
            following[3][half] = known_upper[q]
            following[1 - side][half, d] = middle
            half += 1
    return following


@kernel(allocates=True)
def decide_layer(
    net, ws, layer, lower, upper, inner, known_lower, known_upper, sign, budget, found
):
    """Decide sign[i] * z >= 0 for the targets of ``layer`` on the slice [lower, upper].

    Args:
        net, ws: the packed network and a workspace.
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
    scratch = (np.zeros(inputs), np.zeros(total), np.zeros(total), np.zeros(total))
    state = np.where(sign == 0, GIVEN_UP, OPEN).astype(np.int8)
    at_root = np.zeros(sign.size, dtype=np.bool_)
    # Boxes of one level: lower and upper ends, lower and upper bounds of the units up to `layer`.
    level = (
        lower.copy().reshape(1, inputs),
        upper.copy().reshape(1, inputs),
        known_lower[:end].copy().reshape(1, end),
        known_upper[:end].copy().reshape(1, end),
    )
    examined, points, root = 0, 0, True
    while level[0].shape[0] > 0:
        cut = np.full(level[0].shape[0], -1, dtype=np.int64)
        open_boxes = np.zeros(sign.size, dtype=np.int64)
        for q in range(cut.size):
            box = (level[0][q], level[1][q], level[2][q], level[3][q])
            if _closed(state, sign, begin, box[2], box[3]):
                continue
            _examine(net, ws, layer, box, sign, state)
            examined += 1
            if not _closed(state, sign, begin, box[2], box[3]):
                points = _refute(net, ws, layer, box, sign, state, inner, found, points, scratch)
            if _closed(state, sign, begin, box[2], box[3]):
                continue
            cut[q] = _best_cut(net, ws, layer, box[0], box[1])
            for i in range(sign.size):
                if _is_open(sign[i], box[2][begin + i], box[3][begin + i]):
                    open_boxes[i] += 1
                    if state[i] == OPEN and cut[q] < 0:
                        state[i] = GIVEN_UP  # the box is too small to be cut
        if root:
            known_lower[:end] = np.maximum(known_lower[:end], level[2][0])
            known_upper[:end] = np.minimum(known_upper[:end], level[3][0])
        _conclude(net, layer, state, sign, open_boxes, known_lower, known_upper, at_root, root)
        still = _give_up(net, layer, state, sign, level, budget - examined)
        level = _next_level(net, layer, state, sign, level, cut, still)
        root = False
    return state, at_root, examined, points
