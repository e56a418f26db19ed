"""Exact ranges of small networks over boxes, in rational arithmetic: what bounds are held against.

The box is cut along z = 0 of every neuron, layer by layer, into convex pieces on which the network
is affine, so that every extreme is at a vertex of a piece. A piece is its vertices, and a vertex
carries its values of all units so far: on an edge they are linear, and cutting the edge
interpolates them all. Neighbours are found as in the double description method (Motzkin et al.;
Fukuda and Prodon, 1996, proposition 7): two vertices share an edge where no third vertex lies in
all constraints that both lie in.

Exponential in inputs and neurons: for up to about three inputs and a dozen neurons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np

from redy.domain import Box
from redy.edits import Edit, Edits
from redy.network.form import Layer, Network, dense

Vector = tuple[Fraction, ...]


@dataclass(frozen=True)
class Vertex:
    """A vertex of a piece.

    Args:
        values: h_0, h_1, ... at this point, and last the pre-activations in work.
        tight: the constraints of the piece that hold with equality here.
    """

    values: tuple[Vector, ...]
    tight: frozenset[object]


Piece = list[Vertex]
ExactRanges = list[list[tuple[Fraction, Fraction]]]


def exact_ranges(network: Network, box: Box) -> ExactRanges:
    """Least and greatest value of every pre-activation over the box, layer by layer."""
    ranges = []
    for pieces in _layer_by_layer(network, box):
        values = [vertex.values[-1] for piece in pieces for vertex in piece]
        ranges.append([(min(column), max(column)) for column in zip(*values, strict=True)])
    return ranges


def exact_pieces(network: Network, box: Box) -> list[list[Vector]]:
    """The outputs at the vertices of every piece; on a piece they are affine."""
    *_, pieces = _layer_by_layer(network, box)
    return [[vertex.values[-1] for vertex in piece] for piece in pieces]


def _layer_by_layer(network: Network, box: Box) -> Iterator[list[Piece]]:
    """The pieces on which each layer's pre-activations are affine."""
    pieces = [_corners(box)]
    for k, layer in enumerate(network.layers, start=1):
        pieces = [[_append(vertex, layer) for vertex in piece] for piece in pieces]
        yield pieces
        for i in np.flatnonzero(layer.relu):
            pieces = [part for piece in pieces for part in _cut(piece, int(i), (k, int(i)))]
        pieces = [[_activate(vertex, layer) for vertex in piece] for piece in pieces]


def exact_preactivations(network: Network, point: Sequence[float | Fraction]) -> list[Vector]:
    """Pre-activations of every layer at one point, exactly."""
    vertex = Vertex((tuple(Fraction(x) for x in point),), frozenset())
    pres = []
    for layer in network.layers:
        vertex = _append(vertex, layer)
        pres.append(vertex.values[-1])
        vertex = _activate(vertex, layer)
    return pres


def side_by_side(network: Network, edits: Edits) -> Network:
    """``network`` and its edited self as one network whose outputs are (f, f').

    Layers 2 k - 1 hold the pre-activations (z, z') of layer k, layers 2 k what becomes of them: no
    two weights are multiplied, so that nothing is rounded.
    """
    built: list[Layer] = []
    neuron = 0
    for layer in network.layers:
        both = {2 * j: _twice(dense(matrix), j == 0) for j, matrix in layer.weights.items()}
        kept, slope, shift = layer.relu.copy(), np.ones(layer.units), np.zeros(layer.units)
        for i in np.flatnonzero(layer.relu):
            code, line = Edit(int(edits.codes[neuron])), edits.lines[neuron]
            kept[i] = code is Edit.KEEP
            slope[i] = line[0] if code is Edit.AFFINE else code is not Edit.ZERO
            shift[i] = line[1]
            neuron += 1
        built.append(Layer(both, np.tile(layer.bias, 2), np.concatenate([layer.relu, kept])))
        after = np.diag(np.concatenate([np.ones(layer.units), slope]))
        shifts = np.concatenate([np.zeros(layer.units), shift])
        built.append(Layer({len(built): after}, shifts, np.zeros(2 * layer.units, bool)))
    if edits.correction is not None:
        zeros = np.zeros_like(edits.correction)
        correction = np.concatenate([zeros, edits.correction])
        added = {**built[-1].weights, 0: correction[:, :-1]}
        built[-1] = Layer(added, correction[:, -1], built[-1].relu)
    return Network(network.inputs, tuple(built))


def _twice(matrix: np.ndarray, shared: bool) -> np.ndarray:
    """Weights of both networks, whose source is ``shared``, the input, or there twice."""
    if shared:
        return np.concatenate([matrix, matrix])
    return np.kron(np.eye(2), matrix)


def _corners(box: Box) -> Piece:
    sides = []
    for i, (lower, upper) in enumerate(zip(box.lower, box.upper, strict=True)):
        ends = [(Fraction(float(lower)), (i, "lower")), (Fraction(float(upper)), (i, "upper"))]
        # A coordinate of no width is a constant, not a dimension.
        sides.append(ends if lower < upper else [(ends[0][0], None)])
    return [
        Vertex((tuple(x for x, _ in corner),), frozenset(face for _, face in corner if face))
        for corner in product(*sides)
    ]


def _append(vertex: Vertex, layer: Layer) -> Vertex:
    pre = [Fraction(float(b)) for b in layer.bias]
    for j, matrix in layer.weights.items():
        for i, row in enumerate(dense(matrix)):
            terms = zip(row, vertex.values[j], strict=True)
            pre[i] += sum(Fraction(float(w)) * h for w, h in terms if w != 0 and h != 0)
    return Vertex((*vertex.values, tuple(pre)), vertex.tight)


def _activate(vertex: Vertex, layer: Layer) -> Vertex:
    units = zip(vertex.values[-1], layer.relu, strict=True)
    post = tuple(max(z, Fraction(0)) if relu else z for z, relu in units)
    return Vertex((*vertex.values[:-1], post), vertex.tight)


def _cut(piece: Piece, i: int, name: object) -> list[Piece]:
    """The parts of ``piece`` with z_i <= 0 and z_i >= 0; itself if z_i has one sign on it."""
    below = [vertex for vertex in piece if vertex.values[-1][i] < 0]
    above = [vertex for vertex in piece if vertex.values[-1][i] > 0]
    if not below or not above:
        return [piece]
    border = [
        Vertex(vertex.values, vertex.tight | {name})
        for vertex in piece
        if vertex.values[-1][i] == 0
    ]
    border += [
        _between(p, q, i, name) for p, q in product(below, above) if _neighbours(p, q, piece)
    ]
    return [below + border, above + border]


def _neighbours(p: Vertex, q: Vertex, piece: Piece) -> bool:
    shared = p.tight & q.tight
    return not any(shared <= r.tight for r in piece if r is not p and r is not q)


def _between(p: Vertex, q: Vertex, i: int, name: object) -> Vertex:
    """The point of the edge from p to q where z_i = 0."""
    start, end = p.values[-1][i], q.values[-1][i]
    share = start / (start - end)
    values = tuple(
        tuple(a + share * (b - a) for a, b in zip(x, y, strict=True))
        for x, y in zip(p.values, q.values, strict=True)
    )
    return Vertex(values, (p.tight & q.tight) | {name})


def encloses(lower: float, upper: float, exact: tuple[Fraction, Fraction]) -> bool:
    """Whether [lower, upper] contains the exact range, no tolerance; infinite ends claim nothing.

    NaN contains nothing, and neither does an infinity of the wrong sign.
    """
    # Python compares a Fraction with an infinite float correctly, and with NaN as False.
    below = Fraction(lower) if np.isfinite(lower) else lower
    above = Fraction(upper) if np.isfinite(upper) else upper
    return below <= exact[0] and exact[1] <= above
