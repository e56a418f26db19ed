"""Answers queries with Marabou, in a Python of its own: needs maraboupy and nothing else.

One JSON object a line from stdin, one a line to stdout, flushed. A query holds ``lower`` and
``upper`` (null for none), ``equations`` and ``at_most`` as [[variable, factor], ...], scalar pairs,
``relus`` as [z, h] pairs, ``inputs``, and ``seconds``. The answer holds ``status`` (sat, unsat,
TIMEOUT, ...), ``point`` (the inputs, under sat), and the ``seconds`` and ``processor`` seconds
spent in Marabou.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from maraboupy import MarabouCore


def built(query: dict[str, Any]) -> Any:
    """The query in Marabou's terms."""
    ipq = MarabouCore.InputQuery()
    ipq.setNumberOfVariables(len(query["lower"]))
    for j, (lower, upper) in enumerate(zip(query["lower"], query["upper"], strict=True)):
        if lower is not None:
            ipq.setLowerBound(j, lower)
        if upper is not None:
            ipq.setUpperBound(j, upper)
    for place, j in enumerate(query["inputs"]):
        ipq.markInputVariable(j, place)
    for place, j in enumerate(query["outputs"]):
        ipq.markOutputVariable(j, place)
    for name, kind in (("equations", "EQ"), ("at_most", "LE")):
        for terms, scalar in query[name]:
            equation = MarabouCore.Equation(getattr(MarabouCore.Equation, kind))
            for j, factor in terms:
                equation.addAddend(factor, j)
            equation.setScalar(scalar)
            ipq.addEquation(equation)
    for z, h in query["relus"]:
        MarabouCore.addReluConstraint(ipq, z, h)
    return ipq


def answered(query: dict[str, Any]) -> dict[str, Any]:
    """Marabou's answer; an exception is a status of its own."""
    options = MarabouCore.Options()
    options._timeoutInSeconds = max(1, round(query["seconds"]))
    options._verbosity = 0
    options._numWorkers = 1
    begin, processor = time.perf_counter(), time.process_time()
    try:
        status, values, _ = MarabouCore.solve(built(query), options, os.devnull)
    except Exception as error:  # whatever it is, it is no answer
        status, values = f"{type(error).__name__}: {error}", {}
    times = {
        "seconds": time.perf_counter() - begin,
        "processor": time.process_time() - processor,
    }
    point = [values[j] for j in query["inputs"]] if status == "sat" else None
    return {"status": status, "point": point} | times


def main() -> None:
    """Answer until stdin closes."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what Marabou prints is no answer
    for line in sys.stdin:
        print(json.dumps(answered(json.loads(line))), file=replies, flush=True)


if __name__ == "__main__":
    main()
