"""Folding: linear neurons are substituted into whatever reads them, nothing is approximated.

After edits, layer k has neurons that stay ReLU and r linear units. The linear units of a layer can
be *folded* (their consumers read the layer's own sources instead: skip connections, cost in * out)
or *kept* as linear units (cost r * (in + out)). Merging them by rank (Serra, Kumar, Ramalingam,
"Lossless compression of deep neural networks", CPAIOR 2020) has nothing to add to these two: the
map from sources to consumers through r linear units has rank min(in, r, out) unless the weights
are degenerate, and that is what folding (in, out) and keeping (r) cost.

Constants go into the biases of what reads them, and units that no output reads are left out.

:func:`plan_many` chooses per layer; :func:`materialise` carries the choice out in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy import sparse

from redy.edits import Edit, Replacements
from redy.errors import UnsupportedError
from redy.network.form import Layer, Matrix, Network, dense
from redy.network.reach import unread_units
from redy.network.split import hands_on

_LARGEST_DENSE = 2**20

_EXHAUSTIVE_DEPTH = 8
"""Up to this many hidden layers every combination of fold and keep is priced."""


def layer_edits(network: Network, codes: np.ndarray) -> list[np.ndarray]:
    """``codes`` (..., neurons) spread over the units of each hidden layer: (..., units) each.

    Linear units count as IDENTITY.
    """
    spread, start = [], 0
    for layer in network.layers[:-1]:
        units = np.full((*codes.shape[:-1], layer.units), Edit.IDENTITY, dtype=np.uint8)
        count = int(layer.relu.sum())
        units[..., layer.relu] = codes[..., start : start + count]
        start += count
        spread.append(units)
    return spread


def read_edits(network: Network, shapes: np.ndarray) -> list[np.ndarray]:
    """:func:`layer_edits` of ``shapes`` (slices, neurons), ZERO also for what no output reads."""
    return [
        np.where(loose, np.uint8(Edit.ZERO), units)
        for units, loose in zip(
            layer_edits(network, shapes),
            unread_units(network, shapes != Edit.ZERO),
            strict=True,
        )
    ]


def unit_counts(network: Network, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per row of ``shapes`` (slices, neurons): (slices, depth) ReLU neurons and linear units left.

    Each row is a :attr:`Replacements.shape <redy.edits.Replacements.shape>`: ZERO where nothing is
    passed on.
    """
    kept = np.zeros((len(shapes), network.depth), dtype=np.int64)
    linear = np.zeros_like(kept)
    for k, codes in enumerate(read_edits(network, shapes)):
        kept[:, k] = (codes == Edit.KEEP).sum(axis=1)
        linear[:, k] = ((codes == Edit.IDENTITY) | (codes == Edit.AFFINE)).sum(axis=1)
    return kept, linear


def plan_many(
    network: Network, shapes: np.ndarray, skips_input: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Plans for many slices at once.

    Args:
        network: the network.
        shapes: (slices, neurons), as in :func:`unit_counts`.
        skips_input: (slices,) bool, the slice has a correction by which outputs read the input;
            None for no such slice.

    Returns:
        (slices, depth) bool, folded or not, and (slices,) multiply-accumulates.
    """
    skips = np.zeros(len(shapes), dtype=bool) if skips_input is None else skips_input
    kept, linear = unit_counts(network, shapes)
    best_macs = np.full(len(kept), np.iinfo(np.int64).max)
    best = np.zeros(kept.shape, dtype=bool)
    for folded in _candidates(network):
        macs = _macs(network, kept, linear, np.array(folded, dtype=bool), skips)
        better = macs < best_macs
        best_macs[better] = macs[better]
        best[better] = folded
    return best, best_macs


def plan(network: Network, edits: Replacements) -> tuple[np.ndarray, int]:
    """:func:`plan_many` of one slice: (depth,) bool, and the multiply-accumulates."""
    folded, macs = plan_many(network, edits.shape[None], np.array([edits.skips_input]))
    return folded[0], int(macs[0])


def _candidates(network: Network) -> list[tuple[bool, ...]]:
    """Where linear units may be folded: not inputs handed on, which cost nothing to keep."""
    depth = network.depth
    if depth <= _EXHAUSTIVE_DEPTH:
        found = list(product((True, False), repeat=depth))
    else:
        found = [tuple(k < cut for k in range(depth)) for cut in range(depth + 1)]
        found += [tuple(k >= cut for k in range(depth)) for cut in range(1, depth)]
    if hands_on(network):
        found = list(dict.fromkeys((False, *plan[1:]) for plan in found))
    return found


def _macs(
    network: Network,
    kept: np.ndarray,
    linear: np.ndarray,
    folded: np.ndarray,
    skips: np.ndarray,
) -> np.ndarray:
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
        if k > network.depth:
            sources[0] |= skips
        reads.append(sources)
        if k == 1 and hands_on(network):
            continue
        units = widths[k] if k <= network.depth else np.full(slices, network.outputs)
        fan_in = sum((sources[s] * widths[s] for s in range(k)), start=np.zeros(slices, int))
        total += units * fan_in
    return total


def require_cheap(network: Network, edits: Replacements, folded: np.ndarray) -> None:
    """Raise ValueError if ``folded`` (depth,) makes evaluation dearer than to fold nothing does.

    :func:`plan` never does; a file may, and ask for skips of any size.
    """
    kept, linear = unit_counts(network, edits.shape[None])
    skips = np.array([edits.skips_input])
    costs = [
        int(_macs(network, kept, linear, choice, skips)[0])
        for choice in (np.zeros(network.depth, dtype=bool), folded)
    ]
    if costs[1] > costs[0]:
        raise ValueError("its linear units are folded where that costs more")


@dataclass
class _Affine:
    """Rows sum_s terms[s] @ h'_s + constant over the sources of the network being built."""

    terms: dict[int, Any]
    constant: np.ndarray

    def rows(self, which: np.ndarray) -> _Affine:
        return _Affine({s: m[which] for s, m in self.terms.items()}, self.constant[which])

    def along(self, lines: np.ndarray) -> _Affine:
        """Row i as a z_i + b, with ``lines`` (rows, 2) the slopes and intercepts."""
        slope, intercept = lines.T
        terms = {s: slope[:, None] * m for s, m in self.terms.items()}
        return _Affine(terms, slope * self.constant + intercept)


def materialise(
    network: Network, edits: Replacements, folded: Sequence[bool] | np.ndarray
) -> Network:
    """The network after ``edits``, the linear units of each layer folded or kept.

    Over the reals it equals the edited network; its weights are computed in float64. Layers keep
    their numbers; a layer of which nothing is left has no units.
    """
    every = np.arange(network.inputs)
    posts = [_Affine({0: _picking(every, network.inputs)}, np.zeros(network.inputs))]
    layers: list[Layer] = []
    codes = [of_layer[0] for of_layer in read_edits(network, edits.shape[None])]
    for k, (layer, code, line) in enumerate(
        zip(network.layers[:-1], codes, unit_lines(network, edits), strict=True), start=1
    ):
        relu = code == Edit.KEEP
        present = code != Edit.ZERO
        units = relu | (present & (not folded[k - 1]))
        pre = _compose(layer, posts, present).along(line[present])
        selected = pre.rows(units[present])
        terms = _trim(selected.terms)
        if k == 1 and hands_on(network):
            terms = {s: sparse.csr_array(m) for s, m in terms.items()}
        layers.append(Layer(terms, selected.constant, relu[units]))
        posts.append(_post(pre, k, present, units, line[:, 1]))
    output = _compose(network.layers[-1], posts, np.ones(network.outputs, dtype=bool))
    output = _corrected(output, edits)
    layers.append(Layer(_trim(output.terms), output.constant, np.zeros(network.outputs, bool)))
    return Network(network.inputs, tuple(layers))


def unit_lines(network: Network, edits: Replacements) -> list[np.ndarray]:
    """Per hidden layer, (units, 2): slope and intercept, (1, 0) where no line is."""
    spread, start = [], 0
    for layer in network.layers[:-1]:
        lines = np.tile([1.0, 0.0], (layer.units, 1))
        count = int(layer.relu.sum())
        here = slice(start, start + count)
        affine = edits.codes[here] == Edit.AFFINE
        lines[np.flatnonzero(layer.relu)[affine]] = edits.lines[here][affine]
        start += count
        spread.append(lines)
    return spread


def _corrected(output: _Affine, edits: Replacements) -> _Affine:
    if edits.correction is None:
        return output
    terms = dict(output.terms)
    if edits.skips_input:
        terms[0] = terms.get(0, 0.0) + edits.correction[:, :-1]
    return _Affine(terms, output.constant + edits.correction[:, -1])


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


def _post(
    pre: _Affine, k: int, present: np.ndarray, built: np.ndarray, constants: np.ndarray
) -> _Affine:
    """Layer k's outputs: built units read themselves, folded ones what they compute.

    ``constants`` (units,) is what units that are not present compute.
    """
    folded = present & ~built
    of_present = folded[present]
    constant = np.where(present, 0.0, constants)
    constant[folded] = pre.constant[of_present]
    terms = {}
    if folded.any():
        for s, inner in pre.terms.items():
            terms[s] = np.zeros((present.size, inner.shape[1]))
            terms[s][folded] = inner[of_present]
    if built.any():
        terms[k] = _picking(np.flatnonzero(built), present.size)
    return _Affine(terms, constant)


def _picking(units: np.ndarray, size: int) -> Matrix:
    """The 0-1 matrix (size, m) that gives ``units`` (m,) the values of m sources; others get 0.

    Dense where it is small, which is faster. The product with it is the same to the last bit.
    """
    if size * units.size > _LARGEST_DENSE:
        ones = np.ones(units.size), (units, np.arange(units.size))
        return sparse.csr_array(ones, shape=(size, units.size))
    dense_form = np.zeros((size, units.size))
    dense_form[units, np.arange(units.size)] = 1.0
    return dense_form


def _rows(matrix: Matrix, rows: np.ndarray) -> np.ndarray:
    selected: Matrix = matrix[rows]
    return dense(selected)


def _trim(terms: dict[int, np.ndarray]) -> dict[int, Matrix]:
    """Without blocks that have no entries."""
    return {s: m for s, m in terms.items() if m.size}


def chain(network: Network, edits: Replacements) -> Network:
    """The network after ``edits`` as a plain chain: neurons that are zero are left out, no more.

    A neuron proved active keeps its ReLU, which changes nothing on its slice. A layer of which
    nothing is left keeps one unit that is constantly zero.

    Raises:
        UnsupportedError: the network itself is no plain chain of ReLU layers, or the edits have
            lines or a correction.
    """
    if not is_chain(network):
        raise UnsupportedError("the network has skip connections or linear units: it is no chain")
    if (edits.codes == Edit.AFFINE).any() or edits.correction is not None:
        raise UnsupportedError(
            "the simplified network has neurons replaced by lines, or outputs that read the "
            "input: it is no chain of ReLU layers"
        )
    layers, inner = [], np.ones(network.inputs, dtype=bool)
    codes = [*layer_edits(network, edits.codes), np.zeros(network.outputs, dtype=np.uint8)]
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
