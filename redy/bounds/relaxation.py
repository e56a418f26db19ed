"""The chord of ReLU over a range: the line that both relaxations rest on, rounded safely."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from redy import tolerances
from redy.bounds.result import Range


@dataclass(frozen=True, eq=False)
class Chord:
    """0 <= h - slope * z <= intercept for every z of the range, over the reals.

    ``slope`` and ``intercept`` are (batch, units), 0 <= slope <= 1. Where one phase covers the
    range, or the unit is linear, the line is exact: intercept 0, slope 0 or 1.
    """

    slope: Tensor
    intercept: Tensor
    crossing: Tensor


def chord(pre: Range, relu: Tensor) -> Chord:
    """The chord from (l, 0) to (u, u) with slope s near u / (u - l) and intercept t >= -l s.

    relu(z) - s z is convex, zero at z = 0, and at the ends (1 - s) u and -s l: for *any* float s
    in [0, 1] it lies in [0, t] as soon as t is at least both, so the slope may be rounded freely
    and only t is rounded upward (DeepZ, Singh et al., NeurIPS 2018, theorem 3.1; CROWN, Zhang et
    al., NeurIPS 2018, table 2; DeepPoly, Singh et al., POPL 2019, figure 4).
    """
    crossing = pre.crossing & relu
    passing = (pre.lower >= 0) & (pre.upper > 0) | ~relu
    slope = (pre.upper / (pre.upper - pre.lower)).nan_to_num(nan=0.0).clamp(0, 1)
    above = torch.maximum((1 - slope) * pre.upper, slope * -pre.lower)
    above = above * tolerances.UPWARD + tolerances.TINY
    return Chord(
        slope=slope.where(crossing, passing.to(slope.dtype)),
        intercept=above.where(crossing, 0.0),
        crossing=crossing,
    )
