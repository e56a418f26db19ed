"""As many numbers at a time as one register holds, or two: 8 of double precision, 16 of single.

Sums over a few units, or over a few points, are too short for the compiler to find what can be done
side by side. Here it is written out, as in :mod:`redy.branching.vector`, for both precisions and
for any place in a flat array. Nothing is proved by it.

Where kernels run interpreted, the same functions work on arrays.
"""

from __future__ import annotations

from typing import Any, SupportsIndex

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic, models, overload, register_model

_BYTES = 64
"""Where registers have 32, two of them: sums that do not wait for each other."""


class _Wide(types.Type):
    def __init__(self, number: types.Float, lanes: int) -> None:
        self.number, self.lanes = number, lanes
        super().__init__(name=f"Wide({number} x {lanes})")


@register_model(_Wide)
class _WideModel(models.PrimitiveModel):
    def __init__(self, manager: Any, front_end: Any) -> None:
        super().__init__(manager, front_end, _registers(front_end))


def _wide(row: Any, share: int = 1) -> _Wide:
    """A register of what ``row`` holds, or one part in ``share`` of it."""
    return _Wide(row.dtype, _BYTES * 8 // row.dtype.bitwidth // share)


def _registers(wide: _Wide) -> ir.VectorType:
    element = ir.FloatType() if wide.number == types.float32 else ir.DoubleType()
    return ir.VectorType(element, wide.lanes)


def lanes_of(row: np.ndarray) -> int:
    """How many numbers of the type of ``row`` are computed with at a time."""
    return _BYTES // row.itemsize


def load(row: np.ndarray, start: SupportsIndex) -> Any:
    """The numbers from entry ``start`` on of a flat array, which has so many."""
    first = int(start)
    return row[first : first + lanes_of(row)].copy()


def store(row: np.ndarray, start: SupportsIndex, value: Any) -> None:
    """Put ``value`` in place of the entries from ``start`` on."""
    first = int(start)
    row[first : first + len(value)] = value


def spread(row: np.ndarray, i: SupportsIndex) -> Any:
    """Entry i of a flat array, in every lane."""
    return np.full(lanes_of(row), row[i])


def half_lanes_of(row: np.ndarray) -> int:
    """Half as many lanes, for what would leave half of a register empty."""
    return lanes_of(row) // 2


def load_half(row: np.ndarray, start: SupportsIndex) -> Any:
    """As :func:`load`, half a register."""
    return load(row, start)[: half_lanes_of(row)]


def spread_half(row: np.ndarray, i: SupportsIndex) -> Any:
    """As :func:`spread`, half a register."""
    return np.full(half_lanes_of(row), row[i])


def prefetch(row: np.ndarray, i: SupportsIndex) -> None:
    """Tell the processor that entry i of an array, in memory's order, will soon be needed."""


def zero(row: np.ndarray) -> Any:
    """Zeros of the type of ``row``."""
    return np.zeros(lanes_of(row), row.dtype)


def add(one: Any, other: Any) -> Any:
    """The sum, lane by lane."""
    return one + other


def add_product(total: Any, one: Any, other: Any) -> Any:
    """``total + one * other``, rounded once or twice."""
    return total + one * other


def rectified(value: Any) -> Any:
    """max(value, 0) lane by lane; 0 where it is not a number."""
    return np.where(value > 0, value, value.dtype.type(0))


def count_from(total: Any, value: Any, edge: Any) -> Any:
    """``total``, and one more in every lane where ``value`` is at least ``edge``."""
    return total + (value >= edge)


def _pointer(context: Any, builder: Any, of: Any, array: Any, start: Any) -> Any:
    data = context.make_array(of)(context, builder, array).data
    return builder.gep(data, [start])


def _loading(kind: _Wide) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _pointer(context, builder, signature.args[0], *arguments)
        loaded = builder.load(builder.bitcast(place, _registers(kind).as_pointer()))
        loaded.align = kind.number.bitwidth // 8
        return loaded

    return generate


def _spreading(kind: _Wide) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = builder.load(_pointer(context, builder, signature.args[0], *arguments))
        undefined = ir.Constant(_registers(kind), ir.Undefined)
        first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), kind.lanes), [0] * kind.lanes)
        return builder.shuffle_vector(first, undefined, zeros)

    return generate


@intrinsic
def _load(_: Any, row: Any, start: Any) -> Any:
    return _wide(row)(row, types.intp), _loading(_wide(row))


@intrinsic
def _load_half(_: Any, row: Any, start: Any) -> Any:
    return _wide(row, 2)(row, types.intp), _loading(_wide(row, 2))


@intrinsic
def _store(_: Any, row: Any, start: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _pointer(context, builder, signature.args[0], *arguments[:2])
        wide = builder.bitcast(place, _registers(value).as_pointer())
        builder.store(arguments[2], wide).align = row.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(row, types.intp, value), generate


@intrinsic
def _spread(_: Any, row: Any, i: Any) -> Any:
    return _wide(row)(row, types.intp), _spreading(_wide(row))


@intrinsic
def _spread_half(_: Any, row: Any, i: Any) -> Any:
    return _wide(row, 2)(row, types.intp), _spreading(_wide(row, 2))


@intrinsic
def _prefetch(_: Any, row: Any, i: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _pointer(context, builder, signature.args[0], *arguments)
        byte, whole = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, whole, whole, whole])
        function = get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        reading, near, data = (ir.Constant(whole, number) for number in (0, 3, 1))
        builder.call(function, [builder.bitcast(place, byte), reading, near, data])
        return context.get_dummy_value()

    return types.void(row, types.intp), generate


@intrinsic
def _zero(_: Any, row: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, builder, signature, arguments
        return ir.Constant(_registers(_wide(row)), None)

    return _wide(row)(row), generate


@intrinsic
def _add(_: Any, one: Any, other: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        return builder.fadd(*arguments)

    return one(one, other), generate


@intrinsic
def _add_product(_: Any, total: Any, one: Any, other: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        product = builder.fmul(arguments[1], arguments[2], flags=("contract",))
        return builder.fadd(arguments[0], product, flags=("contract",))

    return total(total, one, other), generate


@intrinsic
def _rectified(_: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        zero = ir.Constant(_registers(value), None)
        positive = builder.fcmp_ordered(">", arguments[0], zero)
        return builder.select(positive, arguments[0], zero)

    return value(value), generate


@intrinsic
def _count_from(_: Any, total: Any, value: Any, edge: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        counted, number, bound = arguments
        registers = _registers(total)
        one = ir.Constant(registers, [1.0] * total.lanes)
        is_from = builder.fcmp_ordered(">=", number, bound)
        return builder.select(is_from, builder.fadd(counted, one), counted)

    return total(total, value, edge), generate


@overload(lanes_of, inline="always")
def _(row):
    lanes = _wide(row).lanes
    return lambda row: lanes


@overload(load, inline="always")
def _(row, start):
    return lambda row, start: _load(row, start)


@overload(store, inline="always")
def _(row, start, value):
    return lambda row, start, value: _store(row, start, value)


@overload(spread, inline="always")
def _(row, i):
    return lambda row, i: _spread(row, i)


@overload(half_lanes_of, inline="always")
def _(row):
    lanes = _wide(row, 2).lanes
    return lambda row: lanes


@overload(load_half, inline="always")
def _(row, start):
    return lambda row, start: _load_half(row, start)


@overload(spread_half, inline="always")
def _(row, i):
    return lambda row, i: _spread_half(row, i)


@overload(prefetch, inline="always")
def _(row, i):
    return lambda row, i: _prefetch(row, i)


@overload(zero, inline="always")
def _(row):
    return lambda row: _zero(row)


@overload(add, inline="always")
def _(one, other):
    return lambda one, other: _add(one, other)


@overload(add_product, inline="always")
def _(total, one, other):
    return lambda total, one, other: _add_product(total, one, other)


@overload(rectified, inline="always")
def _(value):
    return lambda value: _rectified(value)


@overload(count_from, inline="always")
def _(total, value, edge):
    return lambda total, value, edge: _count_from(total, value, edge)
