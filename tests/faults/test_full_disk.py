"""Full and read-only disks: one clear error, nothing lost, the same command goes on after it."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.commands import ONNX, Outcome, finish, redy, start

WORDS = ("simplify", ONNX, "--domain", "acasxu", "--slices", 64, "--budget", 20)
_BLOCK = 4096


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("undisturbed") / "b.redy"
    assert redy(*WORDS, "--out", out).code == 0
    return out.read_bytes()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or not mount("-t", "tmpfs", "-o", "size=2m", "tmpfs", folder):
        pytest.skip("mounting a small file system takes a user who may")
    yield folder
    mounted = subprocess.run([tool("umount"), "-l", folder], check=False)
    assert mounted.returncode == 0


def tool(name: str) -> str:
    return shutil.which(name) or name


def mount(*words: object) -> bool:
    command = [tool("mount"), *map(str, words)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def fill(disk: Path, free: int) -> Callable[[], None]:
    """Leave ``free`` bytes of the disk, in whole blocks; what is returned makes space again."""
    ballast = disk / "ballast"
    blocks = os.statvfs(disk).f_bavail - free // _BLOCK
    ballast.write_bytes(bytes(blocks * _BLOCK))
    assert os.statvfs(disk).f_bavail == free // _BLOCK
    return ballast.unlink


def error_of(outcome: Outcome, code: int) -> str:
    """The one line that says what went wrong; there is no traceback, and nothing on stdout."""
    assert outcome.code == code, outcome
    *earlier, message = outcome.err.splitlines()
    assert all(line.startswith("redy: ") and " slices" in line for line in earlier), outcome.err
    assert message.startswith("redy: error: ")
    assert outcome.out == ""
    return message


def finished(store: Path) -> int:
    """How many slices a sound store holds."""
    with closing(sqlite3.connect(store)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return int(database.execute("SELECT count(*) FROM slices").fetchone()[0])


@pytest.mark.parametrize(
    ("free", "some"), [(0, False), (8, False), (40, False), (60, True), (140, True)]
)
def test_the_store_on_a_full_disk(
    free: int, some: bool, disk: Path, tmp_path: Path, undisturbed: bytes
) -> None:
    """After ``free`` KiB, of which the store of all slices would take 170."""
    store, out = disk / "run", tmp_path / "b.redy"
    make_space = fill(disk, free * 1024)
    message = error_of(redy(*WORDS, "--store", store, "--out", out), 7)
    assert message.startswith(f"redy: error: {store}: the disk is full (")
    assert message.endswith(
        "; free some space, then the same command goes on from the slices that are finished"
    )
    assert not out.exists()
    make_space()
    done = finished(store) if some else 0
    assert bool(done) == some
    resumed = redy(*WORDS, "--store", store, "--out", out)
    assert resumed.code == 0, resumed.err
    already = f", {done} of them in the store already" if done else ""
    assert resumed.err.splitlines()[0] == f"redy: 64 slices{already}"
    assert out.read_bytes() == undisturbed


@pytest.mark.parametrize("blocks", [0, 1, 5])
def test_the_bundle_on_a_full_disk(
    blocks: int, disk: Path, tmp_path: Path, undisturbed: bytes
) -> None:
    store, out = tmp_path / "run", disk / "b.redy"
    make_space = fill(disk, blocks * _BLOCK)
    message = error_of(redy(*WORDS, "--store", store, "--out", out), 8)
    assert message == (
        f"redy: error: {out}: cannot be written (No space left on device); free some space, then "
        "give the same command again"
    )
    assert [path.name for path in disk.iterdir()] == ["ballast"]
    make_space()
    resumed = redy(*WORDS, "--store", store, "--out", out)
    assert "64 slices, 64 of them in the store already" in resumed.err
    assert out.read_bytes() == undisturbed


def test_the_record_of_the_run_on_a_full_disk(disk: Path, undisturbed: bytes) -> None:
    out = disk / "b.redy"
    store = disk.parent / "run"
    make_space = fill(disk, len(undisturbed) + _BLOCK - 1)
    message = error_of(redy(*WORDS, "--store", store, "--out", out), 8)
    assert message.startswith(f"redy: error: {out}.run.json: cannot be written (No space left on")
    assert out.read_bytes() == undisturbed
    assert {path.name for path in disk.iterdir()} == {"ballast", "b.redy"}
    make_space()
    assert redy(*WORDS, "--store", store, "--out", out).code == 0
    assert {path.name for path in disk.iterdir()} == {"b.redy", "b.redy.run.json"}


def test_a_limit_on_the_size_of_files(tmp_path: Path, undisturbed: bytes) -> None:
    """As some batch systems set: the store may not grow any more."""
    out = tmp_path / "b.redy"
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (100_000, 100_000))
    message = error_of(finish(start(*WORDS, "--out", out, preexec_fn=limit)), 7)
    assert message.startswith(f"redy: error: {out}.store: cannot be read or written (disk I/O")
    assert not out.exists()
    assert 0 < (done := finished(Path(f"{out}.store"))) < 64
    resumed = redy(*WORDS, "--out", out)
    assert f"{done} of them in the store already" in resumed.err
    assert out.read_bytes() == undisturbed


@pytest.fixture
def read_only(disk: Path) -> Callable[[], None]:
    """Makes the disk read-only."""

    def now() -> None:
        assert mount("-o", "remount,ro", disk)

    return now


@pytest.mark.parametrize("stopped", [True, False])
def test_a_read_only_store(
    stopped: bool,
    disk: Path,
    read_only: Callable[[], None],
    tmp_path: Path,
    undisturbed: bytes,
) -> None:
    """One of a run that a full disk has stopped, and one of a finished run.

    The finished run has the disk to itself: SQLite's log holds every commit until the end, and
    there are as many as the pace of the machine makes.
    """
    store, out = disk / "run", tmp_path / "b.redy"
    make_space = fill(disk, 100 * 1024) if stopped else None
    assert redy(*WORDS, "--store", store, "--out", out).code == (7 if stopped else 0)
    out.unlink(missing_ok=True)
    if make_space is not None:
        make_space()
    read_only()
    message = error_of(redy(*WORDS, "--store", store, "--out", out), 7)
    assert message == (
        f"redy: error: {store}: {store} is read-only; make it writable, or name another --store"
    )
    assert not out.exists()
    assert mount("-o", "remount,rw", disk)
    assert redy(*WORDS, "--store", store, "--out", out).code == 0
    assert out.read_bytes() == undisturbed


def test_a_new_store_in_a_read_only_folder(
    disk: Path, read_only: Callable[[], None], tmp_path: Path
) -> None:
    read_only()
    out = tmp_path / "b.redy"
    message = error_of(redy(*WORDS, "--store", disk / "run", "--out", out), 7)
    assert message == (
        f"redy: error: {disk / 'run'}: {disk} is read-only; make it writable, or name another "
        "--store"
    )


def test_a_bundle_in_a_read_only_folder(disk: Path, read_only: Callable[[], None]) -> None:
    read_only()
    message = error_of(redy(*WORDS, "--out", disk / "b.redy"), 8)
    assert message == (
        f"redy: error: {disk / 'b.redy'}: cannot be written (Read-only file system); name another "
        "file"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write whatever the permissions say")
def test_a_store_without_permission_to_write(tmp_path: Path) -> None:
    store, out = tmp_path / "run", tmp_path / "b.redy"
    assert redy(*WORDS, "--store", store, "--out", out).code == 0
    store.chmod(0o400)
    message = error_of(redy(*WORDS, "--store", store, "--out", out), 7)
    assert f"{store} is read-only; make it writable" in message
