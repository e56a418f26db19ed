"""A run in shards, merged: the bundle of the run in one piece; and what cannot be merged."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import redy as package
from redy.errors import StoreError, UsageError
from redy.run.shards import Shard
from redy.run.store import Store
from tests.commands import NNET, ONNX, ROOT, redy, succeed

GRID = ("--domain", "acasxu", "--slices", 32, "--budget", 50)
TREE = ("--domain", "acasxu", "--slicing", "adaptive", "--slices", 30, "--budget", 50)
RUNS = {
    "grid": GRID,
    "sample": (*GRID, "--sample", 20, "--seed", 3),
    "adaptive": TREE,
    "decision": (*TREE, "--guarantee", "decision", "--winner", "max"),
    "eps": ("--domain", "acasxu", "--slices", 4, "--budget", 50, "--guarantee", "eps=1%"),
    "mid": ("--domain", "acasxu", "--slicing", "mid", "--slices", 6, "--budget", 50),
}


def sharded(folder: Path, words: tuple, count: int) -> list[Path]:
    """The stores of all shards."""
    stores = [folder / f"run.{index}" for index in range(1, count + 1)]
    for index, store in enumerate(stores, start=1):
        succeed("simplify", ONNX, *words, "--shard", f"{index}/{count}", "--store", store)
    return stores


@pytest.mark.parametrize("name", RUNS)
def test_merged_shards_are_the_run_in_one_piece(name: str, tmp_path: Path) -> None:
    succeed("simplify", ONNX, *RUNS[name], "--out", tmp_path / "one.redy")
    stores = sharded(tmp_path, RUNS[name], 3)
    succeed("merge", *reversed(stores), "--out", tmp_path / "merged.redy")
    assert (tmp_path / "merged.redy").read_bytes() == (tmp_path / "one.redy").read_bytes()
    record = json.loads((tmp_path / "merged.redy.run.json").read_text())
    assert record["shards"] == 3
    assert record["seconds"] > 0


def test_the_script_for_slurm_makes_shards(tmp_path: Path) -> None:
    succeed("simplify", ONNX, *GRID, "--out", tmp_path / "one.redy")
    script = ROOT / "experiments" / "cluster" / "slurm_array.sh"
    words = ["2", tmp_path / "runs", ONNX, *GRID]
    jobs = []
    for index in (1, 2):
        job = {"SLURM_ARRAY_TASK_ID": str(index), "REDY": f"{sys.executable} -m redy.cli"}
        command = ["bash", script, *map(str, words)]
        jobs.append(subprocess.Popen(command, cwd=ROOT, env={**os.environ, **job}))
    assert [job.wait(300) for job in jobs] == [0, 0]
    stores = sorted((tmp_path / "runs").iterdir())
    assert [store.name for store in stores] == ["run.1", "run.2"]
    succeed("merge", *stores, "--out", tmp_path / "merged.redy")
    assert (tmp_path / "merged.redy").read_bytes() == (tmp_path / "one.redy").read_bytes()


def test_a_nnet_network_and_the_python_interface(tmp_path: Path) -> None:
    net = package.load(NNET)
    options = {"slices": 8, "budget": 50}
    for index in (1, 2):
        store = tmp_path / f"{index}"
        part = package.simplify(net, shard=f"{index}/2", store=store, **options)
        assert len(part.slices) == 4
    merged = package.merge([tmp_path / "1", tmp_path / "2"])
    whole = package.simplify(net, **options)
    merged.save(tmp_path / "merged.redy")
    whole.save(tmp_path / "whole.redy")
    assert (tmp_path / "merged.redy").read_bytes() == (tmp_path / "whole.redy").read_bytes()


def test_a_shard_has_a_bundle_of_its_own_and_keeps_its_store(tmp_path: Path) -> None:
    out = tmp_path / "b.redy"
    outcome = redy("simplify", ONNX, *GRID, "--shard", "2/4", "--out", out)
    assert f"shard 2/4 is finished; redy merge needs {out}.store" in outcome.err
    bundle = package.open(out)
    assert len(bundle.slices) == 8
    assert bundle.slicing.slices == 32
    again = redy("simplify", ONNX, *GRID, "--shard", "2/4", "--out", out)
    assert "8 slices, 8 of them in the store already" in again.err


@given(slices=st.sets(st.integers(0, 10**6), min_size=1, max_size=60), data=st.data())
def test_every_slice_is_in_one_shard(slices: set[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(slices)))
    chosen = np.array(sorted(slices))
    parts = [Shard(index, count).of(chosen) for index in range(1, count + 1)]
    assert np.array_equal(np.sort(np.concatenate(parts)), chosen)
    assert all((np.diff(part) > 0).all() for part in parts)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_shards_do_not_follow_the_grid() -> None:
    # Numbers of the same remainder are the same part of the last input: as hard, or as easy.
    part = Shard(1, 8).of(np.arange(512))
    assert len(np.unique(part % 8)) == 8


@pytest.mark.parametrize(
    "text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1 / 2", "1/2\n", "¹/²"]
)
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(UsageError, match=r"(?s)--shard .*give I/M"):
        Shard.parse(text)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--shard", "1/2"), "name its store with --store, or a bundle with --out"),
        ((), "--out is missing"),
        (
            ("--shard", "33/33", "--store", "run"),
            "there are 32 slices, so that",
        ),
    ],
)
def test_options_that_cannot_work(
    words: tuple, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = redy("simplify", ONNX, *GRID, *words)
    assert outcome.code == 2
    assert says in outcome.err


def test_a_network_in_memory_has_no_shards(tmp_path: Path) -> None:
    network = package.load(NNET)
    with pytest.raises(UsageError, match="read from a file"):
        package.simplify(
            network.network, network.domain, slices=4, shard="1/2", store=tmp_path / "run"
        )


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Finished shards; tests change copies."""
    return sharded(tmp_path_factory.mktemp("shards"), GRID, 3)


def refused(code: int, *words: object) -> str:
    out = Path(str(words[0])).parent / "refused.redy"
    outcome = redy("merge", *words, "--out", out)
    assert outcome.code == code, outcome
    assert not out.exists()
    return outcome.err


def test_a_missing_shard(stores: list[Path]) -> None:
    assert "of 3 shards, 2 are missing" in refused(7, stores[0], stores[2])


def test_a_shard_given_twice(stores: list[Path]) -> None:
    error = refused(2, *stores, stores[1])
    assert f"{stores[1]} and {stores[1]} are both shard 2/3" in error


def test_a_shard_of_another_run(stores: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    succeed("simplify", ONNX, *GRID, "--stages", "phase", "--shard", "2/3", "--store", other)
    error = refused(7, stores[0], other, stores[2])
    assert f"{other}: is of another run than {stores[0]}; they differ in stages" in error


def test_shards_of_another_number(stores: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    succeed("simplify", ONNX, *GRID, "--shard", "2/4", "--store", other)
    assert "number of shards (2/4 and 1/3)" in refused(7, stores[0], other)


def test_a_store_of_a_run_without_shards(tmp_path: Path) -> None:
    store = tmp_path / "run"
    succeed("simplify", ONNX, *GRID, "--store", store, "--out", tmp_path / "b.redy")
    assert f"{store}: is the store of a run without --shard" in refused(7, store)


def test_no_store(tmp_path: Path) -> None:
    assert f"{tmp_path / 'run'}: there is no such store" in refused(7, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "empty").touch()
    assert "there is no such store" in refused(7, tmp_path / "empty")
    assert (tmp_path / "empty").stat().st_size == 0


def test_an_unfinished_shard(stores: list[Path], tmp_path: Path) -> None:
    unfinished = copy(stores[1], tmp_path)
    with closing(sqlite3.connect(unfinished)) as database, database:
        database.execute("DELETE FROM slices WHERE slice IN (SELECT slice FROM slices LIMIT 2)")
    error = refused(7, stores[0], unfinished, stores[2])
    assert f"{unfinished}: shard 2/3 lacks 2 of its 11 slices; give its command again" in error


def test_a_shard_with_slices_of_another(stores: list[Path], tmp_path: Path) -> None:
    mixed = copy(stores[1], tmp_path)
    with closing(sqlite3.connect(mixed)) as database, database:
        database.execute("ATTACH ? AS other", [str(stores[0])])
        database.execute("INSERT INTO slices SELECT * FROM other.slices LIMIT 1")
    assert "holds slices of other shards than 2/3" in refused(7, stores[0], mixed, stores[2])


def test_a_damaged_slice(stores: list[Path], tmp_path: Path) -> None:
    damaged = copy(stores[1], tmp_path)
    with closing(sqlite3.connect(damaged)) as database, database:
        database.execute("UPDATE slices SET log = log || ' '")
    assert "is damaged" in refused(7, stores[0], damaged, stores[2])


def test_a_shard_that_has_not_begun(stores: list[Path], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    with closing(Store.reopened(stores[1])) as store:
        run = store.run
    network = package.load(ONNX).network
    with closing(Store(empty, run, network)):
        pass
    assert f"{empty}: has not begun with its slices" in refused(7, empty, stores[0], stores[2])
    assert f"{empty}: has not begun with its slices" in refused(7, stores[0], empty, stores[2])


def test_a_record_that_redy_did_not_write(stores: list[Path], tmp_path: Path) -> None:
    for key, value in [("guarantee", 3), ("budget", "many"), ("shard", 5), ("file_sha256", "0")]:
        altered = copy(stores[0], tmp_path)
        with closing(sqlite3.connect(altered)) as database, database:
            (text,) = database.execute("SELECT value FROM meta WHERE key = 'run'").fetchone()
            run = {**json.loads(text), key: value}
            database.execute("UPDATE meta SET value = ? WHERE key = 'run'", [json.dumps(run)])
        # Alone it is a run of one shard; what is wrong is seen before it is missed.
        error = refused(7, altered, *stores[1:])
        assert str(altered) in error


def test_a_store_in_use(stores: list[Path]) -> None:
    with closing(Store.reopened(stores[1])), pytest.raises(StoreError, match="in use"):
        package.merge(stores)


def copy(store: Path, folder: Path) -> Path:
    target = folder / store.name
    target.write_bytes(store.read_bytes())
    return target
