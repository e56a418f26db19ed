"""The network form: affine layers that may read any earlier layer, and ReLU or linear units.

    z_k = b_k + sum over j < k of W_kj h_j,    h_0 = x,    h_k[i] = max(z_k[i], 0) or z_k[i]

The form is closed under folding (:mod:`redy.network.fold`): substituting a linear unit into its
consumers only adds weights from earlier layers.

Weights are float64 arrays that hold the file's numbers exactly; every proof takes them as exact
real numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from scipy import sparse

from redy.errors import NetworkError

_LARGEST_DENSE = 2**22

Matrix: TypeAlias = np.ndarray | sparse.csr_array


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer z = bias + sum over sources j of weights[j] @ h_j, with its activation.

    Args:
        weights: source layer j -> (units, width of layer j), dense or ``csr_array``; layer 0 is
            the input.
        bias: (units,).
        relu: (units,) bool; True where the unit is a ReLU neuron, False where it is linear.
    """

    weights: Mapping[int, Matrix]
    bias: np.ndarray
    relu: np.ndarray

    def __post_init__(self) -> None:
        weights = {j: _frozen(matrix) for j, matrix in sorted(self.weights.items())}
        object.__setattr__(self, "weights", MappingProxyType(weights))
        object.__setattr__(self, "bias", _frozen(np.atleast_1d(self.bias)))
        relu = np.array(self.relu, dtype=bool, ndmin=1)
        relu.flags.writeable = False
        object.__setattr__(self, "relu", relu)

    def __getstate__(self) -> dict[str, object]:
        return {"weights": dict(self.weights), "bias": self.bias, "relu": self.relu}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    @property
    def units(self) -> int:
        """Number of units, ReLU and linear."""
        return int(self.bias.size)


@dataclass(frozen=True, eq=False)
class Network:
    """A piecewise-linear network f: R^inputs -> R^outputs.

    ``layers[k - 1]`` is layer k of the design; the last one is the output and has no ReLU.

    Raises:
        NetworkError: shapes that do not fit, a layer that reads itself or a later one, or a weight
            that is not finite (the message names layer and entry).
    """

    inputs: int
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if self.inputs < 1:
            raise NetworkError("a network needs at least one input")
        if not self.layers:
            raise NetworkError("a network needs at least an output layer")
        if self.layers[-1].relu.any():
            raise NetworkError("the output layer must be affine")
        for k in range(1, len(self.layers) + 1):
            self._check_layer(k)

    def _check_layer(self, k: int) -> None:
        layer = self.layers[k - 1]
        if layer.relu.shape != layer.bias.shape or layer.bias.ndim != 1:
            raise NetworkError(f"layer {k}: bias {layer.bias.shape} and relu {layer.relu.shape}")
        _require_finite(layer.bias, f"layer {k}: bias")
        for j, matrix in layer.weights.items():
            if not 0 <= j < k:
                raise NetworkError(f"layer {k} reads layer {j}, which does not come before it")
            expected = (layer.units, self.width(j))
            if matrix.shape != expected:
                raise NetworkError(
                    f"layer {k}: weights from layer {j} have shape {matrix.shape}, not {expected}"
                )
            _require_finite(matrix, f"layer {k}: weight from layer {j}")

    def width(self, k: int) -> int:
        """Number of units of layer k; layer 0 is the input."""
        return self.inputs if k == 0 else self.layers[k - 1].units

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.layers[-1].units

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return len(self.layers) - 1

    @cached_property
    def neurons(self) -> tuple[tuple[int, int], ...]:
        """The ReLU neurons (k, i), k from 1, i from 0, in the order of every flat neuron array."""
        return tuple(
            (k, int(i))
            for k, layer in enumerate(self.layers, start=1)
            for i in np.flatnonzero(layer.relu)
        )

    @cached_property
    def entries(self) -> tuple[dict[int, Matrix], ...]:
        """Per layer, source -> float32 matrix of ones where a weight is not zero."""
        return tuple(
            {j: (matrix != 0).astype(np.float32) for j, matrix in layer.weights.items()}
            for layer in self.layers
        )

    @cached_property
    def sha256(self) -> str:
        """Checksum of shapes, connections and weights; independent of the file's format."""
        digest = hashlib.sha256(f"redy network 1;{self.inputs}".encode())
        for layer in self.layers:
            digest.update(f";layer {layer.units}".encode() + layer.relu.tobytes())
            digest.update(_canonical(layer.bias))
            for j, matrix in layer.weights.items():
                digest.update(f";from {j}".encode())
                for part in _parts(matrix):
                    digest.update(part)
        return digest.hexdigest()


def dense(matrix: Matrix) -> np.ndarray:
    """``matrix`` as a dense array; the same object when it is dense already."""
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


def _parts(matrix: Matrix) -> Iterator[bytes]:
    """What stands for ``matrix``, however it is held: its numbers, of a large one those not zero.

    A sparse matrix of a few numbers may have any shape, and must not be made dense.
    """
    if matrix.shape[0] * matrix.shape[1] <= _LARGEST_DENSE:
        yield _canonical(dense(matrix))
        return
    held = sparse.csr_array(matrix, copy=True)
    held.eliminate_zeros()
    held.sort_indices()
    yield from (held.indptr.astype("<i8").tobytes(), held.indices.astype("<i8").tobytes())
    yield _canonical(held.data)


def _canonical(array: np.ndarray) -> bytes:
    # Adding 0.0 turns -0.0 into 0.0: the same real number must hash the same.
    return (np.asarray(array, dtype="<f8") + 0.0).tobytes()


def _frozen(matrix: Matrix) -> Matrix:
    if isinstance(matrix, np.ndarray):
        array = np.array(matrix, dtype=np.float64, order="C")
        array.flags.writeable = False
        return array
    return sparse.csr_array(matrix, dtype=np.float64)


def _require_finite(matrix: Matrix, what: str) -> None:
    values = matrix if isinstance(matrix, np.ndarray) else matrix.data
    bad = np.argwhere(~np.isfinite(values))
    if bad.size:
        where = tuple(int(i) for i in bad[0])
        entry = ", ".join(map(str, where))
        raise NetworkError(f"{what}[{entry}] is {values[where]}; weights must be finite numbers")
