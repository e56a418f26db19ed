"""What evaluating a network costs: neurons, multiply-accumulates, parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from redy.network.form import Matrix, Network
from redy.network.split import hands_on


@dataclass(frozen=True)
class Cost:
    """Size of a network as a user pays for it.

    Attributes:
        neurons: ReLU units, the paper's figure.
        linear_units: hidden units without a ReLU.
        macs: multiply-accumulates of one evaluation; one per stored weight.
        parameters: weights and biases.
    """

    neurons: int
    linear_units: int
    macs: int
    parameters: int


def cost(network: Network) -> Cost:
    """The cost of ``network`` in its own form; of a sparse block only the entries count.

    A first layer that hands inputs on costs nothing.
    """
    neurons = sum(int(layer.relu.sum()) for layer in network.layers)
    hidden = sum(layer.units for layer in network.layers[:-1])
    computed = network.layers[hands_on(network) :]
    macs = sum(_entries(m) for layer in computed for m in layer.weights.values())
    biases = sum(layer.units for layer in computed)
    return Cost(neurons, hidden - neurons, macs, macs + biases)


def _entries(matrix: Matrix) -> int:
    return int(matrix.size) if isinstance(matrix, np.ndarray) else int(matrix.nnz)
