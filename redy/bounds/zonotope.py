"""Forward zonotopes: every unit is an affine form of shared noise, plus its own remainder.

A layer's values on a slice are  c + G e + d,  e in [-1, 1]^g,  |d_i| <= r_i: centre c, generators
G, one column per input and per crossing neuron so far, and a remainder r that holds nothing but
rounding errors and how they spread. Source: DeepZ, Singh et al., *Fast and Effective Robustness
Certification*, NeurIPS 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from redy import tolerances
from redy.bounds.affine import Affine, affine_layers, input_range, propagate
from redy.bounds.registry import register
from redy.bounds.relaxation import chord
from redy.bounds.result import Bounds, Range
from redy.network.form import Network


@dataclass(frozen=True, eq=False)
class Zonotope:
    """The values of one layer on every slice.

    Args:
        centre: (batch, units).
        generators: (batch, g, units); a layer made later has the same columns first, then more.
        spread: (batch, units), the sum of |generators|, up to rounding: for error terms only.
        remainder: (batch, units), >= 0.
    """

    centre: Tensor
    generators: Tensor
    spread: Tensor
    remainder: Tensor

    @property
    def columns(self) -> int:
        """Number of noise symbols g."""
        return self.generators.shape[1]

    @property
    def magnitude(self) -> Tensor:
        """|c| + sum |G| + r, up to rounding: (batch, units)."""
        return self.centre.abs() + self.spread + self.remainder

    def range(self) -> Range:
        """The range c -+ (sum |G| + r), rounded outward."""
        error = tolerances.gamma(2 * (self.columns + 4)) * self.magnitude
        radius = self.spread + self.remainder + error
        return Range(self.centre - radius, self.centre + radius)


@register("zonotope")
def bounds(network: Network, lower: Tensor, upper: Tensor, known: Bounds | None = None) -> Bounds:
    """Pre-activation bounds by forward zonotopes, intersected with intervals and ``known``.

    See :func:`redy.bounds.affine.input_range` for what is raised.
    """
    posts = [input_range(network, lower, upper, known)]
    layers = affine_layers(network, lower.device)
    last_reader = {j: k for k, layer in enumerate(layers, start=1) for j in layer.weights}
    zonotopes = {0: _box(posts[0])}
    columns = network.inputs
    pres: list[Range] = []
    for k, layer in enumerate(layers, start=1):
        pre, _ = propagate(layer, posts)
        if known is not None:
            pre = pre.intersect(known.layer(k))
        zonotope = _affine(layer, zonotopes, len(lower), columns)
        pre = pre.intersect(zonotope.range())
        # Generators are the memory of this method: none is kept longer than it is read.
        zonotopes = {j: post for j, post in zonotopes.items() if last_reader.get(j, 0) > k}
        if k in last_reader:
            zonotopes[k] = _relu(zonotope, pre, layer.relu)
            columns = zonotopes[k].columns
        pres.append(pre)
        posts.append(pre.relu(layer.relu))
    return Bounds.of(pres)


def _box(inputs: Range) -> Zonotope:
    centre = inputs.lower / 2 + inputs.upper / 2
    reach = torch.maximum(inputs.upper - centre, centre - inputs.lower)
    radius = reach * tolerances.UPWARD
    return Zonotope(centre, torch.diag_embed(radius), radius, torch.zeros_like(radius))


def _affine(layer: Affine, posts: Mapping[int, Zonotope], batch: int, columns: int) -> Zonotope:
    """Map z = b + sum of W_j h_j per generator; the remainder takes the rounding errors.

    All entries of row i together are off by at most gamma(n) (|b| + |W| (|c| + sum |G| + r))_i,
    because |e| <= 1 lets the errors of a row be added up.
    """
    centre = layer.bias.expand(batch, -1)
    parts: list[Tensor] = []
    remainder = torch.zeros_like(centre)
    magnitude = layer.bias.abs().expand(batch, -1)
    for j, weights in layer.weights.items():
        post, absolute = posts[j], weights.abs()
        centre = centre + linear(post.centre, weights)
        parts.append(_widen(linear(post.generators, weights), columns))
        remainder = remainder + linear(post.remainder, absolute)
        magnitude = magnitude + linear(post.magnitude, absolute)
    terms = layer.terms + len(layer.weights)
    error = tolerances.gamma(2 * (terms + 3)) * (magnitude + tolerances.FLOOR)
    generators = sum(parts[1:], start=parts[0]) if parts else _no_generators(centre, columns)
    return Zonotope(centre, generators, generators.abs().sum(dim=1), remainder + error)


def _widen(generators: Tensor, columns: int) -> Tensor:
    missing = columns - generators.shape[1]
    return pad(generators, (0, 0, 0, missing)) if missing else generators


def _no_generators(centre: Tensor, columns: int) -> Tensor:
    return centre.new_zeros(len(centre), columns, centre.shape[1])


def _relu(zonotope: Zonotope, pre: Range, relu: Tensor) -> Zonotope:
    """Replace h by s z + t/2 + (t/2) e', s and t of the chord: the parallelogram of least area.

    Scaling by s and moving by t/2 rounds each entry at most three times.
    """
    line = chord(pre, relu)
    half = (line.intercept / 2 + tolerances.TINY).where(line.crossing, 0.0)
    centre = line.slope * zonotope.centre + half
    error = tolerances.gamma(8) * (zonotope.magnitude + line.intercept)
    error = error + tolerances.TINY
    return Zonotope(
        centre=centre,
        generators=_scale(zonotope.generators, line.slope, half, line.crossing),
        spread=line.slope * zonotope.spread + half,
        remainder=line.slope * zonotope.remainder + error.where(line.crossing, 0.0),
    )


def _scale(generators: Tensor, slope: Tensor, radius: Tensor, crossing: Tensor) -> Tensor:
    """The generators times ``slope``, and a new one of length ``radius`` per crossing neuron.

    New columns are packed: as many as the most crossing neurons of any slice. Columns of different
    slices have nothing to do with each other, so every slice numbers its crossing neurons from 0.
    """
    rank = crossing.long().cumsum(dim=1) - 1
    fresh = int(rank.max()) + 1 if rank.numel() else 0
    batch, columns, units = generators.shape
    scaled = generators.new_empty(batch, columns + fresh, units)
    torch.mul(generators, slope.unsqueeze(1), out=scaled[:, :columns])
    if fresh:
        # Other neurons have radius 0, which they may write into any column of their own.
        scaled[:, columns:].zero_().scatter_(1, rank.clamp(min=0).unsqueeze(1), radius.unsqueeze(1))
    return scaled
