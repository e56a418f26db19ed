"""CROWN: linear lower bounds substituted backward, from a layer to the inputs.

Invariant, for every target pre-activation z of layer k and every point of its slice:

    z  >=  sum over j of A_j h_j  +  constant  -  error,

where A_j are the *floats* that were computed, taken as exact: what their computation rounded away
has been multiplied by the magnitude of what it stands before and added to the error, which takes
one matrix-vector product a layer. Upper bounds are lower bounds of -z.

Sources: CROWN, Zhang et al., *Efficient Neural Network Robustness Certification with General
Activation Functions*, NeurIPS 2018, section 3; DeepPoly, Singh et al., *An Abstract Domain for
Certifying Neural Networks*, POPL 2019. Rounding: Higham, section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from redy import tolerances
from redy.bounds.affine import Affine, affine_layers, input_range, propagate
from redy.bounds.registry import register
from redy.bounds.relaxation import chord
from redy.bounds.result import Bounds, Range
from redy.network.form import Network


@dataclass(frozen=True, eq=False)
class Relaxed:
    """A layer with its activations replaced by lines, ready to be substituted.

    Args:
        lower_slope, upper_slope: (batch, 1, units), h >= lower_slope * z and
            h <= upper_slope * z + intercept.
        positive, negative: (batch, units, 2), what a coefficient above, below zero of h adds to
            the constant, and to the magnitude that the rounding error is a multiple of.
        post: (batch, units), bound of |h|.
        underflow: (batch, 1), absolute error of one substitution.
    """

    lower_slope: Tensor
    upper_slope: Tensor
    positive: Tensor
    negative: Tensor
    post: Tensor
    underflow: Tensor


@dataclass(eq=False)
class Claim:
    """The right-hand side of the invariant while it is carried backward.

    Args:
        coefficients: layer j -> A_j (batch, targets, width of j).
        constants, errors: terms (batch, targets) still to be summed.
    """

    coefficients: dict[int, Tensor]
    constants: list[Tensor]
    errors: list[Tensor] = field(default_factory=list)

    def add(
        self, coefficients: Tensor, positive: Tensor, negative: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Add A's constant and error under ``positive`` and ``negative``; return A+ and A-.

        The constants are sums of 2n products of twice rounded factors; with the errors of the
        substitution that follows, gamma(n + 8) times the magnitudes covers all of them, and twice
        the terms pay for the rounding of the magnitudes.
        """
        above, below = coefficients.clamp(min=0), coefficients.clamp(max=0)
        sums = above @ positive + below @ negative
        factor = tolerances.gamma(2 * (2 * coefficients.shape[-1] + 8))
        self.constants.append(sums[..., 0])
        self.errors.append(factor * sums[..., 1])
        return above, below

    def accumulate(self, j: int, coefficients: Tensor, post: Tensor) -> None:
        """Add ``coefficients`` to those of h_j, |h_j| <= ``post``."""
        earlier = self.coefficients.get(j)
        if earlier is not None:
            # The sum rounds by u (|earlier| + |coefficients|); the caller's error has the second.
            magnitude = (earlier.abs() @ post.unsqueeze(-1)).squeeze(-1)
            self.errors.append(tolerances.gamma(2) * magnitude)
            coefficients = earlier + coefficients
        self.coefficients[j] = coefficients

    def total(self) -> Tensor:
        """The lower bound: constants less errors, rounded downward."""
        constants = torch.stack(self.constants)
        factor = tolerances.gamma(2 * (len(constants) + 4))
        rounding = factor * constants.abs().sum(dim=0) + tolerances.TINY
        return constants.sum(dim=0) - (torch.stack([*self.errors, rounding]).sum(dim=0))


@register("crown")
def bounds(network: Network, lower: Tensor, upper: Tensor, known: Bounds | None = None) -> Bounds:
    """Pre-activation bounds by CROWN, intersected layer by layer with intervals and ``known``.

    The lower line of a crossing neuron has slope 1 where u >= -l, else 0 (CROWN-Ada). Units whose
    phase the cheaper bounds prove on every slice of the batch keep those, and so do layers that
    read the inputs only, where intervals are exact. See
    :func:`redy.bounds.affine.input_range` for what is raised.
    """
    posts = [input_range(network, lower, upper, known)]
    layers = affine_layers(network, lower.device)
    relaxed: list[Relaxed] = []
    pres: list[Range] = []
    for k, layer in enumerate(layers, start=1):
        pre, magnitude = propagate(layer, posts)
        if known is not None:
            pre = pre.intersect(known.layer(k))
        if any(j > 0 for j in layer.weights):
            pre = _tighten(k, layers, relaxed, posts, pre)
        pres.append(pre)
        relaxed.append(_relax(layer, pre, magnitude, posts))
        posts.append(pre.relu(layer.relu))
    return Bounds.of(pres)


def _tighten(
    k: int, layers: Sequence[Affine], relaxed: Sequence[Relaxed], posts: Sequence[Range], pre: Range
) -> Range:
    """``pre`` of layer k, intersected with what substitution proves for the units worth it."""
    layer = layers[k - 1]
    units = (pre.crossing.any(dim=0) | ~layer.relu).nonzero().squeeze(-1)
    if not len(units):
        return pre
    weights = {j: torch.cat([w[units], -w[units]]) for j, w in layer.weights.items()}
    bias = torch.cat([layer.bias[units], -layer.bias[units]])
    ends = _substitute(weights, bias, layers, relaxed, posts[0])
    lower, negated_upper = ends.chunk(2, dim=1)
    tight = Range(
        pre.lower.index_copy(1, units, lower), pre.upper.index_copy(1, units, -negated_upper)
    )
    return pre.intersect(tight)


def _substitute(
    weights: Mapping[int, Tensor],
    bias: Tensor,
    layers: Sequence[Affine],
    relaxed: Sequence[Relaxed],
    inputs: Range,
) -> Tensor:
    """Lower bounds (batch, targets) of bias + sum of weights[j] @ h_j, rounded downward."""
    batch = len(inputs.lower)
    claim = Claim(
        {j: w.expand(batch, *w.shape) for j, w in weights.items()}, [bias.expand(batch, -1)]
    )
    posts = [inputs.magnitude, *(layer.post for layer in relaxed)]
    for j in range(len(relaxed), 0, -1):
        coefficients = claim.coefficients.pop(j, None)
        if coefficients is not None:
            _substitute_layer(claim, coefficients, layers[j - 1], relaxed[j - 1], posts)
    coefficients = claim.coefficients.pop(0, None)
    if coefficients is not None:
        _substitute_inputs(claim, coefficients, inputs)
    return claim.total()


def _substitute_layer(
    claim: Claim, coefficients: Tensor, layer: Affine, relaxed: Relaxed, posts: Sequence[Tensor]
) -> None:
    """A h >= (A+ lower_slope + A- upper_slope) z + A- intercept, then z = b + sum of W_i h_i.

    Rounding the product with a slope is off by u |A| |z|, the matrix product by gamma(n)
    |A| |W| |h|, both at most a multiple of |A| (|b| + |W| |h|).
    """
    positive, negative = claim.add(coefficients, relaxed.positive, relaxed.negative)
    # In place: fresh memory costs more here than arithmetic.
    coefficients = positive.mul_(relaxed.lower_slope).addcmul_(negative, relaxed.upper_slope)
    claim.errors.append(relaxed.underflow.expand_as(claim.constants[-1]))
    for i, weights in layer.weights.items():
        claim.accumulate(i, coefficients @ weights, posts[i])


def _substitute_inputs(claim: Claim, coefficients: Tensor, inputs: Range) -> None:
    """A x >= A+ l + A- u."""
    magnitude = inputs.magnitude + tolerances.FLOOR
    claim.add(
        coefficients,
        torch.stack([inputs.lower, magnitude], dim=-1),
        torch.stack([inputs.upper, -magnitude], dim=-1),
    )


def _relax(layer: Affine, pre: Range, magnitude: Tensor, posts: Sequence[Range]) -> Relaxed:
    """Lines of a layer with pre-activations in ``pre``; ``magnitude`` >= |b| + sum |W| |h|."""
    line = chord(pre, layer.relu)
    lower_slope = (pre.upper >= -pre.lower).to(line.slope.dtype).where(line.crossing, line.slope)
    # Where slope and intercept are zero, nothing is computed, and nothing can be rounded.
    used = (line.slope > 0) | line.crossing
    error = (2 * magnitude + line.intercept + tolerances.FLOOR).where(used, 0.0)
    positive = torch.stack([lower_slope * layer.bias, error], dim=-1)
    negative = torch.stack([line.slope * layer.bias + line.intercept, -error], dim=-1)
    read = sum((posts[i].magnitude.sum(dim=1, keepdim=True) for i in layer.weights), start=1.0)
    scale = read + magnitude.sum(dim=1, keepdim=True)
    return Relaxed(
        lower_slope=lower_slope.unsqueeze(1),
        upper_slope=line.slope.unsqueeze(1),
        positive=positive,
        negative=negative,
        post=pre.relu(layer.relu).magnitude,
        underflow=4 * tolerances.TINY * scale,
    )
