"""The .nnet format of Stanford's ACAS Xu networks: fully connected ReLU layers in text.

Networks are read on normalised inputs, x' = (x - mean) / range, with the header's ranges as the
domain; outputs are those the weights give.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from redy.domain import Box
from redy.errors import DomainError, FormatError, NetworkError, UnsupportedError
from redy.formats.atomic import read_text, write_bytes
from redy.network.form import Layer, Network, dense

# No two repetitions of digits can follow each other without something between them, so that
# matching takes linear time.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE = {"nan", "inf", "infinity"}


@dataclass(frozen=True, eq=False)
class NnetHeader:
    """What a .nnet file says beside the weights, in physical units.

    Args:
        minimums, maximums: (inputs,) ranges on which the network is used.
        means, ranges: (inputs + 1,) of the normalisation x' = (x - mean) / range; the last entry
            belongs to the outputs.
        comments: the leading comment lines, which often hold the licence.
    """

    minimums: np.ndarray
    maximums: np.ndarray
    means: np.ndarray
    ranges: np.ndarray
    comments: tuple[str, ...] = ()

    @classmethod
    def of(cls, box: Box) -> NnetHeader:
        """The header of a network whose inputs need no normalisation."""
        size = box.dimension + 1
        return cls(box.lower, box.upper, np.zeros(size), np.ones(size))

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return int(self.minimums.size)

    @property
    def domain(self) -> Box:
        """The ranges in normalised units."""
        with np.errstate(over="ignore"):
            return Box(self.normalise(self.minimums), self.normalise(self.maximums))

    def normalise(self, physical: np.ndarray) -> np.ndarray:
        """Network inputs (..., inputs) for ``physical`` ones."""
        return np.asarray((physical - self.means[:-1]) / self.ranges[:-1])

    def physical(self, normalised: np.ndarray) -> np.ndarray:
        """Physical inputs (..., inputs) for the network's ``normalised`` ones, for display."""
        return np.asarray(normalised * self.ranges[:-1] + self.means[:-1])


def read_nnet(path: str | os.PathLike[str]) -> tuple[Network, Box, NnetHeader]:
    """The network at ``path``, its domain in normalised units, and its header.

    Weights are the float64 numbers nearest to the decimals in the file.

    Raises:
        FormatError: no such file, truncated, a count or a number that is wrong.
        NetworkError: a number that is not finite, or a range that is not positive.
        DomainError: a minimum above its maximum. All name the file and, but for a missing file,
            the line.
    """
    return parse_nnet(read_text(path), os.fspath(path))


def parse_nnet(text: str, file: str) -> tuple[Network, Box, NnetHeader]:
    """As :func:`read_nnet`, from the file's text; ``file`` names it in messages."""
    lines = _Lines(file, text)
    inputs, sizes = _read_shape(lines)
    header = _read_header(lines, inputs)
    layers = []
    for k, (width, units) in enumerate(pairwise(sizes), start=1):
        what = f"layer {k}"
        rows = [lines.numbers(width, f"{what}, weights of unit {i}") for i in range(units)]
        bias = [lines.numbers(1, f"{what}, bias of unit {i}")[0] for i in range(units)]
        relu = np.full(units, k < len(sizes) - 1)
        layers.append(Layer({k - 1: np.array(rows)}, np.array(bias), relu))
    lines.finish()
    try:
        return Network(inputs, tuple(layers)), header.domain, header
    except DomainError as error:  # normalisation overflowed
        raise DomainError(f"{file}: {error}") from error


def write_nnet(network: Network, path: str | os.PathLike[str], header: NnetHeader | Box) -> None:
    """Write ``network`` to ``path`` with 17 significant digits, so that reading gives it back.

    Args:
        header: the header to write, or a box of inputs that need no normalisation.

    Raises:
        UnsupportedError: the network is not a plain chain of ReLU layers.
        DomainError: the header or box has another number of inputs.
        OutputError: the file cannot be written.
    """
    header = NnetHeader.of(header) if isinstance(header, Box) else header
    if header.inputs != network.inputs:
        raise DomainError(
            f"{path}: the header has {header.inputs} inputs, the network {network.inputs}"
        )
    _require_chain(network, os.fspath(path))
    sizes = [network.inputs, *(layer.units for layer in network.layers)]
    lines = [*(f"// {comment}" for comment in header.comments)]
    lines += [_integers([len(sizes) - 1, sizes[0], sizes[-1], max(sizes)]), _integers(sizes), "0,"]
    for vector in (header.minimums, header.maximums, header.means, header.ranges):
        lines.append(_decimals(vector))
    for k, layer in enumerate(network.layers):
        matrix = layer.weights.get(k, np.zeros((layer.units, sizes[k])))
        lines += [_decimals(row) for row in dense(matrix)]
        lines += [_decimals(entry) for entry in layer.bias[:, None]]
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def _require_chain(network: Network, path: str) -> None:
    for k, layer in enumerate(network.layers, start=1):
        skips = [j for j in layer.weights if j != k - 1]
        if skips:
            reason = f"layer {k} reads layer {skips[0]}, past the one before it"
        elif layer.units == 0:
            reason = f"layer {k} has no units"
        elif k < len(network.layers) and not layer.relu.all():
            reason = f"layer {k} has linear units"
        else:
            continue
        raise UnsupportedError(
            f"{path}: .nnet holds plain chains of ReLU layers only, and {reason}; write .onnx "
            "instead"
        )


def _integers(numbers: list[int]) -> str:
    return "".join(f"{number}," for number in numbers)


def _decimals(numbers: np.ndarray) -> str:
    return "".join(f"{number:.16e}," for number in numbers)


def _read_shape(lines: _Lines) -> tuple[int, list[int]]:
    """Number of inputs and the layer sizes, inputs first."""
    count, inputs, outputs, _ = lines.integers(4, "number of layers, inputs, outputs, widest layer")
    where = lines.where
    if min(count, inputs, outputs) < 1:
        raise FormatError(f"{where}: a network needs at least one layer, input and output")
    if count > len(lines):
        raise FormatError(f"{where}: {count} layers do not fit into a file of {len(lines)} lines")
    sizes = lines.integers(count + 1, "layer sizes")
    if sizes[0] != inputs or sizes[-1] != outputs or min(sizes) < 1:
        raise FormatError(
            f"{lines.where}: layer sizes {sizes[0]}, ..., {sizes[-1]} do not fit {inputs} inputs "
            f"and {outputs} outputs"
        )
    return inputs, sizes


def _read_header(lines: _Lines, inputs: int) -> NnetHeader:
    lines.numbers(None, "the unused flag")
    minimums = np.array(lines.numbers(inputs, "input minimums"))
    maximums = np.array(lines.numbers(inputs, "input maximums"))
    bad = np.flatnonzero(minimums > maximums)
    if bad.size:
        i = int(bad[0])
        raise DomainError(
            f"{lines.where}: input {i} has its maximum {maximums[i]} below its minimum "
            f"{minimums[i]}"
        )
    means = np.array(lines.numbers(inputs + 1, "means"))
    ranges = np.array(lines.numbers(inputs + 1, "ranges"))
    bad = np.flatnonzero(~(ranges > 0))
    if bad.size:
        raise NetworkError(
            f"{lines.where}: range {int(bad[0])} is {ranges[bad[0]]}; it must be positive"
        )
    return NnetHeader(minimums, maximums, means, ranges, lines.comments)


class _Lines:
    """The lines of a file that hold numbers, one after the other, with their positions."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        lines = text.splitlines()
        self._count = len(lines)
        self._rest: Iterator[tuple[int, str]] = (
            (number, line.strip())
            for number, line in enumerate(lines, start=1)
            if line.strip() and not line.lstrip().startswith("//")
        )
        self.comments = tuple(_leading_comments(lines))
        self.where = file
        self._had_comma = False

    def __len__(self) -> int:
        return self._count

    def numbers(self, count: int | None, what: str) -> list[float]:
        """The next line's ``count`` finite numbers (any number of them for None)."""
        entries = self._entries(what)
        if count is not None and len(entries) != count:
            raise FormatError(f"{self.where}: {what}: expected {count} numbers, got {len(entries)}")
        return [self._number(entry, what) for entry in entries]

    def integers(self, count: int, what: str) -> list[int]:
        """The next line's ``count`` whole numbers."""
        numbers = self.numbers(count, what)
        if any(number != int(number) or abs(number) >= 2**31 for number in numbers):
            raise FormatError(f"{self.where}: {what}: expected whole numbers")
        return [int(number) for number in numbers]

    def finish(self) -> None:
        """Raise unless all lines were read."""
        extra = next(self._rest, None)
        if extra is not None:
            raise FormatError(f"{self._file}: line {extra[0]}: more numbers than the header says")

    def _entries(self, what: str) -> list[str]:
        number, line = next(self._rest, (None, ""))
        if number is None:
            raise FormatError(
                f"{self._file}: line {self._count}: the file ends where {what} should follow; it "
                "is truncated"
            )
        self.where = f"{self._file}: line {number}"
        # Writers end every line with a comma or none; a line without may have lost its end.
        comma = line.endswith(",")
        if self._had_comma and not comma:
            raise FormatError(f"{self.where}: {what}: does not end in a comma; is it truncated?")
        self._had_comma = comma
        return [entry.strip() for entry in line.removesuffix(",").split(",")]

    def _number(self, entry: str, what: str) -> float:
        if entry.lower().lstrip("+-") in _NOT_FINITE:
            raise NetworkError(f"{self.where}: {what}: {entry} is not a finite number")
        if not _NUMBER.fullmatch(entry):
            raise FormatError(f"{self.where}: {what}: '{entry[:40]}' is not a number")
        number = float(entry)
        if not np.isfinite(number):
            raise NetworkError(f"{self.where}: {what}: {entry[:40]} is too large for float64")
        return number


def _leading_comments(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("//"):
            return
        yield line.removeprefix("//").strip()
