"""What verification found out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from redy.guarantee import Guarantee


class Outcome(Enum):
    """What became of the claim."""

    PROVED = "proved"
    REFUTED = "refuted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, eq=False)
class Witness:
    """A point at which the promise fails, over the reals and in onnxruntime.

    Attributes:
        point: (inputs,).
        first, second: (outputs,) of both networks there, replayed in onnxruntime.
    """

    point: np.ndarray
    first: np.ndarray
    second: np.ndarray


@dataclass(frozen=True, eq=False)
class Finding:
    """What became of one box.

    Attributes:
        outcome: PROVED holds over the reals on all of the box.
        boxes: boxes examined.
        proved: share of the box's volume on which the promise is proved.
        eps: a bound of all differences on the box, proved; infinite if there is none.
        witness: under REFUTED, where the promise fails.
        reason: under UNKNOWN, why.
    """

    outcome: Outcome
    boxes: int
    proved: float
    eps: float
    witness: Witness | None = None
    reason: str | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """What became of the whole claim, as ``redy verify`` reports it.

    Attributes:
        finding: what became of the domain.
        guarantee: what was to be proved.
        seconds: wall time.
        slices: of a bundle: how many there are, were checked, proved, refuted, left unknown.
        sampled: whether the claim is on a random sample of the slices only.
        import_rounded: nodes of the files that float64 could not represent exactly; what is proved
            is proved of the network as it was imported.
        weighted_by: of cells of a hidden layer, which have no volume among the inputs: the points
            that the proved share is one of; else None.
    """

    finding: Finding
    guarantee: Guarantee
    seconds: float
    slices: dict[str, int] | None = None
    sampled: bool = False
    import_rounded: tuple[str, ...] = ()
    weighted_by: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that ``redy verify --json`` prints."""
        found, guarantee = self.finding, self.guarantee
        witness = found.witness
        eps = found.eps if np.isfinite(found.eps) else None
        return {
            "verdict": found.outcome.value,
            "reason": found.reason,
            "guarantee": str(guarantee),
            "eps": guarantee.eps if guarantee.kind == "eps" else None,
            "winner": guarantee.winner if guarantee.kind == "decision" else None,
            "boxes": found.boxes,
            "seconds": self.seconds,
            "proved_volume": found.proved,
            "eps_proved": eps,
            "witness": None if witness is None else witness.point.tolist(),
            "first": None if witness is None else witness.first.tolist(),
            "second": None if witness is None else witness.second.tolist(),
            "difference": None if witness is None else (witness.second - witness.first).tolist(),
            "slices": self.slices,
            "sampled": self.sampled,
            "import_rounded": list(self.import_rounded),
            "weighted_by": self.weighted_by,
        }
