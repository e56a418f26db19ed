"""The finished network of a slice beside the original, in floating point, at random points.

It proves nothing. But two networks that are further apart than their proof and rounding allow are
evidence that the proof is wrong, whoever made it, and its edits are not to be used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from redy.formats.networks import Reference
from redy.guarantee import Guarantee
from redy.network.evaluate import evaluate
from redy.network.form import Network
from redy.network.rounding import evaluation_error
from redy.network.winner import winners_changed
from redy.search.witnesses import pool_points
from redy.tolerances import DIFFERENT, FLOOR, FOLDED


@dataclass(frozen=True)
class Finding:
    """What the check of one slice found.

    Attributes:
        deviation: largest |folded network - original in onnxruntime|.
        winners_changed: under ``decision``, points with another winner, beyond rounding; else 0.
        contradicts: no rounding error explains the difference; the proof must be wrong.
    """

    deviation: float
    winners_changed: int
    contradicts: bool


class FloatCheck:
    """Compares simplified networks with ``network`` at ``count`` points of a slice."""

    def __init__(
        self, network: Network, reference: Reference, guarantee: Guarantee, count: int
    ) -> None:
        self._network, self._reference = network, reference
        self._guarantee, self._count = guarantee, count

    def __call__(
        self,
        simplified: Network,
        index: int,
        lower: np.ndarray,
        upper: np.ndarray,
        eps_proved: float,
    ) -> Finding:
        """The check on slice ``index``, where outputs are proved to differ by ``eps_proved``."""
        points = check_points(index, lower, upper, self._count)
        with np.errstate(over="ignore", invalid="ignore"):
            outputs, original = evaluate(simplified, points), self._reference.outputs(points)
            precise = evaluate(self._network, points)
            # Where the original overflows, there is nothing to compare with.
            apart = np.where(np.isfinite(precise), np.abs(outputs - precise), 0.0)
            apart = apart.max(axis=0, initial=0.0)
            changed = self._changed(precise, outputs, original)
            deviation = float(np.abs(outputs - original).max(initial=0.0))
        allowed = eps_proved + self._rounding(np.maximum(np.abs(lower), np.abs(upper)))
        explained = (apart <= allowed) | np.isinf(allowed)  # and a NaN is not, where all is finite
        return Finding(deviation, changed, changed > 0 or not bool(explained.all()))

    def _changed(self, precise: np.ndarray, outputs: np.ndarray, original: np.ndarray) -> int:
        if self._guarantee.kind != "decision":
            return 0
        # The original in its own precision and in float64: what rounding does to a difference.
        rounding = 2 * np.abs(precise - original).max(initial=0.0)
        rounding += DIFFERENT * np.abs(precise).max(initial=0.0)
        return winners_changed(precise, outputs, self._guarantee.winner, rounding)

    def _rounding(self, largest: np.ndarray) -> np.ndarray:
        """(outputs,) by how much rounding may move outputs where inputs have these magnitudes.

        With magnitudes of h_k that no cancellation lessens, |b_k| + |W_k| m, as folded weights
        have cancelled already; FLOOR pays for products of weights that underflow.
        """
        magnitudes = [largest]
        with np.errstate(over="ignore", invalid="ignore"):
            for layer in self._network.layers[:-1]:
                parts = (abs(matrix) @ magnitudes[j] for j, matrix in layer.weights.items())
                magnitudes.append(np.abs(layer.bias) + sum(parts))
            underflow = FLOOR * max(float(m.max(initial=1.0)) for m in magnitudes)
            return (1.0 + FOLDED) * evaluation_error(self._network, magnitudes) + underflow


def check_points(index: int, lower: np.ndarray, upper: np.ndarray, count: int) -> np.ndarray:
    """``count`` points of a slice, half inside and half on its faces and corners: (count, inputs).

    They are single precision numbers where the slice holds such, and the same at every run.
    """
    rng = np.random.default_rng([20210526, index])
    unit = rng.random((count, lower.size))
    on_faces = unit[::2]
    snapped = rng.random(on_faces.shape) < rng.random((len(on_faces), 1))
    on_faces[snapped] = on_faces[snapped].round()
    return pool_points(lower, upper, unit)
