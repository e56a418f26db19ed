"""Outputs of a network at one point, exactly: what a witness rests on.

Every float64 number is an integer times a power of two, and so is all that sums and products make
of them: values are held as integers over one common power of two, and nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from redy.edits import Edit, Edits
from redy.network.form import Layer, Matrix, Network, dense

_SIGNIFICAND = 53


class _Dyadic(NamedTuple):
    """The numbers numerators / 2**exponent; ``numerators`` is an array of Python integers."""

    numerators: np.ndarray
    exponent: int


def exact_outputs(
    network: Network, point: np.ndarray, edits: Edits | None = None
) -> list[Fraction]:
    """The outputs at ``point`` (inputs,) over the reals, of ``network`` or of it after ``edits``.

    Weights, lines and the point are taken as the exact numbers that they hold.
    """
    posts = [_dyadic(np.asarray(point, dtype=np.float64))]
    start = 0
    for layer in network.layers[:-1]:
        pre = _preactivation(layer, posts)
        stop = start + int(layer.relu.sum())
        posts.append(_activated(pre, layer, edits, slice(start, stop)))
        start = stop
    outputs = _preactivation(network.layers[-1], posts)
    if edits is not None and edits.correction is not None:
        shift = _dyadic(edits.correction[:, -1])
        outputs = _sum([outputs, shift, _product(edits.correction[:, :-1], posts[0])])
    one = 1 << outputs.exponent
    return [Fraction(int(numerator), one) for numerator in outputs.numerators]


def _dyadic(values: np.ndarray) -> _Dyadic:
    """Finite float64 ``values`` of any shape."""
    fraction, power = np.frexp(values)
    significand = np.ldexp(fraction, _SIGNIFICAND).astype(np.int64).astype(object)
    power = np.where(fraction == 0.0, 0, power - _SIGNIFICAND)
    exponent = max(0, -int(power.min(initial=0)))
    return _Dyadic(significand << (power + exponent).astype(object), exponent)


def _preactivation(layer: Layer, posts: Sequence[_Dyadic]) -> _Dyadic:
    products = [_product(matrix, posts[j]) for j, matrix in layer.weights.items()]
    return _sum([_dyadic(layer.bias), *products])


def _product(matrix: Matrix, vector: _Dyadic) -> _Dyadic:
    weights = _dyadic(dense(matrix))
    if not vector.numerators.size:
        return _Dyadic(np.zeros(len(weights.numerators), dtype=object), 0)
    return _Dyadic(weights.numerators @ vector.numerators, weights.exponent + vector.exponent)


def _sum(terms: Sequence[_Dyadic]) -> _Dyadic:
    exponent = max(term.exponent for term in terms)
    shifted = [term.numerators << (exponent - term.exponent) for term in terms]
    total = shifted[0]
    for more in shifted[1:]:
        total = total + more
    return _Dyadic(total, exponent)


def _activated(pre: _Dyadic, layer: Layer, edits: Edits | None, neurons: slice) -> _Dyadic:
    """h of a hidden layer, whose ReLU neurons are ``neurons`` of all."""
    post = pre.numerators.copy()
    units = np.flatnonzero(layer.relu)
    if edits is None:
        post[units] = np.maximum(post[units], 0)
        return _Dyadic(post, pre.exponent)
    codes, lines = edits.codes[neurons], edits.lines[neurons]
    post[units[codes == Edit.KEEP]] = np.maximum(post[units[codes == Edit.KEEP]], 0)
    post[units[codes == Edit.ZERO]] = 0
    affine = codes == Edit.AFFINE
    if not affine.any():
        return _Dyadic(post, pre.exponent)
    slope, intercept = np.ones(layer.units), np.zeros(layer.units)
    slope[units[affine]], intercept[units[affine]] = lines[affine].T
    scale = _dyadic(slope)
    along = _Dyadic(post * scale.numerators, pre.exponent + scale.exponent)
    return _sum([along, _dyadic(intercept)])
