"""A network and a bundle of mid-network slicing: what the choice of a cell rests on, found anew.

With f = g after p the network and g' the suffix of a cell, f and the bundle agree where g and g'
do on all that p makes of the domain. Three things are computed again and not taken from the file:
the box of z = p(x), which cell 0 has to cover; the rounding error of z, within which the dispatcher
may be mistaken; and, cell by cell, that g' keeps the promise to g. A point of a cell at which it
does not refutes nothing, as no input may reach it: witnesses are looked for among the inputs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from redy.dispatch.bundle import Bundle
from redy.domain import Box
from redy.edits import Edit, Edits
from redy.errors import UsageError
from redy.formats.networks import LoadedNetwork, in_memory
from redy.network.form import Network
from redy.network.split import split
from redy.slicing.mid import Mid
from redy.slicing.mid_fit import enclosure
from redy.tolerances import DIFFERENT
from redy.verification.answer import Finding, Outcome, Witness
from redy.verification.attack import attack
from redy.verification.promise import Promise
from redy.verification.subject import Subject, confirmed

_UNREACHED = (
    "the promise fails at values of the layer that was cut on, which no input may reach; no input "
    "that refutes was found"
)


@dataclass(frozen=True, eq=False)
class Ground:
    """What the cells of a bundle rest on.

    Attributes:
        first: the network that the bundle is compared with.
        bundle: the bundle.
        cells: its slicing.
        inputs: the domain, or the part of it that is asked for.
        suffix: ``first`` from the cut on.
        domain: all that z can be, over the reals.
        error: (units,) how far z as computed in float64 is from z.
    """

    first: LoadedNetwork
    bundle: Bundle
    cells: Mid
    inputs: Box
    suffix: LoadedNetwork
    domain: Box
    error: np.ndarray

    @classmethod
    def of(cls, first: LoadedNetwork, bundle: Bundle, inputs: Box) -> Ground | None:
        """That of ``bundle`` on ``inputs``, against ``first``; None where inputs are sliced.

        Raises:
            UsageError: the network has not the layers that the bundle shares.
        """
        cells, shared = bundle.slicing, bundle.parts
        if shared is None or not isinstance(cells, Mid):
            return None
        try:
            parts = split(first.network, cells.layer)
        except UsageError as error:
            raise UsageError(_other(cells)) from error
        if parts.prefix.sha256 != shared.prefix.sha256:
            raise UsageError(_other(cells))
        suffix = replace(in_memory(parts.suffix), path=first.path)
        return cls(first, bundle, cells, inputs, suffix, *enclosure(parts.prefix, inputs))

    def boxes(self, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What z can be in ``cells`` (m,): (m, units) each; empty where lower is above upper."""
        return self.cells.boxes_in(self.domain, cells)

    def unsound(self) -> Finding | None:
        """Why nothing can be proved of any cell; None if something can."""
        if (self.error <= self.cells.error).all():
            return None
        reason = "the bundle allows for less rounding error of the shared layers than there may be"
        return Finding(Outcome.UNKNOWN, 0, 0.0, np.inf, reason=reason)

    def attacked(self, promise: Promise) -> Witness | None:
        """An input at which the bundle breaks ``promise``, found by a search by points, or None."""
        first = Subject(self.first)

        def excess(points: np.ndarray) -> np.ndarray:
            with np.errstate(over="ignore", invalid="ignore"):
                outputs = first.evaluate(points)
                # Rounding alone would make every point look like a witness, to be replayed exactly.
                rounding = DIFFERENT * np.abs(outputs).max(axis=1)
                return np.asarray(promise.excess(outputs, self.bundle(points)) - rounding)

        for point in attack(excess, self.inputs):
            second = self._evaluated(int(self.bundle.slice_of(point[None])[0]))
            witness = confirmed(first, second, promise, point)
            if witness is not None:
                return witness
        return None

    def _evaluated(self, cell: int) -> Subject:
        """What the dispatcher evaluates for the inputs of ``cell``."""
        network = self.bundle.network
        if not np.isin(cell, self.bundle.done):
            return Subject.of(network)
        whole = in_memory(self.bundle.whole(cell))
        edits = self.bundle.slices[cell].replacements
        if edits.correction is not None:  # it reads z: no edit of the whole network
            return Subject(whole)
        return Subject(whole, network, after_prefix(network, edits))


def after_prefix(network: Network, edits: Edits) -> Edits:
    """``edits`` of a suffix of ``network``, without a correction, as edits of all its neurons."""
    before = len(network.neurons) - edits.codes.size
    kept = np.full(before, Edit.KEEP, dtype=np.uint8)
    return Edits(
        np.concatenate([kept, edits.codes]),
        np.concatenate([kept, edits.criteria]),
        np.concatenate([np.zeros((before, 2)), edits.lines]),
    )


def not_refuted(found: Finding) -> Finding:
    """``found`` of a cell, of which a witness refutes nothing."""
    if found.outcome is not Outcome.REFUTED:
        return found
    return Finding(Outcome.UNKNOWN, found.boxes, found.proved, np.inf, reason=_UNREACHED)


def _other(cells: Mid) -> str:
    return (
        f"the bundle shares layers 1 to {cells.layer} of the network that it was made from, and "
        "this network has others; compare it with that one, or with networks that "
        "redy export --slice writes"
    )
