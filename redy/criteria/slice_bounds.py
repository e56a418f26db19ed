"""What is known of a slice's pre-activations, layer by layer, and tightened by CROWN."""

from __future__ import annotations

from math import inf

import numpy as np
import torch

from redy.bounds import crown
from redy.bounds.refined import Ends, Refined
from redy.bounds.result import Bounds
from redy.criteria.base import SliceState
from redy.domain import Box
from redy.edits import proved_by
from redy.network.form import Network
from redy.verdict import Proof


def known_bounds(network: Network, state: SliceState) -> Refined:
    """The bounds of ``state``, outputs last; none count as proved if a solver's word is in them."""
    first = np.cumsum([network.inputs, *(layer.units for layer in network.layers)])[:-1]
    lower, upper = (
        tuple(np.split(ends, first)[1:]) for ends in (state.known_lower, state.known_upper)
    )
    if not proved_by(state.status, Proof.SOLVER).any():
        return Refined(lower, upper, lower, upper)
    nothing = tuple(np.full(end.size, inf) for end in lower)
    return Refined(lower, upper, tuple(-end for end in nothing), nothing)


def tightened(network: Network, box: Box, known: Refined) -> Refined:
    """``known`` with what CROWN makes of it, of the proved bounds and of the best ones."""
    proved = _crown(network, box, (known.proved_lower, known.proved_upper))
    if known.proved(len(network.layers) + 1):
        return Refined(*proved, *proved)
    return Refined(*_crown(network, box, (known.lower, known.upper)), *proved)


def _crown(network: Network, box: Box, known: tuple[Ends, Ends]) -> tuple[Ends, Ends]:
    known_lower, known_upper = (
        tuple(torch.from_numpy(np.array(end))[None] for end in ends) for ends in known
    )
    lower, upper = (torch.from_numpy(np.array(end))[None] for end in (box.lower, box.upper))
    found = Refined.of(crown.bounds(network, lower, upper, Bounds(known_lower, known_upper)))
    return found.lower, found.upper
