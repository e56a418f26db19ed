"""One network up to the pre-activations of one layer, as a MILP or as its triangle relaxation.

Pre-activations are no variables: there is one variable per input and per neuron that is not dead,
and one binary per neuron that crosses, so that an ACAS Xu network has at most 605.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from redy.domain import Box
from redy.encodings.builder import (
    Builder,
    Expression,
    linear_unit,
    minimise,
    preactivation,
    relu_unit,
)
from redy.network.form import Network
from redy.solvers.problem import Problem


@dataclass(frozen=True, eq=False)
class SingleEncoding:
    """A problem whose points include, for every input of a box, the network's values there.

    Attributes:
        base: the problem, with objective zero.
        targets: the pre-activations of the layer that was asked for.
        inputs: columns of the inputs.
    """

    base: Problem
    targets: tuple[Expression, ...]
    inputs: np.ndarray

    def problem(self, i: int, sign: int) -> Problem:
        """Minimise sign * z_i; sign is +1 or -1."""
        return minimise(self.base, self.targets[i], sign)


def encode(
    network: Network,
    box: Box,
    lower: Sequence[np.ndarray],
    upper: Sequence[np.ndarray],
    k: int,
    exact: bool,
) -> SingleEncoding:
    """Layer ``k`` of ``network`` on ``box``, in terms of all units before it.

    Args:
        lower, upper: per layer 1, 2, ..., k - 1 at least, (units,) bounds of the pre-activations
            on the box that hold over the reals; see :func:`usable`.
        exact: with binaries, such that the points are those of the network and no more, up to the
            rounding of the bounds; else the triangle relaxation.
    """
    builder = Builder()
    inputs = [builder.variable(*ends) for ends in zip(box.lower, box.upper, strict=True)]
    columns = {0: np.array(inputs)}
    for j in _read_by(network, k):
        layer, low, high = network.layers[j - 1], lower[j - 1], upper[j - 1]
        units = []
        for i in range(layer.units):
            pre, ends = preactivation(layer, i, columns), (float(low[i]), float(high[i]))
            relu = layer.relu[i]
            unit = (
                relu_unit(builder, pre, *ends, exact) if relu else linear_unit(builder, pre, *ends)
            )
            units.append(unit)
        columns[j] = np.array(units)
    layer = network.layers[k - 1]
    targets = tuple(preactivation(layer, i, columns) for i in range(layer.units))
    return SingleEncoding(builder.problem(), targets, columns[0])


def usable(
    network: Network, lower: Sequence[np.ndarray], upper: Sequence[np.ndarray], k: int
) -> bool:
    """Whether layer ``k`` can be encoded: every bound it takes is finite."""
    return all(
        bool(np.isfinite(lower[j - 1]).all() and np.isfinite(upper[j - 1]).all())
        for j in _read_by(network, k)
    )


def _read_by(network: Network, k: int) -> list[int]:
    """The hidden layers that layer ``k`` reads, directly or not, in order."""
    read = {k}
    for j in range(k, 0, -1):
        if j in read:
            read.update(network.layers[j - 1].weights)
    return sorted(read - {0, k})
