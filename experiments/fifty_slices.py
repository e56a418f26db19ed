"""The paper's experiment: 50 random slices of ACAS Xu networks, under every guarantee, as a table.

    python -m experiments.fifty_slices N/1_1.onnx N/5_9.onnx --out FOLDER --budget 1000000 --jobs 2

Each network is simplified under each guarantee by `redy simplify`, as a user would; the bundles
stay in the folder, for `experiments.figure9` and `experiments.attack_bundle`. A run whose bundle is
there already is not repeated (--again repeats it), one that was stopped goes on where it was. The
table, in Markdown, goes to stdout, progress to stderr.
"""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import redy
from experiments.full_run import descendants, proportional_set_size
from redy.criteria import StageLog
from redy.verdict import Proof

GUARANTEES = ("exact", "eps=1e-3", "eps=1e-2", "decision")
CRITERIA = ("phase", "forward", "decision", "relaxed")
_LOOK = 0.5
"""Seconds between two looks at the memory of a run."""


@dataclass(frozen=True)
class Settings:
    """How the runs are made.

    Attributes:
        folder: where the bundles are.
        domain: as redy simplify takes it; a .nnet brings its own.
        slices, sample, seed: which slices.
        budget, jobs: as redy simplify takes them.
    """

    folder: Path
    domain: str
    slices: int
    sample: int
    seed: int
    budget: int
    jobs: int

    def bundle_of(self, net: Path, guarantee: str) -> Path:
        """Where the bundle of a run is."""
        return self.folder / f"{short_name(net)}.{guarantee.replace('=', '_')}.redy"

    def command(self, net: Path, guarantee: str) -> list[str]:
        """The run."""
        options: dict[str, object] = {
            "slices": self.slices,
            "sample": self.sample,
            "seed": self.seed,
            "guarantee": guarantee,
            "budget": self.budget,
            "jobs": self.jobs,
            "out": self.bundle_of(net, guarantee),
            "store": _store_of(self.bundle_of(net, guarantee)),
        }
        if net.suffix != ".nnet":
            options["domain"] = self.domain
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return [sys.executable, "-m", "redy.cli", "simplify", str(net), *words]


@dataclass(frozen=True)
class Measured:
    """What a bundle does not tell of its run.

    Attributes:
        peak: bytes of memory of all processes together, the largest seen.
        longest: seconds of the slice that took longest, all its stages together.
        jobs: processes that worked at a time.
    """

    peak: int
    longest: float
    jobs: int


def short_name(net: str | Path) -> str:
    """``1_1`` for the network 1_1 of ACAS Xu, else the file's name."""
    stem = Path(net).stem
    found = re.search(r"\d_\d$", stem)
    return found.group() if found else stem


def _store_of(bundle: Path) -> Path:
    return bundle.with_suffix(".store")


def _measured_of(bundle: Path) -> Path:
    return bundle.with_suffix(".measured.json")


def run(settings: Settings, net: Path, guarantee: str) -> None:
    """Make one bundle, and note beside it what it does not tell."""
    bundle = settings.bundle_of(net, guarantee)
    print(f"{short_name(net)}, {guarantee}:", file=sys.stderr)
    peak = _watched(settings.command(net, guarantee))
    measured = Measured(peak, _longest(_store_of(bundle)), settings.jobs)
    _measured_of(bundle).write_text(json.dumps(asdict(measured)), encoding="ascii")
    _forget(_store_of(bundle))


def _watched(command: list[str]) -> int:
    """Run ``command``; the largest memory seen, in bytes."""
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, sum(proportional_set_size(p) for p in descendants(process.pid)))
            time.sleep(_LOOK)
    if process.returncode:
        raise typer.Exit(process.returncode)
    return peak


def _longest(store: Path) -> float:
    """Seconds of the slice of ``store`` that took longest."""
    with closing(sqlite3.connect(store)) as connection:
        logs = [json.loads(row[0]) for row in connection.execute("SELECT log FROM slices")]
    return max(sum(StageLog(*entry).seconds for entry in log) for log in logs)


def _forget(store: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{store}{suffix}").unlink(missing_ok=True)


def require_same(bundle: redy.Bundle, path: Path, settings: Settings) -> None:
    """Refuse a bundle that was made in another way: its figures do not belong in the table."""
    summary = bundle.summary
    found = {name: summary[name] for name in ("budget", "slices", "slices_done")}
    slices = settings.slices
    wanted = {"budget": settings.budget, "slices": slices, "slices_done": settings.sample}
    if found != wanted or not np.array_equal(bundle.done, _selected(bundle, settings)):
        raise SystemExit(
            f"{path} was made with {found}, not with {wanted} and seed {settings.seed}: "
            "make it again with --again, or choose another --out"
        )


def _selected(bundle: redy.Bundle, settings: Settings) -> np.ndarray:
    return redy.Selection(settings.sample, settings.seed).of(bundle.slicing)


def proved(bundle: redy.Bundle) -> int:
    """Slices whose edits as a whole have a proof that trusts no solver, of what is promised."""
    return sum(
        part.proof is not Proof.SOLVER and 0.0 <= part.eps_proved <= bundle.guarantee.eps
        for part in bundle.slices
    )


def row(path: Path, guarantee: str) -> dict[str, str]:
    """One run, column by column."""
    bundle = redy.open(path)
    summary = bundle.summary
    measured = Measured(**json.loads(_measured_of(path).read_text(encoding="ascii")))
    slices = summary["slices_done"]
    seconds = summary["stage_seconds"]
    return {
        "network": short_name(summary["network"]),
        "guarantee": guarantee,
        "removed": f"{summary['removed_mean']:.2%}",
        **{name: f"{summary['removed_by'][name]:.2%}" for name in CRITERIA},
        "undecided": f"{summary['undecided_mean']:.2%}",
        "MACs": f"{summary['macs_mean']:.0f} of {summary['macs_original']}",
        "wall s / slice": f"{summary['seconds'] / slices:.2f}",
        "CPU s / slice": f"{sum(seconds.values()) / slices:.2f}",
        "longest": f"{measured.longest:.1f}",
        "CPU s by stage": ", ".join(f"{name} {value:.0f}" for name, value in seconds.items()),
        "proved / refuted / unknown": _queries(summary["stages"]),
        "eps proved": _number(summary["eps_proved_max"]),
        "slices proved": f"{proved(bundle)} of {slices}",
        "winners changed": str(summary["winners_changed"]),
        "bundle, KiB": f"{summary['bundle_bytes'] / 1024:.0f}",
        "peak, GiB": f"{measured.peak / 2**30:.2f}",
    }


def _queries(stages: Sequence[dict[str, Any]]) -> str:
    """The queries of all stages but phase, of which every neuron is one."""
    counts = ("proved", "refuted", "unknown")
    after = [entry for entry in stages if entry["stage"] != "phase"]
    return " / ".join(str(sum(entry[name] for entry in after)) for name in counts)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def table(rows: Sequence[dict[str, str]]) -> Iterator[str]:
    """``rows`` in Markdown."""
    yield "| " + " | ".join(rows[0]) + " |"
    yield "| " + " | ".join("---" for _ in rows[0]) + " |"
    for entry in rows:
        yield "| " + " | ".join(entry.values()) + " |"


def _means(bundles: Sequence[Path], guarantees: Sequence[str]) -> Iterator[str]:
    """Per guarantee, the mean over the networks."""
    count = len(guarantees)
    for place, guarantee in enumerate(guarantees):
        removed = [redy.open(path).summary["removed_mean"] for path in bundles[place::count]]
        yield f"mean of {len(removed)} networks under {guarantee}: {np.mean(removed):.2%} removed"


def main(  # noqa: PLR0917 - typer reads the options from the parameters
    nets: Annotated[list[Path], typer.Argument(metavar="NET...")],
    out: Annotated[Path, typer.Option(help="Folder of the bundles; made if it is not there.")],
    guarantee: Annotated[
        list[str], typer.Option(help="A guarantee; may be given several times.")
    ] = list(GUARANTEES),  # noqa: B006 - read only
    budget: Annotated[int, typer.Option(help="Boxes per slice and stage.")] = 1_000_000,
    jobs: Annotated[int, typer.Option(help="Processes.")] = 2,
    sample: Annotated[int, typer.Option(help="Random slices.")] = 50,
    seed: Annotated[int, typer.Option(help="Draws the slices.")] = 7,
    slices: Annotated[int, typer.Option(help="Slices of the domain.")] = 32768,
    domain: Annotated[str, typer.Option(help="As redy simplify takes it.")] = "acasxu",
    again: Annotated[bool, typer.Option(help="Repeat runs whose bundle is there.")] = False,
) -> None:
    """Simplify networks on random slices under every guarantee, and print one table."""
    out.mkdir(parents=True, exist_ok=True)
    settings = Settings(out, domain, slices, sample, seed, budget, jobs)
    wanted = [(net, each) for net in nets for each in guarantee]
    bundles = [settings.bundle_of(*each) for each in wanted]
    for each, path in zip(wanted, bundles, strict=True):
        if again:
            _forget(_store_of(path))
        if again or not (path.exists() and _measured_of(path).exists()):
            run(settings, *each)
        require_same(redy.open(path), path, settings)
    rows = [row(path, each) for path, (_, each) in zip(bundles, wanted, strict=True)]
    print(f"{sample} of {slices} slices, seed {seed}, budget {budget}, {jobs} jobs\n")
    print("\n".join([*table(rows), "", *_means(bundles, guarantee)]))


if __name__ == "__main__":
    typer.run(main)
