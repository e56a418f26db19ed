"""The neurons that stay on a slice as one small system, for the searches that guide proofs.

After exact edits, folding leaves n neurons whose pre-activations are affine in the input and in
neurons of earlier layers,

    z = A x + c + L relu(z),    y = C x + d + W relu(z),

L strictly lower block triangular. It is evaluated in floating point: it proposes, it never proves.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from redy.edits import Edit, Edits
from redy.network.fold import materialise
from redy.network.form import Network, dense


class Reduced:
    """What is left of ``network`` after exact ``edits`` on one slice.

    Attributes:
        neurons: (n,) the neurons that stay, as rows of ``network.neurons``.
        count: n.
        inner: (n, n), L.
    """

    def __init__(self, network: Network, edits: Edits) -> None:
        folded = materialise(network, edits, [True] * network.depth)
        self.neurons = np.flatnonzero(edits.codes == Edit.KEEP)
        self.count = self.neurons.size
        widths = [layer.units for layer in folded.layers[:-1]]
        start = np.concatenate([[0], np.cumsum(widths)]).astype(int)
        self._blocks = [slice(a, b) for a, b in pairwise(start) if a < b]
        shape = (self.count, network.inputs)
        self._input, self._bias = np.zeros(shape), np.zeros(self.count)
        self.inner = np.zeros((self.count, self.count))
        self.output_input = np.zeros((network.outputs, network.inputs))
        self.output = np.zeros((network.outputs, self.count))
        self.output_bias = folded.layers[-1].bias.copy()
        for k, layer in enumerate(folded.layers[:-1]):
            rows = slice(start[k], start[k + 1])
            self._bias[rows] = layer.bias
            for j, matrix in layer.weights.items():
                if j == 0:
                    self._input[rows] = dense(matrix)
                else:
                    self.inner[rows, start[j - 1] : start[j]] = dense(matrix)
        for j, matrix in folded.layers[-1].weights.items():
            if j == 0:
                self.output_input[:] = dense(matrix)
            else:
                self.output[:, start[j - 1] : start[j]] = dense(matrix)

    def drive(self, points: np.ndarray) -> np.ndarray:
        """A x + c at ``points`` (m, inputs): (m, n)."""
        return np.asarray(points @ self._input.T + self._bias)

    def forward(
        self, drive: np.ndarray, removed: np.ndarray, lines: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pre- and post-activations (m, n) with ``removed`` (n,) neurons replaced by ``lines``.

        ``lines`` (n, 2) holds slope and intercept; ``drive`` is that of the points.
        """
        pre, post = np.empty_like(drive), np.zeros_like(drive)
        for block in self._blocks:
            pre[:, block] = drive[:, block] + post[:, : block.start] @ self._inner_rows(block)
            post[:, block] = np.maximum(pre[:, block], 0.0)
            edited = np.flatnonzero(removed[block]) + block.start
            post[:, edited] = lines[edited, 0] * pre[:, edited] + lines[edited, 1]
        return pre, post

    def layers(self, drive: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Layer by layer: its neurons, their pre-activations, and the post-activations so far.

        The caller fills in the post-activations of the layer before the next one is asked for.
        """
        post = np.zeros_like(drive)
        for block in self._blocks:
            pre = drive[:, block] + post[:, : block.start] @ self._inner_rows(block)
            yield block, pre, post

    def _inner_rows(self, block: slice) -> np.ndarray:
        return np.asarray(self.inner[block, : block.start].T)

    def outputs(self, points: np.ndarray, post: np.ndarray) -> np.ndarray:
        """The outputs (m, outputs) of ``points`` with post-activations ``post`` (m, n)."""
        return np.asarray(points @ self.output_input.T + self.output_bias + post @ self.output.T)

    def values(self, points: np.ndarray) -> np.ndarray:
        """The outputs (m, outputs) at ``points`` (m, inputs), nothing removed."""
        nothing = np.zeros(self.count, dtype=bool), np.zeros((self.count, 2))
        _, post = self.forward(self.drive(points), *nothing)
        return self.outputs(points, post)

    def sensitivity(self, slopes: np.ndarray, output: int) -> np.ndarray:
        """d y_output / d h_i (m, n), where ``slopes`` (m, n) are those of the activations."""
        back = np.tile(self.output[output], (len(slopes), 1))
        for block in reversed(self._blocks):
            back[:, : block.start] += (back[:, block] * slopes[:, block]) @ self.inner[
                block, : block.start
            ]
        return back
