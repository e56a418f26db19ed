"""Marabou as one more backend for queries: both copies of the network as one input query."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np

from redy.criteria.queries import Kind, Query
from redy.edits import Edit
from redy.encodings.copies import affine, enclosing
from redy.encodings.ranges import Ranges
from redy.encodings.rows import Row
from redy.network.form import Network, dense

GRACE = 10.0
"""Seconds beyond its limit after which Marabou is ended; it looks at its clock seldom."""


Variables = list[int | None]
"""Those of one layer; None for a unit that is zero."""


class MarabouQuery:
    """The negation of a claim on plain copies of a network: z, h and z', h' of every unit.

    Units whose phase is known by ``ranges`` are ReLU constraints all the same; their ranges are
    given to Marabou as bounds, as they are to the other solvers. ``by`` is the least violation.
    """

    def __init__(self, network: Network, query: Query, ranges: Ranges, by: float = 0.0) -> None:
        self._network, self._ranges = network, ranges
        self._lower: list[float | None] = query.box.lower.tolist()
        self._upper: list[float | None] = query.box.upper.tolist()
        self._equations: list[Any] = []
        self._at_most: list[Any] = []
        self._relus: list[list[int]] = []
        self._inputs = list(range(network.inputs))
        self._codes = dict(zip(network.neurons, query.edits.codes.tolist(), strict=True))
        self._lines = dict(zip(network.neurons, query.edits.lines.tolist(), strict=True))
        original = self._copy(query.layer, edited=False)
        edited = original
        if query.kind is not Kind.PHASE:
            if query.edits.correction is not None:
                raise ValueError("a correction is not posed to Marabou")
            edited = self._copy(query.layer, edited=True)
        self._outputs = sorted({*original, *edited})
        for row in query.shifted(by, len(original)):
            self._require(row, original, edited)

    def to_json(self, seconds: float) -> str:
        """One line for ``marabou_worker.py``."""
        return json.dumps(
            {
                "lower": self._lower,
                "upper": self._upper,
                "equations": self._equations,
                "at_most": self._at_most,
                "relus": self._relus,
                "inputs": self._inputs,
                "outputs": self._outputs,
                "seconds": seconds,
            }
        )

    def _variable(self, lower: float, upper: float) -> int:
        self._lower.append(lower if np.isfinite(lower) else None)
        self._upper.append(upper if np.isfinite(upper) else None)
        return len(self._lower) - 1

    def _copy(self, last: int, edited: bool) -> list[int]:
        """Variables of the pre-activations of layer ``last``."""
        posts: list[Variables] = [[*self._inputs]]
        pres = self._inputs
        for k in range(1, last + 1):
            pres = [self._pre(k, i, posts, edited) for i in range(self._network.width(k))]
            if k < last:
                posts.append([self._post(k, i, z, edited) for i, z in enumerate(pres)])
        return pres

    def _pre(self, k: int, i: int, posts: list[Variables], edited: bool) -> int:
        layer = self._network.layers[k - 1]
        ends = self._ranges.edited_z(k, i) if edited else self._ranges.z(k, i)
        z = self._variable(*ends)
        terms = [[z, -1.0]]
        for j, matrix in layer.weights.items():
            row = dense(matrix)[i]
            read = [p for p in np.flatnonzero(row) if posts[j][p] is not None]
            terms += [[posts[j][p], float(row[p])] for p in read]
        self._equations.append([terms, -float(layer.bias[i])])
        return z

    def _post(self, k: int, i: int, z: int, edited: bool) -> int | None:
        if not self._network.layers[k - 1].relu[i]:
            return z
        code = self._codes[k, i] if edited else Edit.KEEP
        if code == Edit.IDENTITY:
            return z
        if code == Edit.ZERO:
            return None  # a variable that is fixed at zero makes Marabou 2.0.0 give up
        if code == Edit.AFFINE:
            slope, intercept = self._lines[k, i]
            ends = self._ranges.edited_z(k, i)
            h = self._variable(*enclosing(affine(slope, intercept, ends)))
            terms = [[h, 1.0], [z, -slope]] if slope else [[h, 1.0]]
            self._equations.append([terms, intercept])
            return h
        upper = (self._ranges.edited_z(k, i) if edited else self._ranges.z(k, i)).upper
        h = self._variable(0.0, max(0.0, upper))
        self._relus.append([z, h])
        return h

    def _require(self, row: Row, original: list[int], edited: list[int]) -> None:
        terms: dict[int, float] = {}
        for i, factor in row.original.items():
            terms[original[i]] = terms.get(original[i], 0.0) - factor
        for i, factor in row.difference.items():
            terms[edited[i]] = terms.get(edited[i], 0.0) - factor
            terms[original[i]] = terms.get(original[i], 0.0) + factor
        self._at_most.append([[[j, f] for j, f in terms.items() if f], -row.least])


class Marabou:
    """A worker process; one that overruns its time is ended, and the next query gets another."""

    def __init__(self, python: str) -> None:
        self._command = [python, str(Path(__file__).resolve().with_name("marabou_worker.py"))]
        self._process: subprocess.Popen[str] | None = None

    def ask(self, query: MarabouQuery, seconds: float) -> dict[str, Any]:
        """The worker's answer; its status says it if there was none."""
        if self._process is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self._process = subprocess.Popen(
                self._command,
                text=True,
                stderr=subprocess.DEVNULL,
                cwd=tempfile.gettempdir(),  # where Marabou saves what it fails on
                **pipes,
            )
        process = self._process
        timer = threading.Timer(seconds + GRACE, process.kill)
        timer.start()
        try:
            process.stdin.write(query.to_json(seconds) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        finally:
            timer.cancel()
        if not line:
            self.close()
            return {"status": "ended", "point": None, "seconds": seconds, "processor": seconds}
        return json.loads(line)

    def close(self) -> None:
        """End the worker."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
