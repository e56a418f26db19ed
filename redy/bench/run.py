"""The whole measurement of one bundle."""

from __future__ import annotations

from typing import Any

import numpy as np

from redy.bench.contenders import contenders
from redy.bench.measure import inputs_of, measure
from redy.bench.report import report_of
from redy.dispatch.bundle import Bundle
from redy.errors import UsageError
from redy.run.gauge import Gauge


def bench(
    bundle: Bundle,
    *,
    most: int = 1_000_000,
    threads: int = 1,
    compiler: str | None = None,
    inputs: np.ndarray | None = None,
    gauge: Gauge | None = None,
) -> dict[str, Any]:
    """What ``redy bench --json`` prints.

    Args:
        bundle: the simplified network, which brings the original.
        most: inputs of the largest batch.
        threads: that every contender may use for a batch.
        compiler: the command that compiles exported C code; None measures none.
        inputs: (n, inputs) such as the network is used on; random ones of the domain if left out.
        gauge: is told how far it is.

    Raises:
        UsageError, DomainError: an option or an input that does not fit.
        UnsupportedError: mid-network slicing, or a network too large to be compiled.
    """
    if most < 1 or threads < 1:
        raise UsageError("--most and --threads must be at least 1")
    if inputs is not None:
        bundle.slice_of(inputs)  # raises where one lies outside of the domain
    sizes = [10**power for power in range(len(str(most)))]
    points = inputs_of(bundle.domain, max(sizes[-1], 10_000), inputs)
    with gauge or Gauge() as told, contenders(bundle, threads=threads, compiler=compiler) as found:
        times = measure(found, points, sizes, told)
        return report_of(bundle.summary, found, times, threads)
