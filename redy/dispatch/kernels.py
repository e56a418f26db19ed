"""Compiled code of the dispatcher: find the slice of a point, run its program.

A *program* is what is left of one slice's network. A folded one has weights of its own: layer
after layer of units, each reading runs of what was computed before, inputs first. A listed one
names the network's units that are left, and reads the network's weights. All programs of a bundle
stand in two arrays, whole numbers in ``plan`` and real ones in ``numbers``;
:mod:`redy.dispatch.programs` says where what is.
The C code that :mod:`redy.dispatch.c_code` writes does the same with the same arrays.
"""

from __future__ import annotations

import numpy as np

from redy.branching.compiled import kernel
from redy.dispatch.wide import (
    add,
    add_product,
    count_from,
    half_lanes_of,
    lanes_of,
    load,
    load_half,
    prefetch,
    rectified,
    spread,
    spread_half,
    store,
    zero,
)

INPUTS, OUTPUTS, PARTS, EDGES, STARTS, NODES, CUTS, LAYERS, PROGRAMS = range(9)
"""What stands where in ``plan``: how many inputs and outputs there are; where the parts of a grid
begin, its edges in ``numbers``, of a tree the nodes at which its cells start, its nodes (MISSING if
there is but a grid), their cuts in ``numbers``, the layers of the network, and the programs of the
slices."""
HEADER = 9

MISSING = -1
"""In place of a program that is not there yet, and of weights of its own in a listed one."""

OUTSIDE, UNFIT = -1, -2
"""Instead of a slice: the point lies outside of the domain, or is not a number; or the arrays are
of other sizes than the network's."""

_ALONE = 2
"""Up to so many points of a slice with a listed program are faster one by one."""

_AHEAD = 512
"""So many weights ahead are asked for: at the end of a page no processor does so by itself."""

BLOCK = 1024
"""Points that go down a tree side by side; whole registers, of either precision."""

_COUNTED = 64
"""Up to so many parts, the edges below a point are counted, in vector units; else bisected."""

place = np.uint64
"""An index that cannot be negative: numba looks at others twice, which takes half the time here."""


@kernel
def inside(point, numbers):
    """Whether ``point`` (inputs,) lies in the domain; a coordinate that is no number does not."""
    inputs = point.size
    for d in range(inputs):
        if not (numbers[d] <= point[d] and point[d] <= numbers[inputs + d]):
            return False
    return True


@kernel
def clamp(point, numbers):
    """Move ``point`` to the nearest point of the domain; False if it is not a number."""
    inputs = point.size
    for d in range(inputs):
        if point[d] != point[d]:
            return False
        point[d] = min(max(point[d], numbers[d]), numbers[inputs + d])
    return True


@kernel
def cell(point, plan, numbers):
    """The cell of ``point`` in the grid: per input, the edges at or below it are counted."""
    at, edge = place(plan[PARTS]), place(plan[EDGES])
    index = 0
    for d in range(point.size):
        parts, low = plan[at + place(d)], 0
        if parts <= _COUNTED:
            for e in range(parts - 1):
                low += int(numbers[edge + place(e)] <= point[place(d)])
        else:
            # Bisection without branches, which would be taken at random.
            left = parts - 1
            while left > 0:
                half = (left + 1) >> 1
                low += half * (numbers[edge + place(low + half - 1)] <= point[place(d)])
                left -= half
        index = index * parts + low
        edge += place(parts - 1)
    return index


@kernel
def step(node, point, at, cut, plan, numbers):
    """The node below ``node`` that has ``point``; a leaf itself."""
    here = at + place(3) * node
    above = point[place(plan[here])] >= numbers[cut + node]
    return place(plan[here + place(1)] + above)


@kernel
def descend(start, point, plan, numbers):
    """The slice of ``point``, whose cell starts at ``start``: a node, or of a slice -1 less it."""
    if start < 0:
        return -1 - start
    at, cut, node = place(plan[NODES]), place(plan[CUTS]), place(start)
    while plan[at + place(3) * node + place(2)] == MISSING:
        node = step(node, point, at, cut, plan, numbers)
    return plan[at + place(3) * node + place(2)]


@kernel
def find(point, plan, numbers):
    """The slice of ``point``, which lies in the domain."""
    index = cell(point, plan, numbers)
    if plan[NODES] == MISSING:
        return index
    return descend(plan[place(plan[STARTS] + index)], point, plan, numbers)


@kernel
def run(at, plan, numbers, state):
    """Run the program at ``at`` on ``state``, whose first entries are the inputs.

    Returns where the outputs begin in ``state``.
    """
    if plan[place(at)] == MISSING:
        return run_listed(at, plan, numbers, state)
    return run_folded(at, plan, numbers, state)


@kernel
def run_listed(at, plan, numbers, state):
    """As :func:`run`, of a listed program. All units of a layer are computed, those left are read.

    What the last register of a layer computes too much is overwritten by the next layer. Sums have
    the order of :func:`run_listed_side_by_side`: what a point gives does not depend on others.
    """
    lanes = place(lanes_of(numbers))
    layer = place(plan[LAYERS])
    source, first, here = place(0), place(plan[INPUTS]), place(at) + place(1)
    for _ in range(plan[layer]):
        w, units = place(plan[layer + place(1)]), place(plan[layer + place(2)])
        layer += place(2)
        left, listed = plan[here], here + place(2)
        u = place(0)
        while u < units:
            v = w + u
            one = load(numbers, v)
            if units - u > lanes:
                # Four registers of units.
                two, three = load(numbers, v + lanes), load(numbers, v + place(2) * lanes)
                four = load(numbers, v + place(3) * lanes)
                for i in range(left):
                    j = place(plan[listed + place(i)])
                    value, v = spread(state, source + j), w + units * (j + place(1)) + u
                    one = add_product(one, load(numbers, v), value)
                    two = add_product(two, load(numbers, v + lanes), value)
                    three = add_product(three, load(numbers, v + place(2) * lanes), value)
                    four = add_product(four, load(numbers, v + place(3) * lanes), value)
                store(state, first + u, one)
                store(state, first + u + lanes, two)
                store(state, first + u + place(2) * lanes, three)
                store(state, first + u + place(3) * lanes, four)
                u += place(4) * lanes
            else:
                for i in range(left):
                    j = place(plan[listed + place(i)])
                    v = w + units * (j + place(1)) + u
                    one = add_product(one, load(numbers, v), spread(state, source + j))
                store(state, first + u, one)
                u += lanes
        here = listed + place(left)
        for i in range(plan[here + place(1)]):
            rectify(state, first + place(plan[here + place(2 + i)]))
        source = first
        first += units
    return source


@kernel
def run_folded(at, plan, numbers, state):
    """As :func:`run`, of a folded program.

    Units are computed a register at a time; what the last one computes too much is overwritten by
    the next layer.
    """
    lanes = lanes_of(numbers)
    at = place(at)
    w, layers = place(plan[at]), plan[at + place(1)]
    at += place(2)
    width, first = place(plan[INPUTS]), place(0)
    for _ in range(layers):
        relu, units = plan[at], place(plan[at + place(1)])
        runs = plan[at + place(2)]
        at += place(3)
        first = width
        end = w
        for u in range(0, units, lanes):
            # Four sums, that one need not wait for another.
            one, two = load(numbers, w + place(u)), zero(numbers)
            three, four = two, two
            v = w + place(u) + units
            here = at
            for _ in range(runs):
                s, left = place(plan[here]), plan[here + place(1)]
                here += place(2)
                while left >= 4:
                    one = add_product(one, load(numbers, v), spread(state, s))
                    v += units
                    two = add_product(two, load(numbers, v), spread(state, s + place(1)))
                    v += units
                    three = add_product(three, load(numbers, v), spread(state, s + place(2)))
                    v += units
                    four = add_product(four, load(numbers, v), spread(state, s + place(3)))
                    v += units
                    s += place(4)
                    left -= 4
                while left > 0:
                    one = add_product(one, load(numbers, v), spread(state, s))
                    v += units
                    s += place(1)
                    left -= 1
            store(state, first + place(u), add(add(one, two), add(three, four)))
            end = v - place(u)
        w = end
        at += place(2 * runs)
        for u in range(relu):
            rectify(state, first + place(u))
        width += units
    return first


@kernel
def rectify(state, i):
    """A ReLU; without a branch, which would be taken at random. 0 of what is not a number."""
    value = state[i]
    state[i] = value if value > 0 else state.dtype.type(0)


@kernel
def evaluate_one(point, outputs, state, plan, numbers, clamps):
    """Outputs of one ``point`` (inputs,).

    Returns its slice, OUTSIDE, UNFIT, or less than that by 1 + the slice if that has no program.
    """
    inputs = plan[INPUTS]
    if point.size != inputs or outputs.size != plan[OUTPUTS]:
        return UNFIT
    for d in range(inputs):
        state[place(d)] = point[place(d)]
    if clamps:
        if not clamp(state[:inputs], numbers):
            return OUTSIDE
    elif not inside(state[:inputs], numbers):
        return OUTSIDE
    owner = find(state[:inputs], plan, numbers)
    at = plan[place(plan[PROGRAMS]) + place(owner)]
    if at == MISSING:
        return UNFIT - 1 - owner
    first = run(at, plan, numbers, state)
    for j in range(outputs.size):
        outputs[place(j)] = state[first + place(j)]
    return owner


@kernel(parallel=True)
def enter(points, ends, clamps):
    """The first of ``points`` (n, inputs) that does not lie in the domain, or n.

    ``ends`` are the domain's lower and upper ones; with ``clamps``, points are moved.
    """
    for row in range(len(points)):
        if clamps:
            if not clamp(points[row], ends):
                return row
        elif not inside(points[row], ends):
            return row
    return len(points)


@kernel
def cells(turned, begin, index, plan, numbers):
    """Leave in ``index`` the cells of a register of points, from number ``begin`` of a block on.

    ``turned`` holds a block's first coordinates, then its second ones, and so on. Cells are whole
    numbers in single precision too, which holds them up to 2^24.
    """
    at, edge, width = place(plan[PARTS]), place(plan[EDGES]), turned.size // plan[INPUTS]
    lanes, found = place(lanes_of(numbers)), zero(numbers)
    for d in range(plan[INPUTS]):
        parts = plan[at + place(d)]
        if parts == 1:
            continue
        value, below = load(turned, place(d * width + begin)), zero(numbers)
        for e in range(parts - 1):
            below = count_from(below, value, spread(numbers, edge + place(e)))
        found = add_product(below, found, load(index, lanes * place(1 + d)))
        edge += place(parts - 1)
    store(index, 0, found)


@kernel
def turn(points, first, count, turned, index, plan, numbers):
    """Fill ``turned`` with ``count`` points from row ``first`` on, and ``index`` with the parts.

    Returns the first point that does not lie in the domain, or ``count``.
    """
    lanes, inputs = lanes_of(numbers), plan[INPUTS]
    width, at = turned.size // inputs, place(plan[PARTS])
    for row in range(count):
        lies = True  # one branch for all coordinates
        for d in range(inputs):
            here = points[place(first + row), place(d)]
            lies &= (numbers[place(d)] <= here) & (here <= numbers[place(inputs + d)])
            turned[place(d * width + row)] = here
        if not lies:
            return row
    for d in range(inputs):
        for lane in range(lanes):
            index[place((1 + d) * lanes + lane)] = plan[at + place(d)]
    return count


@kernel(parallel=True)
def find_many(points, owners, rest, turned, index, plan, numbers):
    """The slice of each of ``points`` (n, inputs), up to the first one outside of the domain.

    Returns that one, or n; a coordinate that is not a number lies outside. Down a tree all points
    of a block go step by step, those that have arrived being left out: so no step waits for the one
    before it, nor for a branch that cannot be foretold.

    Args:
        rest: (block + 1,) int64, room for the points of a block that are still on their way.
        turned: (inputs * block,), room for their coordinates.
        index: ((1 + inputs) registers,), room for cells.
    """
    if plan[NODES] == MISSING:
        for row in range(len(points)):
            if not inside(points[row], numbers):
                return row
            owners[row] = cell(points[row], plan, numbers)
        return len(points)
    starts, lanes, block = place(plan[STARTS]), lanes_of(numbers), rest.size - 1
    for first in range(0, len(points), block):
        end = min(first + block, len(points))
        admitted = turn(points, first, end - first, turned, index, plan, numbers)
        if first + admitted < end:
            return first + admitted
        left = 0
        for begin in range(first, end, lanes):
            cells(turned, begin - first, index, plan, numbers)
            for row in range(begin, min(begin + lanes, end)):
                start = plan[starts + place(index[place(row - begin)])]
                owners[place(row)] = start
                rest[place(left)] = row
                left += int(start >= 0)
        while left > 0:
            left = _go_down(points, owners, rest, left, plan, numbers)
        for row in range(first, end):
            owners[place(row)] = -1 - owners[place(row)]
    return len(points)


@kernel
def _go_down(points, owners, rest, left, plan, numbers):
    """One step of the first ``left`` points of ``rest``; returns how many have not arrived.

    In ``owners`` stand their nodes, or of a slice -1 less it.
    """
    at, cut, still = place(plan[NODES]), place(plan[CUTS]), 0
    for i in range(left):
        row = place(rest[place(i)])
        node = place(step(place(owners[row]), points[row], at, cut, plan, numbers))
        owner = plan[at + place(3) * node + place(2)]
        arrived = owner != MISSING
        owners[row] = -1 - owner if arrived else np.int32(node)
        rest[place(still)] = row
        still += int(not arrived)
    return still


@kernel(parallel=True)
def missing_programs(owners, plan, needed):
    """Mark in ``needed`` (slices,) those of ``owners`` that have no program; returns how many."""
    count, programs = 0, place(plan[PROGRAMS])
    for owner in owners:
        if plan[programs + place(owner)] == MISSING and not needed[place(owner)]:
            needed[place(owner)] = True
            count += 1
    return count


@kernel(parallel=True)
def evaluate_few(points, outputs, state, plan, numbers, clamps):
    """Outputs of ``points`` (n, inputs) one after the other, by :func:`evaluate_one`.

    Returns how many were evaluated before one that has no slice or no program, or does not fit.
    """
    if len(outputs) != len(points):
        return 0
    for row in range(len(points)):
        if evaluate_one(points[row], outputs[row], state, plan, numbers, clamps) < 0:
            return row
    return len(points)


@kernel(inline=False)
def run_row(points, outputs, row, at, plan, numbers, state):
    """Outputs of one of ``points``, by the program at ``at``."""
    for d in range(points.shape[1]):
        state[place(d)] = points[row, place(d)]
    first = run(at, plan, numbers, state)
    for j in range(outputs.shape[1]):
        outputs[row, place(j)] = state[first + place(j)]


@kernel(parallel=True)
def evaluate_short(points, owners, outputs, short, state, plan, numbers):
    """Outputs of those of ``points`` whose slices' programs are ``short`` (slices,) bool.

    Those have one layer, and are run in the points' order; their ``owners`` become MISSING. The
    other programs are not even looked at: each would have to come from memory.
    """
    programs = place(plan[PROGRAMS])
    for row in range(len(points)):
        if not short[place(owners[row])]:
            continue
        at = place(plan[programs + place(owners[row])])
        owners[row] = MISSING
        if plan[at + place(4)] == 0:  # no runs: the biases are the outputs
            first = place(plan[at])
            for j in range(outputs.shape[1]):
                outputs[row, place(j)] = numbers[first + place(j)]
            continue
        run_row(points, outputs, place(row), at, plan, numbers, state)


@kernel(parallel=True)
def sort_by_slice(owners, start, order):
    """Rows by slice: ``order`` (n,), and ``start`` (slices + 1,), where the rows of each begin.

    Rows whose owner is MISSING are left out.
    """
    start[:] = 0
    for owner in owners:
        start[place(owner + 1)] += 1
    start[0] = 0
    for s in range(start.size - 1):
        start[s + 1] += start[s]
    for row in range(owners.size):
        if owners[row] != MISSING:
            owner = place(owners[row])
            order[place(start[owner])] = row
            start[owner] += 1
    # Each entry has become its successor's.
    for s in range(start.size - 1, 0, -1):
        start[s] = start[s - 1]
    start[0] = 0


@kernel
def run_side_by_side(at, plan, numbers, state):
    """As :func:`run`, on a register of points.

    Of entry i, they stand side by side in ``state`` from i times their number on.
    """
    if plan[place(at)] == MISSING:
        return run_listed_side_by_side(at, plan, numbers, state)
    return run_folded_side_by_side(at, plan, numbers, state)


def _listed(lanes_, load_, spread_):
    """The kernel that runs a listed program for as many points as a register has lanes.

    They stand side by side, as for :func:`run_side_by_side`; only units that are left are computed.
    """

    @kernel
    def run(at, plan, numbers, state):
        lanes = place(lanes_(numbers))
        layer = place(plan[LAYERS])
        source, first, here = place(0), place(plan[INPUTS]), place(at) + place(1)
        for _ in range(plan[layer]):
            w, units = place(plan[layer + place(1)]), place(plan[layer + place(2)])
            layer += place(2)
            left, listed = plan[here], here + place(2)
            here = listed + place(left)
            count, relu, wanted = plan[here], plan[here + place(1)], here + place(2)
            u = 0
            while u < count:
                # Four units share what is loaded of the points; the last may be computed twice.
                if count >= 4:
                    u = min(u, count - 4)
                a = place(plan[wanted + place(u)])
                b, c, d = a, a, a
                if count >= 4:
                    b, c = place(plan[wanted + place(u + 1)]), place(plan[wanted + place(u + 2)])
                    d = place(plan[wanted + place(u + 3)])
                one, two = spread_(numbers, w + a), spread_(numbers, w + b)
                three, four = spread_(numbers, w + c), spread_(numbers, w + d)
                for i in range(left):
                    j = place(plan[listed + place(i)])
                    v = w + units * (j + place(1))
                    value = load_(state, (source + j) * lanes)
                    one = add_product(one, value, spread_(numbers, v + a))
                    two = add_product(two, value, spread_(numbers, v + b))
                    three = add_product(three, value, spread_(numbers, v + c))
                    four = add_product(four, value, spread_(numbers, v + d))
                _put(state, (first + a) * lanes, one, u < relu)
                if count >= 4:
                    _put(state, (first + b) * lanes, two, u + 1 < relu)
                    _put(state, (first + c) * lanes, three, u + 2 < relu)
                    _put(state, (first + d) * lanes, four, u + 3 < relu)
                    u += 3
                u += 1
            source = first
            first += units
        return source

    return run


run_listed_side_by_side = _listed(lanes_of, load, spread)
run_listed_half = _listed(half_lanes_of, load_half, spread_half)


@kernel
def run_folded_side_by_side(at, plan, numbers, state):
    """As :func:`run_side_by_side`, of a folded program."""
    lanes = place(lanes_of(numbers))
    at = place(at)
    w, layers = place(plan[at]), plan[at + place(1)]
    at += place(2)
    width, first = place(plan[INPUTS]), place(0)
    for _ in range(layers):
        relu, units = plan[at], plan[at + place(1)]
        runs = plan[at + place(2)]
        at += place(3)
        first = width
        u, end = 0, w
        while u < units:
            # Four units share what is loaded of the points; the last ones may be computed twice.
            if units >= 4:
                u = min(u, units - 4)
            v = w + place(u)
            one = spread(numbers, v)
            two, three, four = one, one, one
            if units >= 4:
                two, three = spread(numbers, v + place(1)), spread(numbers, v + place(2))
                four = spread(numbers, v + place(3))
            here = at
            for _ in range(runs):
                s = place(plan[here]) * lanes
                for _ in range(plan[here + place(1)]):
                    v += place(units)
                    prefetch(numbers, v + place(_AHEAD))
                    value = load(state, s)
                    s += lanes
                    one = add_product(one, value, spread(numbers, v))
                    if units >= 4:
                        two = add_product(two, value, spread(numbers, v + place(1)))
                        three = add_product(three, value, spread(numbers, v + place(2)))
                        four = add_product(four, value, spread(numbers, v + place(3)))
                here += place(2)
            end = v - place(u) + place(units)
            out = (first + place(u)) * lanes
            _put(state, out, one, u < relu)
            if units >= 4:
                _put(state, out + lanes, two, u + 1 < relu)
                _put(state, out + place(2) * lanes, three, u + 2 < relu)
                _put(state, out + place(3) * lanes, four, u + 3 < relu)
                u += 3
            u += 1
        w = end
        at += place(2 * runs)
        width += place(units)
    return first


@kernel
def _put(state, start, value, relu):
    """Store what a unit computes, after its ReLU if it has one."""
    if relu:
        store(state, start, rectified(value))
    else:
        store(state, start, value)


@kernel
def run_group(points, outputs, rows, at, plan, numbers, state):
    """Outputs of the points in ``rows``, at most a register of them, by the program at ``at``."""
    lanes, count = lanes_of(numbers), rows.size
    listed = plan[place(at)] == MISSING
    if listed and count <= _ALONE:
        for i in range(count):
            run_row(points, outputs, place(rows[place(i)]), at, plan, numbers, state)
        return
    halved = listed and count <= half_lanes_of(numbers)
    if halved:
        lanes = half_lanes_of(numbers)
    for lane in range(lanes):
        row = place(rows[place(min(lane, count - 1))])
        for d in range(points.shape[1]):
            state[place(d * lanes + lane)] = points[row, place(d)]
    if halved:
        first = run_listed_half(at, plan, numbers, state) * place(lanes)
    else:
        first = run_side_by_side(at, plan, numbers, state) * place(lanes)
    for lane in range(count):
        row = place(rows[place(lane)])
        for j in range(outputs.shape[1]):
            outputs[row, place(j)] = state[first + place(j * lanes + lane)]


@kernel(parallel=True)
def evaluate_sorted(points, outputs, start, order, state, plan, numbers):
    """Outputs of all ``points``, sorted by :func:`sort_by_slice`, slice after slice."""
    lanes = lanes_of(numbers)
    programs, last = place(plan[PROGRAMS]), start[start.size - 1]
    for s in range(start.size - 1):
        if start[s] == start[s + 1]:
            continue
        at = plan[programs + place(s)]
        for begin in range(start[s], start[s + 1], lanes):
            count = min(lanes, start[s + 1] - begin)
            # Rows lie anywhere in memory: ask for those of the next group while this one is run.
            for ahead in range(begin + count, min(begin + count + lanes, last)):
                row = place(order[place(ahead)])
                prefetch(points, row * place(points.shape[1]))
                prefetch(outputs, row * place(outputs.shape[1]))
            rows = order[begin : begin + count]
            run_group(points, outputs, rows, at, plan, numbers, state)
