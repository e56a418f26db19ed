"""Tables of numbers: inputs to evaluate and their outputs, as .npy or .csv."""

from __future__ import annotations

import io
import warnings
from math import prod
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.lib import format as npy

from redy.errors import FormatError, UsageError
from redy.formats.atomic import read_bytes, read_text, write_bytes

_SUFFIXES = (".npy", ".csv")
_MALFORMED = (
    ValueError,
    TypeError,
    ArithmeticError,
    EOFError,
    MemoryError,
    SyntaxError,
    TokenError,
)
"""What numpy raises of a damaged file: its header is Python text, and may claim any size."""

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
"""Version of a .npy file -> what reads its header; later ones are for structures."""


def read_table(path: Path) -> np.ndarray:
    """The (n, columns) numbers in ``path``; a .csv may begin with a line of names.

    Raises:
        UsageError: neither .npy nor .csv.
        FormatError: the file is no table of numbers.
    """
    try:
        if require_table(path) == ".npy":
            table = _parse_npy(read_bytes(path))
        else:
            table = _parse_csv(read_text(path))
    except _MALFORMED as error:
        raise FormatError(f"{path}: is not a table of numbers ({error})") from error
    if table.ndim != 2:
        raise FormatError(f"{path}: has shape {table.shape}; give one row per input")
    return table


def write_table(path: Path, table: np.ndarray) -> None:
    """Write ``table`` (n, columns), whole or not at all."""
    buffer = io.BytesIO()
    if require_table(path) == ".npy":
        np.save(buffer, table, allow_pickle=False)
    else:
        np.savetxt(buffer, table, fmt="%.17g", delimiter=",")
    write_bytes(path, buffer.getvalue())


def require_table(path: Path) -> str:
    """The suffix of ``path``; raises :class:`UsageError` if it names no kind of table."""
    if path.suffix not in _SUFFIXES:
        raise UsageError(f"{path}: redy reads and writes tables as {' or '.join(_SUFFIXES)}")
    return path.suffix


def _parse_npy(content: bytes) -> np.ndarray:
    """The array in ``content``; what its header claims is held against the bytes that are there."""
    file = io.BytesIO(content)
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"it is of version {version}, which plain numbers do not need")
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of a header written by Python 2, which is read all the same
        shape, by_columns, dtype = _HEADERS[version](file)
    if dtype.kind not in "fiu":
        raise ValueError(f"its entries are {dtype}, not numbers")
    if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"its shape is {shape}, and it has {len(content) - file.tell()} bytes")
    numbers = np.frombuffer(content, dtype, offset=file.tell())
    return numbers.reshape(shape, order="F" if by_columns else "C")


def _parse_csv(text: str) -> np.ndarray:
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and not _is_numbers(lines[0]):
        lines = lines[1:]
    if not lines:
        raise ValueError("it has no rows")
    return np.loadtxt(lines, delimiter=",", comments=None, ndmin=2)


def _is_numbers(line: str) -> bool:
    try:
        [float(cell) for cell in line.split(",")]
    except ValueError:
        return False
    return True
