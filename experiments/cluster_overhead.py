"""What it costs to have slices simplified by each backend, and by shards; all must agree.

    python -m experiments.cluster_overhead N/1_1.onnx --slices 2048 --jobs 2 --shards 8

The same slices are done in this process; by loky; by Dask, a scheduler and workers as processes of
their own; by an instance of Ray; and by as many processes as there are shards, `--jobs` at a time,
whose stores are merged. Of each backend:

    start     seconds until every worker is there and knows the network
    seconds   from then to the last slice in the store
    busy      seconds in which workers were at slices, all workers together
    client    milliseconds of processor time a slice in the process that hands out tasks, takes
              results and keeps the store: what limits how many workers one client can have
    overhead  milliseconds a slice that a worker waits, tasks and results travel, and the store
              commits: (jobs * seconds - busy) / slices

A shard's overhead is all it takes but for its slices: the process, the network and the merge.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import redy
from experiments.processes import dask_cluster, rest
from redy.criteria import Effort, chosen_stages
from redy.cutting import Cut
from redy.formats.domains import read_domain
from redy.guarantee import EXACT
from redy.run.backends import BACKENDS, Pool, opened
from redy.run.execute import Made, Parts, execute
from redy.run.progress import Progress
from redy.run.store import Store
from redy.simplify import Plan, Selection, collected, cut, plan


@dataclass(frozen=True)
class Row:
    """One line of the table; seconds."""

    name: str
    start: float
    seconds: float
    busy: float
    client: float
    digest: str


def main() -> int:
    """Run everything, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", type=Path)
    parser.add_argument("--domain", default="acasxu")
    parser.add_argument("--slices", type=int, default=2048)
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--shards", type=int, default=8)
    asked = parser.parse_args()
    loaded = redy.load(asked.net)
    slicing = cut(read_domain(asked.domain, loaded.network.inputs), asked.slices, None)
    effort = Effort(asked.budget, None, 0)
    whole = plan(
        loaded, Cut(loaded, slicing), EXACT, chosen_stages(EXACT, None), effort, Selection()
    )
    rows = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        rows.append(_by("loky", 1, None, whole, folder))
        rows.append(_by("loky", asked.jobs, None, whole, folder))
        with dask_cluster(asked.jobs) as scheduler:
            rows.append(_by("dask", asked.jobs, scheduler, whole, folder))
        rows.append(_by("ray", asked.jobs, None, whole, folder))
        rows.append(_by_shards(asked, folder))
        stack.close()
    print("| by | start, s | seconds | busy, s | overhead, ms | client, ms | bundle, SHA-256 |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row, jobs in zip(rows, [1] + 4 * [asked.jobs], strict=True):
        overhead = 1000 * (jobs * row.seconds - row.busy) / asked.slices
        client = 1000 * row.client / asked.slices
        figures = f"{row.start:.1f} | {row.seconds:.1f} | {row.busy:.1f} | {overhead:.2f} | "
        figures += "" if math.isnan(client) else f"{client:.2f}"
        print(f"| {row.name} | {figures} | {row.digest[:16]} |")
    agree = len({row.digest for row in rows}) == 1
    print(f"bundles identical: {agree}")
    return 0 if agree else 1


def _by(name: str, jobs: int, scheduler: str | None, whole: Plan, folder: Path) -> Row:
    """The run by a backend."""
    path = folder / f"{name}.{jobs}"
    network = whole.job.loaded.network
    with ExitStack() as stack:
        given = None if scheduler is not None else jobs
        pool = stack.enter_context(opened(name, given, scheduler))
        begin = time.perf_counter()
        _start(pool, jobs)
        ready = time.perf_counter()
        store = stack.enter_context(closing(Store(path, whole.job.key(), network)))
        used = time.process_time()
        with _watched() as busy:
            execute(whole.job, whole.chosen, store, pool, Progress())
        end, used = time.perf_counter(), time.process_time() - used
        bundle = collected(whole, whole.chosen, store)
    bundle.save(f"{path}.redy")
    version = BACKENDS[name].probe().version
    label = "this process" if jobs == 1 else f"{name} {version}, {jobs} workers"
    digest = _digest(Path(f"{path}.redy"))
    client = used if jobs > 1 else float("nan")
    return Row(label, ready - begin, end - ready, sum(busy), client, digest)


def _start(pool: Pool, jobs: int) -> None:
    """Wait until all workers have taken up a task that needs what a slice needs."""
    shipped = pool.ship(rest)
    while pool.slots < jobs:
        time.sleep(0.05)
    tickets = {pool.submit(shipped, 0.5) for _ in range(2 * jobs)}
    while tickets:
        tickets -= {ticket for ticket, _ in pool.finished(tickets)}


@contextmanager
def _watched() -> Iterator[list[float]]:
    """Collects the seconds that tasks take in their workers."""
    seconds: list[float] = []
    took = Parts.took

    def watched(parts: Parts, made: Made) -> None:
        seconds.append(made.seconds)
        took(parts, made)

    with patch.object(Parts, "took", watched):
        yield seconds


def _by_shards(asked: argparse.Namespace, folder: Path) -> Row:
    """The run in shards, a process each, and merged."""
    command = [sys.executable, "-m", "redy.cli"]
    words = [str(asked.net), "--domain", asked.domain, "--slices", str(asked.slices)]
    words += ["--budget", str(asked.budget), "--guarantee", "exact"]
    stores = [str(folder / f"shard.{index}") for index in range(1, asked.shards + 1)]

    def run(index: int) -> None:
        shard = ["--shard", f"{index}/{asked.shards}", "--store", stores[index - 1]]
        subprocess.run([*command, "simplify", *words, *shard], check=True, capture_output=True)

    begin = time.perf_counter()
    with ThreadPoolExecutor(asked.jobs) as pool:
        list(pool.map(run, range(1, asked.shards + 1)))
    out = folder / "merged.redy"
    subprocess.run([*command, "merge", *stores, "--out", str(out)], check=True, capture_output=True)
    end = time.perf_counter()
    busy = redy.open(out).summary["seconds"]
    name = f"{asked.shards} shards, {asked.jobs} at a time"
    return Row(name, 0.0, end - begin, busy, float("nan"), _digest(out))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())
