"""One run in several parts, each with a store of its own: the jobs of an array on a cluster."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from redy.errors import FormatError, StoreError, UsageError
from redy.formats.atomic import read_bytes
from redy.formats.networks import LoadedNetwork, parse
from redy.run.store import Store
from redy.slicing import Slicing, restore

_NETWORK, _SLICING = "network", "slicing"
"""What the store calls them."""

_DESCRIPTION = "description"
"""The JSON among the slicing's arrays."""


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``count``, numbered from 1."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that ``I/M`` names; raises :class:`UsageError` if it names none."""
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise UsageError(f"--shard {text}: give I/M, part I of M, as in 1/8 up to 8/8")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def of(self, slices: np.ndarray) -> np.ndarray:
        """This shard's part of ``slices`` (n,), ascending.

        Dealt out in a random order, always the same one, so that all shards have as many hard ones.

        Raises:
            UsageError: it has none.
        """
        if self.index > len(slices):
            raise UsageError(
                f"--shard {self}: there are {len(slices)} slices, so that this shard has none; "
                f"give an M of at most {len(slices)}"
            )
        dealt = np.random.default_rng(0).permutation(slices)
        return np.sort(dealt[self.index - 1 :: self.count])


def keep_whole(store: Store, loaded: LoadedNetwork, slicing: Slicing) -> None:
    """Keep in ``store`` what ``redy merge`` needs besides the slices: the network's file, the cuts.

    Raises:
        UsageError: the network comes from no file.
        FormatError: the file has changed since it was read.
    """
    if store.part(_SLICING) is not None:
        return
    if loaded.format == "memory":
        raise UsageError("--shard goes with a network that redy.load has read from a file")
    content = read_bytes(loaded.path)
    if hashlib.sha256(content).hexdigest() != loaded.file_sha256:
        raise FormatError(f"{loaded.path}: has changed since it was read; start again")
    name = _bytes(loaded.path.encode(errors="surrogateescape"))
    store.keep(_NETWORK, {"file": _bytes(content), "name": name}, 0.0)
    description = _bytes(json.dumps(slicing.describe()).encode())
    store.keep(_SLICING, {**slicing.arrays(), _DESCRIPTION: description}, 0.0)


def kept_network(store: Store) -> LoadedNetwork:
    """The network that :func:`keep_whole` kept; raises :class:`StoreError` if it did not yet."""
    part = _part(store, _NETWORK)
    name = part["name"].tobytes().decode(errors="surrogateescape")
    return parse(part["file"].tobytes(), name)


def kept_slicing(store: Store) -> Slicing:
    """The slicing that :func:`keep_whole` kept; raises :class:`StoreError` if it did not yet."""
    arrays = _part(store, _SLICING)
    description: dict[str, Any] = json.loads(arrays.pop(_DESCRIPTION).tobytes())
    return restore(description, arrays)


def _part(store: Store, name: str) -> dict[str, np.ndarray]:
    found = store.part(name)
    if found is None:
        raise StoreError(f"{store.path}: has not begun with its slices; give its command again")
    return found


def _bytes(content: bytes) -> np.ndarray:
    return np.frombuffer(content, dtype=np.uint8)
