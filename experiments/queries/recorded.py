"""Files of recorded queries: boxes, edits and parameters; networks by name and checksum only."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redy.criteria.queries import Query
from redy.formats.atomic import write_bytes
from redy.formats.networks import LoadedNetwork, load

VERSION = 1


@dataclass(frozen=True, eq=False)
class Recorded:
    """One query of a file.

    Attributes:
        name: unique in its file.
        network: the network's file name.
        query: what is asked.
    """

    name: str
    network: str
    query: Query


def save(
    path: Path, made_by: str, networks: Sequence[LoadedNetwork], queries: Sequence[Recorded]
) -> None:
    """Write ``queries``; the same queries make the same bytes."""
    written: dict[str, Any] = {
        "version": VERSION,
        "made_by": made_by,
        "networks": {Path(net.path).name: net.file_sha256 for net in networks},
        "queries": [
            {"name": each.name, "network": each.network} | each.query.to_json() for each in queries
        ],
    }
    text = json.dumps(written, separators=(",", ":"))
    write_bytes(path, gzip.compress(text.encode(), mtime=0))


def read(
    path: Path, find: Callable[[str], Path]
) -> tuple[dict[str, LoadedNetwork], list[Recorded]]:
    """The networks by name, and the queries.

    Args:
        find: the file of the network of that name.

    Raises:
        SystemExit: a file of another version, or a network that is not the one recorded.
    """
    written = json.loads(gzip.decompress(path.read_bytes()))
    if written["version"] != VERSION:
        raise SystemExit(f"{path}: version {written['version']}, not {VERSION}; make it anew")
    networks = {}
    for name, checksum in written["networks"].items():
        networks[name] = load(find(name))
        if networks[name].file_sha256 != checksum:
            raise SystemExit(f"{find(name)}: is not the network that {path} was made with")
    return networks, [
        Recorded(
            each["name"],
            each["network"],
            Query.from_json(each, networks[each["network"]].network),
        )
        for each in written["queries"]
    ]
