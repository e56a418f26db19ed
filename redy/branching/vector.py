"""Eight float64 numbers at once: LLVM's vectors as types that kernels can compute with.

numba leaves it to the compiler to find what can be done side by side, which it finds in sums, but
not in the branching code around them. Here it is written out: ``load`` eight numbers, compute with
``+ - * / abs`` and comparisons, ``select`` where a scalar would branch, ``store``. A row of n
vectors is a flat array of 8 n numbers. Every lane computes what a scalar kernel would, under the
same rules of rounding: products may be fused into sums (:mod:`redy.branching.compiled`), nothing
is reordered.

Where kernels run interpreted, the same functions work on arrays of eight numbers.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic, models, overload, register_model

LANES = 8

_DOUBLES = ir.VectorType(ir.DoubleType(), LANES)
_BITS = ir.VectorType(ir.IntType(1), LANES)
_INDICES = ir.VectorType(ir.IntType(32), LANES)


class _VectorType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Vector")


class _MaskType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Mask")


_VECTOR, _MASK = _VectorType(), _MaskType()


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, front_end: Any) -> None:
        super().__init__(manager, front_end, _DOUBLES)


@register_model(_MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, front_end: Any) -> None:
        super().__init__(manager, front_end, _BITS)


def load(row: np.ndarray, i: int) -> Any:
    """Vector i of a flat array."""
    return row[i * LANES : (i + 1) * LANES].copy()


def store(row: np.ndarray, i: int, value: Any) -> None:
    """Put ``value``, a vector or a number for all lanes, in place of vector i of a flat array."""
    row[i * LANES : (i + 1) * LANES] = value


def splat(value: float) -> Any:
    """The number ``value`` in every lane."""
    return np.full(LANES, value)


def select(mask: Any, where: Any, elsewhere: Any) -> Any:
    """Lane by lane ``where`` the mask holds, else ``elsewhere``; either may be a number."""
    return np.where(mask, where, elsewhere)


def some(mask: Any) -> bool:
    """Whether the mask holds in any lane."""
    return bool(mask.any())


def bits(mask: Any) -> int:
    """The mask as a number below 256: bit i is lane i."""
    return int(np.packbits(mask, bitorder="little")[0])


def _spread(builder: Any, value: Any) -> Any:
    undefined = ir.Constant(_DOUBLES, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_INDICES, [0] * LANES))


def _widened(context: Any, builder: Any, value: Any, of: Any) -> Any:
    if of is _VECTOR:
        return value
    return _spread(builder, context.cast(builder, value, of, types.float64))


def _pointer(context: Any, builder: Any, of: Any, array: Any, i: Any) -> Any:
    data = context.make_array(of)(context, builder, array).data
    start = builder.gep(data, [builder.mul(i, ir.Constant(i.type, LANES))])
    return builder.bitcast(start, _DOUBLES.as_pointer())


def _is_number(of: Any) -> bool:
    return isinstance(of, types.Float | types.Integer)


@intrinsic
def _load(_: Any, row: Any, i: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        loaded = builder.load(_pointer(context, builder, signature.args[0], *arguments))
        loaded.align = 8
        return loaded

    return _VECTOR(row, types.intp), generate


@intrinsic
def _store(_: Any, row: Any, i: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = _widened(context, builder, arguments[2], signature.args[2])
        where = _pointer(context, builder, signature.args[0], *arguments[:2])
        builder.store(wide, where).align = 8
        return context.get_dummy_value()

    return types.void(row, types.intp, value), generate


@intrinsic
def _splat(_: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _widened(context, builder, arguments[0], signature.args[0])

    return _VECTOR(value), generate


@intrinsic
def _select(_: Any, mask: Any, where: Any, elsewhere: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        one = _widened(context, builder, arguments[1], signature.args[1])
        other = _widened(context, builder, arguments[2], signature.args[2])
        return builder.select(arguments[0], one, other)

    return _VECTOR(mask, where, elsewhere), generate


@intrinsic
def _some(_: Any, mask: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(LANES), 0))

    return types.boolean(mask), generate


@intrinsic
def _bits(_: Any, mask: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(LANES))

    return types.uint8(mask), generate


@intrinsic
def _abs(_: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_DOUBLES, [_DOUBLES])
        name = f"llvm.fabs.v{LANES}f64"
        return builder.call(get_or_insert_function(builder.module, kind, name), arguments)

    return _VECTOR(value), generate


@overload(load, inline="always")
def _(row, i):
    return lambda row, i: _load(row, i)


@overload(store, inline="always")
def _(row, i, value):
    return lambda row, i, value: _store(row, i, value)


@overload(splat, inline="always")
def _(value):
    return lambda value: _splat(value)


@overload(select, inline="always")
def _(mask, where, elsewhere):
    return lambda mask, where, elsewhere: _select(mask, where, elsewhere)


@overload(some, inline="always")
def _(mask):
    return lambda mask: _some(mask)


@overload(bits, inline="always")
def _(mask):
    return lambda mask: _bits(mask)


@overload(abs, inline="always")
def _(value):
    return (lambda value: _abs(value)) if value is _VECTOR else None


def _operator(python: Callable[..., Any], of: Any, emit: Callable[..., Any]) -> None:
    """Let ``python``, an operator, work on two vectors (or masks), or a vector and a number."""

    @intrinsic
    def compute(_: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pairs = zip(arguments, signature.args, strict=True)
            one, other = (
                value if kind is _MASK else _widened(context, builder, value, kind)
                for value, kind in pairs
            )
            return emit(builder, one, other)

        return of(a, b), generate

    @overload(python, inline="always")
    def _(a, b):
        masks = a is _MASK and b is _MASK and python in (operator.and_, operator.or_)
        vectors = _VECTOR in (a, b) and all(kind is _VECTOR or _is_number(kind) for kind in (a, b))
        return (lambda a, b: compute(a, b)) if masks or vectors else None


def _arithmetic(name: str) -> Callable[..., Any]:
    return lambda builder, one, other: getattr(builder, name)(one, other, flags=("contract",))


def _comparison(sign: str) -> Callable[..., Any]:
    return lambda builder, one, other: builder.fcmp_ordered(sign, one, other)


def _bitwise(name: str) -> Callable[..., Any]:
    return lambda builder, one, other: getattr(builder, name)(one, other)


for _python, _name in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operator(_python, _VECTOR, _arithmetic(_name))
for _python, _name in (
    (operator.lt, "<"),
    (operator.le, "<="),
    (operator.gt, ">"),
    (operator.ge, ">="),
):
    _operator(_python, _MASK, _comparison(_name))
for _python, _name in ((operator.and_, "and_"), (operator.or_, "or_")):
    _operator(_python, _MASK, _bitwise(_name))
