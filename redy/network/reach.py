"""Which units the outputs read, directly or through others, and which outputs read the input."""

from __future__ import annotations

import numpy as np

from redy.network.form import Network


def unread_units(network: Network, passes: np.ndarray) -> list[np.ndarray]:
    """Per hidden layer, the units that reach no output: (slices, units) bool each.

    Whatever they compute, the outputs are the same over the reals.

    Args:
        network: the network.
        passes: (slices, neurons) bool; whether the neuron's activation depends on its
            pre-activation z. Linear units do.
    """
    slices = len(passes)
    read = [np.zeros((slices, network.width(k)), dtype=bool) for k in range(network.depth + 1)]
    passing = np.ones((slices, network.outputs), dtype=bool)
    stop = passes.shape[1]
    for k in range(network.depth + 1, 0, -1):
        layer = network.layers[k - 1]
        if k <= network.depth:
            count = int(layer.relu.sum())
            passing = read[k].copy()
            passing[:, layer.relu] &= passes[:, stop - count : stop]
            stop -= count
        for j, entries in network.entries[k - 1].items():
            read[j] |= (passing.astype(np.float32) @ entries) > 0
    return [~of_layer for of_layer in read[1:]]


def unread(network: Network, passes: np.ndarray) -> np.ndarray:
    """Which neurons reach no output: (slices, neurons) bool; see :func:`unread_units`."""
    parts = [
        units[:, layer.relu]
        for units, layer in zip(unread_units(network, passes), network.layers[:-1], strict=True)
    ]
    return np.concatenate([np.zeros((len(passes), 0), dtype=bool), *parts], axis=1)


def varying_outputs(network: Network, passes: np.ndarray) -> np.ndarray:
    """Which outputs may depend on the input: (outputs,) bool; the others are constants.

    Args:
        network: the network.
        passes: (neurons,) bool; whether the neuron's activation depends on its pre-activation z.
            Linear units do.
    """
    varies = [np.ones(network.inputs, dtype=np.float32)]
    stop = 0
    for layer, entries in zip(network.layers, network.entries, strict=True):
        reads = np.zeros(layer.units, dtype=bool)
        for j, matrix in entries.items():
            reads |= (matrix @ varies[j]) > 0
        start, stop = stop, stop + int(layer.relu.sum())
        reads[layer.relu] &= passes[start:stop]
        varies.append(reads.astype(np.float32))
    return varies[-1] > 0
