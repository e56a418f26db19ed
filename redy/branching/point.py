"""Pre-activations at one point, or at eight, with an error bound that makes their sign certain."""

from __future__ import annotations

from redy.branching.compiled import kernel
from redy.branching.vector import LANES, load, select, splat, store
from redy.tolerances import FLOOR, UPWARD


@kernel(sums=True)
def product(weights, h):
    """sum of weights * h, rounded."""
    total = 0.0
    for p in range(h.size):
        total += weights[p] * h[p]
    return total


@kernel(sums=True)
def _noise(weights, error, post, gamma):
    """sum of |weights| * (error + gamma |post|), rounded; FLOOR pays for underflow."""
    total = 0.0
    for p in range(weights.size):
        total += abs(weights[p]) * (error[p] + gamma * (abs(post[p]) + FLOOR))
    return total


@kernel
def values_at(net, point, last, value, post):
    """Fill pre-activations ``value`` and outputs ``post`` (total,) of layers 1 to ``last``."""
    for d in range(point.size):
        post[d] = point[d]
    for layer in range(1, last + 1):
        for unit in range(net.start[layer], net.start[layer + 1]):
            total = net.bias[unit]
            for block in range(net.first_block[layer], net.first_block[layer + 1]):
                begin, end = net.start[net.source[block]], net.start[net.source[block] + 1]
                row = net.offset[block] + (unit - net.start[layer]) * (end - begin)
                weights = net.weights[row : row + end - begin]
                total += product(weights, post[begin:end])
            value[unit] = total
            # A product, not a constant, where z <= 0 or not a number: NaN must stay NaN.
            post[unit] = total if total > 0.0 or not net.relu[unit] else 0.0 * total


@kernel
def errors_at(net, last, post, error):
    """Fill ``error`` (total,): over the reals the value of unit u is within error[u] of value[u].

    ``post`` is as :func:`values_at` left it.
    """
    for d in range(net.start[1]):
        error[d] = 0.0
    for layer in range(1, last + 1):
        for unit in range(net.start[layer], net.start[layer + 1]):
            noise = (abs(net.bias[unit]) + FLOOR) * net.gamma
            for block in range(net.first_block[layer], net.first_block[layer + 1]):
                begin, end = net.start[net.source[block]], net.start[net.source[block] + 1]
                row = net.offset[block] + (unit - net.start[layer]) * (end - begin)
                weights = net.weights[row : row + end - begin]
                noise += _noise(weights, error[begin:end], post[begin:end], net.gamma)
            error[unit] = noise * (1.0 + net.gamma) * UPWARD


@kernel
def values_at_eight(net, points, last, value, post):
    """:func:`values_at` eight points at once: rows of vectors instead of numbers."""
    for d in range(net.start[1]):
        store(post, d, load(points, d))
    for layer in range(1, last + 1):
        for unit in range(net.start[layer], net.start[layer + 1], 4):
            _four_values(net, layer, unit, net.start[layer + 1] - 1, value, post)


@kernel
def _four_values(net, layer, unit, last, value, post):
    """Four units from ``unit`` on, so that none waits for its own sum; none beyond ``last``."""
    u0, u1, u2, u3 = unit, min(unit + 1, last), min(unit + 2, last), min(unit + 3, last)
    v0, v1 = splat(net.bias[u0]), splat(net.bias[u1])
    v2, v3 = splat(net.bias[u2]), splat(net.bias[u3])
    for block in range(net.first_block[layer], net.first_block[layer + 1]):
        begin, end = net.start[net.source[block]], net.start[net.source[block] + 1]
        width = end - begin
        first = net.offset[block] - net.start[layer] * width
        weights0 = net.weights[first + u0 * width : first + u0 * width + width]
        weights1 = net.weights[first + u1 * width : first + u1 * width + width]
        weights2 = net.weights[first + u2 * width : first + u2 * width + width]
        weights3 = net.weights[first + u3 * width : first + u3 * width + width]
        sources = post[begin * LANES : end * LANES]
        for p in range(width):
            h = load(sources, p)
            v0 = v0 + weights0[p] * h
            v1 = v1 + weights1[p] * h
            v2 = v2 + weights2[p] * h
            v3 = v3 + weights3[p] * h
    _keep(net, u0, v0, value, post)
    _keep(net, u1, v1, value, post)
    _keep(net, u2, v2, value, post)
    _keep(net, u3, v3, value, post)


@kernel
def _keep(net, unit, z, value, post):
    store(value, unit, z)
    # As in values_at: NaN must stay NaN.
    store(post, unit, select(z > 0.0, z, 0.0 * z) if net.relu[unit] else z)
