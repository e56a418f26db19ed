"""What redy does with a file of each format: all that a command would do with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import redy
from redy.errors import UnsupportedError
from redy.formats.domains import read_domain
from redy.formats.networks import Reference, load
from redy.formats.tables import read_table
from redy.network.evaluate import evaluate
from redy.report import slice_report
from redy.report_mid import part_report
from redy.terminal import info_of, layer_rows, promise, sentences, stage_rows
from tests.fuzz import bombs, bundle_mutations, store_mutations
from tests.fuzz.mutations import BYTES, TEXT, mutated, mutated_json
from tests.fuzz.onnx_mutations import mutated_model
from tests.fuzz.seeds import SEEDS, STORE_OPTIONS
from tests.stages import BOX, tiny

_MANY = 10_000
_FAR = 1e6
_AGREES = 1e-3


class MisreadError(Exception):
    """redy took a file for something else than it is: worse than a crash."""


def network(path: Path) -> None:
    """Read it, and compare it with onnxruntime at a few points."""
    loaded = load(path)
    info_of(loaded)
    if sum(layer.units for layer in loaded.network.layers) > _MANY:
        return  # sums of so many numbers differ in single precision
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (3, loaded.network.inputs)).astype(np.float32).astype(np.float64)
    with np.errstate(all="ignore"):
        ours = evaluate(loaded.network, points)
    try:
        theirs = Reference(loaded).outputs(points)
        Reference(loaded).preactivations(points)
    except UnsupportedError:
        return
    _require_alike(ours, theirs.astype(np.float64), loaded.reference.port.dtype)


def _require_alike(ours: np.ndarray, theirs: np.ndarray, dtype: np.dtype) -> None:
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()) or np.abs(ours).max() > _FAR:
        return
    if dtype == np.float16:
        return
    if ours.shape != theirs.shape or np.abs(ours - theirs).max() > _AGREES * max(
        1.0, np.abs(theirs).max()
    ):
        raise MisreadError(f"{ours} is {theirs} in onnxruntime")


def domain(path: Path) -> None:
    """Read the box of two inputs."""
    box = read_domain(path, 2)
    if not (np.isfinite(box.lower).all() and (box.lower <= box.upper).all()):
        raise MisreadError(str(box))


def table(path: Path) -> None:
    """Read a table of numbers."""
    read_table(path)


def bundle(path: Path) -> None:
    """Open it, evaluate it, and look at all that it holds."""
    opened = redy.open(path)
    box = opened.domain
    with np.errstate(all="ignore"):
        points = np.stack([box.lower, box.upper, 0.5 * box.lower + 0.5 * box.upper])
        opened(points)
        opened.slice_of(points)
    summary = opened.summary
    promise(summary), sentences(summary), layer_rows(summary), stage_rows(summary)
    for part in opened.slices[:8]:
        with np.errstate(all="ignore"):
            _ = part.network, part.macs
            _ = part.replacements, part.witnesses, part.verdicts, part.proof, part.boxes
            part_report(opened, part.index)
            slice_report(part, opened.base)
    _ = opened.edits, opened.status, opened.criteria, opened.network_neurons


def damaged_bundle(path: Path) -> None:
    """Open a bundle of which some bytes are others: that must not work."""
    redy.open(path)
    raise MisreadError("the change was not detected")


def store(path: Path, which: int) -> None:
    """Take up the run, and look at its result."""
    made = redy.simplify(tiny(), BOX, store=path, **STORE_OPTIONS[which])  # type: ignore[arg-type]
    made.save(path.with_suffix(".redy"))
    bundle(path.with_suffix(".redy"))


@dataclass(frozen=True)
class Case:
    """One damaged file on disk, and what is to be done with it."""

    path: Path
    use: Callable[[], None]


_SUFFIXES = {
    "onnx": ".onnx", "nnet": ".nnet", "vnnlib": ".vnnlib", "json": ".json", "csv": ".csv",
    "domain-csv": ".csv", "npy": ".npy", "bundle": ".redy", "store": ".store",
}  # fmt: skip
FORMATS = tuple(SEEDS)
BOMBS = "bombs"
"""Instead of a format: files that ask for much memory or time."""


def cases_of(format_: str, folder: Path) -> Cases | Bombs:
    """What is done with damaged files of ``format_``, or with bombs."""
    return Bombs(folder) if format_ == BOMBS else Cases(format_, folder)


class Bombs:
    """Files that ask for much, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = [
            *((f"{name}.onnx", content, network) for name, content in bombs.models().items()),
            *((name, content, None) for name, content in bombs.texts().items()),
            *((f"{name}.redy", content, bundle) for name, content in bombs.bundle_bombs().items()),
        ]

    def case(self, number: int) -> Case:
        """Bomb ``number``; they are counted round."""
        name, content, use = self._files[number % len(self._files)]
        path = self._folder / name
        path.write_bytes(content)
        chosen = use or (network if path.suffix == ".nnet" else domain)
        return Case(path, lambda: chosen(path))


class Cases:
    """Damaged files of one format, written to ``folder`` one after the other."""

    def __init__(self, format_: str, folder: Path) -> None:
        self._format = format_
        self._folder = folder
        self._seeds = SEEDS[format_]()

    def case(self, number: int) -> Case:
        """Case ``number``: the same whenever it is made."""
        rng = np.random.default_rng([FORMATS.index(self._format), number])
        which = int(rng.integers(len(self._seeds)))
        seed = self._seeds[which]
        path = self._folder / f"case{_SUFFIXES[self._format]}"
        for left in self._folder.iterdir():
            left.unlink()
        if self._format == "store":
            return self._store(seed, which, path, rng)
        if self._format == "bundle":
            return self._bundle(seed, path, rng)
        path.write_bytes(_damaged(self._format, seed, rng))
        return Case(path, lambda: _USES[self._format](path))

    def _store(self, seed: bytes, which: int, path: Path, rng: np.random.Generator) -> Case:
        if rng.random() < 0.4:
            path.write_bytes(mutated(seed, BYTES, rng))
        else:
            store_mutations.forged(seed, path, rng)
        return Case(path, lambda: store(path, which))

    def _bundle(self, seed: bytes, path: Path, rng: np.random.Generator) -> Case:
        if rng.random() < 0.3:
            damaged = mutated(seed, BYTES, rng)
            path.write_bytes(damaged)
            return Case(path, lambda: (bundle if damaged == seed else damaged_bundle)(path))
        path.write_bytes(bundle_mutations.forged(seed, rng))
        return Case(path, lambda: bundle(path))


def _damaged(format_: str, seed: bytes, rng: np.random.Generator) -> bytes:
    if format_ == "onnx":
        changed = mutated_model(seed, rng) if rng.random() < 0.7 else seed
        return mutated(changed, BYTES, rng) if changed is seed or rng.random() < 0.2 else changed
    if format_ == "json" and rng.random() < 0.4:
        return mutated_json(seed, rng)
    return mutated(seed, BYTES if rng.random() < 0.2 else TEXT, rng)


_USES: Mapping[str, Callable[[Path], None]] = {
    "onnx": network,
    "nnet": lambda path: (network(path), domain(path))[0],
    "vnnlib": domain,
    "json": domain,
    "domain-csv": domain,
    "csv": table,
    "npy": table,
}
