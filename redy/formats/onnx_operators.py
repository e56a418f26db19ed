"""The registry of ONNX operators, and those that only move values around.

A rule takes the import's state and a node, and returns one value per output of the node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from redy.formats import affine
from redy.formats.affine import Affine
from redy.formats.onnx_graph import Node, Value, constant_array
from redy.formats.onnx_import import Import

Rule = Callable[[Import, Node], list[Value]]

RULES: dict[str, Rule] = {}


def rule(*operators: str) -> Callable[[Rule], Rule]:
    """Register a function as the rule of ``operators``."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(operators, function))
        return function

    return register


def lifted(value: Value) -> Affine:
    """``value`` as an expression; integer constants are taken as numbers."""
    return value if isinstance(value, Affine) else affine.constant(value)


def settled(result: Affine, *operands: Value) -> Value:
    """``result``, as a constant array where every operand was one."""
    if any(isinstance(operand, Affine) for operand in operands):
        return result
    return result.bias.reshape(result.shape)


def positions(value: Value) -> np.ndarray:
    """Flat positions of the values, in the tensor's shape."""
    return np.arange(value.size).reshape(value.shape)


def moved(value: Value, index: np.ndarray) -> Value:
    """The values at flat positions ``index``."""
    if isinstance(value, Affine):
        return affine.take(value, index)
    affine.checked_size(index.shape)
    return np.asarray(value.ravel()[index])


def broadcast(value: Value, shape: Sequence[int]) -> Value:
    """``value`` broadcast to ``shape``, as numpy does."""
    affine.checked_size(shape)
    return moved(value, np.broadcast_to(positions(value), tuple(shape)))


def positive_axis(node: Node, axis: int, rank: int) -> int:
    """``axis`` counted from the front; raises FormatError when out of range."""
    if not -rank <= axis < max(rank, 1):
        raise node.malformed(f"axis {axis} is out of range for a tensor of rank {rank}")
    return axis % max(rank, 1)


@rule("Identity", "Dropout")
def _identity(_: Import, node: Node) -> list[Value]:
    training = node.has_input(2) and bool(np.any(node.constant(2)))
    if training or len([name for name in node.proto.output if name]) > 1:
        raise node.unsupported("dropout in training mode, or its mask, is not a fixed function")
    return [node.value(0)]


@rule("Cast")
def _cast(_: Import, node: Node) -> list[Value]:
    value, target = node.value(0), node.integer("to", 0)
    if target in (1, 10, 11, 16):  # the floating-point types, all read as real numbers
        return [value if isinstance(value, Affine) else value.astype(np.float64)]
    if isinstance(value, Affine):
        raise node.unsupported("casting the network's values to integers is not piecewise linear")
    types = {6: np.int32, 7: np.int64, 9: np.bool_}
    if target not in types:
        raise node.unsupported(f"cast to element type {target} is not supported")
    return [value.astype(types[target])]


@rule("Constant")
def _constant(_: Import, node: Node) -> list[Value]:
    tensor = node.attribute("value")
    if tensor is not None:
        return [constant_array(tensor.t, node.where)]
    for name, kind in (("value_float", np.float64), ("value_int", np.int64)):
        scalar = node.attribute(name)
        if scalar is not None:
            return [np.array(scalar.f if kind is np.float64 else scalar.i, dtype=kind)]
    for name, kind in (("value_floats", np.float64), ("value_ints", np.int64)):
        vector = node.attribute(name)
        if vector is not None:
            return [np.array(vector.floats if kind is np.float64 else vector.ints, dtype=kind)]
    raise node.unsupported("only constants given as a tensor or as numbers are supported")


@rule("ConstantOfShape")
def _constant_of_shape(_: Import, node: Node) -> list[Value]:
    shape = node.indices(0)
    affine.checked_size(shape)
    given = node.attribute("value")
    fill = constant_array(given.t, node.where) if given is not None else np.zeros(1)
    return [np.full(shape, fill.ravel()[0])]


@rule("Shape")
def _shape(_: Import, node: Node) -> list[Value]:
    shape = node.value(0).shape
    end = node.attribute("end")
    window = slice(node.integer("start", 0), None if end is None else int(end.i))
    return [np.array(shape[window], dtype=np.int64)]


@rule("Flatten")
def _flatten(_: Import, node: Node) -> list[Value]:
    value = node.value(0)
    axis = node.integer("axis", 1)
    if axis != len(value.shape):
        axis = positive_axis(node, axis, len(value.shape))
    return [moved(value, positions(value).reshape(int(np.prod(value.shape[:axis])), -1))]


@rule("Reshape")
def _reshape(_: Import, node: Node) -> list[Value]:
    value, shape = node.value(0), node.indices(1)
    if not node.integer("allowzero", 0):
        if any(size == 0 and axis >= len(value.shape) for axis, size in enumerate(shape)):
            raise node.malformed(f"shape {shape} copies a dimension that its input lacks")
        shape = [value.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    return [moved(value, positions(value).reshape(shape))]


@rule("Transpose")
def _transpose(_: Import, node: Node) -> list[Value]:
    value = node.value(0)
    return [moved(value, positions(value).transpose(node.integers("perm")))]


@rule("Squeeze")
def _squeeze(_: Import, node: Node) -> list[Value]:
    value, axes = node.value(0), node.axes(1)
    return [moved(value, positions(value).squeeze(None if axes is None else tuple(axes)))]


@rule("Unsqueeze")
def _unsqueeze(_: Import, node: Node) -> list[Value]:
    value, axes = node.value(0), node.axes(1)
    if axes is None:
        raise node.malformed("its axes are missing")
    return [moved(value, np.expand_dims(positions(value), tuple(axes)))]


@rule("Expand")
def _expand(_: Import, node: Node) -> list[Value]:
    value = node.value(0)
    shape = tuple(node.indices(1))
    affine.checked_size(shape)
    return [broadcast(value, np.broadcast_shapes(value.shape, shape))]


@rule("Concat")
def _concat(_: Import, node: Node) -> list[Value]:
    values = [node.value(i) for i in range(len(node.inputs))]
    if not values:
        raise node.malformed("has no inputs")
    axis = positive_axis(node, node.integer("axis", 0), len(values[0].shape))
    if not any(isinstance(value, Affine) for value in values):
        return [np.concatenate([np.asarray(value) for value in values], axis=axis)]
    starts = np.cumsum([0] + [value.size for value in values])
    parts = [positions(v) + start for v, start in zip(values, starts[:-1], strict=True)]
    stacked = affine.stack([lifted(value) for value in values])
    return [moved(stacked, np.concatenate(parts, axis=axis))]


@rule("Gather")
def _gather(_: Import, node: Node) -> list[Value]:
    value, index = node.value(0), node.constant(1)
    if index.dtype.kind not in "iu":
        raise node.malformed("its indices are not integers")
    axis = positive_axis(node, node.integer("axis", 0), len(value.shape))
    kept = value.size // max(value.shape[axis], 1)
    affine.checked_size([kept, index.size])
    return [moved(value, np.take(positions(value), index, axis=axis))]


@rule("Slice")
def _slice(_: Import, node: Node) -> list[Value]:
    value = node.value(0)
    starts, ends = node.axes(1, "starts"), node.axes(2, "ends")
    if starts is None or ends is None:
        raise node.malformed("its starts or ends are missing")
    axes = node.axes(3)
    steps = node.axes(4, "steps")
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise node.malformed("its starts, ends, axes and steps differ in length")
    window = [slice(None)] * len(value.shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        d = positive_axis(node, axis, len(value.shape))
        window[d] = _window(start, end, step, value.shape[d])
    return [moved(value, positions(value)[tuple(window)])]


def _window(start: int, end: int, step: int, size: int) -> slice:
    # ONNX clamps an end below -size to "before the first"; a Python slice needs None for that.
    stop = None if step < 0 and end < -size else end
    return slice(start, stop, step)


@rule("Split")
def _split(_: Import, node: Node) -> list[Value]:
    value = node.value(0)
    axis = positive_axis(node, node.integer("axis", 0), len(value.shape))
    count = len(node.proto.output)
    size = value.shape[axis]
    sizes = node.axes(1, "split")
    if sizes is None:
        chunk = -(-size // max(count, 1))
        sizes = [min(chunk, size - i * chunk) for i in range(count)]
    if sum(sizes) != size or len(sizes) != count or min(sizes) < 0:
        raise node.malformed(f"splits of {sizes} do not fit {size} values and {count} outputs")
    parts = np.split(positions(value), np.cumsum(sizes)[:-1], axis=axis)
    return [moved(value, part) for part in parts]


@rule("Pad")
def _pad(state: Import, node: Node) -> list[Value]:
    value, mode = node.value(0), node.text("mode", "constant")
    widths = _pad_widths(node, len(value.shape))
    affine.checked_size([n + sum(w) for n, w in zip(value.shape, widths, strict=True)])
    if mode in ("edge", "reflect"):
        return [moved(value, np.pad(positions(value), widths, mode=mode))]  # type: ignore[call-overload]
    if mode != "constant":
        raise node.unsupported(f"padding mode '{mode}' is not supported")
    fill = float(node.weights(2).ravel()[0]) if node.has_input(2) else node.real("value", 0.0)
    index = np.pad(positions(value), widths, constant_values=-1)
    padded = affine.take(lifted(value), index)
    border = affine.constant(np.where(index < 0, fill, 0.0))
    return [settled(state.add(padded, border), value)]


def _pad_widths(node: Node, rank: int) -> list[tuple[int, int]]:
    pads = node.axes(1, "pads") or []
    axes = node.indices(3) if node.has_input(3) else list(range(rank))
    if len(pads) != 2 * len(axes):
        raise node.malformed(f"{len(pads)} pads do not fit {len(axes)} axes")
    if min(pads, default=0) < 0:
        raise node.unsupported("negative pads are not supported; use Slice")
    widths = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        widths[positive_axis(node, axis, rank)] = (pads[i], pads[i + len(axes)])
    return widths
