"""Bundles with a right checksum whose edits are not what redy writes: refused, never evaluated."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

import redy
from redy.errors import FormatError, StoreError
from redy.formats.bundle import _HEADER, _MAGIC, SCHEMA
from tests.stages import BOX, as_correction, as_line, registered, tiny

Tensors = dict[str, np.ndarray]


def simplified(folder: Path, change: Callable, **options: object) -> redy.Bundle:
    with registered("by_hand", change):
        stages = ["phase", "forward", "by_hand"]
        bundle = redy.simplify(
            tiny(), BOX, guarantee="eps=0.5", stages=stages, budget=20, slices=2, **options
        )
    bundle.save(folder / "b.redy")
    return bundle


@pytest.fixture(scope="module")
def tensors(tmp_path_factory: pytest.TempPathFactory) -> Tensors:
    """Of a bundle of two slices, one with a line, the other with a correction."""
    folder = tmp_path_factory.mktemp("edits")
    simplified(folder, lambda state: (as_line, as_correction)[state.index](state))
    return load((folder / "b.redy").read_bytes()[_HEADER.size :])


def opened(tensors: Tensors, path: Path) -> redy.Bundle:
    payload = save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})
    header = _HEADER.pack(_MAGIC, SCHEMA, len(payload), hashlib.sha256(payload).digest())
    path.write_bytes(header + payload)
    return redy.open(path)


def test_what_was_not_altered_opens(tensors: Tensors, tmp_path: Path) -> None:
    bundle = opened(tensors, tmp_path / "b.redy")
    line, correction = bundle.slices
    assert line.lines.tolist() == [[0, 0], [0, 0], [1, 0]]
    assert line.correction is None
    assert correction.edits.tolist() == [0, 0, redy.Edit.ZERO]
    assert correction.correction.tolist() == [[1, 1, 10], [0, 0, 0]]
    assert correction.criteria.tolist() == [0, 0, redy.Criterion.RELAXED]


ALTERED: dict[str, list[object]] = {
    "rows": [[0, 2], [0, 0], [1, 0], [0], [0, 1, 1]],
    "neurons": [[[0, 13], [0, 10]], [[0, 0], [0, 10]], [[0], [10]], [[0, 12]], [[0, 3], [0, 10]]],
    "lines": [[[np.nan, 0]], [[1, np.inf]], [[1, 0], [1, 0]], [[1]], np.zeros((0, 2))],
    "corrected": [[0, 2], [1, 1], [0, 0], [1]],
    "corrections": [
        [[[np.nan, 0, 0], [0, 0, 0]]],
        [[[0, 0, 0]]],
        [[[0, 0], [0, 0]]],
        np.zeros((0, 2, 3)),
    ],
    "eps_proved": [[0.25, 0.75], [0.25, np.nan], [-1, 0], [np.inf, 0], [0.25]],
    "proof": [[0, 9], [0]],
    "proofs": [list(b"PROPAGATION\nTRUST ME"), [255]],
}


@pytest.mark.parametrize(
    ("name", "values"), [(name, each) for name, all_of in ALTERED.items() for each in all_of]
)
def test_altered_edits_are_refused(
    name: str, values: object, tensors: Tensors, tmp_path: Path
) -> None:
    changed = np.array(values).astype(tensors[f"edits.{name}"].dtype)
    with pytest.raises(FormatError, match="is not a bundle that redy wrote"):
        opened({**tensors, f"edits.{name}": changed}, tmp_path / "b.redy")


@pytest.mark.parametrize("name", sorted(ALTERED))
def test_missing_edits_are_refused(name: str, tensors: Tensors, tmp_path: Path) -> None:
    rest = {key: tensor for key, tensor in tensors.items() if key != f"edits.{name}"}
    if name == "rows":  # then none of these are looked at: both slices have their exact edits
        assert opened(rest, tmp_path / "b.redy").slices[0].edits.tolist() == [0, 0, 2]
        return
    with pytest.raises(FormatError, match="is not a bundle that redy wrote"):
        opened(rest, tmp_path / "b.redy")


@pytest.mark.parametrize(
    "guarantee",
    [
        None,
        {},
        {"kind": "exact", "eps": 0.0, "winner": "min", "percent": None, "span": None},
        {"kind": "eps", "eps": 0.1, "winner": "min", "percent": None, "span": None},
        {"kind": "eps", "eps": None, "winner": "min", "percent": None, "span": None},
        {"kind": "eps", "eps": None, "winner": "min", "percent": 1.0, "span": None},
        {"kind": "eps", "eps": 0.5, "winner": "most", "percent": None, "span": None},
        {"kind": "eps", "eps": "much", "winner": "min", "percent": None, "span": None},
        {"kind": "eps", "eps": 0.5, "winner": "min", "percent": None, "span": None, "x": 1},
    ],
)
def test_a_guarantee_that_does_not_fit(guarantee: object, tensors: Tensors, tmp_path: Path) -> None:
    description = json.loads(tensors["description"].tobytes())
    description["guarantee"] = guarantee
    text = np.frombuffer(json.dumps(description).encode(), dtype=np.uint8)
    with pytest.raises(FormatError, match="is not a bundle that redy wrote"):
        opened({**tensors, "description": text}, tmp_path / "b.redy")


@pytest.mark.parametrize("change", [as_line, as_correction])
def test_a_store_keeps_edits(change: Callable, tmp_path: Path) -> None:
    once = simplified(tmp_path, change, store=tmp_path / "run")
    content = (tmp_path / "b.redy").read_bytes()
    again = simplified(tmp_path, change, store=tmp_path / "run")
    assert (tmp_path / "b.redy").read_bytes() == content
    assert again.summary == once.summary
    assert again.slices[1].replacements.same_as(once.slices[1].replacements)


def test_a_flipped_bit_in_stored_edits(tmp_path: Path) -> None:
    simplified(tmp_path, as_line, store=tmp_path / "run")
    with closing(sqlite3.connect(tmp_path / "run")) as database, database:
        (edits,) = database.execute("SELECT edits FROM slices WHERE slice = 1").fetchone()
        altered = edits[:-1] + bytes([edits[-1] ^ 1])
        database.execute("UPDATE slices SET edits = ? WHERE slice = 1", [altered])
    with pytest.raises(StoreError, match="slice 1 is damaged"):
        simplified(tmp_path, as_line, store=tmp_path / "run")
