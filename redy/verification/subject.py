"""One side of a comparison: a function that can be bounded, evaluated exactly, and replayed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from redy.edits import Edits
from redy.formats.networks import LoadedNetwork, Reference, in_memory
from redy.network.evaluate import evaluate
from redy.network.exact import exact_outputs
from redy.network.form import Network
from redy.verification.answer import Witness
from redy.verification.promise import Promise


@dataclass(frozen=True, eq=False)
class Subject:
    """A network, or a network after edits, with what is run in onnxruntime in its name.

    Attributes:
        loaded: the network that is run, of which the proof is made unless there are edits.
        original, edits: for a slice of a bundle, what its function is over the reals: the edits of
            the original network. ``loaded`` holds the same, folded in float64.
    """

    loaded: LoadedNetwork
    original: Network | None = None
    edits: Edits | None = None

    @classmethod
    def of(cls, network: Network) -> Subject:
        """A network without a file."""
        return cls(in_memory(network))

    @property
    def network(self) -> Network:
        """The network that is run."""
        return self.loaded.network

    def evaluate(self, points: np.ndarray) -> np.ndarray:
        """Outputs (n, outputs) at ``points`` in float64, rounded; they guide."""
        return evaluate(self.network, points)

    def exactly(self, point: np.ndarray) -> list[Fraction]:
        """The outputs at ``point`` over the reals."""
        return exact_outputs(self.original or self.network, point, self.edits)

    @cached_property
    def reference(self) -> Reference:
        """What is run in onnxruntime."""
        return Reference(self.loaded)


def confirmed(
    first: Subject, second: Subject, promise: Promise, point: np.ndarray
) -> Witness | None:
    """``point`` as a witness, if the promise fails there over the reals and in onnxruntime."""
    if not promise.fails_at(first.exactly(point), second.exactly(point)):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        outputs = [side.reference.outputs(point[None])[0] for side in (first, second)]
    if not all(np.isfinite(values).all() for values in outputs):
        return None
    f, g = (values.astype(np.float64) for values in outputs)
    return Witness(point.copy(), f, g) if promise.fails_at(f, g) else None
