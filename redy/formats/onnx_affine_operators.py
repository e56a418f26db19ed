"""ONNX operators that are affine and vanish into the weights of the next layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from redy.errors import NetworkError
from redy.formats import affine
from redy.formats.affine import Affine
from redy.formats.onnx_graph import Node, Value
from redy.formats.onnx_import import Import
from redy.formats.onnx_operators import broadcast, lifted, moved, positions, rule, settled
from redy.formats.onnx_windows import kernel_shape, windows


def operand(node: Node, index: int) -> Affine:
    """Input ``index`` as an expression; a constant must be finite."""
    value = node.value(index)
    return value if isinstance(value, Affine) else affine.constant(node.weights(index))


def aligned(node: Node, values: Sequence[Affine]) -> list[Affine]:
    """``values`` broadcast to their common shape."""
    try:
        shape = np.broadcast_shapes(*(value.shape for value in values))
    except ValueError as error:
        raise node.malformed(f"its shapes do not broadcast ({error})") from error
    return [lifted(broadcast(value, shape)) for value in values]


def _integers(node: Node) -> bool:
    """Whether all inputs are integer constants, as in the arithmetic of shapes."""
    return all(isinstance(value, np.ndarray) and value.dtype.kind in "iu" for value in node.inputs)


@rule("Add", "Sub", "Sum")
def _add(state: Import, node: Node) -> list[Value]:
    operator, count = node.proto.op_type, len(node.inputs)
    if count == 0 or (operator in ("Add", "Sub") and count != 2):
        raise node.malformed(f"has {count} inputs")
    operands = aligned(node, [operand(node, i) for i in range(len(node.inputs))])
    if operator == "Sub":
        operands[1] = affine.negate(operands[1])
    total = operands[0]
    for term in operands[1:]:
        total = state.add(total, term)
    return [_like_inputs(node, total)]


@rule("Mean")
def _mean(state: Import, node: Node) -> list[Value]:
    (total,) = _add(state, node)
    mean = _divided(state, lifted(total), np.full(total.size, float(len(node.inputs))))
    return [settled(mean, total)]


@rule("Neg")
def _negate(_: Import, node: Node) -> list[Value]:
    return [_like_inputs(node, affine.negate(operand(node, 0)))]


@rule("Mul")
def _multiply(state: Import, node: Node) -> list[Value]:
    left, right = aligned(node, [operand(node, 0), operand(node, 1)])
    if isinstance(node.value(0), np.ndarray):
        left, right = right, left
    elif isinstance(node.value(1), Affine):
        raise node.unsupported("the product of two values that depend on the input is not affine")
    return [_like_inputs(node, state.scale(left, right.bias))]


@rule("Div")
def _divide(state: Import, node: Node) -> list[Value]:
    if _integers(node):
        left, right = node.constant(0), node.constant(1)
        if not np.all(right):
            raise node.malformed("divides by zero")
        return [np.asarray(np.trunc(left / right).astype(np.int64))]
    if isinstance(node.value(1), Affine):
        raise node.unsupported("division by a value that depends on the input is not affine")
    left_value, right_value = aligned(node, [operand(node, 0), operand(node, 1)])
    return [_like_inputs(node, _divided(state, left_value, right_value.bias, node))]


def _divided(
    state: Import, value: Affine, divisors: np.ndarray, node: Node | None = None
) -> Affine:
    if not divisors.all():
        raise NetworkError(f"{node.where if node else 'mean'}: divides by zero")
    inverses = 1.0 / divisors
    state.exact = state.exact and bool((np.abs(np.frexp(divisors)[0]) == 0.5).all())
    return state.scale(value, inverses)


def _like_inputs(node: Node, result: Affine) -> Value:
    """A constant result for constant inputs, integers for integers."""
    values = [value for value in node.inputs if value is not None]
    settled_result = settled(result, *values)
    if _integers(node) and isinstance(settled_result, np.ndarray):
        return settled_result.astype(np.int64)
    return settled_result


@rule("MatMul")
def _matmul(state: Import, node: Node) -> list[Value]:
    left, right = operand(node, 0), operand(node, 1)
    return [settled(matmul(state, node, left, right), node.value(0), node.value(1))]


def matmul(state: Import, node: Node, left: Affine, right: Affine) -> Affine:
    """left @ right with numpy's rules, where one side reads no layer."""
    if left.terms and right.terms:
        raise node.unsupported("the product of two values that depend on the input is not affine")
    if not left.shape or not right.shape:
        raise node.malformed("a scalar has no matrix product")
    one, other = positions(left), positions(right)
    try:
        shape = np.matmul(np.empty(left.shape, bool), np.empty(right.shape, bool)).shape
    except ValueError as error:
        raise node.malformed(f"shapes {left.shape} and {right.shape} do not fit") from error
    one = one[None, :] if one.ndim == 1 else one
    other = other[:, None] if other.ndim == 1 else other
    batch = np.broadcast_shapes(one.shape[:-2], other.shape[:-2])
    full = (*batch, one.shape[-2], other.shape[-1], one.shape[-1])
    affine.checked_weights(full)
    columns_left = np.broadcast_to(one[..., :, None, :], full)
    columns_right = np.broadcast_to(np.swapaxes(other, -1, -2)[..., None, :, :], full)
    if right.terms:
        matrix = _table(columns_right, left.bias[columns_left], right.size)
        return state.apply(matrix, right, shape)
    matrix = _table(columns_left, right.bias[columns_right], left.size)
    return state.apply(matrix, left, shape)


def _table(columns: np.ndarray, data: np.ndarray, width: int) -> csr_array:
    """The matrix whose row r has ``data[..., r, :]`` in ``columns[..., r, :]``."""
    terms = columns.shape[-1]
    rows = columns.size // max(terms, 1)
    starts = np.arange(rows + 1) * terms
    return csr_array((data.ravel(), columns.ravel(), starts), shape=(rows, width))


@rule("Gemm")
def _gemm(state: Import, node: Node) -> list[Value]:
    left, right = operand(node, 0), operand(node, 1)
    if len(left.shape) != 2 or len(right.shape) != 2:
        raise node.malformed(f"shapes {left.shape} and {right.shape} are not matrices")
    if node.integer("transA", 0):
        left = lifted(moved(left, positions(left).T))
    if node.integer("transB", 0):
        right = lifted(moved(right, positions(right).T))
    result = matmul(state, node, left, right)
    alpha, beta = node.real("alpha", 1.0), node.real("beta", 1.0)
    if alpha != 1.0:
        result = state.scale(result, np.full(result.size, alpha))
    if node.has_input(2) and beta != 0.0:
        added = lifted(broadcast(operand(node, 2), result.shape))
        if beta != 1.0:
            added = state.scale(added, np.full(added.size, beta))
        result = state.add(result, added)
    return [settled(result, *(value for value in node.inputs if value is not None))]


@rule("Conv")
def _conv(state: Import, node: Node) -> list[Value]:
    value, kernel = operand(node, 0), node.weights(1)
    group = node.integer("group", 1)
    if kernel.ndim < 3 or group < 1 or kernel.shape[0] % group or len(value.shape) < 3:
        raise node.malformed(f"weights of shape {kernel.shape} do not fit {group} groups")
    if kernel.shape[1] * group != value.shape[1]:
        raise node.malformed(
            f"weights of shape {kernel.shape} do not fit {value.shape[1]} input channels"
        )
    table = windows(node, value, kernel.shape[2:])
    filters, channels = kernel.shape[:2]
    places = table.index.shape[1]
    affine.checked_weights([filters, places, kernel[0].size])
    first = np.arange(filters) // (filters // group) * channels
    chosen = first[:, None] + np.arange(channels)  # input channels that each filter reads
    columns = table.index[chosen].transpose(0, 2, 1, 3).reshape(filters * places, -1)
    data = np.repeat(kernel.reshape(filters, -1), places, axis=0)
    shape = (1, filters, *table.spatial)
    result = state.apply(_ragged(columns, data, value.size), value, shape)
    if node.has_input(2):
        bias = affine.constant(np.repeat(node.weights(2), places).reshape(shape))
        result = state.add(result, bias)
    return [result]


def _ragged(columns: np.ndarray, data: np.ndarray, width: int) -> csr_array:
    """The matrix with ``data`` (rows, m) in ``columns`` (rows, m), leaving out columns of -1."""
    inside = columns >= 0
    starts = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
    return csr_array((data[inside], columns[inside], starts), shape=(len(columns), width))


@rule("BatchNormalization")
def _batch_normalization(state: Import, node: Node) -> list[Value]:
    if node.integer("training_mode", 0) or not node.integer("spatial", 1):
        raise node.unsupported("only inference-mode, per-channel normalization is affine")
    value = operand(node, 0)
    gain, shift, mean, variance = (node.weights(i).ravel() for i in range(1, 5))
    spread = variance + node.real("epsilon", 1e-5)
    if not (spread > 0).all():
        raise NetworkError(f"{node.where}: its variance is not positive")
    channels = value.shape[1] if len(value.shape) > 1 else 1
    if not gain.size == shift.size == mean.size == spread.size == channels:
        raise node.malformed(f"its parameters do not fit {channels} channels")
    state.exact = False  # a square root and a division
    factors = gain / np.sqrt(spread)
    offsets = shift - mean * factors
    repeats = value.size // channels
    result = state.scale(value, np.repeat(factors, repeats))
    return [state.add(result, affine.constant(np.repeat(offsets, repeats).reshape(value.shape)))]


@rule("AveragePool")
def _average_pool(state: Import, node: Node) -> list[Value]:
    value = operand(node, 0)
    table = windows(node, value, kernel_shape(node))
    columns = table.index.reshape(-1, table.index.shape[2])
    counts = (columns >= 0).sum(axis=1)
    if node.integer("count_include_pad", 0):
        counts = np.full(len(columns), columns.shape[1])
    return [_averages(state, value, columns, counts, (1, value.shape[1], *table.spatial))]


@rule("GlobalAveragePool")
def _global_average_pool(state: Import, node: Node) -> list[Value]:
    value = operand(node, 0)
    if len(value.shape) < 3:
        raise node.malformed(f"shape {value.shape} has no spatial dimensions")
    columns = positions(value).reshape(value.shape[0] * value.shape[1], -1)
    counts = np.full(len(columns), columns.shape[1])
    shape = (*value.shape[:2], *(1 for _ in value.shape[2:]))
    return [_averages(state, value, columns, counts, shape)]


@rule("ReduceMean", "ReduceSum")
def _reduce(state: Import, node: Node) -> list[Value]:
    value = operand(node, 0)
    groups = reduced_positions(node, value)
    if groups is None:
        return [node.value(0)]
    columns, shape = groups
    ones = np.ones(len(columns), dtype=int)
    counts = ones * columns.shape[1] if node.proto.op_type == "ReduceMean" else ones
    return [settled(_averages(state, value, columns, counts, shape), node.value(0))]


def reduced_positions(node: Node, value: Affine) -> tuple[np.ndarray, tuple[int, ...]] | None:
    """Positions (results, m) that a reduction gathers, and its shape; None for no axes."""
    rank = len(value.shape)
    axes = node.axes(1)
    if not axes:
        if node.integer("noop_with_empty_axes", 0):
            return None
        axes = list(range(rank))
    if any(not -rank <= axis < rank for axis in axes):
        raise node.malformed(f"axes {axes} are out of range for a tensor of rank {rank}")
    gone = sorted({axis % rank for axis in axes})
    kept = [axis for axis in range(rank) if axis not in gone]
    moved_last = positions(value).transpose(kept + gone)
    shape = [1 if axis in gone else value.shape[axis] for axis in range(rank)]
    if not node.integer("keepdims", 1):
        shape = [value.shape[axis] for axis in kept]
    return moved_last.reshape(int(np.prod([value.shape[a] for a in kept])), -1), tuple(shape)


def _averages(
    state: Import,
    value: Affine,
    columns: np.ndarray,
    counts: np.ndarray,
    shape: Sequence[int],
) -> Affine:
    """Sums over ``columns`` (rows, m), where -1 adds nothing, each divided by its count."""
    summed = state.apply(_ragged(columns, np.ones(columns.shape), value.size), value, shape)
    return _divided(state, summed, counts.astype(np.float64))
