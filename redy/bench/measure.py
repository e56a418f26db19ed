"""Latency of single calls and throughput of batches, of all contenders in turn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np

from redy.bench.contenders import Contender
from redy.dispatch.entering import ends_in
from redy.domain import Box
from redy.run.gauge import Gauge

_CALLS = 2000
_ROUNDS = 5
_SECONDS = 0.2
"""A batch is repeated for so long in each round, and at least once."""
_SEED = 20210526


@dataclass(frozen=True)
class Latency:
    """Microseconds of a single call: the median and the 99th percentile of all."""

    median: float
    high: float


@dataclass(frozen=True, eq=False)
class Times:
    """What was measured.

    Attributes:
        single: contender -> latency.
        batch: contender -> batch size -> microseconds per input, the median of all rounds.
    """

    single: dict[str, Latency]
    batch: dict[str, dict[int, float]]


def inputs_of(domain: Box, count: int, given: np.ndarray | None) -> np.ndarray:
    """(count, inputs) float32: ``given`` rows in turn, or random ones of the domain."""
    lower, upper = ends_in(domain, np.dtype(np.float32)).reshape(2, -1)
    if given is None:
        points = domain.sample(count, np.random.default_rng(_SEED))
    else:
        points = given[np.arange(count) % len(given)]
    return np.ascontiguousarray(points.astype(np.float32).clip(lower, upper))


def measure(
    found: Sequence[Contender], points: np.ndarray, sizes: Sequence[int], gauge: Gauge
) -> Times:
    """Times of all contenders on ``points``, taken in rounds so that all meet the same noise."""
    single: dict[str, list[np.ndarray]] = {each.name: [] for each in found}
    batch: dict[str, dict[int, list[float]]] = {
        each.name: {size: [] for size in sizes} for each in found
    }
    gauge.start("rounds of measurements", _ROUNDS * len(found))
    for number in range(_ROUNDS):
        some = points[number * _CALLS : (number + 1) * _CALLS]
        some = some if len(some) else points[:_CALLS]
        for place, each in enumerate(found):
            gauge.reach(number * len(found) + place, each.name)
            single[each.name].append(_each_call(each, some))
            for size in sizes:
                batch[each.name][size].append(_per_input(each, points[:size]))
    gauge.reach(_ROUNDS * len(found), "done")
    return Times(
        {name: _latency(np.concatenate(rounds)) for name, rounds in single.items()},
        {
            name: {size: 1e6 * float(np.median(taken)) for size, taken in of_size.items()}
            for name, of_size in batch.items()
        },
    )


def _latency(nanoseconds: np.ndarray) -> Latency:
    median, high = np.quantile(nanoseconds, [0.5, 0.99]) / 1000.0
    return Latency(float(median), float(high))


def _each_call(contender: Contender, points: np.ndarray) -> np.ndarray:
    """Nanoseconds of one call after the other, each with another input."""
    if contender.compiled is not None:
        return contender.compiled.one_by_one(points)
    call = contender.one
    assert call is not None  # noqa: S101 - one or the other
    ready = [contender.prepare(point) for point in points]
    for point in islice(cycle(ready), 100):
        call(point)
    clock, taken = time.perf_counter_ns, np.empty(len(ready), dtype=np.int64)
    for row, point in enumerate(ready):
        begin = clock()
        call(point)
        taken[row] = clock() - begin
    return taken - _overhead()


def _overhead() -> int:
    """Nanoseconds of reading the clock, the least of many."""
    clock = time.perf_counter_ns
    pairs = [(clock(), clock()) for _ in range(1000)]
    return min(end - begin for begin, end in pairs)


def _per_input(contender: Contender, points: np.ndarray) -> float:
    """Seconds per input of one batch, repeated for a while."""
    contender.many(points)
    begin, repeats = time.perf_counter(), 0
    while repeats == 0 or time.perf_counter() - begin < _SECONDS:
        contender.many(points)
        repeats += 1
    return (time.perf_counter() - begin) / repeats / len(points)
