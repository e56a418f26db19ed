"""The bundle file: the base network once, per slice two bits per neuron, all checksummed.

    magic (12 bytes) | schema (4, little endian) | payload length (8) | SHA-256 of the payload (32)
    | payload: safetensors

The tensors of m slices of a network with n neurons, numbers little endian:

    description            JSON: what is short, and the summary that ``redy show`` prints
    layer.K.bias, .relu    float64; uint8
    layer.K.from.J         float64, the weights by which layer K reads layer J
    slicing.NAME           what of the slicing's description is long; a grid has none
    slices                 uint32 (m,), ascending; left out if they are all
    folded                 uint8 (m, ceil(depth / 8)) bits, layer 1 in the highest: linear units in
                           skips, or kept
    eps_proved             float64 (m,), proved bound on the output error
    edits.number           uint32 (m,), the slice's row of edits.packed
    edits.packed           uint8 (distinct, ceil(n / 4)), two bits per neuron from the lowest up
    edits.lines            float32 (all, 2), of the AFFINE neurons of each row of edits.packed
    edits.correction       uint32 (m,), 0 or 1 + the slice's row of edits.corrections
    edits.corrections      float32 (distinct, outputs, inputs + 1)

and what the dispatcher does not read, each a zlib stream:

    evidence.reasons       uint8 (n, m), status + 16 criterion
    evidence.proof, .boxes, .pool, .witness_count, .witness_pool, .witness_found
                           see :class:`redy.formats.evidence.Evidence`

Opening checks the checksum, and everything but the evidence; evidence is checked, against the edits
too, when it is first asked for. The file is read, not mapped: the checksum needs every byte of it,
and what was checked is what is used, whatever becomes of the file.

Nothing in it can execute code. The same run gives the same bytes (with the same version of zlib),
whatever the number of workers or restarts; what does depend on the run, its wall time, stands in a
record beside the bundle (``B.redy.run.json``), which the bundle does not need.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from redy.domain import Box
from redy.edit_table import EditTable
from redy.errors import FormatError, RedyError
from redy.formats.atomic import read_bytes, read_text, write_bytes
from redy.formats.edit_tensors import from_tensors, to_tensors, typed
from redy.formats.evidence import Evidence, Sealed
from redy.formats.malformed import MALFORMED
from redy.formats.summary import require_record, require_summary
from redy.guarantee import Guarantee
from redy.network.form import Layer, Network, dense
from redy.network.split import Split, split
from redy.slicing import Slicing, restore
from redy.slicing.mid import Mid

SCHEMA = 3
_MAGIC = b"redy bundle\n"
_HEADER = struct.Struct("<12sIQ32s")
HEADER_BYTES = _HEADER.size
"""What comes before the payload."""

_LEAST_ROOM = 2**26
_PER_BYTE = 64
"""Bytes that a table may take once it is unpacked: so many, and so many per byte of the file. redy
writes at least 17 bytes per slice, whose edits and evidence take one byte per neuron each."""

_SLICING = "slicing."
"""Before the names of the arrays that belong to the slicing's description."""

_EVIDENCE = "evidence."
"""Before the names of the tables of evidence."""


@dataclass(frozen=True, eq=False)
class Content:
    """All that a bundle holds.

    Attributes:
        network: the original network.
        slicing: how the domain is cut.
        guarantee: what holds for the simplified network.
        slices: (m,) int64, the slices that were simplified, ascending.
        edits: what becomes of their neurons and outputs.
        eps_proved: (m,) float64, proved bounds on the output error.
        folded: (m, hidden layers) bool: where linear units are folded into skips.
        sealed: what backs the edits, compressed.
        summary: what ``redy show`` reports, as JSON.
        file: where it was read from, for messages.

    Raises:
        ValueError: the parts do not fit together.
    """

    network: Network
    slicing: Slicing
    guarantee: Guarantee
    slices: np.ndarray
    edits: EditTable
    eps_proved: np.ndarray
    folded: np.ndarray
    sealed: Sealed
    summary: dict[str, Any]
    file: str = "the bundle"

    def __post_init__(self) -> None:
        count, base = len(self.slices), self.base
        self.slicing.domain.require_dimension(base.inputs)
        if isinstance(self.slicing, Mid):
            self.slicing.inputs.require_dimension(self.network.inputs)
        consistent = (
            self.edits.neurons == len(base.neurons)
            and self.edits.number.shape == self.slices.shape == self.eps_proved.shape == (count,)
            and self.folded.shape == (count, base.depth)
            and bool((np.diff(self.slices) > 0).all())
            and bool((self.slices < self.slicing.slices).all())
            and bool((self.eps_proved >= 0.0).all())
            and bool((self.eps_proved <= self.guarantee.eps).all())
        )
        if not consistent:
            raise ValueError("its tables do not fit together")

    def malformed(self) -> AbstractContextManager[None]:
        """Whatever its parts are found to be unfit for is a :class:`FormatError` of the file."""
        return _malformed(self.file)

    @cached_property
    def evidence(self) -> Evidence:
        """What backs the edits; raises :class:`FormatError` unless it does."""
        with _malformed(self.file):
            base = self.base
            shape = len(self.slices), len(base.neurons)
            evidence = self.sealed.opened(*shape, base.inputs)
            evidence.require_fit(self.edits.codes)
            return evidence

    def __getstate__(self) -> dict[str, Any]:
        # The evidence is made again from what is sealed, and much larger.
        return {name: value for name, value in vars(self).items() if name != "evidence"}

    @cached_property
    def parts(self) -> Split | None:
        """Of mid-network slicing, the network cut in two; None where the inputs are sliced."""
        return split(self.network, self.slicing.layer) if isinstance(self.slicing, Mid) else None

    @property
    def domain(self) -> Box:
        """The box of inputs on which the guarantee holds."""
        slicing = self.slicing
        return slicing.inputs if isinstance(slicing, Mid) else slicing.domain

    @property
    def base(self) -> Network:
        """The network that the slices have edits of: the original, or its suffix after the cut."""
        return self.network if self.parts is None else self.parts.suffix


def write_bundle(path: str | os.PathLike[str], content: Content) -> None:
    """Write ``content`` to ``path``, whole or not at all; raises :class:`OutputError`."""
    write_bytes(path, to_bytes(content))


def to_bytes(content: Content) -> bytes:
    """The file's bytes."""
    tensors = {
        "folded": np.packbits(content.folded, axis=1),
        "eps_proved": content.eps_proved.astype("<f8"),
        **to_tensors(content.edits),
        **{_SLICING + name: array for name, array in content.slicing.arrays().items()},
        **{_EVIDENCE + name: stream for name, stream in content.sealed.streams.items()},
    }
    if len(content.slices) < content.slicing.slices:
        tensors["slices"] = content.slices.astype("<u4")
    layers = []
    for k, layer in enumerate(content.network.layers, start=1):
        tensors[f"layer.{k}.bias"] = layer.bias
        tensors[f"layer.{k}.relu"] = layer.relu.astype(np.uint8)
        for j, matrix in layer.weights.items():
            tensors[f"layer.{k}.from.{j}"] = dense(matrix)
        layers.append(list(layer.weights))
    description = {
        "inputs": content.network.inputs,
        "layers": layers,
        "slicing": content.slicing.describe(),
        "guarantee": content.guarantee.describe(),
        "proofs": list(content.sealed.proofs),
        "pool": content.sealed.positions,
        "summary": content.summary,
    }
    text = json.dumps(description, sort_keys=True).encode()
    tensors["description"] = np.frombuffer(text, dtype=np.uint8)
    payload = save_tensors({name: np.ascontiguousarray(t) for name, t in tensors.items()})
    digest = hashlib.sha256(payload).digest()
    return _HEADER.pack(_MAGIC, SCHEMA, len(payload), digest) + payload


def read_bundle(path: str | os.PathLike[str]) -> Content:
    """The bundle at ``path``.

    Raises:
        FormatError: no such file, not a bundle, another schema, truncated or altered.
    """
    file = os.fspath(path)
    payload = _checked_payload(read_bytes(file), file)
    with _malformed(file):
        return _parse(load_tensors(payload), file)


@contextmanager
def _malformed(file: str) -> Iterator[None]:
    try:
        yield
    except MALFORMED as error:
        raise FormatError(f"{file}: is not a bundle that redy wrote ({error})") from error


def _checked_payload(data: bytes, file: str) -> bytes:
    if len(data) < _HEADER.size or data[: len(_MAGIC)] != _MAGIC:
        raise FormatError(f"{file}: is not a redy bundle")
    _, schema, length, digest = _HEADER.unpack_from(data)
    if schema != SCHEMA:
        raise FormatError(
            f"{file}: has bundle schema {schema}, this redy reads schema {SCHEMA}; "
            "make the bundle again or use the redy that wrote it"
        )
    payload = data[_HEADER.size :]
    if len(payload) != length:
        raise FormatError(f"{file}: is truncated: {len(payload)} of {length} bytes are there")
    if hashlib.sha256(payload).digest() != digest:
        raise FormatError(f"{file}: is corrupted: its content does not match its checksum")
    return payload


def _parse(tensors: dict[str, np.ndarray], file: str) -> Content:
    description = json.loads(tensors["description"].tobytes())
    require_summary(description["summary"])
    network = _network(description, tensors)
    slicing = restore(description["slicing"], _named(tensors, _SLICING))
    base = split(network, slicing.layer).suffix if isinstance(slicing, Mid) else network
    edits = from_tensors(tensors, base)
    room = _LEAST_ROOM + _PER_BYTE * sum(tensor.nbytes for tensor in tensors.values())
    if len(edits.number) * len(base.neurons) > room:
        raise ValueError("its slices and neurons are out of proportion to the file")
    return Content(
        network=network,
        slicing=slicing,
        guarantee=Guarantee.restore(description["guarantee"]),
        slices=_slices(tensors, slicing.slices, len(edits.number)),
        edits=edits,
        eps_proved=typed(tensors, "eps_proved", "<f8"),
        folded=_folded(tensors, base.depth),
        sealed=Sealed(_named(tensors, _EVIDENCE), description["proofs"], description["pool"], room),
        summary=description["summary"],
        file=file,
    )


def _network(description: dict[str, Any], tensors: dict[str, np.ndarray]) -> Network:
    layers = []
    for k, sources in enumerate(description["layers"], start=1):
        weights = {j: typed(tensors, f"layer.{k}.from.{j:d}", "<f8") for j in sources}
        relu = typed(tensors, f"layer.{k}.relu", "u1").astype(bool)
        layers.append(Layer(weights, typed(tensors, f"layer.{k}.bias", "<f8"), relu))
    return Network(index(description["inputs"]), tuple(layers))


def _folded(tensors: dict[str, np.ndarray], depth: int) -> np.ndarray:
    bits = typed(tensors, "folded", "u1")
    if bits.shape[1:] != (-(-depth // 8),):
        raise ValueError("its layers are not those of the network")
    return np.unpackbits(bits, axis=1, count=depth).astype(bool)


def _named(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The tensors whose name begins with ``prefix``, without it."""
    start = len(prefix)
    return {name[start:]: t for name, t in tensors.items() if name.startswith(prefix)}


def _slices(tensors: dict[str, np.ndarray], every: int, count: int) -> np.ndarray:
    """Which ``count`` slices, of ``every``, a bundle holds."""
    if "slices" in tensors:
        return typed(tensors, "slices", "<u4").astype(np.int64)
    if count != every:
        raise ValueError("it does not say which slices it holds")
    return np.arange(count, dtype=np.int64)


def run_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What is recorded beside the bundle at ``path`` of the run that made it; {} if nothing is."""
    try:
        record = json.loads(read_text(_record_of(path)))
        require_record(record)
    except (RedyError, ValueError, AttributeError, TypeError, RecursionError):
        return {}
    # A record that was left behind when another bundle took the place of its own says nothing.
    own = record.pop("bundle_sha256", None) == _payload_digest(path)
    return dict(record) if own else {}


def write_run_record(path: str | os.PathLike[str], record: dict[str, Any]) -> None:
    """Record the run that made the bundle at ``path`` beside it."""
    full = {**record, "bundle_sha256": _payload_digest(path)}
    write_bytes(_record_of(path), json.dumps(full, indent=1).encode())


def _record_of(path: str | os.PathLike[str]) -> Path:
    return Path(f"{os.fspath(path)}.run.json")


def _payload_digest(path: str | os.PathLike[str]) -> str:
    with Path(path).open("rb") as file:
        *_, digest = _HEADER.unpack(file.read(_HEADER.size))
    return str(digest.hex())
