"""MILP bounds, big-M with the best bounds known: exact but for time and a solver's tolerances.

Source: Tjeng, Xiao and Tedrake, *Evaluating Robustness of Neural Networks with Mixed Integer
Programming*, ICLR 2019, section 4: one bound-tightening problem per neuron side, bounds of earlier
layers first. The *dual* bound is used, which holds also where the time limit stopped the solver,
and moved outward; it rests on the solver's word and is marked so.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from redy.bounds import branch, lp
from redy.bounds.attained import attained
from redy.bounds.branch import layers_above_inputs
from redy.bounds.queries import Query, Side
from redy.bounds.refined import Claim, Refined
from redy.bounds.registry import Effort, refinement
from redy.domain import Box
from redy.encodings.single import encode, usable
from redy.network.form import Network
from redy.solvers import Answer, Outcome, Problem
from redy.tolerances import MILP_ABSOLUTE, MILP_RELATIVE

_FEW_INPUTS = 16
"""Up to so many inputs, branch and bound on them comes first."""

_WORTHWHILE = 1e-4
"""A side is asked for if the gap between its bound and a value attained is this share of the
width; a query pays if it narrows that gap by :data:`_GAIN`."""

_GAIN = 0.02

_PILOT = 8
"""Queries asked first in a layer. If none pays, that layer and all after it, whose problems are
larger still, are left alone."""


@refinement("milp")
def bounds(network: Network, box: Box, known: Refined, effort: Effort) -> Refined:
    """What can be proved first, by branch and bound and LPs; then MILPs, layer by layer.

    LPs are asked again where a solver's word has narrowed a layer before.
    """
    if network.inputs <= _FEW_INPUTS:
        known = branch.bounds(network, box, known, effort)
    known = lp.bounds(network, box, known, effort)
    values = attained(network, box)
    paying = True
    for k in layers_above_inputs(network):
        if not known.proved(k):
            known = lp.layer(network, box, known, k, effort)
        if paying and usable(network, known.lower, known.upper, k):
            before = known
            known, paying = _layer(network, box, Gaps(before, k, *values[k - 1]), effort)
    return known


@dataclass(frozen=True, eq=False)
class Gaps:
    """How much the bounds of layer ``k`` could still be narrowed, as far as points tell.

    ``least`` and ``greatest`` (units,) are values that points attain, up to rounding.
    """

    known: Refined
    k: int
    least: np.ndarray
    greatest: np.ndarray

    def bound(self, side: Side) -> float:
        """What is known: sign * z >= bound."""
        end = (self.known.lower if side.sign > 0 else self.known.upper)[self.k - 1]
        return float(side.sign * end[side.unit])

    def attained(self, side: Side) -> float:
        """A value of sign * z at a point."""
        return float(side.sign * (self.least if side.sign > 0 else self.greatest)[side.unit])

    def worthwhile(self) -> list[Side]:
        """Sides with a gap that shows in the width: open units first, then the widest gap."""
        width = self.known.upper[self.k - 1] - self.known.lower[self.k - 1]
        crossing = self.known.crossing(self.k)
        ranks = {}
        for side in (Side(i, sign) for i in range(width.size) for sign in (1, -1)):
            gap = self.attained(side) - self.bound(side)
            if gap > _WORTHWHILE * width[side.unit]:  # false where overflow made it not a number
                ranks[side] = (not crossing[side.unit], -gap / width[side.unit])
        return sorted(ranks, key=ranks.__getitem__)

    def credible(self, claim: Claim) -> bool:
        """Whether the claim does not contradict a value attained, as a wrong one may."""
        return claim.bound <= self.attained(Side(claim.unit, claim.sign))

    def pays(self, claim: Claim) -> bool:
        """Whether the claim narrows the gap by enough to ask for more of the layer."""
        side = Side(claim.unit, claim.sign)
        gap = self.attained(side) - self.bound(side)
        return self.credible(claim) and claim.bound - self.bound(side) > _GAIN * gap


def _layer(network: Network, box: Box, gaps: Gaps, effort: Effort) -> tuple[Refined, bool]:
    """What is known with what MILPs say of one layer, and whether they paid."""
    known, k = gaps.known, gaps.k
    sides = gaps.worthwhile()
    query = Query(encode(network, box, known.lower, known.upper, k, exact=True), effort, believed)
    pilot = sides[:: max(1, len(sides) // _PILOT)][:_PILOT]
    for part in (pilot, [side for side in sides if side not in pilot]):
        claims = list(effort.spread(f"MILPs of layer {k}", query, part))
        known = known.narrowed(k, filter(gaps.credible, claims), proved=False)
        if part and not any(map(gaps.pays, claims)):
            return known, part is not pilot
    return known, True


def believed(problem: Problem, answer: Answer) -> float:
    """The dual bound, moved outward; -inf after anything but an optimum or a limit.

    Infeasible is an error too: every point of the box satisfies the problem.
    """
    match answer.outcome:
        case Outcome.OPTIMAL | Outcome.LIMIT:
            return answer.bound - outward(problem)
        case Outcome.INFEASIBLE | Outcome.UNBOUNDED | Outcome.FAILED:
            return -inf


def outward(problem: Problem) -> float:
    """By how much a solver's word on the objective is weakened before it is used.

    It grows with the largest magnitude of the objective's constant and terms, summed.
    """
    used = problem.objective != 0
    reach = np.maximum(np.abs(problem.lower), np.abs(problem.upper))[used]
    magnitude = float(np.abs(problem.objective[used]) @ reach) + abs(problem.constant)
    return MILP_ABSOLUTE + MILP_RELATIVE * magnitude
