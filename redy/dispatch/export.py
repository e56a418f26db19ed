"""Single slices, or all of a bundle, as files that other tools read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from redy.dispatch.bundle import Bundle, Slice
from redy.dispatch.c_code import write_c
from redy.errors import UsageError
from redy.formats.atomic import write_bytes
from redy.formats.nnet import write_nnet
from redy.formats.onnx import write_onnx
from redy.formats.onnx_sliced import sliced_to_onnx
from redy.network.fold import chain
from redy.network.form import Network
from redy.network.split import join

_DTYPES = {32: np.float32, 64: np.float64}


def write_slice(
    bundle: Bundle, part: Slice, path: Path, file_format: str, precision: int = 32
) -> None:
    """Write the network of ``part``, from the inputs on, to ``path`` as ``onnx`` or ``nnet``.

    Raises:
        UsageError: no such format or precision.
        UnsupportedError: the format cannot hold this network.
        OutputError: the file cannot be written.
    """
    _check(file_format, precision)
    if file_format not in FORMATS:
        raise UsageError("--format c holds all slices; leave out --slice")
    FORMATS[file_format](bundle, part, path, precision)


def write_whole(
    bundle: Bundle,
    path: Path,
    file_format: str = "onnx",
    precision: int = 32,
    *,
    outside: str | None = None,
    slices: bool = False,
    winner: str | None = None,
) -> dict[str, Any]:
    """Write all slices to ``path``, as one ONNX model or as C code; returns what was written.

    Args:
        bundle: the simplified network.
        path: the file.
        file_format: ``onnx`` (:func:`sliced_to_onnx`) or ``c`` (:func:`write_c`).
        precision: 32 or 64 bits.
        outside: what becomes of inputs outside of the domain; see there.
        slices: of ONNX, a second output.
        winner: of C code, the rule of ``redy_winner``.

    Raises:
        UsageError: no such format or precision, or an option that does not go with it.
        UnsupportedError, NetworkError: the format cannot hold this bundle.
        OutputError: the file cannot be written.
    """
    _check(file_format, precision)
    facts: dict[str, Any] = {"slices": bundle.slicing.slices, "precision": precision}
    if file_format == "c":
        if slices:
            raise UsageError("--with-slice is for ONNX models; in C code, redy_slice says it")
        facts["outside"] = outside or "error"
        code = write_c(
            bundle.content, path, precision=precision, outside=facts["outside"], winner=winner
        )
        return {**facts, **code.report()}
    if winner is not None:
        raise UsageError("--winner goes with --format c: an ONNX model has the outputs alone")
    if file_format != "onnx":
        raise UsageError(
            f"--format {file_format}: holds the network of one slice, and there are "
            f"{bundle.slicing.slices} slices; name one with --slice, or use onnx or c"
        )
    facts["outside"] = outside or "nan"
    content = sliced_to_onnx(
        bundle.content, _DTYPES[precision], outside=facts["outside"], slices=slices
    )
    write_bytes(path, content)
    return {**facts, "file_bytes": len(content)}


def _check(file_format: str, precision: int) -> None:
    if file_format not in (*FORMATS, "c"):
        raise UsageError(f"--format {file_format}: there is {', '.join(FORMATS)} and c")
    if precision not in _DTYPES:
        raise UsageError(f"--precision {precision}: give 32 or 64")


def _onnx(bundle: Bundle, part: Slice, path: Path, precision: int) -> None:
    write_onnx(_from_inputs(bundle, part.network), path, _DTYPES[precision])


def _nnet(bundle: Bundle, part: Slice, path: Path, precision: int) -> None:
    del precision  # the format is decimal text and holds float64 exactly
    box = part.box if bundle.parts is None else bundle.domain
    write_nnet(_from_inputs(bundle, chain(bundle.base, part.replacements)), path, box)


def _from_inputs(bundle: Bundle, network: Network) -> Network:
    """A slice's ``network``, after the prefix if it is a cell's."""
    return network if bundle.parts is None else join(bundle.parts.prefix, network)


FORMATS: Mapping[str, Callable[[Bundle, Slice, Path, int], None]] = {"onnx": _onnx, "nnet": _nnet}
"""Format -> what writes a slice in it."""
