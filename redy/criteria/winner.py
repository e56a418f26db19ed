"""Proofs that the winner stays: of a constant winner, and of edits to zero and the identity."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import inf

import numpy as np

from redy.branching import winner as kernels
from redy.branching.compare import WINNER
from redy.branching.compiled import call
from redy.branching.octet import octet
from redy.branching.packed import pack
from redy.criteria.comparison import Claim, Comparison, Outcome, Region, Survey
from redy.criteria.rows import Rows
from redy.edits import Criterion, Edit, Edits
from redy.errors import UnsupportedError
from redy.network.beside import Beside, beside
from redy.network.exact import exact_outputs
from redy.network.form import Network
from redy.network.reach import varying_outputs
from redy.network.winner import differences
from redy.search.witnesses import inner_ends

_OUTCOMES = {kernels.PROVED: Outcome.PROVED, kernels.REFUTED: Outcome.REFUTED}


def constant_winner(network: Network, exact: Edits, sign: float, best: int) -> Edits:
    """All neurons zero and all outputs constant: ``best`` zero, the others worse by a margin.

    The same for all slices on which ``best`` wins, so that they share one program and its bytes.

    Args:
        exact: the edits so far; what they removed keeps its criterion.
        sign: +1 if the smallest output wins, -1 if the greatest.
    """
    codes = np.full(exact.codes.size, Edit.ZERO, dtype=np.uint8)
    edits = Edits.plain(codes, decision_criteria(exact, codes))
    exactly = exact_outputs(network, np.zeros(network.inputs), edits)
    without = np.array([float(value) for value in exactly])
    # A power of two that no rounding to single precision can use up; of what such numbers cannot
    # hold, nothing is kept (keeps_winner).
    largest = float(np.finfo(np.float32).max)
    margin = 2.0 ** np.ceil(np.log2(np.abs(without).max(initial=1.0).clip(max=largest)))
    wanted = np.where(np.arange(network.outputs) == best, 0.0, sign * margin)
    constants = (wanted - without).clip(-largest, largest)
    correction = np.zeros((network.outputs, network.inputs + 1))
    correction[:, -1] = constants.astype(np.float32).astype(np.float64)
    return replace(edits, correction=correction)


def keeps_winner(network: Network, edits: Edits, sign: int, best: int) -> bool:
    """Whether ``edits`` make all outputs constant, of which ``best`` wins alone, in rationals."""
    return only_winner(network, edits, sign) == best


def only_winner(network: Network, edits: Edits, sign: int) -> int | None:
    """The output that wins alone wherever ``edits`` are made, in rationals; None if none does.

    They must make all outputs constant: one that reads the input past all neurons, or through
    linear units, is not.
    """
    nothing = np.zeros(edits.codes.size, dtype=bool)
    if edits.skips_input or (edits.codes != Edit.ZERO).any():
        return None
    if varying_outputs(network, nothing).any():
        return None
    values = [sign * value for value in exact_outputs(network, np.zeros(network.inputs), edits)]
    best = values.index(min(values))
    return None if values.count(values[best]) > 1 else best


def decision_criteria(exact: Edits, codes: np.ndarray) -> np.ndarray:
    """The criteria of ``codes``: what ``exact`` keeps is removed for the decision."""
    new = (codes != Edit.KEEP) & (exact.codes == Edit.KEEP)
    return np.where(new, np.uint8(Criterion.DECISION), exact.criteria)


class WinnerComparer:
    """Decides which output wins, before and after edits of one network, slice after slice.

    As :class:`redy.criteria.comparison.Comparer` does for the claim that the winner stays, but for
    these edits only, and several times faster (:mod:`redy.branching.winner`).
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._rivals = lru_cache(maxsize=2 * network.outputs)(self._compared)

    def _compared(self, sign: int, best: int) -> Rows:
        return Rows(differences(self._network, sign, best))

    def constant(self, sign: int, best: int, region: Region, budget: int) -> Comparison:
        """Whether no output but ``best`` is ever the unique winner on ``region``.

        Args:
            sign: +1 if the smallest output wins, -1 if the greatest.
        """
        neurons = len(self._network.neurons)
        if self._network.outputs == 1:
            nothing = np.zeros(self._network.inputs), np.zeros(neurons)
            return Comparison(Outcome.PROVED, 0, inf, *nothing, np.ones(neurons, dtype=bool))
        return self._rivals(sign, best).decide(region, budget, neurons)

    def decide(
        self, edits: Edits, claim: Claim, region: Region, budget: int, *, quota: float = inf
    ) -> Comparison:
        """Whether ``edits`` keep the winner on ``region``, examining about ``budget`` boxes.

        With a ``quota``, edits that disagree with the original on more parts of boxes than that are
        given back on the way; the claim is unknown then.

        Raises:
            UnsupportedError: another claim, or the edits have lines or a correction.
        """
        if claim != Claim(WINNER, sign=claim.sign):
            raise UnsupportedError(f"decides which output wins, not {claim}")
        removed = edits.codes != Edit.KEEP
        if self._network.outputs == 1:
            nothing = np.zeros(self._network.inputs), np.zeros(removed.size)
            return Comparison(Outcome.PROVED, 0, inf, *nothing, removed)
        both = beside(self._network, edits)
        net = pack(both.network)
        point, blame = np.zeros(self._network.inputs), np.zeros(both.removed.size)
        state, boxes, given_back = call(
            kernels.decide_winner,
            net,
            octet(net),
            both.outputs,
            both.pairs,
            int(claim.sign),
            (both.removed, both.active),
            np.searchsorted(net.start, both.removed, side="right") - 1,
            (region.lower, region.upper),
            inner_ends(region.lower, region.upper),
            _known(both, region, int(net.start[-1])),
            budget,
            float(quota),
            point,
            blame,
        )
        removed[both.neurons[given_back]] = False
        of_neurons = np.zeros(removed.size)
        of_neurons[both.neurons] = blame
        outcome = _OUTCOMES.get(state, Outcome.UNKNOWN)
        return Comparison(outcome, boxes, inf, point, of_neurons, removed)

    def survey(self, edits: Edits, claim: Claim, region: Region, dives: int) -> Survey:
        """Nothing: to decide is cheap enough to try."""
        del claim, region, dives
        return Survey(0, 0.0, None, np.zeros(edits.codes.size))


def _known(both: Beside, region: Region, total: int) -> tuple[np.ndarray, np.ndarray]:
    """What is known of the original's units; of their copies nothing."""
    lower, upper = np.full(total, -inf), np.full(total, inf)
    lower[both.original], upper[both.original] = region.known_lower, region.known_upper
    return lower, upper
