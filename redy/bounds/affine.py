"""The network as float64 tensors, and the one guarded step every method shares.

An affine layer maps ranges of what it reads to ranges of its pre-activations by interval
arithmetic, with the rounding error of every sum added outward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from redy import tolerances
from redy.bounds.result import Bounds, Range
from redy.errors import DomainError, UsageError
from redy.network.form import Layer, Network, dense


@dataclass(frozen=True, eq=False)
class Affine:
    """One layer z = bias + sum over j of weights[j] @ h_j, on a device.

    Args:
        weights: source layer j -> (units, width of j).
        split: (units, 2n), the positive part of all weights side by side, then the negative part;
            n is the total width of the sources.
        absolute: (units, 2n), |split|.
        bias: (units,).
        relu: (units,) bool.
    """

    weights: dict[int, Tensor]
    split: Tensor
    absolute: Tensor
    bias: Tensor
    relu: Tensor

    @property
    def terms(self) -> int:
        """The most terms a pre-activation sums: one product per unit read, and the bias."""
        return self.split.shape[1] // 2 + 1


@lru_cache(maxsize=16)
def affine_layers(network: Network, device: torch.device) -> tuple[Affine, ...]:
    """The layers of ``network`` as tensors on ``device``, the output layer last."""
    return tuple(_affine(layer, device) for layer in network.layers)


def _affine(layer: Layer, device: torch.device) -> Affine:
    def tensor(array: np.ndarray) -> Tensor:
        return torch.tensor(array, dtype=torch.float64, device=device)

    weights = {j: tensor(dense(matrix)) for j, matrix in layer.weights.items()}
    side_by_side = torch.cat([tensor(np.zeros((layer.units, 0))), *weights.values()], dim=1)
    split = torch.cat([side_by_side.clamp(min=0), side_by_side.clamp(max=0)], dim=1)
    relu = torch.tensor(layer.relu, device=device)
    return Affine(weights, split, split.abs(), tensor(layer.bias), relu)


def input_range(network: Network, lower: Tensor, upper: Tensor, known: Bounds | None) -> Range:
    """The boxes as a range, after checking them.

    Raises:
        DomainError: ``lower`` and ``upper`` are not (batch, inputs) of finite float64, or a box is
            inverted.
        UsageError: ``known`` belongs to another network or batch, or torch flushes subnormal
            numbers to zero, which the error analysis excludes.
    """
    shape = tuple(lower.shape)
    if shape != tuple(upper.shape) or len(shape) != 2 or shape[1] != network.inputs:
        raise DomainError(
            f"boxes must have shape (batch, {network.inputs}), got {shape} and {tuple(upper.shape)}"
        )
    if lower.dtype != torch.float64 or upper.dtype != torch.float64:
        raise DomainError(f"boxes must be float64, got {lower.dtype} and {upper.dtype}")
    if not bool((lower.isfinite() & upper.isfinite() & (lower <= upper)).all()):
        raise DomainError("a box has an end that is not finite, or its lower end above its upper")
    if float(torch.full((1,), tolerances.TINY, dtype=torch.float64) / 2) == 0:
        raise UsageError("bounds need subnormal numbers: call torch.set_flush_denormal(False)")
    if known is not None:
        _require_fit(network, shape[0], known)
    return Range(lower, upper)


def _require_fit(network: Network, batch: int, known: Bounds) -> None:
    expected = [(batch, layer.units) for layer in network.layers]
    shapes = [tuple(tensor.shape) for tensor in known.lower]
    if shapes != expected:
        raise UsageError(f"known bounds have shapes {shapes}, but the boxes need {expected}")


def propagate(layer: Affine, posts: Sequence[Range]) -> tuple[Range, Tensor]:
    """Interval arithmetic through one layer, rounded outward.

    With W = W+ + W- split by sign,

        z >= W+ l + W- u + b - e,    e = gamma(n) (W+ |l| + |W-| |u| + |b|),

    and likewise for the upper end (Gehr et al., AI2, S&P 2018, give the interval domain; Higham,
    section 3.1, the error). A sum in which no product can be other than zero has no error, so that
    a pre-activation that is zero or has one sign by its weights alone is proved so.

    ``posts`` are the ranges of h_0, h_1, ... at least up to the last layer that ``layer`` reads.

    Returns:
        The range of z, and an upper bound (batch, units) of |b| + sum |W| |h|.
    """
    none = posts[0].lower[:, :0]
    lower = torch.cat([none, *(posts[j].lower for j in layer.weights)], dim=1)
    upper = torch.cat([none, *(posts[j].upper for j in layer.weights)], dim=1)
    ends = torch.stack([torch.cat([lower, upper], 1), torch.cat([upper, lower], 1)])
    sums = ends @ layer.split.T + layer.bias
    magnitudes = _magnitudes(layer, ends)
    # Twice the terms pay for the rounding of the magnitudes; 3 more for the last subtraction.
    errors = tolerances.gamma(2 * (layer.terms + 3)) * magnitudes
    return Range(sums[0] - errors[0], sums[1] + errors[1]), magnitudes[0] + magnitudes[1]


def _magnitudes(layer: Affine, ends: Tensor) -> Tensor:
    """The sums of magnitudes |b| + |split| |ends|, with a floor that pays for underflow.

    Zero stays zero where every product has a factor zero; that a product is zero does not tell,
    for it may have underflowed.
    """
    magnitudes = ends.abs() @ layer.absolute.T + layer.bias.abs()
    supported = magnitudes != 0  # NaN included
    if not bool(supported.all()):
        products = (ends != 0).double() @ (layer.absolute > 0).double().T
        supported |= products > 0
    return (magnitudes + tolerances.FLOOR).where(supported, 0.0)
