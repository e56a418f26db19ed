"""The same bundle from every backend, on this machine and on a cluster of processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import redy as package
from experiments.processes import dask_cluster
from redy.errors import UsageError
from redy.guarantee import EXACT
from redy.interrupts import STOPPING
from redy.run import backends
from redy.run.backends import BACKENDS, Here, Pool, opened, remote
from redy.run.grow import Growth, grow
from redy.run.shards import Shard
from redy.run.spread import spread
from redy.run.steps import Steps
from redy.run.store import Store
from tests.commands import ONNX, ROOT, redy, succeed
from tests.stages import BOX, tiny

OPTIONS = ("--domain", "acasxu", "--slices", 64, "--budget", 50)


def require(name: str) -> str:
    why_not = BACKENDS[name].probe().why_not
    if why_not:
        pytest.skip(why_not)
    return name


@pytest.fixture(params=["loky", "dask", "ray"])
def backend(request: pytest.FixtureRequest) -> str:
    return require(request.param)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bundle of one process."""
    out = tmp_path_factory.mktemp("alone") / "b.redy"
    succeed("simplify", ONNX, *OPTIONS, "--out", out)
    return out.read_bytes()


def made(out: Path, *words: object) -> bytes:
    succeed("simplify", ONNX, *OPTIONS, "--out", out, *words)
    return out.read_bytes()


def test_two_processes_of_this_machine(backend: str, tmp_path: Path, alone: bytes) -> None:
    assert made(tmp_path / "b.redy", "--jobs", 2, "--backend", backend) == alone
    assert f'"backend": "{backend}"' in (tmp_path / "b.redy.run.json").read_text()


def test_signal_handlers_stay(backend: str) -> None:
    before = [signal.getsignal(number) for number in STOPPING]
    with opened(backend, 2) as pool:
        assert list(spread(pool, abs, [-1])) == [1]
        assert [signal.getsignal(number) for number in STOPPING] == before
    assert [signal.getsignal(number) for number in STOPPING] == before


def test_a_tree_is_grown_by_every_backend_alike(backend: str) -> None:
    network = tiny()

    def grown(pool: Pool) -> dict[str, np.ndarray]:
        asked = Growth(network, EXACT, BOX, leaves=400)
        with closing(Store(":memory:", {}, network)) as store:
            return grow(asked, store, pool, Steps()).arrays()

    alone = grown(Here())
    with opened(backend, 2) as pool:
        counting = Counting(pool)
        assert np.array_equal(grown(counting)["cuts"], alone["cuts"])
    assert counting.submitted > 10


class Counting:
    """A pool that counts the tasks it is given."""

    def __init__(self, pool: Pool) -> None:
        self._pool, self.submitted = pool, 0

    def submit(self, shipped: object, task: object) -> object:
        self.submitted += 1
        return self._pool.submit(shipped, task)

    def __getattr__(self, name: str) -> object:
        return getattr(self._pool, name)


def test_what_a_task_raises_comes_back_as_it_is(backend: str) -> None:
    with opened(backend, 2) as pool:
        ticket = pool.submit(pool.ship(Shard.parse), "slice 3")
        with pytest.raises(UsageError, match=r"^--shard slice 3: give I/M"):
            pool.finished([ticket])


@pytest.fixture
def scheduler() -> Iterator[str]:
    """The address of a Dask scheduler with two workers, three processes of their own."""
    require("dask")
    with dask_cluster(2) as address:
        yield address


def test_a_dask_scheduler_with_two_workers(scheduler: str, tmp_path: Path, alone: bytes) -> None:
    assert made(tmp_path / "b.redy", "--backend", "dask", "--scheduler", scheduler) == alone


def test_the_example_for_jobqueue(tmp_path: Path) -> None:
    if find_spec("dask_jobqueue") is None:
        pytest.skip("dask_jobqueue is not installed")
    out = tmp_path / "b.redy"
    script = ROOT / "experiments" / "cluster" / "dask_jobqueue_example.py"
    words = [ONNX, "--domain", "acasxu", "--slices", "16", "--budget", "50", "--system", "local"]
    command = [sys.executable, script, *map(str, words), "--jobs", "2", "--out", out]
    said = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout
    assert said.endswith("slices kept as they are: none\n")
    succeed("simplify", ONNX, *OPTIONS, "--slices", 16, "--out", tmp_path / "alone.redy")
    assert package.open(out).edits.shape == (16, 300)
    assert np.array_equal(package.open(out).edits, package.open(tmp_path / "alone.redy").edits)


def test_a_worker_of_another_version_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    content = remote.packed_function(len)
    assert remote.work("one", lambda: content, remote.packed("abc")) == remote.packed(3)
    monkeypatch.setattr(remote, "__version__", "99.1")
    with pytest.raises(UsageError, match=r"a worker has redy 99\.1, this is .*: install the same"):
        remote.work("two", lambda: content, remote.packed("abc"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--backend", "slurm"), "--backend slurm: there is dask, loky, ray"),
        (("--scheduler", "tcp://x:1"), "--scheduler goes with --backend dask or ray; loky runs on"),
        (("--backend", "dask", "--scheduler", "tcp://x:1", "--jobs", 2), "--jobs is for processes"),
        (("--jobs", 0), "--jobs 0: give at least 1"),
        (
            ("--backend", "dask", "--scheduler", "nowhere"),
            "--scheduler nowhere: give an address like tcp://",
        ),
        (("--backend", "dask", "--scheduler", "tcp://127.0.0.1:1"), "nobody listens there (Conn"),
        (("--backend", "ray", "--scheduler", "auto"), "--scheduler auto: no Ray cluster answers"),
        (("--backend", "ray", "--scheduler", "127.0.0.1:1"), "127.0.0.1:1: nobody listens there"),
    ],
)
def test_options_that_cannot_work(words: tuple, says: str, tmp_path: Path) -> None:
    if "--backend" in words and words[1] in BACKENDS:
        require(words[1])
    outcome = redy("simplify", ONNX, *OPTIONS, *words, "--out", tmp_path / "b.redy")
    assert outcome.code == 2
    assert says in outcome.err
    assert not (tmp_path / "b.redy").exists()


def test_a_backend_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def find(name: str) -> object:
        return None if name == "distributed" else find_spec(name)

    monkeypatch.setattr(backends.base.util, "find_spec", find)
    outcome = redy("simplify", ONNX, *OPTIONS, "--backend", "dask", "--out", tmp_path / "b.redy")
    assert outcome.code == 2
    assert "pip install 'redy[dask]'" in outcome.err


def test_neither_dask_nor_ray_is_imported_before_it_is_used() -> None:
    script = (
        "import sys, redy, redy.run.backends as b; [one.probe() for one in b.BACKENDS.values()]; "
        "assert not {'dask', 'distributed', 'ray'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
