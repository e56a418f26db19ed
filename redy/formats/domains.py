"""Domains as a user names them: a property, a table of bounds, a .nnet header, or a name."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from redy.domain import Box
from redy.errors import DomainError, FormatError, RedyError
from redy.formats.atomic import read_text
from redy.formats.nnet import NnetHeader, read_nnet
from redy.formats.vnnlib import read_vnnlib_box

#: Header of the published ACAS Xu networks (Julian et al.; CC BY 4.0), in feet, radians and
#: feet per second: distance, angle, heading, own speed, intruder's speed.
ACASXU = NnetHeader(
    minimums=np.array([0.0, -3.141593, -3.141593, 100.0, 0.0]),
    maximums=np.array([60760.0, 3.141593, 3.141593, 1200.0, 1200.0]),
    means=np.array([1.9791091e04, 0.0, 0.0, 650.0, 600.0, 7.5188840201005975]),
    ranges=np.array([60261.0, 6.28318530718, 6.28318530718, 1100.0, 1200.0, 373.94992]),
)

_SHOWN = 40
"""Characters of a file that a message repeats."""

#: Domains known by name.
BUILTIN: dict[str, NnetHeader] = {"acasxu": ACASXU}


def read_domain(spec: str | os.PathLike[str], inputs: int) -> Box:
    """The domain that ``spec`` names, for a network with ``inputs`` inputs.

    Args:
        spec: a built-in name (``acasxu``) or the path of a ``.vnnlib`` property, a ``.json``
            object with the lists ``lower`` and ``upper``, a ``.csv`` with the columns lower and
            upper and one row per input, or a ``.nnet`` network, whose ranges are normalised.

    Raises:
        FormatError: an unknown name or suffix, no such file, or a file that is not sound.
        DomainError: not a box of ``inputs`` finite dimensions.
    """
    text = os.fspath(spec)
    box = BUILTIN[text].domain if text in BUILTIN else _reader(text)(text)
    box.require_dimension(inputs, f"domain {text}")
    return box


def _reader(spec: str) -> Callable[[str], Box]:
    reader = _READERS.get(Path(spec).suffix.lower())
    if reader is None:
        raise FormatError(
            f"{spec}: not a domain redy knows; give a {', '.join(_READERS)} file or one of the "
            f"names {', '.join(BUILTIN)}"
        )
    return reader


def _read_json(path: str) -> Box:
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: is not JSON ({error})") from error
    if not isinstance(content, dict) or set(content) != {"lower", "upper"}:
        raise FormatError(f"{path}: must be an object with the lists 'lower' and 'upper' only")
    return _box(path, *(_numbers(path, name, content[name]) for name in ("lower", "upper")))


def _numbers(path: str, name: str, entries: object) -> list[float]:
    if not isinstance(entries, list):
        raise FormatError(f"{path}: '{name}' must be a list of numbers")
    for i, entry in enumerate(entries):
        if isinstance(entry, bool) or not isinstance(entry, int | float):
            raise FormatError(f"{path}: '{name}'[{i}] is not a number")
    try:
        return [float(entry) for entry in entries]
    except OverflowError as error:
        raise DomainError(f"{path}: '{name}' holds a number too large for float64") from error


def _read_csv(path: str) -> Box:
    rows = []
    reader = csv.reader(read_text(path).splitlines(), strict=True)
    try:
        for row in reader:
            rows += [(reader.line_num, [entry.strip() for entry in row])] if any(row) else []
    except csv.Error as error:
        raise FormatError(f"{path}: line {reader.line_num}: is not CSV ({error})") from error
    if rows and [entry.lower() for entry in rows[0][1]] == ["lower", "upper"]:
        del rows[0]
    bounds = [_csv_row(path, line, row) for line, row in rows]
    return _box(path, [lower for lower, _ in bounds], [upper for _, upper in bounds])


def _csv_row(path: str, line: int, row: list[str]) -> tuple[float, float]:
    if len(row) != 2:
        raise FormatError(f"{path}: line {line}: expected lower,upper, got {len(row)} columns")
    try:
        return float(row[0]), float(row[1])
    except ValueError as error:
        shown = ",".join(row)[:_SHOWN]
        raise FormatError(f"{path}: line {line}: '{shown}' is not lower,upper") from error


def _read_nnet(path: str) -> Box:
    return read_nnet(path)[1]


def _box(path: str, lower: list[float], upper: list[float]) -> Box:
    try:
        return Box(np.array(lower), np.array(upper))
    except RedyError as error:
        raise type(error)(f"{path}: {error}") from error


_READERS: dict[str, Callable[[str], Box]] = {
    ".vnnlib": read_vnnlib_box,
    ".json": _read_json,
    ".csv": _read_csv,
    ".nnet": _read_nnet,
}
