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
    def __init__(self, number: types.Float) -> None:
        self.number = number
        super().__init__(name=f"Wide({number})")


@register_model(_Wide)
class _WideModel(models.PrimitiveModel):
    def __init__(self, manager: Any, front_end: Any) -> None:
        super().__init__(manager, front_end, _registers(front_end.number))


def _registers(number: types.Float) -> ir.VectorType:
    element = ir.FloatType() if number == types.float32 else ir.DoubleType()
    return ir.VectorType(element, _BYTES * 8 // number.bitwidth)


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
    row[first : first + lanes_of(row)] = value


def spread(row: np.ndarray, i: SupportsIndex) -> Any:
    """Entry i of a flat array, in every lane."""
    return np.full(lanes_of(row), row[i])


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


@intrinsic
def _load(_: Any, row: Any, start: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _pointer(context, builder, signature.args[0], *arguments)
        wide = builder.bitcast(place, _registers(row.dtype).as_pointer())
        loaded = builder.load(wide)
        loaded.align = row.dtype.bitwidth // 8
        return loaded

    return _Wide(row.dtype)(row, types.intp), generate


@intrinsic
def _store(_: Any, row: Any, start: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _pointer(context, builder, signature.args[0], *arguments[:2])
        wide = builder.bitcast(place, _registers(row.dtype).as_pointer())
        builder.store(arguments[2], wide).align = row.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(row, types.intp, value), generate


@intrinsic
def _spread(_: Any, row: Any, i: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = builder.load(_pointer(context, builder, signature.args[0], *arguments))
        kind = _registers(row.dtype)
        undefined = ir.Constant(kind, ir.Undefined)
        first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
        return builder.shuffle_vector(first, undefined, zeros)

    return _Wide(row.dtype)(row, types.intp), generate


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
        return ir.Constant(_registers(row.dtype), None)

    return _Wide(row.dtype)(row), generate


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
        zero = ir.Constant(_registers(value.number), None)
        positive = builder.fcmp_ordered(">", arguments[0], zero)
        return builder.select(positive, arguments[0], zero)

    return value(value), generate


@intrinsic
def _count_from(_: Any, total: Any, value: Any, edge: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        counted, number, bound = arguments
        registers = _registers(total.number)
        one = ir.Constant(registers, [1.0] * registers.count)
        is_from = builder.fcmp_ordered(">=", number, bound)
        return builder.select(is_from, builder.fadd(counted, one), counted)

    return total(total, value, edge), generate


@overload(lanes_of, inline="always")
def _(row):
    lanes = _BYTES * 8 // row.dtype.bitwidth
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
