"""Programs that list the units that are left of a network, and read the network's own weights.

Where many neurons are left, a folded program has as many weights as what is left of the network,
which no two slices share: hundreds of MiB for many slices, and every input waits for its own to
come from memory. A list of units takes a fortieth of that. It costs the products of units that are
linear, which folding spares.
"""

from __future__ import annotations

import numpy as np

from redy.dispatch import folding, kernels
from redy.network.form import Network, dense

_WORTH = 1.5
"""So many times the products of a folded program a list may cost."""


class Lister:
    """Makes lists of one network's units.

    Args:
        network: what is edited.
        dtype: of the weights.

    Attributes:
        layers: per layer, where its weights begin in ``weights``, and its units: (layers, 2) int64.
            Empty if there can be no lists: a layer reads another than the one before, or weights
            are too large for ``dtype``.
        weights: per layer the biases, and per unit of the layer before the weights of all its
            units.
    """

    def __init__(self, network: Network, dtype: np.dtype) -> None:
        self._starts = np.cumsum([0, network.inputs, *(layer.units for layer in network.layers)])
        self.layers, self.weights = np.zeros((0, 2), dtype=np.int64), np.zeros(0, dtype)
        if any(set(layer.weights) != {k} for k, layer in enumerate(network.layers)):
            return
        rows = [
            np.concatenate([layer.bias, dense(layer.weights[k]).T.ravel()])
            for k, layer in enumerate(network.layers)
        ]
        with np.errstate(over="ignore"):
            weights = np.concatenate(rows).astype(dtype)
        if np.isfinite(weights).all():
            begins = np.cumsum([0, *(len(row) for row in rows[:-1])])
            units = [layer.units for layer in network.layers]
            self.layers = np.column_stack([begins, units])
            self.weights = weights

    def __call__(self, code: np.ndarray, lines: np.ndarray) -> np.ndarray | None:
        """The program of one slice; None if no neuron is left, or some are replaced by lines.

        Behind MISSING, per layer, inputs first: how many units are left, how many of them are
        ReLUs, and which, ReLUs first.

        Args:
            code: (total units,) as :func:`redy.dispatch.folding.fold` takes it.
            lines: (total units, 2).
        """
        plain = np.where(code == folding.LINE, lines[:, 0] == 1.0, True) & (lines[:, 1] == 0.0)
        relu = code == folding.RELU
        if not len(self.layers) or not relu.any() or not plain[~relu].all():
            return None
        parts: list[np.ndarray] = [np.array([kernels.MISSING])]
        for low, high in zip(self._starts[:-1], self._starts[1:], strict=True):
            first = np.flatnonzero(relu[low:high])
            line = np.flatnonzero(code[low:high] == folding.LINE)
            parts += [np.array([first.size + line.size, first.size]), first, line]
        return np.concatenate(parts)

    def pays(self, code: np.ndarray, macs: int | None = None) -> bool:
        """Whether a list is worth it, of a slice whose folded program has so many products.

        If that is not known, whether it is at least: every neuron left reads those of the layer
        before.
        """
        layer = np.searchsorted(self._starts, np.arange(code.size), side="right") - 1
        left = np.bincount(layer, code != folding.NOTHING)
        if macs is None:
            is_end = (layer == 0) | (layer == layer[-1])
            relu = np.bincount(layer, (code == folding.RELU) | is_end)
            macs = int((relu[:-1] * relu[1:]).sum())
        return bool((left[:-1] * left[1:]).sum() < _WORTH * macs)
