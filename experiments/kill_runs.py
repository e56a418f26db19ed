"""Runs that are killed again and again, and taken up each time: is anything lost?

    python -m experiments.kill_runs --kills 100 --seed 1 --out FOLDER

`redy simplify` is started on the project's own network, and its main process is killed (SIGKILL) at
a random moment, or every fourth time asked to stop (SIGTERM, to all its processes, as batch
systems do); every third time the moment lies after the last slice, while the bundle is made. Then
the same command is given again, until a run gets through, and the next one begins. Grids and
adaptive slices, one and two worker processes take turns. After every stop

- nothing acknowledged is lost: the store holds as many slices as progress had said at least;
- the store, a copy of it, passes SQLite's integrity check;
- there is no bundle, or it is the right one;
- no worker lives longer than --patience seconds, and SIGTERM ends the run with 143 within these.

What gets through has the bytes of an undisturbed run; redy has then checked the checksum of every
slice in the store. The runs say more than usual: a line per task, not every ten seconds, and they
keep the tree of adaptive slices twenty times a second. The table goes to stdout in Markdown.
"""

from __future__ import annotations

import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from os import killpg
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from experiments.fifty_slices import table
from experiments.full_run import descendants

ROOT = Path(__file__).resolve().parent.parent
_NET = ROOT / "acasxu_nets" / "redy_acas.onnx"

_TALKATIVE = """
from redy.run import grow, progress, steps
progress._LINE_EVERY = steps._LINE_EVERY = 0.0
grow._KEEP_EVERY = 0.05
from redy.cli import app
app()
"""

_TOLD = re.compile(r"redy: (\d+) (?:of \d+ slices|slices, (\d+) of them in the store already)")


@dataclass(frozen=True)
class Setting:
    """What is run, in ``folder``."""

    folder: Path
    slicing: str
    jobs: int
    slices: int
    budget: int

    @property
    def out(self) -> Path:
        """The bundle."""
        return self.folder / "b.redy"

    @property
    def store(self) -> Path:
        """The store, as long as there is no bundle."""
        return self.folder / "b.redy.store"

    @property
    def log(self) -> Path:
        """What the run at hand says."""
        return self.folder / "log"

    def start(self) -> subprocess.Popen[bytes]:
        """Start the run, or take it up."""
        words = ["--domain", "acasxu", "--slicing", self.slicing, "--slices", str(self.slices)]
        words += ["--budget", str(self.budget), "--jobs", str(self.jobs), "--out", str(self.out)]
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-c", _TALKATIVE, "simplify", str(_NET), *words],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    def said(self) -> str:
        """What the run at hand has said so far."""
        return self.log.read_text(encoding="utf-8")

    def acknowledged(self) -> int:
        """How many slices are finished, as the run at hand has said."""
        told = _TOLD.findall(self.said())
        return max((int(already or done) for done, already in told), default=0)

    def phase(self) -> str:
        """What the run at hand is doing."""
        if self.acknowledged() == self.slices:
            return "bundle"
        if f"{self.slices} slices" in self.said():
            return "slices"
        return "growing" if "cutting" in self.said() else "start"


@dataclass
class Count:
    """What became of the runs of one setting; seconds are the longest."""

    stops: Counter[tuple[str, str]] = field(default_factory=Counter)
    finished: int = 0
    orphans: float = 0.0
    ending: float = 0.0
    left_behind: int = 0

    def row(self, setting: Setting) -> dict[str, str]:
        """A row of the table."""
        phases = ("start", "growing", "slices", "bundle")
        return {
            "slices": f"{setting.slices}, {setting.slicing}",
            "jobs": str(setting.jobs),
            "SIGKILL": str(sum(self.stops["SIGKILL", phase] for phase in phases)),
            "SIGTERM": str(sum(self.stops["SIGTERM", phase] for phase in phases)),
            **{f"in {p}": str(sum(self.stops[name, p] for name in _NAMES)) for p in phases},
            "runs": str(self.finished),
            "workers outlive it, s": f"{self.orphans:.1f}",
            "end after SIGTERM, s": f"{self.ending:.1f}",
            "hidden files left": str(self.left_behind),
        }


_NAMES = ("SIGKILL", "SIGTERM")


class Torture:
    """Stops the runs of one setting at random moments."""

    def __init__(self, setting: Setting, seed: int, patience: float = 10.0) -> None:
        self._setting, self._patience = setting, patience
        self._rng = np.random.default_rng(seed)
        self.count = Count()
        self._turn = 0
        begin = time.perf_counter()
        process = setting.start()
        assert process.wait() == 0, setting.said()
        self._seconds = time.perf_counter() - begin
        self._right = setting.out.read_bytes()
        self._clear()

    def stop_once(self) -> None:
        """Start or take up the run, and stop it; a run that was through before that begins anew."""
        while not self._stopped():
            pass
        self._turn += 1

    def finish(self) -> None:
        """Take up the run for the last time."""
        process = self._setting.start()
        assert process.wait() == 0, self._setting.said()
        self._got_through()

    def _stopped(self) -> bool:
        process = self._setting.start()
        if not self._wait(process):
            assert process.wait() == 0, self._setting.said()
            self._got_through()
            return False
        workers = descendants(process.pid)[1:]
        name = "SIGTERM" if self._turn % 4 == 3 else "SIGKILL"
        asked = time.perf_counter()
        if name == "SIGKILL":
            process.kill()
            process.wait()
        else:
            killpg(process.pid, signal.SIGTERM)
            code = process.wait(self._patience)
            self.count.ending = max(self.count.ending, time.perf_counter() - asked)
            # Before it can handle the signal, or after all is done, it ends as any program does.
            assert code in {143, 0, -signal.SIGTERM}, self._setting.said()
        self._await_end(workers)
        self.count.orphans = max(self.count.orphans, time.perf_counter() - asked)
        self.count.stops[name, self._setting.phase()] += 1
        self._check()
        return True

    def _wait(self, process: subprocess.Popen[bytes]) -> bool:
        """Until the random moment; False if the run is through before."""
        late = self._turn % 3 == 2

        def over() -> bool:
            return process.poll() is not None

        if late:
            _until(lambda: over() or self._setting.phase() == "bundle")
        moment = time.perf_counter() + self._rng.uniform(0.0, 0.6 if late else self._seconds)
        _until(lambda: over() or time.perf_counter() > moment)
        return not over()

    def _await_end(self, workers: list[int]) -> None:
        end = time.perf_counter() + self._patience
        _until(lambda: not any(map(_lives, workers)) or time.perf_counter() > end)
        assert not any(map(_lives, workers)), f"workers outlive it by {self._patience} s"

    def _check(self) -> None:
        """What has to hold after every stop."""
        setting = self._setting
        assert "Traceback" not in setting.said(), setting.said()
        if setting.out.exists():
            assert setting.out.read_bytes() == self._right
        if setting.store.exists() and setting.store.stat().st_size:
            assert _slices_in(setting.store) >= setting.acknowledged()
        else:
            assert setting.acknowledged() == 0 or setting.out.exists()

    def _got_through(self) -> None:
        assert self._setting.out.read_bytes() == self._right
        self.count.finished += 1
        self._clear()

    def _clear(self) -> None:
        for path in self._setting.folder.iterdir():
            self.count.left_behind += path.name.startswith(".")
            path.unlink()


def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.005)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[2] != "Z"
    except OSError:
        return False


def _slices_in(store: Path) -> int:
    """How many slices a store holds that passes its check; it stays as the kill has left it."""
    with tempfile.TemporaryDirectory() as folder:
        for path in store.parent.glob(f"{store.name}*"):
            shutil.copy(path, folder)
        with closing(sqlite3.connect(Path(folder) / store.name)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            tables = database.execute("SELECT 1 FROM sqlite_master").fetchall()
            query = "SELECT count(*) FROM slices"
            return int(database.execute(query).fetchone()[0]) if tables else 0


def settings(folder: Path, slices: int, budget: int) -> Iterator[Setting]:
    """All ways of running, each in a folder of its own."""
    for slicing in ("grid", "adaptive"):
        for jobs in (1, 2):
            own = folder / f"{slicing}.{jobs}"
            own.mkdir(parents=True)
            yield Setting(own, slicing, jobs, slices, budget)


def main(
    out: Annotated[Path, typer.Option(help="Folder to run in, which must not exist.")],
    kills: Annotated[int, typer.Option(help="How often to stop a run, all in all.")] = 100,
    seed: int = 1,
    slices: int = 256,
    budget: int = 50,
    patience: Annotated[float, typer.Option(help="Seconds for everything to end.")] = 10.0,
) -> None:
    """Stop, take up, check, report."""
    ways = list(settings(out, slices, budget))
    tortures = [Torture(way, seed + number, patience) for number, way in enumerate(ways)]
    try:
        for turn in range(kills):
            tortures[turn % len(tortures)].stop_once()
            print(f"{turn + 1} of {kills}", file=sys.stderr, flush=True)
        for torture in tortures:
            torture.finish()
    finally:  # stopped early, it says what it did
        rows = [torture.count.row(way) for way, torture in zip(ways, tortures, strict=True)]
        print("\n".join(table(rows)))


if __name__ == "__main__":
    typer.run(main)
