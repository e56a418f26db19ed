"""ONNX operators that are piecewise linear, lowered to ReLU exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from redy.errors import UnsupportedError
from redy.formats import affine
from redy.formats.affine import Affine
from redy.formats.onnx_affine_operators import aligned, operand, reduced_positions
from redy.formats.onnx_graph import Node, Value
from redy.formats.onnx_import import Entry, Import, Operand, Readout
from redy.formats.onnx_operators import broadcast, positions, rule
from redy.formats.onnx_windows import kernel_shape, windows

_MOST_MAXIMA = 2**11
_LARGEST_LIMIT = 2.0**32


def _source(node: Node, index: int) -> Operand:
    """Input ``index`` as a vector, read where the original model holds it."""
    value = operand(node, index)
    flat = value.reshaped((value.size,))
    return Operand(flat, (Entry(node.name(index), np.arange(value.size)),))


def _constant(array: np.ndarray) -> Operand:
    """Numbers that values are compared with: max(x, c) = c + relu(x - c).

    Next to a large c nothing would be left of x in float64, which the model itself does not do.
    """
    largest = float(np.abs(array).max(initial=0.0))
    if largest > _LARGEST_LIMIT:
        raise UnsupportedError(
            f"a limit of magnitude {largest:g} is too large to be lowered to ReLUs in float64; "
            "leave it out if it stands for no limit"
        )
    index = np.zeros(array.shape, dtype=int)
    return Operand(affine.constant(array), (Entry(None, index, 0.0, array),))


def _negated(value: Operand) -> Operand:
    """The opposite of an operand with a single entry."""
    return Operand(affine.negate(value.value), tuple(e.negated() for e in value.entries))


@rule("Relu")
def _relu(state: Import, node: Node) -> list[Value]:
    value = node.value(0)
    if isinstance(value, np.ndarray):
        return [np.maximum(node.weights(0), 0.0)]
    return [_rectified(state, _source(node, 0)).reshaped(value.shape)]


def _rectified(state: Import, source: Operand) -> Affine:
    return state.activate(source.value, Readout(source.entries))


@rule("LeakyRelu", "PRelu")
def _leaky(state: Import, node: Node) -> list[Value]:
    """a x + (1 - a) max(x, 0)."""
    shape = node.value(0).shape
    if node.proto.op_type == "PRelu":
        slopes = np.asarray(broadcast(node.weights(1), shape)).ravel()
    else:
        slopes = np.full(node.value(0).size, node.real("alpha", 0.01))
    source = _source(node, 0)
    if not slopes.any():
        return [_rectified(state, source).reshaped(shape)]
    source = state.hold(source)
    gains = state.subtract(affine.constant(np.ones(slopes.size)), affine.constant(slopes)).bias
    bent = state.scale(_rectified(state, source), gains)
    return [state.add(state.scale(source.value, slopes), bent).reshaped(shape)]


@rule("Abs")
def _abs(state: Import, node: Node) -> list[Value]:
    source = _source(node, 0)
    return [state.maximum(_negated(source), source).value.reshaped(node.value(0).shape)]


@rule("Clip")
def _clip(state: Import, node: Node) -> list[Value]:
    low = _limit(node, 1, "min", -np.inf)
    high = _limit(node, 2, "max", np.inf)
    if isinstance(node.value(0), np.ndarray):
        return [np.clip(node.constant(0), low, high)]
    clipped = clip(state, node, _source(node, 0), low, high)
    return [clipped.reshaped(node.value(0).shape)]


@rule("HardSigmoid")
def _hard_sigmoid(state: Import, node: Node) -> list[Value]:
    source = _source(node, 0)
    slope, offset = node.real("alpha", 0.2), node.real("beta", 0.5)
    scaled = state.scale(source.value, np.full(source.value.size, slope))
    value = state.add(scaled, affine.constant(np.full(source.value.size, offset)))
    entry = Entry(node.name(0), np.arange(value.size), slope, offset)
    return [clip(state, node, Operand(value, (entry,)), 0.0, 1.0).reshaped(node.value(0).shape)]


def clip(state: Import, node: Node, source: Operand, low: float, high: float) -> Affine:
    """min(max(source, low), high); infinite limits are left out."""
    if np.isnan(low) or np.isnan(high) or low > high:
        raise node.malformed(f"its limits [{low}, {high}] are not an interval")
    if np.isfinite(low):
        source = state.maximum(source, _constant(np.full(source.value.size, low)))
    if np.isfinite(high):
        top = _constant(np.full(source.value.size, high))
        gap = state.subtract(top.value, source.value)
        below = state.activate(gap, Readout(top.entries, source.entries))
        return state.subtract(top.value, below)
    return source.value


def _limit(node: Node, index: int, attribute: str, default: float) -> float:
    if node.has_input(index):
        found = node.constant(index)
        if found.size != 1:
            raise node.malformed(f"its {attribute} is not a single number")
        limit = float(found.ravel()[0])
    else:
        given = node.attribute(attribute)
        limit = default if given is None else float(given.f)
    # The largest float32 stands for "no limit" in many exported files, but is a limit all the same:
    # such files are refused, see _constant.
    return limit


@rule("Max", "Min")
def _extremum(state: Import, node: Node) -> list[Value]:
    smallest = node.proto.op_type == "Min"
    values = [node.value(i) for i in range(len(node.inputs))]
    if all(isinstance(value, np.ndarray) for value in values):
        reduce = np.minimum if smallest else np.maximum
        return [reduce.reduce(np.broadcast_arrays(*(node.weights(i) for i in range(len(values)))))]
    shape = aligned(node, [operand(node, i) for i in range(len(values))])[0].shape
    operands = [_spread(node, i, shape) for i in range(len(values))]
    if smallest:
        operands = [_negated(each) for each in operands]
    operands.sort(key=lambda each: not each.value.terms)  # constants last
    result = operands[0]
    for each in operands[1:]:
        result = state.maximum(result, each)
    value = affine.negate(result.value) if smallest else result.value
    return [value.reshaped(shape)]


def _spread(node: Node, index: int, shape: Sequence[int]) -> Operand:
    """Input ``index`` broadcast to ``shape``, as a vector."""
    value = node.value(index)
    if isinstance(value, np.ndarray):
        return _constant(np.asarray(broadcast(node.weights(index), shape)).ravel())
    rows = np.broadcast_to(positions(value), tuple(shape)).ravel()
    return _source(node, index).at(rows)


@rule("MaxPool")
def _max_pool(state: Import, node: Node) -> list[Value]:
    if len([name for name in node.proto.output if name]) > 1:
        raise node.unsupported("the indices of a maximum are not piecewise linear")
    value = operand(node, 0)
    table = windows(node, value, kernel_shape(node))
    columns = table.index.reshape(-1, table.index.shape[2])
    if not (columns >= 0).any(axis=1).all():
        raise node.malformed("has a window that lies in padding only")
    result = _largest(state, state.hold(_source(node, 0)), columns)
    return [result.reshaped((1, value.shape[1], *table.spatial))]


@rule("GlobalMaxPool")
def _global_max_pool(state: Import, node: Node) -> list[Value]:
    value = operand(node, 0)
    if len(value.shape) < 3:
        raise node.malformed(f"shape {value.shape} has no spatial dimensions")
    columns = positions(value).reshape(value.shape[0] * value.shape[1], -1)
    result = _largest(state, state.hold(_source(node, 0)), columns)
    return [result.reshaped((*value.shape[:2], *(1 for _ in value.shape[2:])))]


@rule("ReduceMax")
def _reduce_max(state: Import, node: Node) -> list[Value]:
    value = operand(node, 0)
    groups = reduced_positions(node, value)
    if groups is None:
        return [node.value(0)]
    columns, shape = groups
    if columns.shape[1] == 0:
        raise node.malformed("takes the maximum of no values")
    return [_largest(state, state.hold(_source(node, 0)), columns).reshaped(shape)]


def _largest(state: Import, source: Operand, columns: np.ndarray) -> Affine:
    """Row-wise maximum of source[columns] (rows, m), -1 left out, by a balanced tree of maxima."""
    if columns.shape[1] > _MOST_MAXIMA:
        raise UnsupportedError(
            f"the maximum of {columns.shape[1]} values at once is more than redy lowers to ReLUs"
        )
    there = columns >= 0
    first = columns[np.arange(len(columns)), there.argmax(axis=1)]
    filled = np.where(there, columns, first[:, None])
    nodes = [(source.at(filled[:, i]), there[:, i]) for i in range(columns.shape[1])]
    while len(nodes) > 1:
        merged = [
            _merge(state, *left, *right)
            for left, right in zip(nodes[::2], nodes[1::2], strict=False)
        ]
        nodes = merged + ([nodes[-1]] if len(nodes) % 2 else [])
    return nodes[0][0].value


def _merge(
    state: Import, left: Operand, in_left: np.ndarray, right: Operand, in_right: np.ndarray
) -> tuple[Operand, np.ndarray]:
    """Maximum where both sides are there, the side that is where only one is."""
    both = np.flatnonzero(in_left & in_right)
    if both.size == 0:
        merged = affine.stack([left.value, right.value])
    else:
        joint = state.maximum(left.at(both), right.at(both)).value
        merged = affine.stack([left.value, right.value, joint])
    size = left.value.size
    rows = np.where(in_left, np.arange(size), size + np.arange(size))
    rows[both] = 2 * size + np.arange(both.size)
    entries = _patched(left, in_left, right) + _patched(right, in_right, left)
    return Operand(affine.take(merged, rows), entries), in_left | in_right


def _patched(side: Operand, there: np.ndarray, other: Operand) -> tuple[Entry, ...]:
    """The side's entries, reading the other side where this one is not there."""
    spare = other.entries[0].index
    return tuple(Entry(e.tensor, np.where(there, e.index, spare)) for e in side.entries)
