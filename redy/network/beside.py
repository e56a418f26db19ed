"""A network and what edits make of it, side by side as one network, and how their outputs differ.

What the edits change nothing of is there once. The last layer holds, for all pairs c < j of
outputs, f_j - f_c of the original and then f'_j - f'_c of the edited network: which output wins is
a question of their signs. Their weights of -1 and 1 bring no rounding in.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from redy.edits import Criterion, Edit, Edits
from redy.errors import UnsupportedError
from redy.network.fold import layer_edits
from redy.network.form import Layer, Network, dense


@dataclass(frozen=True, eq=False)
class Beside:
    """Two networks as one.

    Attributes:
        network: as the module says.
        original: (total units of the original,) where its units are, inputs first.
        removed: (r,) the units of the original, as numbered in ``network``, whose edits do not
            follow from their phase on the slice.
        active: (r,) bool, the phase in which each edit changes nothing: active for the identity,
            inactive for zero.
        neurons: (r,) the same as rows of ``network.neurons`` of the original.
        outputs: (2, outputs) the units that are the outputs of the original and the edited network.
        pairs: (p, 2) the pairs (c, j) of outputs.
    """

    network: Network
    original: np.ndarray
    removed: np.ndarray
    active: np.ndarray
    neurons: np.ndarray
    outputs: np.ndarray
    pairs: np.ndarray


@dataclass
class _Copies:
    """Which units of one layer the edited network has a copy of.

    Attributes:
        changed: (units,) bool, what the unit passes on is another in the edited network.
        column: (units,) where its copy is in the layer, -1 for none: unchanged, or zero.
        count: number of copies.
    """

    changed: np.ndarray
    column: np.ndarray
    count: int

    @classmethod
    def of(cls, changed: np.ndarray, zero: np.ndarray) -> _Copies:
        """Changed units have copies, except those that became zero."""
        present = changed & ~zero
        column = np.where(present, changed.size + np.cumsum(present) - 1, -1)
        return cls(changed, column, int(present.sum()))


def beside(network: Network, edits: Edits) -> Beside:
    """``network`` and, beside it, what ``edits`` make of it.

    Edits by phase change nothing where the original has that phase, as it must on the slice; or
    they are zeros of what no output reads, which change no output.

    Raises:
        UnsupportedError: lines other than zero and the identity, or a correction.
    """
    if edits.correction is not None or (edits.codes == Edit.AFFINE).any():
        raise UnsupportedError("only edits to zero and the identity have a network beside them")
    searched = (edits.codes != Edit.KEEP) & (edits.criteria != Criterion.PHASE)
    codes = layer_edits(network, edits.codes)
    chosen = layer_edits(network, np.where(searched, edits.codes, np.uint8(Edit.KEEP)))
    nothing = np.zeros(network.inputs, dtype=bool)
    copies = [_Copies.of(nothing, nothing)]
    layers: list[Layer] = []
    original, removed, active = [np.arange(network.inputs)], [], []
    start = network.inputs
    for layer, code, own in zip(network.layers[:-1], codes, chosen, strict=True):
        edited = layer.relu & (own != Edit.KEEP)
        changed = edited | _reads_changed(layer, copies)
        here = _Copies.of(changed, layer.relu & (code == Edit.ZERO))
        layers.append(_doubled(layer, copies, here, layer.relu & (code == Edit.KEEP)))
        removed.append(start + np.flatnonzero(edited))
        active.append(code[edited] == Edit.IDENTITY)
        original.append(start + np.arange(layer.units))
        start += layers[-1].units
        copies.append(here)
    last = network.layers[-1]
    outputs = _Copies.of(_reads_changed(last, copies), np.zeros(last.units, dtype=bool))
    layers.append(_doubled(last, copies, outputs, last.relu))
    own_places = np.arange(last.units)
    places = np.stack([own_places, np.where(outputs.changed, outputs.column, own_places)])
    pairs = np.array(list(combinations(range(network.outputs), 2)), dtype=np.int64).reshape(-1, 2)
    layers.append(_differences(len(layers), layers[-1].units, places, pairs))
    return Beside(
        network=Network(network.inputs, tuple(layers)),
        original=np.concatenate([*original, start + own_places]),
        removed=np.concatenate([np.zeros(0, dtype=np.int64), *removed]),
        active=np.concatenate([np.zeros(0, dtype=bool), *active]),
        neurons=np.flatnonzero(searched),
        outputs=start + places,
        pairs=pairs,
    )


def _doubled(layer: Layer, sources: list[_Copies], here: _Copies, relu: np.ndarray) -> Layer:
    """``layer`` and its copies; ``relu`` (units,) says which of these are ReLUs still."""
    rows = here.column >= 0
    weights = {}
    for j, matrix in layer.weights.items():
        whole = dense(matrix)
        own = np.pad(whole, ((0, 0), (0, sources[j].count)))
        weights[j] = np.concatenate([own, _moved(whole[rows], sources[j])])
    return Layer(
        weights,
        np.concatenate([layer.bias, layer.bias[rows]]),
        np.concatenate([layer.relu, relu[rows]]),
    )


def _reads_changed(layer: Layer, copies: list[_Copies]) -> np.ndarray:
    changed = np.zeros(layer.units, dtype=bool)
    for j, matrix in layer.weights.items():
        changed |= (dense(matrix)[:, copies[j].changed] != 0.0).any(axis=1)
    return changed


def _moved(rows: np.ndarray, source: _Copies) -> np.ndarray:
    """Weights ``rows`` (m, units) of copies: what changed is read from its copy, if it has one."""
    moved = np.zeros((len(rows), source.changed.size + source.count))
    same = np.flatnonzero(~source.changed)
    moved[:, same] = rows[:, same]
    present = source.column >= 0
    moved[:, source.column[present]] = rows[:, present]
    return moved


def _differences(last: int, units: int, places: np.ndarray, pairs: np.ndarray) -> Layer:
    """The layer of differences, of outputs at ``places`` (2, outputs) among ``units``."""
    rows = np.zeros((2, len(pairs), units))
    for side, of_side in enumerate(places):
        for p, (c, j) in enumerate(pairs):
            rows[side, p, of_side[[c, j]]] = -1.0, 1.0
    zeros = np.zeros(2 * len(pairs))
    return Layer({last: rows.reshape(-1, units)}, zeros, zeros.astype(bool))
