"""Branch and bound over input boxes for the phases of one layer on one slice.

Boxes are examined level by level. A box is done when every target of the layer is decided on it;
else it is cut in two along the input that feeds the targets' remaining uncertainty most. A child
inherits its parent's bounds. A target proved on every box is proved on the slice; a corner of a
box that shows the target in its other phase refutes it. When the next level would exceed the
budget, the target that keeps most boxes open is given up first.
"""

from __future__ import annotations

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
        middle = 0.5 * (lower[d] + upper[d])
        if lower[d] < middle < upper[d] and (best < 0 or score[d] > score[best]):
            best = d
    return best


@kernel
def _corner(ws, unit, sign, lower, upper, inner_lower, inner_upper, point):
    """The corner of the box that the form of ``unit`` points to against ``sign``.

    It is rounded to single precision and kept in the slice's part of such numbers, so that it can
    be replayed in single precision. Returns whether the form, its ReLU errors left out, expects a
    refutation there.
    """
    estimate = sign * ws.pre_center[unit]
    for d in range(lower.size):
        coefficient = sign * ws.pre_form[unit, d]
        estimate -= abs(coefficient)
        corner = lower[d] if coefficient > 0.0 else upper[d]
        point[d] = min(max(np.float64(np.float32(corner)), inner_lower[d]), inner_upper[d])
    return estimate < 0.0


@kernel
def _refute(net, ws, layer, box, sign, state, inner, found, count, scratch):
    """Try the corners that the open targets' forms point to; returns the new count of ``found``."""
    lower, upper, known_lower, known_upper = box
    begin = net.start[layer]
    point, value, post, error = scratch
    for i in range(sign.size):
        unit = begin + i
        if state[i] != OPEN or not _is_open(sign[i], known_lower[unit], known_upper[unit]):
            continue
        if not _corner(ws, unit, sign[i], lower, upper, inner[0], inner[1], point):
            continue
        values_at(net, point, layer, value, post)
        if not sign[i] * value[unit] < 0.0:
            continue
        errors_at(net, layer, post, error)
        hit = False
        for t in range(sign.size):
            if state[t] == OPEN and sign[t] * value[begin + t] < -error[begin + t]:
                state[t] = REFUTED
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
def _give_up(net, layer, state, sign, level_lower, level_upper, room):
    """Give targets up, the one with most open boxes first, until the next level fits in ``room``."""
    begin = net.start[layer]
    boxes = level_lower.shape[0]
    while True:
        still = 0
        for q in range(boxes):
            if not _closed(state, sign, begin, level_lower[q], level_upper[q]):
                still += 1
        if 2 * still <= room:
            return still
        worst, most = -1, 0
        for i in range(sign.size):
            if state[i] != OPEN:
                continue
            count = 0
            for q in range(boxes):
                if _is_open(sign[i], level_lower[q, begin + i], level_upper[q, begin + i]):
                    count += 1
            if count > most:
                worst, most = i, count
        state[worst] = GIVEN_UP


@kernel(allocates=True)
def decide_layer(net, ws, layer, lower, upper, inner, known_lower, known_upper, sign, budget, found):
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
    begin, end = net.start[layer], net.start[layer + 1]
    units = sign.size
    inputs = lower.size
    state = np.full(units, OPEN, dtype=np.int8)
    at_root = np.zeros(units, dtype=np.bool_)
    total = net.start[-1]
    scratch = (np.zeros(inputs), np.zeros(total), np.zeros(total), np.zeros(total))
    for i in range(units):
        if sign[i] == 0:
            state[i] = GIVEN_UP
    box_lower, box_upper = lower.copy().reshape(1, inputs), upper.copy().reshape(1, inputs)
    level_lower = known_lower[:end].copy().reshape(1, end)
    level_upper = known_upper[:end].copy().reshape(1, end)
    examined = 0
    count = 0
    boxes = 1
    root = True
    while boxes > 0:
        cut = np.full(boxes, -1, dtype=np.int64)
        open_boxes = np.zeros(units, dtype=np.int64)
        for q in range(boxes):
            if _closed(state, sign, begin, level_lower[q], level_upper[q]):
                continue
            propagate(net, ws, box_lower[q], box_upper[q], level_lower[q], level_upper[q], layer)
            examined += 1
            ws.influence[:] = 0.0
            for i in range(units):
                unit = begin + i
                if state[i] == OPEN and _is_open(
                    sign[i], level_lower[q, unit], level_upper[q, unit]
                ):
                    target_bounds(
                        net, ws, layer, unit, sign[i], level_lower[q], level_upper[q]
                    )
            if _closed(state, sign, begin, level_lower[q], level_upper[q]):
                continue
            box = (box_lower[q], box_upper[q], level_lower[q], level_upper[q])
            count = _refute(net, ws, layer, box, sign, state, inner, found, count, scratch)
            if _closed(state, sign, begin, level_lower[q], level_upper[q]):
                continue
            cut[q] = _best_cut(net, ws, layer, box_lower[q], box_upper[q])
            for i in range(units):
                if _is_open(sign[i], level_lower[q, begin + i], level_upper[q, begin + i]):
                    open_boxes[i] += 1
                    if state[i] == OPEN and cut[q] < 0:
                        state[i] = GIVEN_UP  # a box too small to be cut
        if root:
            known_lower[:end] = np.maximum(known_lower[:end], level_lower[0])
            known_upper[:end] = np.minimum(known_upper[:end], level_upper[0])
        for i in range(units):
            if state[i] == OPEN and open_boxes[i] == 0:
                state[i] = PROVED
                at_root[i] = root
                if sign[i] > 0:
                    known_lower[begin + i] = max(known_lower[begin + i], 0.0)
                else:
                    known_upper[begin + i] = min(known_upper[begin + i], 0.0)
        still = _give_up(net, layer, state, sign, level_lower, level_upper, budget - examined)
        next_box_lower = np.empty((2 * still, inputs))
        next_box_upper = np.empty((2 * still, inputs))
        next_level_lower = np.empty((2 * still, end))
        next_level_upper = np.empty((2 * still, end))
        boxes_next = 0
        for q in range(boxes):
            if _closed(state, sign, begin, level_lower[q], level_upper[q]):
                continue
            d = cut[q]
            middle = 0.5 * (box_lower[q, d] + box_upper[q, d])
            for side in range(2):
                next_box_lower[boxes_next] = box_lower[q]
                next_box_upper[boxes_next] = box_upper[q]
                next_level_lower[boxes_next] = level_lower[q]
                next_level_upper[boxes_next] = level_upper[q]
                if side == 0:
                    next_box_upper[boxes_next, d] = middle
                else:
                    next_box_lower[boxes_next, d] = middle
                boxes_next += 1
        root = False
        box_lower, box_upper = next_box_lower, next_box_upper
        level_lower, level_upper = next_level_lower, next_level_upper
        boxes = boxes_next
    return state, at_root, examined, count
