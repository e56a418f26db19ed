"""Compiled code that makes the program of a slice from the network and its edits.

As :func:`redy.network.fold.materialise`, a hundred times faster, and for
:func:`redy.dispatch.kernels.run_one` to run. Over the reals both are the edited network.
"""

from __future__ import annotations

from redy.branching.compiled import kernel

RELU, NOTHING, LINE = 0, 1, 2
"""What a unit computes of its pre-activation z: max(z, 0), its intercept, slope z + intercept."""

_AS_IS, _FOLDED, _CONSTANT = -1, -2, -3


@kernel(parallel=True)
def fold(net, code, lines, keeps_linear, correction, work, head, numbers):
    """The program of one slice; every sum in float64.

    Args:
        net: the network, packed.
        code: (total units,) RELU, NOTHING or LINE; LINE for inputs and outputs.
        lines: (total units, 2) slope and intercept.
        keeps_linear: (layers + 1,) bool, linear units of that layer stay units.
        correction: (outputs, inputs + 1) is added to the outputs.
        work: place and reach (total,) int64, constant (total,), rows (total, total) and used
            (total,) bool.
        head: (m,) int64, filled with layers, and per layer what :func:`run_one` reads.
        numbers: (m,) filled with biases and weights.

    Returns:
        How much of ``head`` and of ``numbers`` was filled.
    """
    place, reach, constant, rows, used = work
    inputs = net.start[1]
    last = net.start.size - 3
    for i in range(inputs):
        place[i] = i
        constant[i] = 0.0
    width, filled, w = inputs, 1, 0
    head[0] = 0
    for k in range(1, last + 2):
        low, high = net.start[k], net.start[k + 1]
        for u in range(low, high):
            if code[u] == NOTHING:
                place[u] = _CONSTANT
                constant[u] = lines[u, 1]
            else:
                _compose(net, k, u, width, place, constant, rows, reach)
                if k <= last:
                    _settle(u, code, lines, keeps_linear[k], width, place, constant, rows)
                    continue
                place[u] = _AS_IS
                constant[u] += correction[u - low, inputs]
                for d in range(inputs):
                    rows[u, d] += correction[u - low, d]
        filled, w, width = _emit(
            low, high, code, width, place, constant, rows, used, head, numbers, filled, w
        )
    return filled, w


@kernel
def _compose(net, k, u, width, place, constant, rows, reach):
    """The pre-activation of unit u of layer k over what there is: its row and constant."""
    value = net.bias[u]
    for s in range(width):
        rows[u, s] = 0.0
    for b in range(net.first_block[k], net.first_block[k + 1]):
        low, high = net.start[net.source[b]], net.start[net.source[b] + 1]
        at = net.offset[b] + (u - net.start[k]) * (high - low)
        for v in range(low, high):
            weight = net.weights[at + v - low]
            if weight == 0.0:
                continue
            value += weight * constant[v]
            if place[v] >= 0:
                rows[u, place[v]] += weight
            elif place[v] == _FOLDED:
                for s in range(reach[v]):
                    rows[u, s] += weight * rows[v, s]
    constant[u] = value
    reach[u] = width


@kernel
def _settle(u, code, lines, keeps_linear, width, place, constant, rows):
    """What becomes of unit u.

    One of the program's (_AS_IS), nothing, as its consumers read what it reads (_FOLDED), a
    constant, or the same as what is there already.
    """
    entries, where = 0, 0
    for s in range(width):
        if rows[u, s] != 0.0:
            entries += 1
            where = s
    place[u] = _AS_IS
    if code[u] == LINE:
        constant[u] = lines[u, 0] * constant[u] + lines[u, 1]
        for s in range(width):
            rows[u, s] *= lines[u, 0]
        if not keeps_linear:
            place[u] = _FOLDED
        elif entries == 1 and rows[u, where] == 1.0 and constant[u] == 0.0:
            place[u] = where
            return
    if entries == 0:
        place[u] = _CONSTANT
        if code[u] == RELU:
            constant[u] = max(constant[u], 0.0)


@kernel
def _emit(low, high, code, width, place, constant, rows, used, head, numbers, filled, w):
    """Append one layer of the units from low to high that are _AS_IS, ReLUs first."""
    relu, units = 0, 0
    for s in range(width):
        used[s] = False
    for u in range(low, high):
        if place[u] == _AS_IS:
            units += 1
            relu += code[u] == RELU
            for s in range(width):
                used[s] |= rows[u, s] != 0.0
    if units == 0:
        return filled, w, width
    head[0] += 1
    head[filled], head[filled + 1] = relu, units
    runs_at = filled + 2
    head[runs_at] = 0
    filled += 3
    for kind in (RELU, LINE):
        for u in range(low, high):
            if place[u] == _AS_IS and code[u] == kind:
                numbers[w] = constant[u]
                w += 1
    s = 0
    while s < width:
        if not used[s]:
            s += 1
            continue
        head[runs_at] += 1
        head[filled] = s
        while s < width and used[s]:
            for kind in (RELU, LINE):
                for u in range(low, high):
                    if place[u] == _AS_IS and code[u] == kind:
                        numbers[w] = rows[u, s]
                        w += 1
            s += 1
        head[filled + 1] = s - head[filled]
        filled += 2
    for kind in (RELU, LINE):
        for u in range(low, high):
            if place[u] == _AS_IS and code[u] == kind:
                place[u] = width
                constant[u] = 0.0
                width += 1
    return filled, w, width
