"""Cutting a network f in two at a hidden layer, f = g after p, and joining both again.

The prefix p computes the pre-activations z_k of layer k, the suffix g all that follows from them:

    p(x) = z_k,    g(z) = what f makes of act(z),    f = g(p(x)).

Layer 1 of the suffix hands z_k on to the activation of layer k: its matrix is the identity, held as
a sparse one, whose entries cost nothing (:func:`hands_on`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from redy.errors import UsageError
from redy.network.form import Layer, Matrix, Network


@dataclass(frozen=True, eq=False)
class Split:
    """A network cut at hidden layer ``layer``.

    Attributes:
        layer: k, from 1.
        prefix: inputs -> z_k; its output layer is layer k without the activation.
        suffix: z_k -> outputs.
    """

    layer: int
    prefix: Network
    suffix: Network


def split(network: Network, k: int) -> Split:
    """``network`` cut at layer ``k``; nothing is computed, both have the network's own weights.

    Raises:
        UsageError: there is no hidden layer k, it has no ReLU, or a later layer reads past it.
    """
    if not 1 <= k <= network.depth:
        raise UsageError(f"--layer {k}: the network's hidden layers are 1 to {network.depth}")
    cut = network.layers[k - 1]
    if not cut.relu.any():
        raise UsageError(f"--layer {k}: that layer has no ReLU; there is nothing to cut on")
    past = _reads_past(network, k)
    if past is not None:
        later, earlier = past
        raise UsageError(
            f"--layer {k}: layer {later} reads layer {earlier} past it, so that what follows is no "
            f"function of layer {k} alone; give one of {_or(possible_layers(network))}"
        )
    identity: Matrix = sparse.eye_array(cut.units, format="csr")
    prefix = (*network.layers[: k - 1], Layer(cut.weights, cut.bias, np.zeros(cut.units, bool)))
    suffix = [Layer({0: identity}, np.zeros(cut.units), cut.relu)]
    for layer in network.layers[k:]:
        weights = {j - k + 1: matrix for j, matrix in layer.weights.items()}
        suffix.append(Layer(weights, layer.bias, layer.relu))
    return Split(k, Network(network.inputs, prefix), Network(cut.units, tuple(suffix)))


def possible_layers(network: Network) -> list[int]:
    """The hidden layers at which the network can be cut."""
    return [
        k
        for k in range(1, network.depth + 1)
        if network.layers[k - 1].relu.any() and _reads_past(network, k) is None
    ]


def _reads_past(network: Network, k: int) -> tuple[int, int] | None:
    """The first layer after ``k`` that reads one before it, and that one; None if none does."""
    for later, layer in enumerate(network.layers[k:], start=k + 1):
        for j in layer.weights:
            if j < k:
                return later, j
    return None


def _or(layers: list[int]) -> str:
    return ", ".join(map(str, layers)) or "none: every hidden layer is read past"


def hands_on(network: Network) -> bool:
    """Whether hidden layer 1 only hands inputs on: each of its units is one of them, or zero."""
    first = network.layers[0]
    if not network.depth or isinstance(first.weights.get(0), np.ndarray):
        return False
    return _selection(first) is not None


def _selection(layer: Layer) -> sparse.csr_array | None:
    """What hands inputs on to ``layer``, if it does nothing else: at most one 1 in a row."""
    if list(layer.weights) != [0] or layer.bias.any():
        return None
    matrix = sparse.csr_array(layer.weights[0])
    alone = (np.diff(matrix.indptr) <= 1).all() and (matrix.data == 1.0).all()
    return matrix if alone else None


def join(prefix: Network, suffix: Network) -> Network:
    """The network x -> suffix(prefix(x)), with no weight but theirs.

    Where the suffix reads its inputs through a first layer that hands some of them on, these are
    all of z_k that the joined network computes; else it computes z_k as linear units.
    """
    k = len(prefix.layers)
    last = prefix.layers[-1]
    first, *rest = suffix.layers
    chosen = _selection(first) if rest else None
    if chosen is not None and all(0 not in layer.weights for layer in rest):
        weights = {j: _rows(matrix, chosen) for j, matrix in last.weights.items()}
        joint = Layer(weights, chosen @ last.bias, first.relu)
        rest, shift = list(rest), k - 1
    else:
        joint, rest, shift = last, [first, *rest], k
    moved = []
    for layer in rest:
        sources = {j + shift: matrix for j, matrix in layer.weights.items()}
        moved.append(Layer(sources, layer.bias, layer.relu))
    return Network(prefix.inputs, (*prefix.layers[:-1], joint, *moved))


def _rows(matrix: Matrix, chosen: sparse.csr_array) -> Matrix:
    """The rows of ``matrix`` that the 0-1 matrix ``chosen`` names; products with them are exact."""
    product: Matrix = chosen @ matrix
    return product
