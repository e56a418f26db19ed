"""Signs of all pre-activations at many points of a box, one bit each: a guide, never a proof."""

from __future__ import annotations

from redy.branching.compiled import kernel
from redy.branching.point import values_at_eight
from redy.branching.vector import LANES, bits, load


@kernel(allocates=True)
def take_census(net, points, value, post, positive, outputs):
    """Evaluate the network at ``points``.

    Args:
        net: the packed network.
        points: (n / 8, inputs * 8), eight points a row as in :func:`values_at_eight`.
        value, post: (total * 8,) scratch.
        positive: (total, n / 8) uint8, filled: bit i of entry g says that z > 0 at point 8 g + i.
        outputs: (n, outputs), filled.
    """
    last = net.start.size - 2
    begin, end = net.start[last], net.start[last + 1]
    for group in range(points.shape[0]):
        values_at_eight(net, points[group], last, value, post)
        for unit in range(net.start[1], begin):
            positive[unit, group] = bits(load(value, unit) > 0.0)
        for unit in range(begin, end):
            for lane in range(LANES):
                outputs[group * LANES + lane, unit - begin] = value[unit * LANES + lane]


@kernel(allocates=True)
def phases_within(positive, units, masks, active, inactive):
    """Which ``units`` are active somewhere, and inactive somewhere, on subsets of the points.

    Args:
        positive: (total, words) uint64 of the census.
        units: (neurons,) rows of it.
        masks: (subsets, words) uint64, the points of each subset.
        active, inactive: (subsets, neurons) bool, filled.
    """
    for s in range(masks.shape[0]):
        for n in range(units.size):
            signs = positive[units[n]]
            on, off = False, False
            for w in range(signs.size):
                mask = masks[s, w]
                here = signs[w] & mask
                on |= here != 0
                off |= here != mask
                if on and off:
                    break
            active[s, n], inactive[s, n] = on, off
