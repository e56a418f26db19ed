"""Pre-activations at one point, with an error bound that makes their sign certain."""

from __future__ import annotations

from redy.branching.compiled import kernel
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
