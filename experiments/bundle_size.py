"""How large a bundle is, part by part, and how long it takes to open and to evaluate.

    python -m experiments.bundle_size N/1_1.onnx 1_1.redy 5_9.redy [--affine]

Times are medians of several runs in one process that has imported redy, the file in the system's
cache, beside onnxruntime loading the original network in the same runs. With ``--affine``, each
bundle is measured once more with edits such as ``--guarantee eps=E`` leaves, drawn at random: on a
third of the slices nothing but a correction of the outputs, on a third 10 to 40 of the neurons that
were kept replaced by lines, and a correction on half of these. What they compute means nothing;
status and witnesses stay those of the bundle.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors.numpy import load

import redy
from redy.edit_table import EditTable
from redy.edits import Criterion, Edit, Edits
from redy.formats.bundle import HEADER_BYTES, Content, read_bundle, write_bundle
from redy.formats.evidence import Sealed
from redy.guarantee import Guarantee

_RUNS = 9
_POINTS = 1000
_EPS = 1e-3
_MIB = 2**20
_PEER = "the peer: onnxruntime loads the original"


def main() -> None:
    """Measure the bundles that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", type=Path, metavar="NET.onnx")
    parser.add_argument("bundles", type=Path, nargs="+", metavar="B.redy")
    parser.add_argument("--affine", action="store_true", help="measure made-up affine edits too")
    options = parser.parse_args()
    for path in options.bundles:
        measure(path, options.network, path.name)
        if options.affine:
            with tempfile.TemporaryDirectory() as folder:
                other = Path(folder) / "affine.redy"
                write_bundle(other, with_affine_edits(read_bundle(path)))
                measure(other, options.network, f"{path.name} with affine edits")


def measure(path: Path, network: Path, name: str) -> None:
    """Print what is in the bundle at ``path``, and its times."""
    bundle = redy.open(path)
    print(f"{name}: {len(bundle.done)} slices, {path.stat().st_size / _MIB:.2f} MiB")
    for part, size in sorted(parts(path).items(), key=lambda entry: -entry[1]):
        print(f"  {part:24} {size:>9} bytes")
    taken = times(path, network)
    peer = taken[_PEER]
    for what, seconds in taken.items():
        print(f"  {what:48} {1e3 * seconds:8.2f} ms, {seconds / peer:8.2f} times the peer")


def parts(path: Path) -> dict[str, int]:
    """Part -> its bytes; the network is one part."""
    content = path.read_bytes()
    sizes: dict[str, int] = {}
    for name, tensor in load(content[HEADER_BYTES:]).items():
        part = "network" if name.startswith("layer.") else name
        sizes[part] = sizes.get(part, 0) + tensor.nbytes
    return {**sizes, "headers": len(content) - sum(sizes.values())}


def times(path: Path, network: Path) -> dict[str, float]:
    """What is done -> median of seconds."""
    points = redy.open(path).domain.sample(_POINTS, np.random.default_rng(0))
    rows: dict[str, list[float]] = {}
    for _ in range(_RUNS):
        for what, taken in one_run(path, network, points):
            rows.setdefault(what, []).append(taken)
    return {what: statistics.median(row) for what, row in rows.items()}


def one_run(path: Path, network: Path, points: np.ndarray) -> Iterator[tuple[str, float]]:
    """What is done, one after the other with a bundle just opened, and the seconds it takes."""
    yield _PEER, seconds(lambda: onnxruntime.InferenceSession(network))
    yield "read the bytes", seconds(path.read_bytes)
    yield "open", seconds(lambda: redy.open(path))
    bundle = redy.open(path)
    yield "one point, the first call", seconds(lambda: bundle(points[:1]))
    yield "one point, again", seconds(lambda: bundle(points[:1]))
    yield f"{len(points)} points, the first call", seconds(lambda: bundle(points))
    yield f"{len(points)} points, again", seconds(lambda: bundle(points))
    yield "status of all slices, the first time", seconds(lambda: bundle.status)


def seconds(step: Callable[[], object]) -> float:
    """The seconds that ``step`` takes."""
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def with_affine_edits(content: Content) -> Content:
    """``content`` with other edits, drawn at random, that its evidence allows."""
    rng = np.random.default_rng(0)
    evidence = content.evidence
    codes, criteria = content.edits.codes, evidence.criteria.copy()
    edits: list[Edits | None] = [None] * len(codes)
    eps_proved = content.eps_proved.copy()
    for row, kind in enumerate(rng.integers(3, size=len(codes))):
        if kind:
            edits[row] = _drawn(content, codes[row], criteria[row], bool(kind == 1), rng)
            codes[row], criteria[row] = edits[row].codes, edits[row].criteria
            eps_proved[row] = _EPS * rng.random()
    return replace(
        content,
        guarantee=Guarantee("eps", _EPS),
        edits=EditTable.collect(content.network, codes, edits),
        eps_proved=eps_proved,
        sealed=Sealed.seal(replace(evidence, criteria=criteria)),
    )


def _drawn(
    content: Content,
    codes: np.ndarray,
    criteria: np.ndarray,
    affine_outputs: bool,
    rng: np.random.Generator,
) -> Edits:
    """All neurons zero and a correction, or lines for 10 to 40 of the neurons that were kept."""
    lines = np.zeros((codes.size, 2))
    chosen = np.full(codes.size, fill_value=True)
    if not affine_outputs:
        kept = rng.permutation(np.flatnonzero(codes == Edit.KEEP))[: rng.integers(10, 41)]
        chosen[:] = False
        chosen[kept] = True
        lines[kept] = rng.standard_normal((kept.size, 2)).astype(np.float32)
    correction = None
    if affine_outputs or rng.random() < 0.5:
        shape = (content.network.outputs, content.network.inputs + 1)
        correction = rng.standard_normal(shape).astype(np.float32).astype(np.float64)
    return Edits(
        np.where(chosen, np.uint8(Edit.ZERO if affine_outputs else Edit.AFFINE), codes),
        np.where(chosen, np.uint8(Criterion.RELAXED), criteria),
        lines,
        correction,
    )


if __name__ == "__main__":
    main()
