"""Single queries: does an edit, or a phase, keep its promise on a slice? Asked of any backend.

Paper, section III. A query is a claim about one slice, and its negation is a few inequalities on
what the original network f and the edited one f' compute (:meth:`Query.rows`):

- *phase*: sign * z >= 0 for one neuron. Negation: sign * z < 0.
- *forward*: sign * (f'_j - f_j) <= eps for one output, or unit of a layer (k-forward redundancy).
  Negation: sign * (f'_j - f_j) > eps.
- *decision*: wherever output c wins in f by more than a margin, it still beats j in f'. Negation:
  f_c beats all others by more than the margin, and f'_c does not beat f'_j.

Convention. A problem has no strict inequality, so each is closed: it is asked for points with
``>=``, which admits every counterexample. That it has none proves the claim. A point proves nothing
by itself: it is rounded to the slice's single precision numbers and replayed, strictly, on both
networks in double and in single precision, and refutes only if the claim fails in both. A solver
tends to return points on the boundary; if its first does not survive, it is asked once more, for a
point beyond the boundary by :data:`~redy.tolerances.WITNESS_MARGIN`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from redy.criteria.comparison import Claim
from redy.domain import Box
from redy.edits import Criterion, Edit, Edits
from redy.encodings.rows import Row
from redy.network.form import Network
from redy.tolerances import DIFFERENT


class Kind(StrEnum):
    """What a query asks."""

    PHASE = "phase"
    FORWARD = "forward"
    DECISION = "decision"


_CRITERIA = {Kind.FORWARD: Criterion.FORWARD, Kind.DECISION: Criterion.DECISION}


@dataclass(frozen=True, eq=False)
class Query:
    """One claim about one slice.

    Attributes:
        kind: what is claimed; see above.
        box: the slice.
        edits: of the network that is compared; none for a phase.
        layer: the layer of the neuron or of what is compared.
        unit: the neuron, the output j, or under DECISION the winner c.
        sign: of the phase or difference; under DECISION +1 if the smallest output wins, else -1.
        least: eps, or the margin.
        rival: the output j under DECISION.
    """

    kind: Kind
    box: Box
    edits: Edits
    layer: int
    unit: int
    sign: int
    least: float = 0.0
    rival: int = 0

    def rows(self, units: int) -> tuple[Row, ...]:
        """The claim's negation, closed; ``units`` is the width of the layer compared."""
        match self.kind:
            case Kind.PHASE:
                return (Row({self.unit: -self.sign}, {}, 0.0),)
            case Kind.FORWARD:
                return (Row({}, {self.unit: self.sign}, self.least),)
            case Kind.DECISION:
                others = [i for i in range(units) if i != self.unit]
                wins = [self._ahead(i, self.least) for i in others]
                c, j = self.unit, self.rival
                behind = {c: self.sign, j: -self.sign}
                return (*wins, Row(behind, behind, 0.0))

    def _ahead(self, i: int, least: float) -> Row:
        return Row({i: self.sign, self.unit: -self.sign}, {}, least)

    def shifted(self, by: float, units: int) -> tuple[Row, ...]:
        """:meth:`rows` of the points that violate the claim by at least ``by``."""
        return tuple(replace(row, least=row.least + by) for row in self.rows(units))

    @property
    def claim(self) -> Claim:
        """The claim on the difference, for branch and bound; there is none for a phase."""
        match self.kind:
            case Kind.FORWARD:
                part = (self.unit, self.sign)
                return replace(Claim.within(self.least), layer=self.layer, part=part)
            case Kind.DECISION:
                winner = Claim.winner("min" if self.sign > 0 else "max")
                return replace(winner, eps=self.least, part=(self.unit, self.rival))
            case Kind.PHASE:
                raise ValueError("a phase is no claim on a difference")

    def fails(self, network: Network, points: np.ndarray) -> np.ndarray:
        """Whether the claim fails at each of ``points`` (n, inputs), in their precision: (n,) bool.

        In double precision only what exceeds rounding counts: DIFFERENT, relative to the values.
        """
        values = layer_values(network, points, self.layer)
        edited = values
        if self.kind is not Kind.PHASE:
            edited = layer_values(network, points, self.layer, self.edits)
        noise = DIFFERENT if points.dtype == np.float64 else 0.0
        found = np.ones(len(points), dtype=bool)
        for row in self.rows(values.shape[1]):
            total, size = np.zeros(len(points)), np.zeros(len(points))
            for factors, f in ((row.original, values), (row.difference, edited - values)):
                for i, factor in factors.items():
                    total += factor * f[:, i]
                    size += np.abs(values[:, i]) + np.abs(edited[:, i])
            found &= total - row.least > noise * size
        return found

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; numbers are written such that they are read back exactly."""
        removed = np.flatnonzero(self.edits.codes != Edit.KEEP)
        correction = self.edits.correction
        return {
            "kind": self.kind.value,
            "lower": self.box.lower.tolist(),
            "upper": self.box.upper.tolist(),
            "edits": [
                [int(i), int(self.edits.codes[i]), *self.edits.lines[i].tolist()] for i in removed
            ],
            "correction": None if correction is None else correction.tolist(),
            "layer": self.layer,
            "unit": self.unit,
            "sign": self.sign,
            "least": self.least,
            "rival": self.rival,
        }

    @classmethod
    def from_json(cls, written: Mapping[str, Any], network: Network) -> Query:
        """The query that :meth:`to_json` wrote, about ``network``."""
        kind = Kind(written["kind"])
        neurons = len(network.neurons)
        codes, criteria = np.zeros(neurons, dtype=np.uint8), np.zeros(neurons, dtype=np.uint8)
        lines = np.zeros((neurons, 2))
        for neuron, code, *line in written["edits"]:
            codes[neuron], criteria[neuron] = code, _CRITERIA[kind]
            lines[neuron] = line
        given = written["correction"]
        return cls(
            kind=kind,
            box=Box(np.array(written["lower"]), np.array(written["upper"])),
            edits=Edits(codes, criteria, lines, None if given is None else np.array(given)),
            **{name: written[name] for name in ("layer", "unit", "sign", "least", "rival")},
        )


def layer_values(
    network: Network, points: np.ndarray, layer: int, edits: Edits | None = None
) -> np.ndarray:
    """Pre-activations (n, units) of ``layer`` at ``points``, with ``edits``, in their precision."""
    *_, values = _preactivations(network, points, layer, edits)
    if edits is not None and edits.correction is not None and layer == network.depth + 1:
        correction = edits.correction.astype(points.dtype)
        values = values + points @ correction[:, :-1].T + correction[:, -1]
    return np.asarray(values)


def _preactivations(
    network: Network, points: np.ndarray, last: int, edits: Edits | None
) -> Iterator[np.ndarray]:
    posts, neuron = [points], 0
    for layer in network.layers[:last]:
        pre = np.tile(layer.bias.astype(points.dtype), (len(points), 1))
        for j, matrix in layer.weights.items():
            pre += (matrix.astype(points.dtype, copy=False) @ posts[j].T).T
        yield pre
        post = np.where(layer.relu, np.maximum(pre, 0), pre)
        relu = np.flatnonzero(layer.relu)
        here = slice(neuron, neuron + relu.size)
        neuron = here.stop
        if edits is not None:
            removed = edits.codes[here] != Edit.KEEP
            slopes = edits.lines[here, 0] + (edits.codes[here] == Edit.IDENTITY)
            line = pre[:, relu] * slopes.astype(pre.dtype) + edits.lines[here, 1].astype(pre.dtype)
            post[:, relu] = np.where(removed, line, post[:, relu])
        posts.append(post)
