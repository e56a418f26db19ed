"""How far the evaluation of a network in float64 is from its values over the reals, on a box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from redy.network.form import Network
from redy.tolerances import FLOOR, UPWARD, gamma


def evaluation_error(network: Network, magnitudes: Sequence[np.ndarray]) -> np.ndarray:
    """A bound of |computed output - output| for every input of a box: (outputs,).

    What :func:`redy.network.evaluate.evaluate` computes in float64 is meant: with e_j the error of
    h_j, m_j >= |h_j|, and g = gamma of the terms that a unit sums (Higham, section 3.1),

        e_k  =  g |b_k|  +  sum over j of |W_kj| (e_j + g (m_j + e_j)),    e_0 = 0,

    as ReLU moves no two numbers apart. It is infinite where a magnitude is.

    Args:
        network: the network.
        magnitudes: of the inputs and every hidden layer, (units,) upper bounds of |h_j| on the box.
    """
    errors = [np.zeros(network.inputs)]
    with np.errstate(over="ignore", invalid="ignore"):
        for layer in network.layers:
            terms = sum(network.width(j) for j in layer.weights)
            factor = gamma(2 * (terms + 4))  # twice: for the sum of the magnitudes itself
            noise = factor * (np.abs(layer.bias) + FLOOR)
            for j, matrix in layer.weights.items():
                computed = magnitudes[j] + errors[j] + FLOOR
                noise = noise + abs(matrix) @ (errors[j] + factor * computed)
            errors.append(noise * (1.0 + factor) * UPWARD)
    return np.nan_to_num(errors[-1], nan=np.inf)
