"""The simplified networks of all slices in one ONNX graph, each input being in one of them.

The network is in the graph once. What becomes of a ReLU neuron's pre-activation z is

    KEEP max(z, 0)    ZERO 0    IDENTITY z    AFFINE a z + b

as two bits per neuron say, "alive" and "linear". A correction C x + d is added to the outputs.
Bits, lines and corrections are gathered from tables, which hold each of them once, as the bundle
does. Every table has a last row for the original network; an index of -1 means that row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from redy.edit_table import EditTable, unpack
from redy.edits import Edit
from redy.formats.bundle import Content
from redy.formats.onnx_build import Graph, element_of
from redy.formats.onnx_write import relu, write_layers
from redy.network.form import Network

_AT_ONCE = 2**12  # rows of masks made at once; bounds memory


def write_edited(graph: Graph, content: Content, points: str, part: str) -> str:
    """Outputs (n, outputs) of the networks of the slices ``part`` (n,) at ``points`` (n, inputs).

    Slices that were not simplified, and -1, are of the original network.

    Raises:
        NetworkError: a weight is too large for the graph's type.
        UnsupportedError: the model does not fit into one file any more.
    """
    outputs, table = graph.name("edited"), content.edits
    activation = relu
    if table.packed.any():
        row = _of_slice(graph, content, table.number, len(table.packed), "row", part)
        activation = _write_edits(graph, content.base, table, row).activation
    write_layers(graph, content.base, points, outputs, activation)
    if not table.corrections.any():
        return outputs
    none = len(table.corrections)
    held = np.where(table.correction == 0, none, table.correction.astype(np.int64) - 1)
    number = _of_slice(graph, content, held, none, "correction", part)
    return _corrected(graph, table.corrections, number, points, outputs)


def _of_slice(
    graph: Graph, content: Content, values: np.ndarray, none: int, name: str, part: str
) -> str:
    """Of each slice in ``part`` its one of ``values`` (simplified slices,), or ``none``: (n,)."""
    table = np.full(content.slicing.slices + 1, none, dtype=np.int32)
    table[content.slices] = values
    return _gathered(graph, table, part, name)


def _gathered(graph: Graph, table: np.ndarray, rows: str, name: str) -> str:
    """The ``rows`` of a table of its own."""
    return graph.inner("Gather", [graph.table(f"{name}_table", table), rows], name)


@dataclass(frozen=True)
class _Edits:
    """What edits the neurons, per hidden layer k that has some: tensors (n, neurons).

    Attributes:
        alive: where the activation is not zero.
        linear: where it is z rather than max(z, 0).
        zero: a zero.
        slope, intercept: of lines; empty if no slice has any.
    """

    alive: Mapping[int, str]
    linear: Mapping[int, str]
    zero: str
    slope: Mapping[int, str] = field(default_factory=dict)
    intercept: Mapping[int, str] = field(default_factory=dict)

    def activation(self, graph: Graph, k: int, pre: str, post: str) -> str:
        """Write the edited activations of layer k, as a ``redy.formats.onnx_write.Activation``."""
        positive = graph.inner("Relu", [pre], f"{post}_relu")
        phase = graph.inner("Where", [self.linear[k], pre, positive], f"{post}_phase")
        edited = graph.inner("Where", [self.alive[k], phase, self.zero], f"{post}_edited")
        if not self.slope:
            return edited
        scaled = graph.inner("Mul", [edited, self.slope[k]], f"{post}_scaled")
        return graph.inner("Add", [scaled, self.intercept[k]], post)


def _write_edits(graph: Graph, network: Network, table: EditTable, row: str) -> _Edits:
    """The edits in the rows ``row`` (n,) of ``table``; the row after its last has none."""
    counts = [int(layer.relu.sum()) for layer in network.layers]
    sizes = {k: count for k, count in enumerate(counts, start=1) if count}
    masks = _write_masks(graph, table, row)
    alive = _by_layer(graph, masks["alive"], "alive", sizes)
    linear = _by_layer(graph, masks["linear"], "linear", sizes)
    zero = graph.table("zero", np.zeros((), dtype=graph.dtype))
    if "affine" not in masks:
        return _Edits(alive, linear, zero)
    line = _line_numbers(graph, table, row, masks["affine"])
    slopes, intercepts = np.concatenate([[[1.0, 0.0]], table.lines]).astype(graph.dtype).T
    slope = _by_layer(graph, _gathered(graph, slopes, line, "slope"), "slope", sizes)
    intercept = _by_layer(
        graph, _gathered(graph, intercepts, line, "intercept"), "intercept", sizes
    )
    return _Edits(alive, linear, zero, slope, intercept)


def _by_layer(graph: Graph, tensor: str, name: str, sizes: Mapping[int, int]) -> dict[int, str]:
    """The columns of ``tensor`` (n, neurons) that belong to each layer, of ``sizes`` by layer."""
    names = {k: graph.name(f"{name}{k}") for k in sizes}
    graph.split(tensor, list(sizes.values()), list(names.values()))
    return names


def _write_masks(graph: Graph, table: EditTable, row: str) -> dict[str, str]:
    """The masks "alive", "linear" and, if there are lines, "affine": tensors (n, neurons) bool."""
    bits = _packed_masks(table)
    own = _gathered(graph, bits, row, "bits")
    axis = graph.table("bits_axis", np.array([1]))
    column = graph.inner("Unsqueeze", [own, axis], "bits_column")
    # Bit j becomes the highest of a byte, and then its only one.
    places = graph.table("bits_places", np.arange(7, -1, -1, dtype=np.uint8)[:, None])
    highest = graph.inner("BitShift", [column, places], "bits_highest", direction="LEFT")
    last = graph.table("bits_last", np.array(7, dtype=np.uint8))
    single = graph.inner("BitShift", [highest, last], "bits_single", direction="RIGHT")
    unpacked = graph.inner("Cast", [single], "bits_unpacked", to=element_of(np.bool_))
    width = 8 * bits.shape[1]
    shape = graph.table("masks_shape", np.array([0, width]))
    flat = graph.inner("Reshape", [unpacked, shape], "masks")
    names = ["alive", "linear", *(["affine"] if table.lines.size else [])]
    sizes = [table.neurons] * len(names)
    rest = width - sum(sizes)
    if rest:
        names, sizes = [*names, "padding"], [*sizes, rest]
    graph.split(flat, sizes, [graph.name(f"{name}_mask") for name in names])
    return {name: graph.name(f"{name}_mask") for name in names}


def _packed_masks(table: EditTable) -> np.ndarray:
    """(distinct + 1, bytes) uint8: the masks of each row side by side; those of no edits last.

    Bit j of byte w is entry j * bytes + w, so that unpacked bits are in order place by place.
    """
    packed = np.pad(table.packed, ((0, 1), (0, 0)))
    blocks = []
    for start in range(0, len(packed), _AT_ONCE):
        codes = unpack(packed[start : start + _AT_ONCE], table.neurons)
        masks = [codes != Edit.ZERO, codes >= Edit.IDENTITY]
        if table.lines.size:
            masks.append(codes == Edit.AFFINE)
        flat = np.concatenate(masks, axis=1)
        padded = np.pad(flat, ((0, 0), (0, -flat.shape[1] % 8)))
        by_place = padded.reshape(len(codes), 8, padded.shape[1] // 8)
        blocks.append(np.packbits(by_place, axis=1, bitorder="little")[:, 0])
    return np.concatenate(blocks)


def _line_numbers(graph: Graph, table: EditTable, row: str, affine: str) -> str:
    """1 + the row of ``table.lines`` of each AFFINE neuron, 0 for the others: (n, neurons)."""
    count = (unpack(table.packed, table.neurons) == Edit.AFFINE).sum(axis=1)
    before = np.concatenate([[0], np.cumsum(count)]).astype(np.int32)[:, None]
    one = graph.inner("Cast", [affine], "affine_number", to=element_of(np.int32))
    counted = graph.inner("CumSum", [one, graph.table("along", np.array(1))], "affine_counted")
    line = graph.inner("Add", [counted, _gathered(graph, before, row, "lines_before")], "line")
    return graph.inner("Mul", [line, one], "line_or_none")


def _corrected(
    graph: Graph, corrections: np.ndarray, number: str, points: str, outputs: str
) -> str:
    """``outputs`` + C x + d, [C | d] being the rows ``number`` (n,) of ``corrections``."""
    table = np.pad(corrections.astype(graph.dtype), ((0, 1), (0, 0), (0, 0)))
    if table[:, :, :-1].any():
        matrix = _gathered(graph, table[:, :, :-1], number, "correction_matrix")
        last = graph.table("correction_axis", np.array([2]))
        column = graph.inner("Unsqueeze", [points, last], "correction_points")
        product = graph.inner("MatMul", [matrix, column], "correction_column")
        linear = graph.inner("Squeeze", [product, last], "correction_linear")
        outputs = graph.inner("Add", [outputs, linear], "corrected_linear")
    constant = _gathered(graph, table[:, :, -1], number, "correction_constant")
    return graph.inner("Add", [outputs, constant], "corrected")
