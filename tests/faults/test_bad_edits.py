"""Bundles with a right checksum whose edits are not what redy writes: refused, never evaluated."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import redy
from redy.errors import FormatError, RedyError, StoreError
from tests.bundle_files import Tensors, stream, table, tensors_of, write_file
from tests.stages import BOX, as_correction, as_line, registered, tiny


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
    return tensors_of((folder / "b.redy").read_bytes())


def opened(tensors: Tensors, path: Path) -> redy.Bundle:
    return redy.open(write_file(tensors, path))


def test_what_was_not_altered_opens(tensors: Tensors, tmp_path: Path) -> None:
    bundle = opened(tensors, tmp_path / "b.redy")
    line, correction = bundle.slices
    assert line.lines.tolist() == [[0, 0], [0, 0], [1, 0]]
    assert line.correction is None
    assert correction.edits.tolist() == [0, 0, redy.Edit.ZERO]
    assert correction.correction.tolist() == [[1, 1, 10], [0, 0, 0]]
    assert correction.criteria.tolist() == [0, 0, redy.Criterion.RELAXED]


ALTERED: dict[str, list[object]] = {
    "edits.number": [[0, 2], [0], [0, 1, 1], [[0, 1]]],
    "edits.packed": [
        [[0], [16]],
        [[48], [48]],
        [[112], [16]],
        [[48, 0], [16, 0]],
        [48, 16],
        [[48]],
    ],
    "edits.lines": [[[np.nan, 0]], [[1, np.inf]], [[1, 0], [1, 0]], [[1]], np.zeros((0, 2))],
    "edits.correction": [[0, 2], [1]],
    "edits.corrections": [
        [[[np.nan, 0, 0], [0, 0, 0]]],
        [[[0, 0, 0]]],
        [[[0, 0], [0, 0]]],
        np.zeros((0, 2, 3)),
    ],
    "eps_proved": [[0.25, 0.75], [0.25, np.nan], [-1, 0], [np.inf, 0], [0.25]],
    "folded": [[128], [[128]], np.zeros((2, 0))],
}


@pytest.mark.parametrize(
    ("name", "values"), [(name, each) for name, all_of in ALTERED.items() for each in all_of]
)
def test_altered_tables_are_refused(
    name: str, values: object, tensors: Tensors, tmp_path: Path
) -> None:
    changed = np.array(values).astype(tensors[name].dtype)
    with pytest.raises(FormatError, match="is not a bundle that redy wrote"):
        opened({**tensors, name: changed}, tmp_path / "b.redy")


@pytest.mark.parametrize("name", sorted({*ALTERED} - {"folded"}))
def test_numbers_of_another_type_are_refused(name: str, tensors: Tensors, tmp_path: Path) -> None:
    for kind in ("i8", "f8", "f4", "u1", "?"):
        if tensors[name].dtype != kind:
            with pytest.raises(FormatError, match="is not a bundle that redy wrote"):
                opened({**tensors, name: tensors[name].astype(kind)}, tmp_path / "b.redy")


def test_missing_tensors_are_refused(tensors: Tensors, tmp_path: Path) -> None:
    for name in tensors:
        rest = {key: tensor for key, tensor in tensors.items() if key != name}
        with pytest.raises(FormatError, match="is not a bundle that redy wrote"):
            opened(rest, tmp_path / "b.redy")


@pytest.mark.parametrize("slices", [[0], [1, 0], [0, 0], [0, 2]])
def test_slices_that_are_not_there(slices: list, tensors: Tensors, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is not a bundle that redy wrote"):
        opened({**tensors, "slices": np.array(slices, dtype="<u4")}, tmp_path / "b.redy")


def test_a_domain_of_many_slices_of_which_none_is_there(tensors: Tensors, tmp_path: Path) -> None:
    description = json.loads(tensors["description"].tobytes())
    description["slicing"]["counts"] = [2**13, 2**13]
    text = np.frombuffer(json.dumps(description).encode(), dtype=np.uint8)
    with pytest.raises(FormatError, match="does not say which slices it holds"):
        opened({**tensors, "description": text}, tmp_path / "b.redy")


USES: dict[str, Callable[[redy.Bundle], object]] = {
    "status": lambda bundle: bundle.status,
    "replacements": lambda bundle: bundle.slices[0].replacements,
    "criteria": lambda bundle: bundle.slices[0].criteria,
    "proof": lambda bundle: bundle.slices[0].proof,
    "boxes": lambda bundle: bundle.slices[0].boxes,
    "witnesses": lambda bundle: bundle.slices[0].witnesses,
    "verdicts": lambda bundle: bundle.slices[0].verdicts,
}


@pytest.mark.parametrize("use", USES)
def test_evidence_that_does_not_fit_is_refused_before_use(
    use: str, tensors: Tensors, tmp_path: Path
) -> None:
    """One neuron of the first slice, which stays, is said to be removed for its phase."""
    reasons = table(tensors, "reasons")
    reasons[0] = redy.Status.INACTIVE_BRANCHING | redy.Criterion.PHASE << 4
    bundle = opened({**tensors, "evidence.reasons": stream(reasons)}, tmp_path / "b.redy")
    before = opened(tensors, tmp_path / "a.redy")
    points = np.array([[-0.5, 0.5], [0.5, 0.25]])
    assert np.array_equal(bundle(points), before(points))  # which needs no evidence
    with pytest.raises(FormatError, match=r"b.redy: is not a bundle that redy wrote \(its edits"):
        USES[use](bundle)


def test_garbage_for_evidence(tensors: Tensors, tmp_path: Path) -> None:
    for name in ("reasons", "proof", "boxes", "pool", "witness_count", "witness_pool"):
        garbage = np.frombuffer(b"no stream at all", dtype=np.uint8)
        bundle = opened({**tensors, f"evidence.{name}": garbage}, tmp_path / "b.redy")
        with pytest.raises(FormatError, match="is not a bundle that redy wrote"):
            _ = bundle.status


def test_random_changes_that_the_checksum_does_not_show(tensors: Tensors, tmp_path: Path) -> None:
    """Whatever stands in the file, it is refused or used, and never ends in a traceback."""
    rng = np.random.default_rng(0)
    names = sorted(set(tensors) - {"description"})
    refused = 0
    for _ in range(400):
        changed = {name: tensor.copy() for name, tensor in tensors.items()}
        name = names[rng.integers(len(names))]
        content = np.frombuffer(changed[name].tobytes(), dtype=np.uint8).copy()
        content[rng.integers(content.size)] ^= 1 << rng.integers(8)
        changed[name] = content.view(changed[name].dtype).reshape(changed[name].shape)
        try:
            with np.errstate(all="ignore"):
                bundle = opened(changed, tmp_path / "b.redy")
                bundle(np.array([[-0.5, 0.5], [0.5, 0.25]]))
                for part in bundle.slices:
                    _ = part.replacements, part.witnesses, part.verdicts, part.proof
        except RedyError:
            refused += 1
    assert 100 < refused < 400


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
