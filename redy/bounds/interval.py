"""Interval arithmetic: the cheapest bounds, and the start of every other method."""

from __future__ import annotations

from torch import Tensor

from redy.bounds.affine import affine_layers, input_range, propagate
from redy.bounds.registry import register
from redy.bounds.result import Bounds, Range
from redy.network.form import Network


@register("interval")
def bounds(network: Network, lower: Tensor, upper: Tensor, known: Bounds | None = None) -> Bounds:
    """Pre-activation bounds by interval arithmetic, layer by layer.

    See :func:`redy.bounds.affine.propagate` for the formula and
    :func:`redy.bounds.affine.input_range` for what is raised.
    """
    posts = [input_range(network, lower, upper, known)]
    pres: list[Range] = []
    for k, layer in enumerate(affine_layers(network, lower.device), start=1):
        pre, _ = propagate(layer, posts)
        pres.append(pre if known is None else pre.intersect(known.layer(k)))
        posts.append(pres[-1].relu(layer.relu))
    return Bounds.of(pres)
