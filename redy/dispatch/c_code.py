"""C99 code of a whole bundle: the dispatcher and the programs of all slices, for any device.

One file and a header. No dependencies but <stdint.h>, no allocation, no global state; the tables,
those of :mod:`redy.dispatch.programs`, are constant and can stay in read-only memory. The file has
a test of itself: compiled with -DREDY_SELF_TEST it is a program that compares what it computes
with what redy computed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from redy.dispatch import kernels
from redy.dispatch.entering import ends_in
from redy.dispatch.evaluator import Evaluator
from redy.errors import UnsupportedError, UsageError
from redy.formats.atomic import atomic_path
from redy.formats.bundle import Content
from redy.tolerances import CLOSE

_TYPES = {32: ("float", "f"), 64: ("double", "")}
_PER_LINE = 8
_ZEROS = re.compile(r"\.?0*(?=p)")
_TEST_POINTS = 256
_SEED = 20210526


@dataclass(frozen=True)
class CCode:
    """What was written.

    Attributes:
        path, header: the files.
        table_bytes: of all tables, as they lie in memory.
        state_bytes: the largest array on the stack.
        programs: different ones.
        macs_most: multiply-accumulates of the longest program.
    """

    path: Path
    header: Path
    table_bytes: int
    state_bytes: int
    programs: int
    macs_most: int

    def report(self) -> dict[str, Any]:
        """As ``redy export --format c --json`` prints it."""
        return {
            "file": str(self.path),
            "header": str(self.header),
            "file_bytes": self.path.stat().st_size,
            "table_bytes": self.table_bytes,
            "state_bytes": self.state_bytes,
            "programs": self.programs,
            "macs_most": self.macs_most,
        }


def write_c(
    content: Content,
    path: str | os.PathLike[str],
    *,
    precision: int = 32,
    outside: str = "error",
    winner: str | None = None,
) -> CCode:
    """Write ``content`` as C code to ``path``, which ends in .c, and the header beside it.

    Args:
        content: the bundle.
        path: the file.
        precision: 32 for ``float``, 64 for ``double``.
        outside: what becomes of inputs outside of the domain: ``error`` or ``clamp``.
        winner: ``min`` or ``max``; that of the guarantee if left out, else ``min``.

    Raises:
        UsageError: an option that there is not, a name that does not end in .c, or another winner
            than that of the guarantee.
        UnsupportedError: mid-network slicing, or a network too large.
        OutputError: a file cannot be written.
    """
    target = Path(path)
    if target.suffix != ".c":
        raise UsageError(f"{target}: C code goes to a file whose name ends in .c")
    if content.parts is not None:
        raise UnsupportedError(
            "C code of a bundle made with --slicing mid is not supported; slice the inputs, or "
            "export single cells with --slice and --format onnx"
        )
    rule = content.guarantee.winner_rule(winner) or "min"
    evaluator = Evaluator(content, precision=precision, outside=outside)
    for _ in evaluator.prepare():
        pass
    code = _Code(content, evaluator, precision, outside, rule)
    header = target.with_suffix(".h")
    with atomic_path(header) as temporary:
        temporary.write_text(code.header(header.name))
    with atomic_path(target) as temporary, temporary.open("w") as file:
        file.writelines(code.source(header.name))
    return CCode(target, header, code.table_bytes, code.state_bytes, *code.sizes)


class _Code:
    def __init__(
        self, content: Content, evaluator: Evaluator, precision: int, outside: str, winner: str
    ) -> None:
        self._content, self._evaluator, self._precision = content, evaluator, precision
        self._outside, self._winner = outside, winner
        self._plan, numbers = evaluator.tables
        self._numbers = numbers
        first = int(self._plan[kernels.PROGRAMS])
        starts = np.unique(self._plan[first : first + content.slicing.slices])
        shapes = [shape_of(self._plan, int(start)) for start in starts]
        self._widest = max(width for width, _ in shapes)
        self._has_listed = bool((self._plan[starts] == kernels.MISSING).any())
        self.sizes = len(starts), max(macs for _, macs in shapes)

    @property
    def table_bytes(self) -> int:
        return self._plan.nbytes + self._numbers.nbytes

    @property
    def state_bytes(self) -> int:
        return self._widest * self._numbers.itemsize

    def header(self, name: str) -> str:
        return _filled("redy_eval.h.in", self._words(name))

    def source(self, header: str) -> Iterator[str]:
        words = self._words(header)
        before, after = _filled("redy_eval.c.in", words).split("/* tables */\n")
        yield before
        yield f"static const int32_t redy_plan[{self._plan.size}] = {{\n"
        yield from _rows(map(str, self._plan.tolist()))
        yield f"}};\n\nstatic const redy_real redy_numbers[{self._numbers.size}] = {{\n"
        yield from _rows(self._literals(self._numbers))
        yield "};\n"
        code, test = after.split("/* test points */\n")
        yield code
        yield from self._test_points()
        yield test

    def _words(self, header: str) -> dict[str, str]:
        network, domain = self._content.network, self._content.domain
        kind = _TYPES[self._precision][0]
        places = ("PARTS", "EDGES", "STARTS", "NODES", "CUTS", "LAYERS", "PROGRAMS")
        return {
            "header": header,
            "guard": re.sub(r"\W", "_", header).upper(),
            "real": kind,
            "inputs": str(network.inputs),
            "outputs": str(network.outputs),
            "slices": str(self._content.slicing.slices),
            "guarantee": str(self._content.guarantee),
            "network": network.sha256,
            "clamp": str(int(self._outside == "clamp")),
            "better": "<" if self._winner == "min" else ">",
            "winner": "least" if self._winner == "min" else "greatest",
            "state": str(self._widest),
            "domain": "".join(
                f" *   x[{d}] from {low!r} to {high!r}\n"
                for d, (low, high) in enumerate(
                    zip(domain.lower.tolist(), domain.upper.tolist(), strict=True)
                )
            ),
            "has_listed": str(int(self._has_listed)),
            "is_tree": str(int(self._plan[kernels.NODES] != kernels.MISSING)),
            **{name.lower(): str(self._plan[getattr(kernels, name)]) for name in places},
        }

    def _test_points(self) -> Iterator[str]:
        """Random points, faces and corners of slices, and what redy computes there."""
        slicing, rng = self._content.slicing, np.random.default_rng(_SEED)
        dtype = self._numbers.dtype
        lower, upper = ends_in(self._content.domain, dtype).reshape(2, -1)
        some = rng.integers(slicing.slices, size=_TEST_POINTS)
        low, high = slicing.boxes(some)
        share = rng.random(low.shape)
        snapped = rng.random(low.shape) < rng.random((len(some), 1))
        share[snapped] = share[snapped].round()
        points = (low * (1 - share) + high * share).astype(dtype).clip(lower, upper)
        outputs = self._evaluator(points)
        owners = self._evaluator.slice_of(points)
        close = CLOSE[self._precision] * max(1.0, float(np.abs(outputs).max()))
        yield f"#define TEST_POINTS {len(points)}\n"
        yield f"#define TEST_CLOSE {close!r}\n"
        for name, table in (("points", points), ("outputs", outputs)):
            yield f"static const redy_real test_{name}[{table.size}] = {{\n"
            yield from _rows(self._literals(table.ravel()))
            yield "};\n"
        yield f"static const int32_t test_slices[{len(owners)}] = {{\n"
        yield from _rows(map(str, owners.tolist()))
        yield "};\n"

    def _literals(self, numbers: np.ndarray) -> Iterator[str]:
        """Each as a hexadecimal literal, which is exact."""
        suffix = _TYPES[self._precision][1]
        largest = float(np.finfo(numbers.dtype).max)
        for number in np.nan_to_num(numbers, posinf=largest).tolist():
            yield _ZEROS.sub("", number.hex()) + suffix if number else "0"


def shape_of(plan: np.ndarray, at: int) -> tuple[int, int]:
    """Entries and multiply-accumulates of the program at ``at``."""
    width, macs = int(plan[kernels.INPUTS]), 0
    if plan[at] == kernels.MISSING:
        layer, here = int(plan[kernels.LAYERS]), at + 1
        for k in range(int(plan[layer])):
            units, left = int(plan[layer + 2 + 2 * k]), int(plan[here])
            width += units
            macs += units * left
            here += 2 + left
        return width, macs
    layers, at = int(plan[at + 1]), at + 2
    for _ in range(layers):
        units, runs = int(plan[at + 1]), int(plan[at + 2])
        macs += units * int(plan[at + 4 : at + 3 + 2 * runs : 2].sum())
        width += units
        at += 3 + 2 * runs
    return width, macs


def _rows(literals: Iterator[str]) -> Iterator[str]:
    """Lines of a table."""
    line: list[str] = []
    for literal in literals:
        line.append(literal)
        if len(line) == _PER_LINE:
            yield ",".join(line) + ",\n"
            line.clear()
    if line:
        yield ",".join(line) + "\n"


def _filled(template: str, words: dict[str, str]) -> str:
    """A file of this package with every @word@ replaced."""
    text = files("redy.dispatch").joinpath(template).read_text()
    return re.sub(r"@(\w+)@", lambda match: words[match[1]], text)
