"""LP bounds over the triangle relaxation, each recomputed from its dual vector.

Source: Ehlers, *Formal Verification of Piece-Wise Linear Feed-Forward Neural Networks*, ATVA 2017,
section 4.1, for the relaxation; :func:`redy.solvers.certificate.lp_bound` for the proof. Nothing
here rests on a solver's word, unless the bounds it started from do.
"""

from __future__ import annotations

from math import inf

import numpy as np

from redy.bounds.branch import layers_above_inputs
from redy.bounds.queries import Query, Side
from redy.bounds.refined import Refined
from redy.bounds.registry import Effort, refinement
from redy.domain import Box
from redy.encodings.single import encode, usable
from redy.network.form import Network
from redy.solvers import Answer, Problem
from redy.solvers.certificate import lp_bound


@refinement("lp")
def bounds(network: Network, box: Box, known: Refined, effort: Effort) -> Refined:
    """Both sides of every unit that is open or linear, layer by layer: later ones profit."""
    for k in layers_above_inputs(network):
        known = layer(network, box, known, k, effort)
    return known


def layer(network: Network, box: Box, known: Refined, k: int, effort: Effort) -> Refined:
    """``known`` with what LPs prove of layer ``k``."""
    units = np.flatnonzero(known.crossing(k) | ~network.layers[k - 1].relu)
    if not units.size or not usable(network, known.lower, known.upper, k):
        return known
    encoding = encode(network, box, known.lower, known.upper, k, exact=False)
    sides = [Side(int(i), sign) for i in units for sign in (1, -1)]
    claims = effort.spread(f"LPs of layer {k}", Query(encoding, effort, proved), sides)
    return known.narrowed(k, claims, proved=known.proved(k))


def proved(problem: Problem, answer: Answer) -> float:
    """What the dual vector proves, whatever the solver says of it."""
    return -inf if answer.dual is None else lp_bound(problem, answer.dual)
