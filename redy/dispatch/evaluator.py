"""The compiled dispatcher: find the slice of each input, run what is left of its network."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numba import boolean, typeof
from numba.core.dispatcher import Dispatcher

from redy.branching.compiled import call
from redy.dispatch import kernels
from redy.dispatch.entering import DOUBLE, Entrance
from redy.dispatch.programs import Programs
from redy.dispatch.wide import lanes_of
from redy.errors import UsageError
from redy.formats.bundle import Content

_DTYPES: dict[int, np.dtype[Any]] = {32: np.dtype(np.float32), 64: np.dtype(np.float64)}
_OUTSIDE = ("error", "clamp")

_MOST_ROWS = 2**31 - 1

_FEW, _SLICES_PER_POINT = 16, 16
"""So many points, or fewer than one for so many slices, are evaluated one after the other and not
slice by slice: sorting them looks at every slice."""


class Evaluator:
    """The outputs of a simplified network, fast; made by ``Bundle.evaluator``.

    Call it with (n, inputs) points for (n, outputs), or with one point (inputs,) for (outputs,).
    The first call with a point of a slice makes that slice's program, which takes a fraction of a
    millisecond; :meth:`prepare` makes all of them. Several threads may call it at once, and it can
    be pickled, without the programs.

    Args:
        content: the bundle.
        precision: bits of inputs, weights, arithmetic and outputs: 64, or 32, which is faster and
            takes half the memory. Inputs in double precision are rounded to single then.
        outside: what becomes of points outside of the domain, where nothing is proved: ``error``,
            or ``clamp``, which moves them to the nearest point of the domain. A point that is not
            a number is always an error.
        threads: that share a large batch.

    Attributes:
        one: the same for one point (inputs,) alone, and the fastest way to have it evaluated:
            ``one(point, out)`` allocates nothing.

    Raises:
        UsageError: an option that there is not.
        UnsupportedError: the network has more than MOST_UNITS units.
    """

    def __init__(
        self, content: Content, *, precision: int = 64, outside: str = "error", threads: int = 1
    ) -> None:
        if precision not in _DTYPES:
            raise UsageError(f"precision {precision}: give 32 or 64")
        if outside not in _OUTSIDE:
            raise UsageError(f"outside {outside!r}: give {' or '.join(map(repr, _OUTSIDE))}")
        if threads < 1:
            raise UsageError(f"threads {threads}: give at least 1")
        self._content, self._threads = content, threads
        self._options = {"precision": precision, "outside": outside, "threads": threads}
        self._clamps = outside == "clamp"
        self._dtype = _DTYPES[precision]
        # Cells are found in double precision, whatever their programs compute in.
        entered = self._dtype if content.parts is None else DOUBLE
        self._entrance = Entrance(content, entered, self._clamps)
        self._programs = Programs(content, self._dtype)
        self._outputs = content.base.outputs
        self._rooms = _Rooms(content.base.inputs, self._programs.widest, self._dtype)
        self._one, self._several = _compiled_for(self._dtype)
        self._few = max(_FEW, content.slicing.slices // _SLICES_PER_POINT)
        if content.parts is not None:
            self._one = self._several = _refused
            self._few = 0
        self.one = self._for_one()

    def __reduce__(self) -> tuple[Callable[..., Evaluator], tuple[Content, dict[str, Any]]]:
        return _restored, (self._content, self._options)

    @property
    def nbytes(self) -> int:
        """Bytes of the programs made so far, and of the tables that find slices."""
        return self._programs.nbytes

    @property
    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        """``plan`` and ``numbers`` of :mod:`redy.dispatch.programs`."""
        return self._programs.tables

    def prepare(self) -> Iterator[int]:
        """Make all programs that are missing; yields how many slices are done."""
        yield from self._programs.complete()
        self._programs.trim()

    def __call__(self, points: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Outputs of ``points``, (n, inputs) or (inputs,).

        Args:
            points: inputs. Fastest as contiguous arrays in the evaluator's precision.
            out: where the outputs go, (n, outputs) or (outputs,) in the evaluator's precision;
                a new array if left out.

        Raises:
            DomainError: a point is not finite, lies outside of the domain, or has another
                dimension; the message names the point.
            UsageError: ``out`` has another shape or type.
        """
        shape: tuple[int, ...] = getattr(points, "shape", ())
        if len(shape) == 1:
            return self.one(points, out)
        if len(shape) == 2 and shape[0] <= self._few:
            given = np.empty((shape[0], self._outputs), self._dtype) if out is None else out
            tables = self._programs.tables
            try:
                done = self._several(points, given, self._rooms.one, *tables, self._clamps)
            except TypeError:
                done = -1  # another type or layout of arrays than was compiled for
            if done == shape[0]:
                return given
        return self._called(np.asarray(points), out)

    def _for_one(self) -> Callable[..., np.ndarray]:
        """What evaluates one point; a closure, as looking things up would take as long."""
        find_and_run, called = self._one, self._called
        programs, clamps = self._programs, self._clamps
        outputs, dtype = self._outputs, self._dtype
        if not _has_lock():
            return lambda point, out=None: called(np.asarray(point), out)
        # One thread at a time: the kernel keeps the interpreter's lock.
        room = self._rooms.one.copy()

        def one(point: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
            given = np.empty(outputs, dtype) if out is None else out
            plan, numbers = programs.tables
            try:
                if find_and_run(point, given, room, plan, numbers, clamps) >= 0:
                    return given
            except TypeError:
                pass  # another type or layout of arrays than it was compiled for
            return called(np.asarray(point), out)

        return one

    def _called(self, points: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        """Any call, after all checks."""
        many = points[None] if points.ndim == 1 else points
        self._entrance.require_shape(many)
        shape = (*points.shape[:-1], self._outputs)
        if out is not None and (out.shape != shape or out.dtype != self._dtype):
            raise UsageError(f"out must be {self._dtype} of shape {shape}, not {out.shape}")
        filled = np.empty(shape, self._dtype)
        if out is not None and out.flags.c_contiguous:
            filled = out
        self._spread(many, filled.reshape(-1, self._outputs))
        if out is None:
            return filled
        if out is not filled:
            out[...] = filled
        return out

    def _spread(self, points: np.ndarray, outputs: np.ndarray) -> None:
        """All rows, shared by the threads."""
        threads = min(self._threads, max(1, len(points) // 1024))
        ends = np.linspace(0, len(points), threads + 1).astype(int)
        parts = [slice(*pair) for pair in pairwise(ends)]
        if threads == 1:
            self._many(points, outputs, 0)
            return
        with ThreadPoolExecutor(threads) as pool:
            waiting = [pool.submit(self._many, points[p], outputs[p], p.start) for p in parts]
            for each in waiting:
                each.result()

    def _many(self, points: np.ndarray, outputs: np.ndarray, first: int) -> None:
        """Rows, of which the first is number ``first`` in errors."""
        entered, owners = self._located(points, first)
        plan, numbers = self._with_programs(owners)
        rooms = self._rooms
        if len(points) <= self._few and self._content.parts is None:
            call(self._several, entered, outputs, rooms.one, plan, numbers, False)
            return
        short = self._programs.short
        call(kernels.evaluate_short, entered, owners, outputs, short, rooms.one, plan, numbers)
        start = np.empty(self._content.slicing.slices + 1, np.int64)
        order = np.empty(len(points), np.int32 if len(points) <= _MOST_ROWS else np.int64)
        call(kernels.sort_by_slice, owners, start, order)
        call(kernels.evaluate_sorted, entered, outputs, start, order, rooms.many, plan, numbers)

    def _located(self, points: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
        """What the programs read, and the slices of all points (n,) int32."""
        content = self._content
        if content.parts is not None:
            inner = self._entrance(points, first)
            return inner.astype(self._dtype), content.slicing.slice_of(inner).astype(np.int32)
        entrance, tables = self._entrance, self._programs.tables
        ready = entrance(points, first) if self._clamps else entrance.unchecked(points)
        owners = np.empty(len(points), dtype=np.int32)
        done = call(kernels.find_many, ready, owners, *self._rooms.finding, *tables)
        entrance.require_inside(done, points, first)
        return ready, owners

    def slice_of(self, points: np.ndarray) -> np.ndarray:
        """The slice of each of ``points`` (n, inputs): (n,) int64; raises as calling does."""
        return self._located(np.asarray(points), 0)[1].astype(np.int64)

    def _with_programs(self, owners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The tables, once they have programs for all of ``owners``."""
        whole = self._programs.whole  # before the tables, which are complete then
        while True:
            plan, numbers = self._programs.tables
            if whole:
                return plan, numbers
            needed = np.zeros(self._content.slicing.slices, dtype=bool)
            if not call(kernels.missing_programs, owners, plan, needed):
                return plan, numbers
            self._programs.add(np.flatnonzero(needed))


class _Rooms(threading.local):
    """Every thread's own room for what programs compute."""

    def __init__(self, inputs: int, widest: int, dtype: np.dtype) -> None:
        super().__init__()
        lanes = lanes_of(np.zeros(0, dtype))
        # Four registers may reach beyond the last entry.
        self.one = np.zeros(widest + 4 * lanes, dtype)
        self.many = np.zeros(max(2, widest) * lanes, dtype)
        block = kernels.BLOCK
        self.finding = (
            np.zeros(block + 1, np.int64),
            np.zeros(inputs * block, dtype),
            np.zeros((1 + inputs) * lanes, dtype),
        )


def _has_lock() -> bool:
    """Whether one thread at a time runs Python: not so in free-threaded builds."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


@cache
def _compiled_for(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """The kernels for one point and for several, for contiguous arrays of ``dtype`` alone.

    Called with others, they raise TypeError.
    """
    functions = kernels.evaluate_one, kernels.evaluate_few
    whole = typeof(np.zeros(1, np.int32))
    for rank, function in enumerate(functions, start=1):
        if isinstance(function, Dispatcher):
            real, row = typeof(np.zeros((1,) * rank, dtype)), typeof(np.zeros(1, dtype))
            function.disable_compile(False)
            function.compile((real, real, row, whole, row, boolean))
            function.disable_compile()
    return functions


def _refused(*_: object) -> int:
    """In place of kernels that find slices, where these are found otherwise."""
    raise TypeError


def _restored(content: Content, options: dict[str, Any]) -> Evaluator:
    return Evaluator(content, **options)
