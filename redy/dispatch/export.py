"""Networks of single slices as files that other tools read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from redy.dispatch.bundle import Slice
from redy.errors import UsageError
from redy.formats.nnet import write_nnet
from redy.formats.onnx import write_onnx
from redy.network.fold import chain
from redy.network.form import Network

_DTYPES = {32: np.float32, 64: np.float64}


def write_slice(
    part: Slice, original: Network, path: Path, file_format: str, precision: int = 32
) -> None:
    """Write the network of ``part`` to ``path`` as ``onnx`` or ``nnet``.

    Raises:
        UsageError: no such format or precision.
        UnsupportedError: the format cannot hold this network.
        OutputError: the file cannot be written.
    """
    if file_format not in FORMATS:
        raise UsageError(f"--format {file_format}: there is {', '.join(FORMATS)}")
    if precision not in _DTYPES:
        raise UsageError(f"--precision {precision}: give 32 or 64")
    FORMATS[file_format](part, original, path, precision)


def _onnx(part: Slice, original: Network, path: Path, precision: int) -> None:
    del original
    write_onnx(part.network, path, _DTYPES[precision])


def _nnet(part: Slice, original: Network, path: Path, precision: int) -> None:
    del precision  # the format is decimal text and holds float64 exactly
    write_nnet(chain(original, part.replacements), path, part.box)


FORMATS: Mapping[str, Callable[[Slice, Network, Path, int], None]] = {"onnx": _onnx, "nnet": _nnet}
"""Format -> what writes a slice in it."""
