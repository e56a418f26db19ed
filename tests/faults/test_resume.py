"""Runs that are killed, stopped or crowded out: nothing finished is lost, nothing is half-written.

The command runs as a process of its own on the project's own network; it is stopped once its store
has slices, and the same command then has to give the bytes of an undisturbed run.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest

from redy.errors import StoreError
from redy.run.store import SCHEMA, Store
from redy.run.workers import interrupts_held
from tests.commands import NNET, ONNX, ROOT, Outcome, finish, redy, start
from tests.stages import tiny

SLICES = 64
WORDS = (
    "simplify",
    ONNX.relative_to(ROOT),
    "--domain",
    "acasxu",
    "--slices",
    SLICES,
    "--budget",
    50,
)
"""Seconds of work in tasks of 16 slices or less, and seconds to start: enough to be interrupted."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("undisturbed") / "b.redy"
    assert finish(start(*WORDS, "--out", out)).code == 0
    return out.read_bytes()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "b.redy"


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"no {what} within {seconds} s"
        time.sleep(0.005)


def has_progress(out: Path) -> bool:
    """Slices are in the store: what SQLite logs ahead of it has outgrown the empty tables."""
    log = Path(f"{out}.store-wal")
    return log.exists() and log.stat().st_size > 60_000


def begin(out: Path, jobs: int, **options: object) -> subprocess.Popen[str]:
    """Start the run, and return in the middle of it."""
    process = start(*WORDS, "--jobs", jobs, "--out", out, **options)
    wait_until(lambda: has_progress(out), 120, "slice in the store")
    assert process.poll() is None
    return process


def slices_in(out: Path) -> int:
    with closing(sqlite3.connect(f"{out}.store")) as store:
        return store.execute("SELECT count(*) FROM slices").fetchone()[0]


def resume(out: Path, jobs: int) -> Outcome:
    """The same command again."""
    return finish(start(*WORDS, "--jobs", jobs, "--out", out))


def names(out: Path) -> set[str]:
    return {path.name for path in out.parent.iterdir()}


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in listed.split()]


def is_worker(pid: int) -> bool:
    return b"popen_loky_posix" in Path(f"/proc/{pid}/cmdline").read_bytes()


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[2] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("kill", [os.kill, os.killpg], ids=["parent", "group"])
def test_killed_and_resumed(
    kill: Callable[[int, int], None], jobs: int, out: Path, undisturbed: bytes
) -> None:
    process = begin(out, jobs)
    workers = children(process.pid)
    assert bool(workers) == (jobs > 1)
    kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    wait_until(lambda: not any(map(lives, workers)), 15, "end of the orphans")
    assert "b.redy" not in names(out)
    assert 0 < slices_in(out) < SLICES
    done = slices_in(out)
    outcome = resume(out, jobs)
    assert outcome.code == 0, outcome.err
    assert f"{SLICES} slices, {done} of them in the store already" in outcome.err
    assert out.read_bytes() == undisturbed
    assert names(out) == {"b.redy", "b.redy.run.json"}


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_and_resumed(
    number: signal.Signals, jobs: int, out: Path, undisturbed: bytes
) -> None:
    process = begin(out, jobs)
    began = time.monotonic()
    os.killpg(process.pid, number)  # as a terminal does, or a batch system
    outcome = finish(process)
    assert time.monotonic() - began < 10
    assert outcome.code == 128 + number
    *earlier, last = outcome.err.splitlines()
    assert last == (
        f"redy: stopped; finished slices are in {out}.store, the same command goes on from there"
    )
    assert all(line.startswith("redy: ") and " slices" in line for line in earlier), outcome.err
    assert outcome.out == ""
    assert "b.redy" not in names(out)
    done = slices_in(out)
    again = resume(out, 3 - jobs)  # with another number of jobs
    assert f"{done} of them in the store already" in again.err
    assert out.read_bytes() == undisturbed


@pytest.mark.parametrize("jobs", [1, 2])
def test_sigterm_where_ctrl_c_is_ignored(jobs: int, out: Path) -> None:
    """As in a job script, where a shell that is no terminal's starts ``redy ... &``."""
    process = begin(out, jobs, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    process.terminate()
    outcome = finish(process)
    assert outcome.code == 143
    assert f"redy: stopped; finished slices are in {out}.store" in outcome.err


def test_sigterm_to_a_worker_alone_is_not_heeded(out: Path, undisturbed: bytes) -> None:
    process = begin(out, 2)
    for worker in filter(is_worker, children(process.pid)):
        os.kill(worker, signal.SIGTERM)
    assert finish(process).code == 0
    assert out.read_bytes() == undisturbed


def test_ctrl_c_on_a_terminal(out: Path) -> None:
    terminal, end = os.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    # The session's leader makes the terminal its own, as a shell would: ^C reaches the workers too.
    script = (
        "import fcntl, sys, termios; fcntl.ioctl(2, termios.TIOCSCTTY, 0); "
        "from redy.cli import app; app(sys.argv[1:])"
    )
    words = [str(word) for word in (*WORDS, "--jobs", 2, "--out", out)]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *words],
        cwd=ROOT,
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
    )
    os.close(end)
    shown = bytearray()
    try:
        while chunk := read(terminal):
            shown += chunk
            if b"^C" not in shown and has_progress(out) and b"removed" in shown:
                os.write(terminal, b"\x03")
    finally:
        os.close(terminal)
        process.kill()
    assert process.wait() == 130
    text = shown.decode()
    assert re.search(r"slices .*\d+/64.* \d+\.\d% removed.*left.*\d:\d\d:\d\d", text)
    assert "the same command goes on from there" in text.replace("\r\n", " ")
    assert "Traceback" not in text
    assert "leaked" not in text


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux says that nobody holds the other end
        return b""


@pytest.mark.parametrize("delay", [0.1, 0.4])
def test_ctrl_c_while_workers_start(delay: float, out: Path) -> None:
    process = start(*WORDS, "--jobs", 2, "--out", out)
    wait_until(lambda: any(map(is_worker, children(process.pid))), 60, "worker")
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)
    outcome = finish(process)
    assert outcome.code == 130
    assert outcome.err.splitlines()[1:] == [
        f"redy: stopped; finished slices are in {out}.store, the same command goes on from there"
    ]


@pytest.mark.parametrize("threads", [0, 1])
def test_ctrl_c_is_held_back_while_workers_start_but_not_lost(threads: int) -> None:
    steps, done = [], threading.Event()
    others = [threading.Thread(target=done.wait) for _ in range(threads)]
    for other in others:  # it may get the signal instead
        other.start()

    def start_workers() -> None:
        with interrupts_held():
            os.kill(os.getpid(), signal.SIGINT)
            steps.append("started")

    with pytest.raises(KeyboardInterrupt):
        start_workers()
    done.set()
    for other in others:
        other.join()
    assert steps == ["started"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_killed_again_and_again(out: Path, undisturbed: bytes) -> None:
    # At moments that are not chosen: while it starts, opens the store, works, writes the bundle.
    for delay in (0.5, 0.8, 1.0, 1.3, 1.7):
        process = start(*WORDS, "--out", out)
        time.sleep(delay)
        process.kill()
        process.communicate(timeout=60)
        if out.exists():
            assert out.read_bytes() == undisturbed
    assert resume(out, 1).code == 0
    assert out.read_bytes() == undisturbed


def test_a_store_in_use_is_refused(out: Path) -> None:
    process = begin(out, 1)
    try:
        outcome = redy(*in_this_process("--out", out))
    finally:
        process.kill()
        process.communicate(timeout=60)
    assert outcome.code == 7
    assert outcome.err == (
        f"redy: error: {out}.store: is in use by another run (database is locked); "
        "wait for it or name another --store\n"
    )


def in_this_process(*words: object) -> tuple[object, ...]:
    return (WORDS[0], ONNX, *WORDS[2:], *words)


SMALL = ("--slices", 2, "--budget", 20)


@pytest.fixture(scope="module")
def finished_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("store")
    outcome = redy("simplify", NNET, *SMALL, "--store", folder / "run", "--out", folder / "b.redy")
    assert outcome.code == 0, outcome.err
    return (folder / "run").read_bytes()


@pytest.fixture
def store(tmp_path: Path, finished_store: bytes) -> Iterator[Path]:
    path = tmp_path / "run"
    path.write_bytes(finished_store)
    return path


def content(store: Path) -> object:
    """All rows of a sound store, else the bytes of the file, else None."""
    if not store.is_file():
        return None
    try:
        with closing(sqlite3.connect(store)) as database:
            return list(database.iterdump())
    except sqlite3.DatabaseError:
        return store.read_bytes()


def refused(store: Path, *words: object, net: Path = NNET) -> str:
    """Simplify with ``store``, which must be refused in one line and keep what it holds."""
    before = content(store)
    out = (store.parent if store.parent.exists() else store.parent.parent) / "b.redy"
    outcome = redy("simplify", net, *(words or SMALL), "--store", store, "--out", out)
    assert outcome.code == 7, outcome
    message, *others = [line for line in outcome.err.splitlines() if "error" in line]
    assert message.startswith(f"redy: error: {store}: ")
    assert others == []
    assert not out.exists()
    assert content(store) == before
    return message


def test_the_store_of_this_run_is_taken_up(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.redy"
    outcome = redy("simplify", NNET, *SMALL, "--store", store, "--out", out)
    assert "2 slices, 2 of them in the store already" in outcome.err


@pytest.mark.parametrize(
    ("words", "differs"),
    [
        (("--slices", 2, "--budget", 21), "its budget is 20, this one's is 21"),
        (("--slices", 4, "--budget", 20), "its slicing is "),
        ((*SMALL, "--time-limit", 9), "its time_limit is null, this one's is 9.0"),
        ((*SMALL, "--sample", 1), "its "),
        ((*SMALL, "--guarantee", "eps=1"), "its guarantee is "),
        (
            (*SMALL, "--stages", "phase"),
            'its stages is ["phase", "forward"], this one\'s is ["phase"]',
        ),
    ],
)
def test_the_store_of_other_options(words: tuple, differs: str, store: Path) -> None:
    assert f"is the store of another run: {differs}" in refused(store, *words)


def test_the_store_of_another_network(store: Path) -> None:
    message = refused(store, *SMALL, "--domain", NNET, net=ONNX)
    assert "is the store of another run: its network_sha256 is " in message


@pytest.mark.parametrize("size", [1, 15, 100, 3000])
def test_a_truncated_store(size: int, store: Path) -> None:
    store.write_bytes(store.read_bytes()[:size])
    refused(store)


def test_a_store_of_garbage(store: Path) -> None:
    store.write_bytes(b"no database at all\n" * 500)
    assert "is not a redy store" in refused(store)


def test_another_program_s_database_is_left_alone(store: Path) -> None:
    store.unlink()
    with closing(sqlite3.connect(store)) as database, database:
        database.execute("CREATE TABLE bookmarks (address TEXT)")
    assert "is a SQLite database, but not a redy store" in refused(store)


def test_a_flipped_bit_in_a_proof(store: Path) -> None:
    with closing(sqlite3.connect(store)) as database, database:
        (status,) = database.execute("SELECT status FROM slices WHERE slice = 1").fetchone()
        altered = bytes([status[0] ^ 1]) + status[1:]
        database.execute("UPDATE slices SET status = ? WHERE slice = 1", [altered])
    assert "slice 1 is damaged" in refused(store)


def change(store: Path, *statements: str) -> None:
    with closing(sqlite3.connect(store)) as database, database:
        for statement in statements:
            database.execute(statement)


@pytest.mark.parametrize(("number", "named"), [(0, "5 or less"), (5, 5), (SCHEMA + 1, SCHEMA + 1)])
@pytest.mark.parametrize(
    "also", ["SELECT 1", "DROP TABLE slices", "DELETE FROM meta", "UPDATE meta SET value = '{'"]
)
def test_a_store_of_another_schema(number: int, named: object, also: str, store: Path) -> None:
    """Whatever else is in it: nothing of it is read, or believed to be damaged."""
    change(store, f"PRAGMA user_version = {number}", also)
    assert f"has store schema {named}, this redy has schema {SCHEMA}; go on with" in refused(store)


def rewrite(store: Path, record: str) -> None:
    with closing(sqlite3.connect(store)) as database, database:
        database.execute("UPDATE meta SET value = ? WHERE key = 'run'", [record])


@pytest.mark.parametrize("record", ["", "{", "[]", "7", "null", '"run"'])
def test_a_record_of_the_run_that_is_none(record: str, store: Path) -> None:
    rewrite(store, record)
    assert "the record of the run is damaged; delete the file" in refused(store)


def test_a_store_without_a_record_of_the_run_is_not_taken_for_this_one_s(store: Path) -> None:
    change(store, "DELETE FROM meta WHERE key = 'run'")
    assert "the record of the run is damaged; delete the file" in refused(store)


def test_a_record_with_other_entries(store: Path) -> None:
    with closing(sqlite3.connect(store)) as database:
        query = "SELECT value FROM meta WHERE key = 'run'"
        record = json.loads(database.execute(query).fetchone()[0])
    rewrite(store, json.dumps({**record, "more": 1}))
    assert "is the store of another run: its more is 1, this one's is null" in refused(store)
    del record["budget"]
    rewrite(store, json.dumps(record))
    assert "is the store of another run: its budget is null, this one's is 20" in refused(store)


@pytest.mark.parametrize("table", ["meta", "parts", "slices"])
def test_a_store_without_a_table(table: str, store: Path) -> None:
    change(store, f"DROP TABLE {table}")
    assert "has other tables than a store of redy's" in refused(store)


def test_a_store_that_was_killed_before_it_had_tables(store: Path, tmp_path: Path) -> None:
    store.unlink()
    change(store, "PRAGMA journal_mode = WAL")
    assert store.stat().st_size > 0
    assert redy("simplify", NNET, *SMALL, "--store", store, "--out", tmp_path / "b").code == 0


def test_of_runs_that_start_at_once_one_gets_the_store(tmp_path: Path) -> None:
    for start_number in range(20):
        path, ready, over = tmp_path / f"run{start_number % 10}", Barrier(4), Barrier(4)

        def run(path: Path = path, ready: Barrier = ready, over: Barrier = over) -> str:
            ready.wait()
            try:
                opened = Store(path, {"budget": 1}, tiny())
            except StoreError as error:
                over.wait()
                return str(error)
            over.wait()
            opened.close()
            return "owned"

        with ThreadPoolExecutor(4) as pool:
            found = sorted(future.result() for future in [pool.submit(run) for _ in range(4)])
        in_use = f"{path}: is in use by another run (database is locked); wait for it or name "
        assert found == [*[in_use + "another --store"] * 3, "owned"]


def test_a_look_at_the_store_does_not_disturb_a_run(store: Path, tmp_path: Path) -> None:
    """Another program reads it while the run begins, and is done soon."""
    database = sqlite3.connect(store, check_same_thread=False)
    database.execute("BEGIN")
    assert database.execute("SELECT count(*) FROM slices").fetchone() == (2,)
    threading.Timer(0.2, database.close).start()
    assert redy("simplify", NNET, *SMALL, "--store", store, "--out", tmp_path / "b").code == 0


def test_a_store_in_a_missing_folder(tmp_path: Path) -> None:
    assert "unable to open" in refused(tmp_path / "nowhere" / "run")


def test_a_folder_as_store(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert "unable to open" in refused(tmp_path / "run")
