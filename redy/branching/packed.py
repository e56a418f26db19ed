"""A network as flat arrays, the form that compiled kernels read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from redy.network.form import Network, dense
from redy.tolerances import gamma


class Packed(NamedTuple):
    """A network for compiled code; units of all layers are numbered through, inputs first.

    Attributes:
        start: (K + 3,) first unit of layer k, layer 0 the inputs; the last entry is the total.
        relu: (total,) bool, unit is a ReLU neuron.
        bias: (total,), zero for inputs.
        first_block: (K + 3,) first weight block of layer k.
        source: (blocks,) the layer that a block reads.
        offset: (blocks,) where the block's (units, source units) row-major weights begin.
        weights: all blocks, one after the other.
        gamma: bound on the relative rounding error of any sum over one unit's fan-in, in any order.
    """

    start: np.ndarray
    relu: np.ndarray
    bias: np.ndarray
    first_block: np.ndarray
    source: np.ndarray
    offset: np.ndarray
    weights: np.ndarray
    gamma: float


def total_units(network: Network) -> int:
    """Number of units of all layers, the inputs and outputs too."""
    return network.inputs + sum(layer.units for layer in network.layers)


def pack(network: Network) -> Packed:
    """``network`` as flat arrays; sparse weights become dense."""
    widths = [network.width(k) for k in range(len(network.layers) + 1)]
    relu = [np.zeros(network.inputs, dtype=bool)] + [layer.relu for layer in network.layers]
    bias = [np.zeros(network.inputs)] + [layer.bias for layer in network.layers]
    first_block, source, offset, weights = [0, 0], [], [], []
    position = 0
    for layer in network.layers:
        for j, matrix in layer.weights.items():
            source.append(j)
            offset.append(position)
            weights.append(dense(matrix).ravel())
            position += weights[-1].size
        first_block.append(len(source))
    fan_in = max(sum(widths[j] for j in layer.weights) for layer in network.layers)
    return Packed(
        start=np.concatenate([[0], np.cumsum(widths)]).astype(np.int64),
        relu=np.concatenate(relu),
        bias=np.concatenate(bias),
        first_block=np.array(first_block, dtype=np.int64),
        source=np.array(source, dtype=np.int64),
        offset=np.array(offset, dtype=np.int64),
        weights=np.concatenate([*weights, np.zeros(0)]),
        # The bias is one more term; twice the terms also pay for the sum of magnitudes itself.
        gamma=gamma(2 * (fan_in + 4)),
    )
