"""Relaxed redundancy at its extreme: the outputs are affine on the slice, but for eps.

Then no neuron is needed: all of the function is in the correction of the outputs. That output j is
off C_j x + d_j by at most eps is two claims on the original network alone, which one more layer
computes from its outputs and the input:

    eps - d_j + f_j(x) - C_j x >= 0,    eps + d_j - f_j(x) + C_j x >= 0.

Its weights are exact numbers; eps -+ d_j is rounded down, to the stronger claim.
"""

from __future__ import annotations

from fractions import Fraction
from math import inf, isfinite, nextafter

import numpy as np

from redy.criteria.comparison import Comparison, Region
from redy.criteria.rows import Rows
from redy.edits import Criterion, Edit, Edits, is_single
from redy.network.exact import exact_outputs
from redy.network.form import Layer, Network
from redy.network.reach import varying_outputs


class AffineComparer:
    """Decides whether affine outputs are within eps of one network's, slice after slice.

    As :class:`redy.criteria.comparison.Comparer` does, but for edits that leave no neuron, and
    several times faster.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        outputs, inputs = network.outputs, network.inputs
        both = np.concatenate([np.eye(outputs), -np.eye(outputs)])
        skip, none = np.zeros((2 * outputs, inputs)), np.zeros(2 * outputs)
        layer = Layer({0: skip, len(network.layers): both}, none, none.astype(bool))
        self._rows = Rows(Network(inputs, (*network.layers, layer)))
        net, last = self._rows.net, len(network.layers) + 1
        begin = int(net.offset[net.first_block[last]])
        self._skip = net.weights[begin : begin + skip.size].reshape(skip.shape)
        self._offset = net.bias[net.start[last] :]
        self._constants = _without_neurons(network)

    @property
    def possible(self) -> bool:
        """Whether the outputs may be affine by their correction alone: nothing else reads x."""
        return self._constants is not None

    def edits(self, exact: Edits, coefficients: np.ndarray) -> Edits | None:
        """All neurons zero and the outputs ``coefficients`` (outputs, inputs + 1), [C | d].

        They are rounded to single precision. What ``exact`` removes keeps its criterion.

        Returns:
            The edits; None if the outputs would still read something else, or numbers are too
            large.
        """
        if self._constants is None:
            return None
        correction = coefficients.copy()
        correction[:, -1] -= [float(value) for value in self._constants]
        with np.errstate(over="ignore", invalid="ignore"):
            correction = correction.astype(np.float32).astype(np.float64)
        if not is_single(correction):
            return None
        codes = np.full(exact.codes.size, Edit.ZERO, dtype=np.uint8)
        new = np.uint8(Criterion.RELAXED)
        criteria = np.where(exact.codes == Edit.KEEP, new, exact.criteria)
        return Edits(codes, criteria, np.zeros((codes.size, 2)), correction)

    def within(self, edits: Edits, eps: float, region: Region, budget: int) -> Comparison | None:
        """Whether no output differs by more than ``eps`` on ``region``; at most ``budget`` boxes.

        Returns:
            What was found out; None if ``edits`` are not such as :meth:`edits` makes.
        """
        if self._constants is None or edits.correction is None or (edits.codes != Edit.ZERO).any():
            return None
        slope, bound = edits.correction[:, :-1], Fraction(eps)
        shift = [
            value + Fraction(float(d))
            for value, d in zip(self._constants, edits.correction[:, -1], strict=True)
        ]
        offset = [_down(bound - d) for d in shift] + [_down(bound + d) for d in shift]
        if not all(map(isfinite, offset)):
            return None
        self._skip[:] = np.concatenate([-slope, slope])
        self._offset[:] = offset
        return self._rows.decide(region, budget, edits.codes.size, eps)


def _without_neurons(network: Network) -> list[Fraction] | None:
    """The outputs with every neuron zero; None if they are no constants then, or too large."""
    nothing = np.zeros(len(network.neurons), dtype=bool)
    if varying_outputs(network, nothing).any():
        return None
    codes = np.full(nothing.size, Edit.ZERO, dtype=np.uint8)
    zeros = Edits.plain(codes, np.full(nothing.size, Criterion.RELAXED, dtype=np.uint8))
    constants = exact_outputs(network, np.zeros(network.inputs), zeros)
    largest = Fraction(float(np.finfo(np.float32).max))  # no correction can make up for more
    return constants if all(abs(value) <= largest for value in constants) else None


def _down(number: Fraction) -> float:
    """The largest float64 that is at most ``number``, or -inf."""
    try:
        nearest = float(number)
    except OverflowError:
        return -inf
    return nextafter(nearest, -inf) if Fraction(nearest) > number else nearest
