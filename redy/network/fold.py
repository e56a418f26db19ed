"""Folding: linear neurons are substituted into whatever reads them, nothing is approximated.

After edits, layer k has neurons that stay ReLU and r linear units. The linear units of a layer can
be *folded* (their consumers read the layer's own sources instead: skip connections, cost in * out)
or *kept* as linear units (cost r * (in + out)). Merging them by rank (Serra, Kumar, Ramalingam,
"Lossless compression of deep neural networks", CPAIOR 2020) has nothing to add to these two: the
map from sources to consumers through r linear units has rank min(in, r, out) unless the weights
are degenerate, and that is what folding (in, out) and keeping (r) cost.

:func:`plan_many` chooses per layer; :func:`materialise` carries the choice out in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from redy.edits import Edit
from redy.errors import UnsupportedError
from redy.network.form import Layer, Matrix, Network, dense

_EXHAUSTIVE_DEPTH = 8
"""Up to this many hidden layers every combination of fold and keep is priced."""


def layer_edits(network: Network, edits: np.ndarray) -> list[np.ndarray]:
    """``edits`` (neurons,) spread over the hidden layers' units; linear units count as IDENTITY."""
    spread, start = [], 0
    for layer in network.layers[:-1]:
        units = np.full(layer.units, Edit.IDENTITY, dtype=np.uint8)
        count = int(layer.relu.sum())
        units[layer.relu] = edits[start : start + count]
        start += count
        spread.append(units)
    return spread


def unit_counts(network: Network, edits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per row of ``edits`` (slices, neurons): (slices, depth) neurons that stay, linear units."""
    kept = np.zeros((len(edits), network.depth), dtype=np.int64)
    linear = np.zeros_like(kept)
    start = 0
    for k, layer in enumerate(network.layers[:-1]):
        count = int(layer.relu.sum())
        codes = edits[:, start : start + count]
        start += count
        kept[:, k] = (codes == Edit.KEEP).sum(axis=1)
        linear[:, k] = (codes == Edit.IDENTITY).sum(axis=1) + layer.units - count
    return kept, linear


def plan_many(network: Network, edits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Plans for many slices at once.

    Args:
        network: the network.
        edits: (slices, neurons).

    Returns:
        (slices, depth) bool, folded or not, and (slices,) multiply-accumulates.
    """
    kept, linear = unit_counts(network, edits)
    best_macs = np.full(len(kept), np.iinfo(np.int64).max)
    best = np.zeros(kept.shape, dtype=bool)
    for folded in _candidates(network.depth):
        macs = _macs(network, kept, linear, np.array(folded, dtype=bool))
        better = macs < best_macs
        best_macs[better] = macs[better]
        best[better] = folded
    return best, best_macs


def _candidates(depth: int) -> list[tuple[bool, ...]]:
    if depth <= _EXHAUSTIVE_DEPTH:
        return list(product((True, False), repeat=depth))
    first = [tuple(k < cut for k in range(depth)) for cut in range(depth + 1)]
    return first + [tuple(k >= cut for k in range(depth)) for cut in range(1, depth)]


def _macs(network: Network, kept: np.ndarray, linear: np.ndarray, folded: np.ndarray) -> np.ndarray:
    """(slices,) multiply-accumulates under one choice of ``folded`` (depth,)."""
    slices = len(kept)
    widths = [np.full(slices, network.inputs)]
    widths += [kept[:, k] + (0 if folded[k] else linear[:, k]) for k in range(network.depth)]
    # reads[k][s]: whether the materialised layer k reads source s, per slice.
    reads: list[np.ndarray] = []
    total = np.zeros(slices, dtype=np.int64)
    for k, layer in enumerate(network.layers, start=1):
        sources = np.zeros((k, slices), dtype=bool)
        for j in layer.weights:
            sources[j] |= widths[j] > 0
            if j > 0 and folded[j - 1]:
                sources[:j] |= reads[j - 1] & (linear[:, j - 1] > 0)
        reads.append(sources)
        units = widths[k] if k <= network.depth else np.full(slices, network.outputs)
        fan_in = sum((sources[s] * widths[s] for s in range(k)), start=np.zeros(slices, int))
        total += units * fan_in
    return total


@dataclass
class _Affine:
    """Rows sum_s terms[s] @ h'_s + constant over the sources of the network being built."""

    terms: dict[int, np.ndarray]
    constant: np.ndarray

    def rows(self, which: np.ndarray) -> _Affine:
        return _Affine({s: m[which] for s, m in self.terms.items()}, self.constant[which])


def materialise(
    network: Network, edits: np.ndarray, folded: Sequence[bool] | np.ndarray
) -> Network:
    """The network after ``edits`` (neurons,), the linear units of each layer folded or kept.

    Over the reals it equals the edited network; its weights are computed in float64. Layers keep
    their numbers; a layer of which nothing is left has no units.
    """
    posts = [_Affine({0: np.eye(network.inputs)}, np.zeros(network.inputs))]
    layers: list[Layer] = []
    widths = [network.inputs]
    for k, (layer, codes) in enumerate(
        zip(network.layers[:-1], layer_edits(network, edits), strict=True), start=1
    ):
        relu = codes == Edit.KEEP
        linear = codes == Edit.IDENTITY
        units = relu | (linear & (not folded[k - 1]))
        pre = _compose(layer, posts, relu | linear)
        selected = pre.rows(units[relu | linear])
        layers.append(Layer(_trim(selected.terms), selected.constant, relu[units]))
        widths.append(int(units.sum()))
        posts.append(_post(pre, k, layer.units, relu | linear, units))
    output = _compose(network.layers[-1], posts, np.ones(network.outputs, dtype=bool))
    layers.append(Layer(_trim(output.terms), output.constant, np.zeros(network.outputs, bool)))
    return Network(network.inputs, tuple(layers))


def _compose(layer: Layer, posts: list[_Affine], rows: np.ndarray) -> _Affine:
    """The pre-activations of ``rows`` of ``layer`` over the new sources."""
    constant = layer.bias[rows].copy()
    terms: dict[int, np.ndarray] = {}
    for j, matrix in layer.weights.items():
        weights = _rows(matrix, rows)
        constant += weights @ posts[j].constant
        for s, inner in posts[j].terms.items():
            terms[s] = terms.get(s, 0.0) + weights @ inner
    return _Affine(terms, constant)


def _post(pre: _Affine, k: int, units: int, present: np.ndarray, built: np.ndarray) -> _Affine:
    """Layer k's outputs: built units read themselves, folded ones their pre-activation."""
    folded = present & ~built
    of_present = folded[present]
    constant = np.zeros(units)
    constant[folded] = pre.constant[of_present]
    terms = {}
    if folded.any():
        for s, inner in pre.terms.items():
            terms[s] = np.zeros((units, inner.shape[1]))
            terms[s][folded] = inner[of_present]
    if built.any():
        terms[k] = np.zeros((units, int(built.sum())))
        terms[k][np.flatnonzero(built), np.arange(int(built.sum()))] = 1.0
    return _Affine(terms, constant)


def _rows(matrix: Matrix, rows: np.ndarray) -> np.ndarray:
    selected: Matrix = matrix[rows]
    return dense(selected)


def _trim(terms: dict[int, np.ndarray]) -> dict[int, Matrix]:
    """Without blocks that have no entries."""
    return {s: m for s, m in terms.items() if m.size}


def chain(network: Network, edits: np.ndarray) -> Network:
    """The network after ``edits`` as a plain chain: neurons that are zero are left out, no more.

    A neuron proved active keeps its ReLU, which changes nothing on its slice. A layer of which
    nothing is left keeps one unit that is constantly zero.

    Raises:
        UnsupportedError: the network itself is no plain chain of ReLU layers.
    """
    if not is_chain(network):
        raise UnsupportedError("the network has skip connections or linear units: it is no chain")
    layers, inner = [], np.ones(network.inputs, dtype=bool)
    codes = [*layer_edits(network, edits), np.zeros(network.outputs, dtype=np.uint8)]
    for k, (layer, code) in enumerate(zip(network.layers, codes, strict=True), start=1):
        stays = code != Edit.ZERO
        weights, bias = _rows(layer.weights[k - 1], stays)[:, inner], layer.bias[stays]
        if not stays.any():
            stays = np.arange(layer.units) == 0
            weights, bias = np.zeros((1, int(inner.sum()))), np.zeros(1)
        layers.append(Layer({k - 1: weights}, bias, np.full(bias.size, k <= network.depth)))
        inner = stays
    return Network(network.inputs, tuple(layers))


def is_chain(network: Network) -> bool:
    """Whether every layer reads exactly the one before it and every hidden unit is a ReLU."""
    return all(
        list(layer.weights) == [k - 1] and (layer.relu.all() or k > network.depth)
        for k, layer in enumerate(network.layers, start=1)
    )


def unread(network: Network, edits: np.ndarray) -> np.ndarray:
    """Which neurons reach no output once ``edits`` (slices, neurons) are made: same shape, bool.

    Whatever they compute, the output is the same over the reals: they are forward redundant with
    nothing left to prove.
    """
    slices = len(edits)
    reads = [np.zeros((slices, network.width(k)), dtype=bool) for k in range(network.depth + 1)]
    stop = edits.shape[1]
    parts: list[np.ndarray] = []
    for k in range(network.depth + 1, 0, -1):
        layer = network.layers[k - 1]
        present = np.ones((slices, layer.units), dtype=bool)
        if k <= network.depth:
            count = int(layer.relu.sum())
            parts.append(~reads[k][:, layer.relu])
            present = reads[k].copy()
            present[:, layer.relu] &= edits[:, stop - count : stop] != Edit.ZERO
            stop -= count
        for j, matrix in layer.weights.items():
            reads[j] |= (present.astype(np.float32) @ (matrix != 0).astype(np.float32)) > 0
    return np.concatenate([np.zeros((slices, 0), dtype=bool), *reversed(parts)], axis=1)
