"""The bundle file: the base network once, per slice half a byte per neuron, all checksummed.

Half a byte is a neuron's phase status, from which most edits follow; slices of which they do not
have another half byte per neuron, and their lines and corrections.

    magic (12 bytes) | schema (4, little endian) | payload length (8) | SHA-256 of the payload (32)
    | payload: safetensors

Nothing in it can execute code. The same run gives the same bytes, whatever the number of workers
or restarts; what does depend on the run, its wall time, stands in a record beside the bundle
(``B.redy.run.json``), which the bundle does not need.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from redy.edit_table import ExtraEdits
from redy.edits import Criterion, Edit, Status, edits_of
from redy.errors import FormatError, RedyError
from redy.formats.atomic import read_bytes, write_bytes
from redy.formats.edit_tensors import from_tensors, pack_halves, to_tensors, unpack_halves
from redy.guarantee import Guarantee
from redy.network.form import Layer, Network, dense
from redy.slicing import Slicing, restore

SCHEMA = 2
_MAGIC = b"redy bundle\n"
_HEADER = struct.Struct("<12sIQ32s")
_SLICING = "slicing."
"""Before the names of the arrays that belong to the slicing's description."""

_FROM_RUN = 0xFFFF
"""Marks a witness that is not of the pool."""

_MALFORMED = (
    SafetensorError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    RedyError,
)
"""What reading the parts of a file raises that has a right checksum but that redy did not write."""


@dataclass(frozen=True, eq=False)
class Content:
    """All that a bundle holds.

    Attributes:
        network: the base network.
        slicing: how the domain is cut.
        guarantee: what holds for the simplified network.
        slices: (m,) the slices that were simplified, ascending.
        status: (m, neurons) uint8 of :class:`redy.edits.Status`.
        extra: the edits that do not follow from the status.
        boxes: (m,) boxes that each slice cost.
        folded: (m, hidden layers) bool: where linear units are folded into skips.
        pool: (p, inputs) relative positions that witnesses refer to.
        witness_count: (m,) witnesses of each slice.
        witness_pool: (all,) rows of the pool; for a witness of its own, the mark 0xFFFF.
        witness_found: (own, inputs) float32, the witnesses of their own, in order.
        summary: what ``redy show`` reports, as JSON.
    """

    network: Network
    slicing: Slicing
    guarantee: Guarantee
    slices: np.ndarray
    status: np.ndarray
    extra: ExtraEdits
    boxes: np.ndarray
    folded: np.ndarray
    pool: np.ndarray
    witness_count: np.ndarray
    witness_pool: np.ndarray
    witness_found: np.ndarray
    summary: dict[str, Any]


def write_bundle(path: str | os.PathLike[str], content: Content) -> None:
    """Write ``content`` to ``path``, whole or not at all; raises :class:`OutputError`."""
    write_bytes(path, to_bytes(content))


def to_bytes(content: Content) -> bytes:
    """The file's bytes."""
    tensors = {
        "slices": content.slices.astype("<i8"),
        "status": pack_halves(content.status),
        "boxes": content.boxes.astype("<u4"),
        "folded": np.packbits(content.folded, axis=1),
        "pool": content.pool.astype("<f8"),
        "witness_count": content.witness_count.astype("<u2"),
        "witness_pool": content.witness_pool.astype("<u2"),
        "witness_found": content.witness_found.astype("<f4"),
        **to_tensors(content.extra),
        **{_SLICING + name: array for name, array in content.slicing.arrays().items()},
    }
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
        "neurons": len(content.network.neurons),
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
    try:
        return _parse(load_tensors(payload))
    except _MALFORMED as error:
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


def _parse(tensors: dict[str, np.ndarray]) -> Content:
    description = json.loads(tensors["description"].tobytes())
    layers = []
    for k, sources in enumerate(description["layers"], start=1):
        weights = {int(j): tensors[f"layer.{k}.from.{j}"] for j in sources}
        relu = tensors[f"layer.{k}.relu"].astype(bool)
        layers.append(Layer(weights, tensors[f"layer.{k}.bias"], relu))
    network = Network(description["inputs"], tuple(layers))
    prefix = len(_SLICING)
    arrays = {name[prefix:]: t for name, t in tensors.items() if name.startswith(_SLICING)}
    content = Content(
        network=network,
        slicing=restore(description["slicing"], arrays),
        guarantee=Guarantee.restore(description["guarantee"]),
        slices=tensors["slices"],
        status=unpack_halves(tensors["status"], len(network.neurons)),
        extra=from_tensors(tensors, network, len(tensors["slices"])),
        boxes=tensors["boxes"],
        folded=np.unpackbits(tensors["folded"], axis=1, count=network.depth).astype(bool),
        pool=tensors["pool"],
        witness_count=tensors["witness_count"],
        witness_pool=tensors["witness_pool"],
        witness_found=tensors["witness_found"],
        summary=description["summary"],
    )
    _check(content)
    return content


def _check(content: Content) -> None:
    count = len(content.slices)
    network, inputs = content.network, content.network.inputs
    content.slicing.domain.require_dimension(inputs)
    consistent = (
        content.status.shape == (count, len(network.neurons))
        and content.folded.shape == (count, network.depth)
        and content.boxes.shape == content.witness_count.shape == (count,)
        and (np.diff(content.slices) > 0).all()
        and (content.slices >= 0).all()
        and (content.slices < content.slicing.slices).all()
        and (content.status < len(Status)).all()
        and (content.extra.eps_proved <= content.guarantee.eps).all()
        and _phases_proved(content)
        and content.pool.shape[1:] == content.witness_found.shape[1:] == (inputs,)
        and int(content.witness_count.sum()) == len(content.witness_pool)
        and int((content.witness_pool == _FROM_RUN).sum()) == len(content.witness_found)
    )
    if not consistent:
        raise ValueError("its tables do not fit together")


def _phases_proved(content: Content) -> bool:
    """Whether every neuron removed for its phase has a status that says so."""
    extra = content.extra
    removed = extra.criteria == Criterion.PHASE
    return bool((edits_of(content.status[extra.rows])[removed] != Edit.KEEP).all())


def join_witnesses(pool: np.ndarray, found: int) -> np.ndarray:
    """The ``witness_pool`` entries of one slice: ``pool`` rows, then ``found`` marks."""
    marks = np.full(found, _FROM_RUN, dtype=np.uint16)
    return np.concatenate([pool.astype(np.uint16), marks])


def is_from_run(witness_pool: np.ndarray) -> np.ndarray:
    """Which ``witness_pool`` entries stand for a witness of their own."""
    return np.asarray(witness_pool == _FROM_RUN)


def run_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What is recorded beside the bundle at ``path`` of the run that made it; {} if nothing is."""
    try:
        record = json.loads(_record_of(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    # A record that was left behind when another bundle took the place of its own says nothing.
    own = isinstance(record, dict) and record.pop("bundle_sha256", None) == _payload_digest(path)
    return record if own else {}


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
