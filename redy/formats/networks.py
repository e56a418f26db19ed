"""Networks from files of either format, and their reference evaluation in onnxruntime."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from redy.domain import Box
from redy.errors import FormatError
from redy.formats.atomic import decode, read_bytes
from redy.formats.nnet import NnetHeader, parse_nnet
from redy.formats.onnx_read import Imported, import_model
from redy.formats.onnx_run import OriginalModel
from redy.formats.onnx_write import to_onnx
from redy.network.form import Network

#: Suffixes of network files that :func:`load` reads.
FORMATS = ("onnx", "nnet")


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A network with all that its file says.

    Args:
        path: the file as it was named.
        format: ``onnx`` or ``nnet``; ``memory`` for a network without a file.
        file_sha256: checksum of the file's bytes.
        network: the network in redy's form.
        domain: the domain the file brings (.nnet), else None.
        reference: the ONNX model that stands for the original in onnxruntime, and how it
            corresponds to ``network``: the file itself, else a float64 export.
        header: the .nnet header, else None.
    """

    path: str
    format: str
    file_sha256: str
    network: Network
    domain: Box | None
    reference: Imported
    header: NnetHeader | None = None

    @property
    def rounded(self) -> tuple[str, ...]:
        """Nodes of the file that float64 could not represent exactly; empty means exact."""
        return self.reference.rounded


def load(path: str | os.PathLike[str]) -> LoadedNetwork:
    """Read the network at ``path``, ``.onnx`` or ``.nnet``.

    Raises:
        FormatError: an unknown suffix, no such file, or a file that is not sound.
        UnsupportedError, NetworkError, DomainError: see the readers of each format.
    """
    file = os.fspath(path)
    _format(file)
    return parse(read_bytes(file), file)


def parse(content: bytes, file: str) -> LoadedNetwork:
    """The network that ``content``, of a file with the name ``file``, holds; as :func:`load`."""
    suffix = _format(file)
    digest = hashlib.sha256(content).hexdigest()
    if suffix == "onnx":
        imported = import_model(content, file)
        return LoadedNetwork(file, suffix, digest, imported.network, None, imported)
    network, domain, header = parse_nnet(decode(content, file), file)
    exported = import_model(to_onnx(network, np.float64), file)
    return LoadedNetwork(file, suffix, digest, network, domain, exported, header)


def _format(file: str) -> str:
    suffix = Path(file).suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        accepted = " or ".join(f".{name}" for name in FORMATS)
        raise FormatError(f"{file}: redy reads networks from {accepted} files")
    return suffix


def in_memory(network: Network) -> LoadedNetwork:
    """A network that comes from no file; a float64 export stands for the original."""
    exported = import_model(to_onnx(network, np.float64), "network")
    return LoadedNetwork("network", "memory", network.sha256, network, None, exported)


class Reference:
    """The original network, evaluated in onnxruntime; it witnesses what redy claims.

    An ``.onnx`` file is run as it is, in its own precision; a ``.nnet`` network in float64. The
    object can be pickled: sessions are made anew, at the first call, wherever it arrives.
    """

    def __init__(self, loaded: LoadedNetwork, threads: int = 1) -> None:
        self._model = OriginalModel(loaded.reference, threads)

    def outputs(self, points: ArrayLike) -> np.ndarray:
        """Outputs (n, outputs) at ``points`` (n, inputs)."""
        return self._model.outputs(points)

    def preactivations(self, points: ArrayLike) -> list[np.ndarray]:
        """Pre-activations (n, units) of each hidden layer, in the order of network.layers."""
        return self._model.preactivations(points)
